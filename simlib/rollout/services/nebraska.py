"""Nebraska, the Omaha server of Flatcar Linux: a policy that is evaluated at each device's update check.

A check is answered by these rules in their order (flatcar/nebraska, backend/pkg/api/updates.go):

0. an update under way on the device: refused; already granted: the grant is repeated; not older: nothing;
1. updates disabled: nothing;
2. outside office hours, where they are asked for: nothing;
3. 900,000 or more updates a period without safe mode: granted;
4. the effective maximum is `policy_max_updates_per_period`, but 1 in safe mode while no attempt has ended;
5. as many granted within the last period: on hold;
6. as many in progress within the timeout: on hold;
7. in safe mode, as many past the timeout: updates are disabled for the group, on hold; otherwise granted.

All counts are those of `nebraska_attempts`, which a device leaves after a day of silence. A failed
attempt has ended: without `simlib.disable_on_failed_rollout`, the server's flag, a failed canary lifts
safe mode's brake. With it, a failed event after which exactly one attempt has ended disables updates.

The rules become permits: how many of the next to check would be granted, renewed one millisecond before a
count changes. The server's own interface refuses to create a group with office hours and no valid time
zone; one that exists all the same is always outside.

Under ``simlib``: `start`, the date and time at which the run starts (office hours need it);
`disable_on_failed_rollout`; `ended_check_in` (default true): devices whose attempt has ended go on
checking in, as every client that runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from simlib.rollout.policy import Action, Counter, Decision, GroupView, Policy, Told, Verb, View, Wake
from simlib.rollout.service import KNOCK, Service, Translation
from simlib.rollout.services.nebraska_attempts import Attempts
from simlib.rollout.services.nebraska_clock import START, OfficeHours, instant, interval, zone
from simlib.rollout.services.nebraska_translate import translation
from simlib.scenario import leaves
from simlib.scenario.leaves import Flag, Table
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.reading import read_table

UNLIMITED: Final = 900_000
"""From so many updates a period on there is no limit."""
_MOST: Final = (1 << 31) - 1

_Text = Annotated[str | None, leaves.leaf(lambda value: None if value is None else leaves.text(value))]
_Interval = Annotated[int, leaves.leaf(interval)]


class OptionsTable(Table):
    """The key ``simlib`` of a group."""

    start: Annotated[int, leaves.leaf(instant)] = instant(START)
    disable_on_failed_rollout: Flag = False
    ended_check_in: Flag = True


class GroupTable(Table):
    """A group of Nebraska's: its policy, and what else its interface writes."""

    policy_updates_enabled: Flag = True
    policy_safe_mode: Flag = True
    policy_office_hours: Flag = False
    policy_timezone: _Text = None
    policy_period_interval: _Interval
    policy_max_updates_per_period: Annotated[int, leaves.count(0, _MOST)]
    policy_update_timeout: _Interval
    id: _Text = None
    name: _Text = None
    description: _Text = None
    application_id: _Text = None
    channel_id: _Text = None
    track: _Text = None
    created_ts: _Text = None
    rollout_in_progress: Flag = False
    simlib: OptionsTable = Field(default_factory=OptionsTable)


@dataclass(frozen=True, slots=True)
class NebraskaGroup:
    """A group's policy."""

    enabled: bool
    safe_mode: bool
    office_hours: bool
    timezone: str
    period_ms: int
    most_per_period: int
    timeout_ms: int
    start_ms: int  # when the run starts, since 1970
    disable_on_failed_rollout: bool = False
    ended_check_in: bool = True

    @property
    def unlimited(self) -> bool:
        """Rule 3."""
        return self.most_per_period >= UNLIMITED and not self.safe_mode


def read(document: Mapping[str, object], source: str) -> NebraskaGroup:
    """See `Service.read`."""
    table = read_table(GroupTable, document, source)
    return NebraskaGroup(
        table.policy_updates_enabled,
        table.policy_safe_mode,
        table.policy_office_hours,
        table.policy_timezone or "",
        table.policy_period_interval,
        table.policy_max_updates_per_period,
        table.policy_update_timeout,
        table.simlib.start,
        table.simlib.disable_on_failed_rollout,
        table.simlib.ended_check_in,
    )


def sizes(config: NebraskaGroup, devices: int) -> tuple[int, ...]:
    """One group."""
    del config
    return (devices,)


