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

What becomes of the rules for a whole fleet is told in `nebraska_policy`. The server's own interface refuses
to create a group with office hours and no valid time zone; one that exists all the same is always outside.

Under ``simlib``: `start`, the date and time at which the run starts (office hours need it);
`disable_on_failed_rollout`; `ended_check_in` (default true): devices whose attempt has ended go on
checking in, as every client that runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field

from simlib.rollout.policy import Policy, Told
from simlib.rollout.service import KNOCK, Service, Translation
from simlib.rollout.services.calendar import START, instant
from simlib.rollout.services.nebraska_clock import interval
from simlib.rollout.services.nebraska_policy import Nebraska, NebraskaGroup
from simlib.rollout.services.nebraska_translate import translation
from simlib.scenario import leaves
from simlib.scenario.leaves import Flag, Table
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.reading import read_object

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


def read(document: Mapping[str, object], source: str) -> NebraskaGroup:
    """See `Service.read`."""
    table = read_object(GroupTable, document, source)
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
