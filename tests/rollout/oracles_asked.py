"""Services that are asked, by their documented rules: Mender and Nebraska, poll by poll."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor
from typing import Any
from zoneinfo import ZoneInfo

from tests.rollout.oracles import Behaviour, Oracle, Row

DAY = 86_400_000


class Mender(Oracle):
    """Mender (b3): phases open by time alone, to whoever polls first.

    Without polls among the rows every device polls all the time, in order of number.
    """

    words = {
        "pending": "poll",
        "downloading": "started",
        "installing": "started",
        "rebooting": "started",
        "pause_before_installing": "started",
        "pause_before_rebooting": "started",
        "pause_before_committing": "started",
        "success": "succeeded",
        "failure": "failed",
        "noartifact": "skipped",
        "already-installed": "skipped",
        "aborted": "skipped",
        "decommissioned": "skipped",
    }

    def __init__(
        self, config: dict[str, Any], devices: int, behave: Behaviour, rows: Sequence[Row] = ()
    ) -> None:
        phases = config.get("phases") or [{}]
        sizes = [floor(Fraction(str(p["batch_size"])) * devices / 100) for p in phases[:-1]]
        super().__init__([*sizes, devices - sum(sizes)], behave, rows)
        starts = [datetime.fromisoformat(p["start_ts"]) for p in phases if "start_ts" in p]
        first = starts[0] if starts else None
        self.starts = [round((s - first).total_seconds() * 1000) for s in starts] if first else [0]
        self.opened = 0
        self.most_retries = config.get("retries", 0)
        self.failures = [0] * self.devices
        self.polls = any(self.words[row.status] == "poll" for row in rows)
        self.over = False
        for start in self.starts:
            self._stop_at(start)

    def before(self, now: int) -> None:
        while self.opened < len(self.starts) and self.starts[self.opened] <= now:
            self.say(now, "open", self.opened)
            self.opened += 1
        if not self.polls:
            waiting = [d for d in range(self.devices) if d not in self.released]
            self.let_have(now, waiting[: self.room()])

    def retries(self, device: int, word: str) -> bool:
        self.failures[device] += word == "failed"
        return word == "failed" and self.failures[device] <= self.most_retries

    def room(self) -> int:
        return sum(self.sizes[: self.opened]) - len(self.released)

    def report(self, now: int, row: Row) -> None:
        if self.words[row.status] != "poll":
            super().report(now, row)
        elif row.device not in self.released and self.room() > 0:
            self.let_have(now, [row.device])

    def decide(self, now: int) -> None:
        if not self.over and self.everybody_has_ended():
            self.over = True
            self.say(now, "finish", None)


class Nebraska(Oracle):
    """Nebraska (b4): rules 0 to 7 at each update check of each instance, in order of the rows.

    An instance that has reported an error is not granted the same version again, as simlib counts a device's
    first verdict. `dead` instances are not heard of again once they were granted. Without checks in the rows
    every instance checks all the time, in order of number, before the other reports of a millisecond.
    """

    hears_at_once = True
    words = {
        "check": "poll",
        "downloading": "started",
        "downloaded": "started",
        "installed": "started",
        "complete": "succeeded",
        "error": "failed",
    }

    def __init__(
        self,
        config: dict[str, Any],
        devices: int,
        behave: Behaviour,
        rows: Sequence[Row] = (),
        dead: Collection[int] = (),
    ) -> None:
        super().__init__((devices,), behave, rows)
        self.enabled = config["policy_updates_enabled"]
        self.safe = config["policy_safe_mode"]
        self.period = minutes(config["policy_period_interval"])
        self.most = config["policy_max_updates_per_period"]
        self.timeout = minutes(config["policy_update_timeout"])
        self.office_hours = config["policy_office_hours"]
        self.zone = config.get("policy_timezone", "")
        self.start = datetime.fromisoformat(config.get("simlib", {}).get("start", "2026-01-05T00:00:00Z"))
        self.flag = config.get("simlib", {}).get("disable_on_failed_rollout", False)
        self.dead = frozenset(dead)
        self.granted_at: dict[int, int] = {}
        self.heard_at: dict[int, int] = {}
        self.polls = any(self.words[row.status] == "poll" for row in rows)
        self.over = False
        self.opens_at = next(
            (t for t in range(0, 4 * DAY, 60_000) if self.enabled and self.in_office(t)), None
        )
        if self.opens_at is not None:
            self._stop_at(self.opens_at)
        if self.office_hours and not self.polls:
            for half_an_hour in range(0, 5 * DAY, DAY // 48):
                self._stop_at(half_an_hour)

    def before(self, now: int) -> None:
        if now == self.opens_at:
            self.say(now, "open", 0)
        while not self.polls and len(self.granted_at) < self.devices:
            waiting = next(
                (d for d in range(self.devices) if d not in self.granted_at and self.verdict[d] is None), None
            )
            if waiting is None:
                return
            self.check(now, waiting)
            if waiting not in self.granted_at:
                return

    def report(self, now: int, row: Row) -> None:
        device = row.device
        polls = self.words[row.status] == "poll"
        if device in self.granted_at and device in self.dead:
            self.rows.pop()
            return
        self.heard_at[device] = now
        if not self.polls:
            self._stop_at(now + 1)
            self._stop_at(now + DAY)
        if polls:
            self.check(now, device)
            return
        before = self.verdict[device]
        super().report(now, row)
        ended = sum(verdict is not None for verdict in self.verdict)
        if self.flag and before is None and self.verdict[device] == "failed" and ended == 1:
            self.disable(now)

    def check(self, now: int, device: int) -> None:
        if device in self.granted_at or self.verdict[device] is not None or not self.enabled:
            return
        if not self.in_office(now):
            return
        if self.most >= 900_000 and not self.safe:
            self.grant(now, device)
            return
        nobody_has_ended = not any(verdict is not None for verdict in self.verdict)
        most = 1 if self.safe and nobody_has_ended else self.most
        seen = [d for d in self.granted_at if now - self.heard_at[d] < DAY]
        running = [d for d in seen if self.verdict[d] is None]
        timed_out = [d for d in running if now - self.granted_at[d] > self.timeout]
        if sum(now - self.granted_at[d] < self.period for d in seen) >= most:
            return
        if len(running) - len(timed_out) >= most:
            return
        if self.safe and len(timed_out) >= most:
            self.disable(now)
            return
        self.grant(now, device)

    def in_office(self, now: int) -> bool:
        if not self.office_hours:
            return True
        if not self.zone:
            return False
        local = (self.start.astimezone(UTC) + timedelta(milliseconds=now)).astimezone(ZoneInfo(self.zone))
        return local.weekday() < 5 and 9 <= local.hour < 17

    def grant(self, now: int, device: int) -> None:
        self.granted_at[device] = self.heard_at[device] = now
        if not self.polls:
            for later in (self.period, self.timeout + 1, DAY):
                self._stop_at(now + later)
        self.let_have(now, [device])

    def disable(self, now: int) -> None:
        if self.enabled:
            self.enabled = False
            self.say(now, "disable", 0)

    def decide(self, now: int) -> None:
        if not self.over and self.everybody_has_ended():
            self.over = True
            self.say(now, "finish", None)


def minutes(text: str) -> int:
    """ "15 minutes" in milliseconds."""
    number, _ = text.split()
    return int(number) * 60_000
