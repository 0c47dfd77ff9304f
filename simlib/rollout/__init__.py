"""Who is offered the release, and when: the policy protocol, the gates, a module for each update service."""

from simlib.rollout.policy import Action, Decision, GroupView, Policy, View, Wake
from simlib.rollout.registry import dictated, make_policy, pulls, service_named, service_names

__all__ = [
    "Action",
    "Decision",
    "GroupView",
    "Policy",
    "View",
    "Wake",
    "dictated",
    "make_policy",
    "pulls",
    "service_named",
    "service_names",
]
