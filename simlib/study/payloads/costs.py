"""What an update costs by radio, by boot layout and by form: raw, compressed in full, or as a patch.

Nothing is simulated, and nothing is reckoned twice: the bytes are those of a release that was built in each
form, install, boot and confirmation are the bench's on these bytes, and the radio's figures are the route's
that a run takes. A device that is updated by itself, without faults, spends exactly what its row says, but
for what it loses while it waits. Copies of the user's data are left out: they are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Final

import pandas as pd

from simlib.channel.multicast import MulticastPlan, outcome
from simlib.device import layouts as device_layouts
from simlib.device.bench import Bench
from simlib.device.config import DeviceConfig
from simlib.device.fitness import check_fit
from simlib.device.memo import Memo
from simlib.device.ram import ram_needed
from simlib.draws import device_keys
from simlib.errors import InputError, Reason, Refused
from simlib.fleet import Route, routes_of
from simlib.release import open_manifest
from simlib.scenario import Scenario
from simlib.scenario.model import CohortSpec, ScenarioSpec
from simlib.simulation.cases import NJ_PER_UJ, Cases, up
from simlib.simulation.columns import habit_of, mean_presence
from simlib.simulation.costs import CohortCosts, costs_of
from simlib.study.payloads.shipped import Shipped, shipped

LISTENERS: Final = 25
"""Devices whose luck says how many multicast sessions it takes: as many as half of them need."""
_PJ_PER_UJ: Final = 1_000_000
_COSTS: Final = (
    "rate_bps",  # of the cohort's middle class, alone on its link [byte/s]
    "sessions",  # multicast: that a device listens to; else 1
    "air_bytes",  # what is sent to it: multicast: all fragments of its sessions; else the wire bytes
    "download_ms",  # connecting included; multicast: from the first session's start
    "install_ms",
    "boot_ms",  # the boot loader, the reboot, the self-test and the probation
    "confirm_ms",
    "radio_uj",  # connecting, receiving, and one report
    "flash_uj",
    "compute_uj",
    "total_ms",
    "total_uj",
)
_WHOLE: Final = ("wire_bytes", "ram_bytes", "cell_uj", *_COSTS)


@dataclass(frozen=True, slots=True)
class Download:
    """What fetching a blob takes; the fields are columns of `update_costs`."""

    rate_bps: int
    sessions: int
    air_bytes: int
    download_ms: int
    radio_uj: int


def update_costs(
    scenario: Scenario | str,
    codecs: Sequence[str] | None = None,
    full_codecs: Sequence[str] | None = None,
    layouts: Sequence[str] | None = None,
    *,
    memo: bool = True,
) -> pd.DataFrame:
    """A row for each cohort, layout, base version and form of the release.

    `layouts` None: each cohort's own; others keep all else that the cohort is. `codecs` and `full_codecs`
    None: every one that there is. The columns:

    - `cohort`, `channel`, `layout`, `base` (releases behind the newest), `payload`, `codec`;
    - `wire_bytes`; `of_full`: of the raw artefact's; `of_compressed`: of the smallest compressed one's;
    - `takes`: whether the device takes it, and `why` not; `ram_bytes`: what install and boot take;
    - `rate_bps` to `total_uj`: see `_COSTS`; missing where the device does not take it;
    - `cell_uj`: what a full battery gives; 0 without one.

    The bench remembers, unless ``memo=False``. Raises `InputError`.
    """
    if isinstance(scenario, str):
        scenario = Scenario.load(scenario)
    spec = scenario.spec
    for name in layouts or ():
        device_layouts.get(name)
    routes = routes_of(spec)
    kinds = [
        (number, DeviceConfig.from_cohort(replace(cohort, layout=layout)))
        for number, cohort in enumerate(spec.cohorts)
        for layout in dict.fromkeys(layouts or (cohort.layout,))
    ]
    behind = len(spec.base_shares)
    primary = len(spec.release.steps) if spec.release.source == "synthetic" else None
    bases = None if primary is None else range(max(primary - behind, 0), primary)
    cache = Memo.open_default() if memo else None
    rows = [
        row
        for form in shipped(spec.release, bases, codecs, full_codecs)
        for row in _rows(spec, routes, kinds, form, cache)
    ]
    frame = pd.DataFrame(rows)
    return _compared(frame.sort_values(["kind", "base"], kind="stable").drop(columns="kind"))


def _rows(
    spec: ScenarioSpec,
    routes: Sequence[Route],
    kinds: Sequence[tuple[int, DeviceConfig]],
    form: Shipped,
    memo: Memo | None,
) -> Iterator[dict[str, object]]:
    cases = Cases(spec, form.release, Bench(form.release, memo), kinds)
    for kind, (number, config) in enumerate(kinds):
        cohort, route = spec.cohorts[number], routes[number]
        habit = habit_of(spec, cohort)
        costs = costs_of(spec, cohort, habit, route, config, mean_presence(cohort, habit))
        for back, share in enumerate(cohort.base_mix, start=1):
            if not share:
                continue
            row: dict[str, object] = {
                "kind": kind,
                "cohort": cohort.name,
                "channel": cohort.channel or cohort.radio,
                "layout": config.layout,
                "base": back,
                "payload": form.payload,
                "codec": form.codec,
                **dict.fromkeys(_WHOLE, pd.NA),
                "cell_uj": costs.cell_uj,
                "takes": False,
                "why": "",
            }
            try:
                row |= _known(form, config, form.release.primary - back)
                row |= _costs(spec, cohort, route, costs, cases, kind, form, back)
                row["takes"] = True
            except (Refused, InputError) as refusal:
                row["why"] = str(refusal)
            yield row


def _known(form: Shipped, config: DeviceConfig, base: int) -> dict[str, object]:
    """What is known of the form's artefact whether the device takes it or not."""
    artefact = form.artefact(base)
    if artefact is None:
        raise InputError(f"{form.codec}: found nothing shorter than the raw image, expected a smaller one")
    manifest = open_manifest(artefact.manifest, (form.release.verify_key,))
    return {"wire_bytes": artefact.wire_bytes, "ram_bytes": ram_needed(config, manifest)}