class Nebraska(Policy):
    """The policy's state: its statistics, its permit, and whether updates are enabled."""

    interval_ms = 1
    pull = True
    wants_news = True

    def __init__(self, config: NebraskaGroup) -> None:
        self._config = config
        self._attempts = Attempts(config.period_ms, config.timeout_ms, config.ended_check_in)
        self._hours = OfficeHours(zone(config.timezone), config.start_ms) if config.office_hours else None
        self._inside = True
        self._edge_ms: int | None = -1 if self._hours is not None else None  # until when `_inside` holds
        self._enabled = config.enabled
        self._asked = False
        self._permit = 0  # devices that may have been admitted by now
        self._armed = False  # the next check disables updates
        self._finished = False

    def decide(self, view: View) -> Decision:
        """See the module's docstring for the rules."""
        return self._decide(view, view.knocked)

    def resume(self, view: View) -> Decision:
        """The operator enables updates again. What has timed out may disable them at the next check."""
        self._enabled = True
        return self._decide(view, False)

    def _decide(self, view: View, knocked: bool) -> Decision:
        seen, actions = view.groups[0], []
        reason = self._hear(view)
        if knocked and self._armed and not reason:
            reason = f"{self._attempts.timed_out} updates timed out"
        disabled = self._enabled and bool(reason)
        self._enabled = self._enabled and not disabled
        admitted = max(seen.released, seen.offered)
        # What is permitted now holds for checks from the next millisecond on; the first time, from now on.
        checks_ms = view.now_ms + 1 if self._asked else view.now_ms
        self._asked = True
        self._attempts.advance(checks_ms)
        permit = min(admitted + self._allowance(checks_ms, seen), seen.size)
        if permit != self._permit:
            actions.append(Action(Verb.ADMIT, 0, count=permit))
            self._permit = permit
        if disabled:
            actions.append(Action(Verb.DISABLE, 0, reason))
        if not self._finished and seen.settled >= seen.size:
            self._finished = True
            actions.append(Action(Verb.FINISH, 0))
        return Decision(tuple(actions), self._wake(view.now_ms, seen, admitted))

    def _hear(self, view: View) -> str:
        """Take in the news; why updates are disabled by them, or ""."""
        reason = ""
        attempts = self._attempts
        flagged = self._config.disable_on_failed_rollout
        for message in view.news:
            if flagged:
                attempts.advance(message.time_ms)
                before = attempts.ended
            attempts.hear(message)
            if flagged and message.told & Told.FAILED and attempts.ended == before + 1 == 1:
                reason = "the first attempt that ended has failed"
        return reason

    def _allowance(self, checks_ms: int, seen: GroupView) -> int:
        """How many of the next to check are granted; sets whether the next one disables updates instead."""
        self._armed = False
        if not self._enabled or not self._is_inside(checks_ms):
            return 0
        config, attempts = self._config, self._attempts
        if config.unlimited:
            return seen.size
        most = 1 if config.safe_mode and attempts.ended == 0 else config.most_per_period
        room = most - max(attempts.recent, attempts.running)
        if room <= 0:
            return 0
        if config.safe_mode and attempts.timed_out >= most:
            self._armed = True
            return 0
        return room

    def _is_inside(self, checks_ms: int) -> bool:
        if self._hours is not None and self._edge_ms is not None and checks_ms >= self._edge_ms:
            self._inside = self._hours.inside(checks_ms)
            self._edge_ms = self._hours.next_edge(checks_ms)
        return self._inside

    def _wake(self, now_ms: int, seen: GroupView, admitted: int) -> Wake:
        counts = []
        if not self._finished:
            counts.append((0, Counter.SETTLED, seen.size))
        config, attempts = self._config, self._attempts
        if config.disable_on_failed_rollout and self._enabled:
            counts.append((0, Counter.FAILED, seen.failed + 1))
        times = []
        if self._enabled and self._edge_ms is not None:
            times.append(self._edge_ms)
        if self._enabled and not config.unlimited:
            change = attempts.next_change()
            if change is not None:
                times.append(change)
            if admitted < self._permit and not (times and min(times) <= now_ms + attempts.soonest()):
                counts.append((0, Counter.OFFERED, seen.offered + 1))
            if attempts.forgotten:
                counts.append((0, Counter.STARTED, seen.started + 1))
            if self._ends_matter():
                counts.append((0, Counter.SETTLED, seen.settled + 1))
        at_ms = max(min(times) - 1, now_ms + 1) if times else None
        return Wake(at_ms, tuple(counts), self._armed and self._enabled)

    def _ends_matter(self) -> bool:
        """Whether the end of an attempt can change what is granted: see rules 4, 6 and 7."""
        attempts = self._attempts
        if attempts.running > attempts.recent or attempts.forgotten:
            return True
        return self._config.safe_mode and (attempts.ended == 0 or attempts.timed_out > 0)


def policy(config: NebraskaGroup, sizes: tuple[int, ...]) -> Policy:
    """See `Service.policy`."""
    del sizes
    return Nebraska(config)


def translate(spec: ScenarioSpec) -> Translation:
    """See `nebraska_translate`."""
    return translation(spec)


STATUSES: Final[Mapping[str, Told]] = {
    "check": KNOCK,
    "updatecheck": KNOCK,
    "onhold": KNOCK,  # it has asked, and waits
    "downloading": Told.STARTED,
    "downloaded": Told.STARTED,
    "installed": Told.STARTED,  # the reboot is still to come
    "complete": Told.SUCCEEDED,
    "error": Told.FAILED,
}

SERVICE: Final = Service("nebraska", read, sizes, policy, translate, STATUSES)
