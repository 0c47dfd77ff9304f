"""Who is offered the release, and when: the policy protocol and the policies."""

from simlib.rollout.policy import Action, Decision, GroupView, Policy, View, Wake
from simlib.rollout.registry import make_policy, policy_names

__all__ = ["Action", "Decision", "GroupView", "Policy", "View", "Wake", "make_policy", "policy_names"]
