"""Mender: a deployment in phases that open by time, whatever has happened in the ones before.

Which device lands in which phase is decided by who polls first. A phase is a whole percentage of the
devices at the deployment's creation, rounded down; the last takes the rest; one that rounds down to
nothing is refused. A deployment to a list or a group finishes when every device has; one with a filter
(dynamic) never does, unless `max_devices` have completed it, failed or not. There is no gate. Source:
mender-server, docs/api/deployments/management_v2.yaml; mender-docs, Overview/Deployment.

`start_ts` is read relative to the first phase's. A first phase without one starts at once: the times of
the others are then relative to `created`, which the server writes, or to `simlib.created`.

Under ``simlib``: `created`; `rounding` ("floor", "half-up", "ceiling") of phases; `retry_download_count`;
`update_poll_interval_seconds`, the client's settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from pydantic import Field

from simlib.errors import InputError
from simlib.rollout.policy import Action, Counter, Decision, Policy, Told, Verb, View, Wake
from simlib.rollout.service import KNOCK, Service, Translation
from simlib.rollout.services import mender_client
from simlib.rollout.services.calendar import instant
from simlib.rollout.services.mender_translate import translation
from simlib.scenario import leaves
from simlib.scenario.leaves import Flag, Table
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.reading import read_object
from simlib.scenario.toml_text import one_line

_ROUNDINGS: Final = ("floor", "half-up", "ceiling")
_MOST: Final = 10**9

_Text = Annotated[str | None, leaves.leaf(lambda value: None if value is None else leaves.text(value))]
_Instant = Annotated[int | None, leaves.leaf(lambda value: None if value is None else instant(value))]
_Count = Annotated[
    int | None, leaves.leaf(lambda value: None if value is None else leaves.whole_number(value))
]


class PhaseTable(Table):
    """An element of ``phases``."""

    batch_size: Annotated[int | None, leaves.count(1, 100)] = None
    start_ts: _Instant = None
    device_count: _Count = None  # the server's record of who asked in it
    id: _Text = None


class OptionsTable(Table):
    """The key ``simlib`` of a deployment."""

    created: _Instant = None
    rounding: Annotated[str, leaves.choice(*_ROUNDINGS)] = "floor"
    retry_download_count: Annotated[int, leaves.count(1, mender_client.MOST_DOWNLOAD_TRIES)] = (
        mender_client.DOWNLOAD_TRIES
    )
    update_poll_interval_seconds: Annotated[int, leaves.count(1, 10**8)] = mender_client.UPDATE_POLL_S


class DeploymentTable(Table):
    """A deployment as the interface takes it, and what the server writes about one.

    What only identifies it may be left out.
    """

    name: Annotated[str, leaves.leaf(leaves.text)] = ""
    artifact_name: Annotated[str, leaves.leaf(leaves.text)] = ""
    devices: list[Annotated[str, leaves.leaf(leaves.text)]] = Field(default_factory=list)
    all_devices: Flag = False
    group: _Text = None
    groups: list[Annotated[str, leaves.leaf(leaves.text)]] = Field(default_factory=list)
    filter_id: _Text = None
    phases: list[PhaseTable] = Field(default_factory=list)
    retries: Annotated[int, leaves.count(0, 999)] = 0
    max_devices: Annotated[int, leaves.count(0, _MOST)] = 0  # 0: no limit
    force_installation: Flag = False
    autogenerate_delta: Flag = False
    update_control_map: dict[str, Any] | None = None
    dynamic: Flag | None = None
    created: _Instant = None
    id: _Text = None
    type: _Text = None
    status: _Text = None
    device_count: _Count = None
    initial_device_count: _Count = None
    simlib: OptionsTable = Field(default_factory=OptionsTable)


@dataclass(frozen=True, slots=True)
class MenderDeployment:
    """A deployment."""

    batches: tuple[int, ...]  # percentages of all phases but the last
    starts_ms: tuple[int, ...]  # of all phases, since the first
    retries: int
    max_devices: int  # 0: no limit
    dynamic: bool
    rounding: str = "floor"
    download_tries: int = mender_client.DOWNLOAD_TRIES
    poll_ms: int = mender_client.UPDATE_POLL_S * leaves.SECOND


def read(document: Mapping[str, object], source: str) -> MenderDeployment:
    """See `Service.read`."""
    table = read_object(DeploymentTable, document, source)
    phases = table.phases or [PhaseTable()]
    where = one_line(source)
    for number, phase in enumerate(phases[:-1]):
        if phase.batch_size is None:
            raise InputError(
                f"{where}: phases.{number}.batch_size: found no such key, "
                "expected a percentage in every phase but the last"
            )
    batches = tuple(phase.batch_size or 0 for phase in phases[:-1])
    total = sum(batches) + (phases[-1].batch_size or 1)
    if total > 100:
        raise InputError(
            f"{where}: phases: found batch sizes of {sum(batches)} % before the last phase and "
            f"{phases[-1].batch_size or 'the rest'} in it, expected at most 100 % together"
        )
    dynamic = table.dynamic if table.dynamic is not None else table.filter_id is not None
    if table.max_devices and not dynamic:
        raise InputError(
            f"{where}: max_devices: found {table.max_devices} without filter_id, expected it in a dynamic "
            "deployment alone"
        )
    return MenderDeployment(
        batches,
        _starts(phases, table.simlib.created or table.created, where),
        table.retries,
        table.max_devices,
        dynamic,
        table.simlib.rounding,
        table.simlib.retry_download_count,
        table.simlib.update_poll_interval_seconds * leaves.SECOND,
    )


def _starts(phases: Sequence[PhaseTable], created: int | None, where: str) -> tuple[int, ...]:
    first = phases[0].start_ts if phases[0].start_ts is not None else created
    starts = [0]
    for number, phase in enumerate(phases[1:], 1):
        key = f"{where}: phases.{number}.start_ts"
        if phase.start_ts is None:
            raise InputError(f"{key}: found no such key, expected a start in every phase but the first")
        if first is None:
            raise InputError(
                f"{where}: phases.0.start_ts: found no such key, expected it, or simlib.created, "
                "as the start of later phases is read relative to it"
            )
        start = phase.start_ts - first
        if not starts[-1] <= start <= leaves.LONGEST_MS:
            raise InputError(
                f"{key}: found {start} ms after the first phase, expected {starts[-1]} (the phase before) to "
                f"{leaves.LONGEST_MS}"
            )
        starts.append(start)
    return tuple(starts)


def share_of(percent: int, devices: int, rounding: str) -> int:
    """`percent` of `devices`, rounded."""
    above = percent * devices
    return {"floor": above // 100, "half-up": (2 * above + 100) // 200, "ceiling": -(-above // 100)}[rounding]


def sizes(config: MenderDeployment, devices: int) -> tuple[int, ...]:
    """Devices of each phase. Raises `InputError` for a phase with none, as the server answers 400."""
    made: list[int] = []
    for number, percent in enumerate(config.batches):
        size = share_of(percent, devices, config.rounding)
        if size == 0 or sum(made) + size >= devices:
            raise InputError(
                f"phases.{number}.batch_size: found {percent} % of {devices} devices, which is {size}, "
                "expected at least one device in this phase and one left for the last"
            )
        made.append(size)
    return (*made, devices - sum(made))


def sizes_after_change(created: Sequence[int], devices: int) -> tuple[int, ...]:
    """Who fits in each phase of sizes `created` once a dynamic group has `devices`.

    Sizes are fixed at creation: what joins goes to the last phase; with fewer, the first ones hold everybody.
    """
    left, made = devices, []
    for size in created[:-1]:
        made.append(min(size, left))
        left -= made[-1]
    return (*made, left)


class Phases(Policy):
    """The policy's state: how many phases have opened, and whether the deployment is over."""

    interval_ms = 1
    pull = True

    def __init__(self, config: MenderDeployment, sizes: tuple[int, ...]) -> None:
        self.forgives = ((Told.FAILED, config.retries),)
        self._starts_ms = config.starts_ms
        self._sizes = sizes
        self._dynamic = config.dynamic
        self._most = config.max_devices
        self._open = 0
        self._finished = False

    def decide(self, view: View) -> Decision:
        """Opens a phase one millisecond early, as a permit holds for polls after the decision."""
        if self._finished:
            return Decision()
        actions: list[Action] = []
        completed = sum(seen.judged for seen in view.groups)
        if self._dynamic and 0 < self._most <= completed:
            actions += [
                Action(Verb.ADMIT, phase, "max_devices reached", count=seen.released)  # and so nobody else
                for phase, seen in enumerate(view.groups[: self._open])
            ]
            self._finished = True
        elif not self._dynamic and all(seen.settled >= seen.size for seen in view.groups):
            self._finished = True
        if self._finished:
            return Decision((*actions, Action(Verb.FINISH, max(self._open - 1, 0))))
        while self._open < len(self._sizes) and self._starts_ms[self._open] <= view.now_ms + 1:
            actions.append(Action(Verb.ADMIT, self._open, count=self._sizes[self._open]))
            self._open += 1
        return Decision(tuple(actions), self._wake(view, completed))

    def _wake(self, view: View, completed: int) -> Wake:
        at_ms = None
        if self._open < len(self._sizes):
            at_ms = self._starts_ms[self._open] - 1
        if not self._dynamic:
            waiting = next(n for n, seen in enumerate(view.groups) if seen.settled < seen.size)
            return Wake(at_ms, ((waiting, Counter.SETTLED, view.groups[waiting].size),))
        if not self._most:
            return Wake(at_ms)
        # The sum reaches the limit only after some phase has had its part of what is missing.
        part = -(-(self._most - completed) // len(view.groups))
        counts = tuple((n, Counter.JUDGED, seen.judged + part) for n, seen in enumerate(view.groups))
        return Wake(at_ms, counts)


def dictate(config: MenderDeployment, spec: ScenarioSpec) -> ScenarioSpec:
    """The client's fixed wait between downloads, and the deployment's retries at later polls.

    A failure that is retried is not counted.
    """
    transfer = replace(
        spec.transfer,
        attempts=min(config.download_tries, 1000),
        backoff_ms=mender_client.DOWNLOAD_WAIT_MS,
        backoff_max_ms=mender_client.DOWNLOAD_WAIT_MS,
        jitter="none",
        rounds=1 + config.retries,
    )
    if not config.retries:
        return replace(spec, transfer=transfer)
    return replace(
        spec,
        transfer=replace(transfer, retry_after_ms=config.poll_ms),
        rollout=replace(spec.rollout, verdicts="last"),
    )


def translate(spec: ScenarioSpec) -> Translation:
    """See `mender_translate`."""
    return translation(spec)


STATUSES: Final[Mapping[str, Told]] = {
    "pending": KNOCK,
    "downloading": Told.STARTED,
    "installing": Told.STARTED,
    "rebooting": Told.STARTED,
    "pause_before_installing": Told.STARTED,
    "pause_before_rebooting": Told.STARTED,
    "pause_before_committing": Told.STARTED,
    "success": Told.SUCCEEDED,
    "failure": Told.FAILED,
    "noartifact": Told.SKIPPED,
    "already-installed": Told.SKIPPED,
    "aborted": Told.SKIPPED,
    "decommissioned": Told.SKIPPED,
}

SERVICE: Final = Service("mender", read, sizes, Phases, translate, STATUSES, dictate)
