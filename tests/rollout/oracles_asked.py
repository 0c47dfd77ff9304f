"""Services that are asked, by their documented rules: Mender and Nebraska, poll by poll."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import Any

from tests.rollout.oracles import Behaviour, Oracle, Row


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
