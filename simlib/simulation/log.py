"""What a run notes of the service's decisions, and how many devices were where when it stopped."""

from __future__ import annotations

from dataclasses import dataclass, field

from simlib.rollout.policy import Verb


@dataclass(frozen=True, slots=True)
class Exposure:
    """Where the fleet stood when a gate fired: the truth, which the policy does not see."""

    offered: int  # so far, whatever became of them
    downloading: int  # or backing off between two attempts
    trial: int  # past the download and not yet confirmed: installing, rebooting, testing
    confirmed: int
    bricked: int
    released: int  # devices that could have the release
    waiting: int  # of them, that had not begun: not come yet, or waiting for a window, an owner or charge
    recalled: int  # that the stop took the release back from


@dataclass(slots=True)
class Stop:
    """The rollout was stopped."""

    at_ms: int
    verb: Verb  # of `policy.STOPS`
    group: int  # whose errors it was, −1: the whole rollout's
    detail: str
    exposure: Exposure
    planned: bool = False  # the rollout's own plan, not a gate
    resumed_ms: int = -1


@dataclass(slots=True)
class GroupLog:
    """What happened to one group."""

    opened_ms: int = -1
    closed_ms: int = -1
    decision: str = "not-opened"


@dataclass(slots=True)
class RunLog:
    """What a run leaves behind beside the fleet's columns."""

    groups: list[GroupLog]
    stops: list[Stop] = field(default_factory=list)
    events: int = 0