def _costs(
    spec: ScenarioSpec,
    cohort: CohortSpec,
    route: Route,
    costs: CohortCosts,
    cases: Cases,
    kind: int,
    form: Shipped,
    back: int,
) -> dict[str, object]:
    """The columns `_COSTS`. Raises `Refused` or `InputError` where the device does not take it."""
    release, config = form.release, cases.kind_configs[kind]
    artefact = form.artefact(release.primary - back)
    assert artefact is not None
    manifest = open_manifest(artefact.manifest, (release.verify_key,))
    check_fit(config, manifest, encrypted=release.decryption_key is not None)
    state = cases.start(kind, release.primary - back)
    install = cases.install(state, cases.artefacts.index(artefact.name))
    verdict = cases.moves[install].found.verdict
    if verdict is not Reason.NONE:
        raise Refused(verdict, f"install: found {verdict.value}, expected success")
    boot = cases.boot(cases.move_state[install])
    if cases.move_running[boot] != release.primary:
        raise Refused(Reason.NO_VALID_IMAGE, "boot: found another image or none, expected the new one")
    confirm = cases.confirm(cases.move_state[boot])
    fetched = download(spec, cohort, route, artefact.wire_bytes)
    moves = (install, boot, confirm)
    flash_uj = sum(cases.move_flash_uj[row] for row in moves)
    compute_uj = sum(cases.move_compute_uj[row] for row in moves)
    compute_uj += (
        costs.reboot_uj + costs.self_test_uj + (costs.probation_uj if spec.validation.probation_ms else 0)
    )
    test_ms = cohort.self_test_ms + spec.validation.bluetooth * spec.validation.bluetooth_ms
    boot_ms = cases.move_ms[boot] + cohort.reboot_ms + test_ms + spec.validation.probation_ms
    found: dict[str, object] = asdict(fetched)
    return found | {
        "install_ms": cases.move_ms[install],
        "boot_ms": boot_ms,
        "confirm_ms": cases.move_ms[confirm],
        "flash_uj": flash_uj,
        "compute_uj": compute_uj,
        "total_ms": fetched.download_ms + sum(cases.move_ms[r] for r in (install, confirm)) + boot_ms,
        "total_uj": fetched.radio_uj + flash_uj + compute_uj,
    }


