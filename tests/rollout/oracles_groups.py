"""Services that push to groups, by their documented rules: hawkBit, Azure and simlib's own stages."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

from tests.rollout.oracles import Behaviour, Oracle, Row


class HawkBit(Oracle):
    """hawkBit (b1): groups one after another, looked at every 2000 ms."""

    interval_ms = 2000
    words = {
        "retrieved": "offered",
        "download": "started",
        "downloaded": "started",
        "running": "started",
        "warning": "started",
        "finished": "succeeded",
        "error": "failed",
        "canceled": "skipped",
    }

    def __init__(
        self, config: dict[str, Any], devices: int, behave: Behaviour, rows: Sequence[Row] = ()
    ) -> None:
        self.groups = config["groups"]
        if config.get("type") == "downloadonly":  # rule 3: such an action is complete, and no success
            self.words = {**self.words, "downloaded": "skipped"}
        sizes = self.cut(devices, [Fraction(str(group["targetPercentage"])) for group in self.groups])
        assert sizes is not None
        super().__init__(sizes, behave, rows)
        self.states = ["SCHEDULED"] * len(sizes)
        self.state = "READY"

    @staticmethod
    def cut(devices: int, percentages: Sequence[Fraction]) -> tuple[int, ...] | None:
        """The groups' sizes (H1); None if they do not cover all targets, or if a half decides.

        hawkBit computes shares of the rest in floating point; H1's rule does not tell which way a half falls.
        """
        sizes: list[int] = []
        given = Fraction(0)
        for percentage in percentages:
            left = 100 - given
            share = Fraction(100) if left <= 1 else min(Fraction(100), percentage * 100 / left)
            size = share * (devices - sum(sizes)) / 100
            if size % 1 == Fraction(1, 2) and share.denominator > 1:
                return None
            sizes.append(floor(size + Fraction(1, 2)))
            given += percentage
        return tuple(sizes) if sum(sizes) == devices else None

    def decide(self, now: int) -> None:
        if self.state == "READY":
            self.state = "RUNNING"
            self.start(now, 0)
            return
        if self.state != "RUNNING":
            return
        for number in [k for k, state in enumerate(self.states) if state == "RUNNING"]:
            self.look(now, number)
        if self.state == "RUNNING" and not {"RUNNING", "SCHEDULED"} & set(self.states):
            self.state = "FINISHED"
            self.say(now, "finish", None)

    def look(self, now: int, number: int) -> None:
        group, total = self.groups[number], self.sizes[number]
        error = group.get("errorCondition")
        errors = self.count("failed", group=number)
        if error and total and Fraction(errors, total) > Fraction(int(error["expression"]), 100):
            self.states[number] = "ERROR"
            self.pause(now, number)
            return
        finished = self.count("succeeded", group=number)
        completed = self.everybody_has_ended(number)
        threshold = Fraction(int(group["successCondition"]["expression"]), 100)
        if completed or total == 0 or Fraction(finished, total) >= threshold:
            child = (
                number + 1
                if number + 1 < len(self.sizes) and self.states[number + 1] == "SCHEDULED"
                else None
            )
            if child is not None:
                if group["successAction"]["action"] == "NEXTGROUP":
                    self.start(now, child)
                else:
                    self.pause(now, number)
        if completed:
            self.states[number] = "FINISHED"

    def pause(self, now: int, number: int) -> None:
        if self.state == "RUNNING":
            self.state = "PAUSED"
            self.say(now, "pause", number)

    def start(self, now: int, number: int) -> None:
        self.states[number] = "RUNNING"
        self.say(now, "open", number)
        self.let_have(now, self.members(number))


class Azure(Oracle):
    """Azure Device Update (b5): everybody at once; rolled back when both numbers are met."""

    words = {
        "InProgress": "started",
        "Succeeded": "succeeded",
        "Failed": "failed",
        "Canceled": "skipped",
        "Incompatible": "skipped",
    }

    def __init__(
        self, config: dict[str, Any], devices: int, behave: Behaviour, rows: Sequence[Row] = ()
    ) -> None:
        super().__init__((devices,), behave, rows)
        self.failure = config.get("rollbackPolicy", {}).get("failure")
        self.over = False

    def decide(self, now: int) -> None:
        if now == 0:
            self.say(now, "open", 0)
            self.let_have(now, range(self.devices))
            return
        if self.over:
            return
        failed = self.count("failed")
        both = (
            self.failure is not None
            and failed > 0
            and failed * 100 >= self.failure["devicesFailedPercentage"] * self.devices
            and failed >= self.failure["devicesFailedCount"]
        )
        if both:
            self.say(now, "cancel", 0)
        elif self.everybody_has_ended():
            self.say(now, "finish", None)
        self.over = both or self.everybody_has_ended()


class Staged(Oracle):
    """simlib's own groups with gates of the kind "threshold": all durations in milliseconds."""

    words = {word: word for word in ("offered", "started", "succeeded", "failed", "skipped")}

    def __init__(
        self, config: dict[str, Any], devices: int, behave: Behaviour, rows: Sequence[Row] = ()
    ) -> None:
        self.interval_ms = config["interval"]
        self.deadline_ms = config["deadline"]
        self.groups = config["groups"]
        shares = [Fraction(str(group["share"])) for group in self.groups[:-1]]
        cuts = [floor(sum(shares[:k], Fraction(0)) * devices) for k in range(len(shares) + 1)] + [devices]
        super().__init__([b - a for a, b in pairwise(cuts)], behave, rows)
        self.newest = -1
        self.passed_at: int | None = None
        self.state = "running"

    def report(self, now: int, row: Row) -> None:
        begins = row.device not in self.started_at
        super().report(now, row)
        if begins and row.device in self.started_at:
            self._stop_at(self.started_at[row.device] + self.deadline_ms)

    def timers(self, now: int) -> None:
        for device, started in self.started_at.items():
            if self.verdict[device] is None and now >= started + self.deadline_ms:
                self.verdict[device] = "silent"
                self._look_at(now)

    def decide(self, now: int) -> None:
        if self.state == "halted":
            return
        for number in range(self.newest + 1):
            group = self.groups[number]
            errors = self.count("failed", "silent", group=number)
            judged = errors + self.count("succeeded", group=number)
            if judged >= group["min_sample"] and errors > Fraction(str(group["error_threshold"])) * judged:
                self.say(now, "cancel", number)
                self.state = "halted"
                return
        while self.state == "running" and (self.newest < 0 or self.has_soaked(now)):
            if self.newest + 1 < len(self.groups):
                self.open(now)
            else:
                self.say(now, "finish", None)
                self.state = "finished"

    def has_soaked(self, now: int) -> bool:
        group, size = self.groups[self.newest], self.sizes[self.newest]
        enough = (
            self.count("succeeded", group=self.newest) >= Fraction(str(group["success_threshold"])) * size
        )
        if self.passed_at is None and (enough or self.everybody_has_ended(self.newest)):
            self.passed_at = now
            self._look_at(now + group["soak"])
        return self.passed_at is not None and now >= self.passed_at + group["soak"]

    def open(self, now: int) -> None:
        self.newest += 1
        self.passed_at = None
        self.say(now, "open", self.newest)
        self.let_have(now, self.members(self.newest))
