"""What the service raises alerts about while a rollout runs. It looks at reports, links and the clock only.

Each rule speaks once when its condition comes true, and again only after it has ceased to hold: the failure
rate of a group, a group without reports, a device not heard of since it reported success, devices still on an
old version long after their group opened, an install outside the window, a link on which too many share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Protocol

from simlib.engine.order import Rank
from simlib.scenario.field_model import AlertSpec
from simlib.simulation.recorder import Alert
from simlib.simulation.service import Service, Timer


class SharedLink(Protocol):
    """What the rules need of a link."""

    @property
    def active(self) -> int:
        """The number of transfers on it."""

    def fair_share(self, rate_bps: int) -> Fraction:
        """What a transfer of a class of `rate_bps` gets now, as a share of that rate."""


class Monitor:
    """The rules of one run; `raise_alert` takes what they find."""

    def __init__(
        self,
        rules: AlertSpec,
        service: Service,
        links: Sequence[tuple[str, SharedLink, int]],
        clock: Timer,
        raise_alert: Callable[[Alert], None],
    ) -> None:
        """`links` are name, link and fastest rate [byte/s] of each."""
        self._rules = rules
        self._service = service
        self._links = tuple(links)
        self._clock = clock
        self._raise = raise_alert
        self._opened: dict[int, int] = {}
        self._holding: set[tuple[str, int]] = set()

    def opened(self, now: int, group: int) -> None:
        """A group has opened."""
        self._opened[group] = now
        if self._rules.outdated_ms:
            self._clock.after(
                now + self._rules.outdated_ms, Rank.SAMPLING, lambda at: self._outdated(at, group)
            )

    def halted(self) -> None:
        """Nothing is awaited of open groups any more."""
        self._opened.clear()

    def failing(self, now: int, group: int, errors: int, judged: int) -> None:
        """The failure rate of a group has risen above the rule's (see `tally.rate_changed`)."""
        detail = f"{errors} of {judged} judged devices"
        self._raise(Alert(now, "warning", "failure-rate", group + 1, -1, detail))

    def vanished(self, now: int, group: int, device: int) -> None:
        """A device that had reported success is silent for too long."""
        self._raise(Alert(now, "warning", "silent-device", group + 1, device, "reported success before"))

    def violated(self, now: int, group: int, device: int, what: str) -> None:
        """A device did what the rollout's rules do not allow."""
        self._raise(Alert(now, "warning", "policy-violation", group + 1, device, what))

    def look(self, now: int) -> None:
        """The rules that are about time and load; called at each sample of the timeline."""
        if self._rules.stalled_ms:
            for group, opened_ms in self._opened.items():
                seen = self._service.view(group)
                waiting = seen.settled < seen.released
                quiet_ms = now - max(opened_ms, self._service.last_report_ms(group))
                stalled = waiting and quiet_ms >= self._rules.stalled_ms
                self._hold("stalled-group", group, stalled, now, group + 1, f"no message for {quiet_ms} ms")
        if self._rules.silent_ms:
            for group in self._opened:
                seen = self._service.view(group)
                detail = f"{seen.silent} devices began and missed the deadline"
                self._hold("silent-devices", group, seen.silent > 0, now, group + 1, detail)
        if self._rules.storm:
            for number, (name, link, fastest_bps) in enumerate(self._links):
                share = link.fair_share(fastest_bps)
                detail = f"{name}: {link.active} transfers"
                self._hold("link-storm", number, share < self._rules.storm, now, -1, detail)

    def _outdated(self, now: int, group: int) -> None:
        seen = self._service.view(group)
        behind = seen.size - seen.succeeded
        if behind:
            detail = f"{behind} of {seen.size} devices have not reported the new version"
            self._raise(Alert(now, "warning", "outdated-firmware", group + 1, -1, detail))

    def _hold(self, name: str, number: int, holds: bool, now: int, group: int, detail: str) -> None:
        if holds and (name, number) not in self._holding:
            self._holding.add((name, number))
            self._raise(Alert(now, "warning", name, group, -1, detail))
        elif not holds:
            self._holding.discard((name, number))