def download(
    spec: ScenarioSpec, cohort: CohortSpec, route: Route, n_bytes: int, sessions: int | None = None
) -> Download:
    """What a device of `cohort` takes to fetch `n_bytes`, in the middle one of its classes, without a drop.

    By multicast, in so many `sessions`; None: in as many as half of the devices need. Raises `InputError`
    for a blob that no session can carry.
    """
    connect_uj, report_uj = up(route.connect_nj, NJ_PER_UJ), up(route.report_nj, NJ_PER_UJ)
    middle = _middle_class(route)
    if route.multicast is not None:
        plan = route.multicast.plan(n_bytes)
        count = sessions_needed(spec, plan) if sessions is None else sessions
        return Download(
            rate_bps=route.rates_bps[middle],
            sessions=count,
            air_bytes=count * plan.fragments * plan.fragment_bytes,
            download_ms=(count - 1) * plan.session_every_ms + plan.session_ms,
            radio_uj=count * (connect_uj + up(plan.listen_nj, NJ_PER_UJ)) + report_uj,
        )
    capacity = min(link.capacity_bps for link in spec.links if link.name in cohort.link)
    rate = min(route.rates_bps[middle], capacity)
    each_pj = route.rx_pj_per_byte[middle] + route.tx_pj_per_byte[middle]
    return Download(
        rate_bps=rate,
        sessions=1,
        air_bytes=n_bytes,
        download_ms=route.connect_ms + up(n_bytes * 1_000, rate),
        radio_uj=connect_uj + up(n_bytes * each_pj, _PJ_PER_UJ) + report_uj,
    )


def sessions_needed(spec: ScenarioSpec, plan: MulticastPlan) -> int:
    """How many sessions in a row half of `LISTENERS` devices need, as their fragments are drawn.

    Raises `InputError` where as many as a device tries are not enough.
    """
    needed = []
    for key in device_keys(spec.seed, LISTENERS).tolist():
        tries = range(1, spec.transfer.attempts + 1)
        needed.append(next((n for n in tries if outcome(plan, key, range(n)).decoded), len(tries) + 1))
    middle = sorted(needed)[LISTENERS // 2]
    if middle > spec.transfer.attempts:
        raise InputError(
            f"transfer.attempts: found {spec.transfer.attempts} sessions, of which half of the devices "
            f"do not get {plan.size_bytes} bytes, expected more"
        )
    return middle


def _middle_class(route: Route) -> int:
    """The class in the middle of the cohort's devices, by rate from the slowest."""
    order = sorted(range(len(route.rates_bps)), key=route.rates_bps.__getitem__)
    reached = accumulate(route.weights[n] for n in order)
    half = sum(route.weights)
    return next(n for n, weight in zip(order, reached, strict=True) if 2 * weight >= half)


def _compared(frame: pd.DataFrame) -> pd.DataFrame:
    """With the ratios of the wire bytes, and columns of whole numbers, of which some are missing."""
    frame = frame.astype(dict.fromkeys(_WHOLE, "Int64")).reset_index(drop=True)
    for name, payload in (("of_full", "full"), ("of_compressed", "compressed")):
        sizes = frame.loc[frame["payload"] == payload, "wire_bytes"].dropna()
        whole = float(sizes.min()) if len(sizes) else float("nan")
        at = frame.columns.get_loc("wire_bytes")
        frame.insert(int(at) + 1 + (name == "of_compressed"), name, frame["wire_bytes"].astype(float) / whole)
    return frame
