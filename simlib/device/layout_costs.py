"""What one update costs on each boot layout: flash operations, time, energy, RAM, room, and wear.

The device and the update are those of a sweep of power cuts (`simlib.device.powercut`); both are played
through once with real bytes, and everything but the RAM (`ram`) is counted or metered on the way.

Leaves to others: what power cuts do to it (`powercut`), how long a flash lasts (`simlib.results`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from simlib.device.bootloader import boot_loader
from simlib.device.config import DeviceConfig
from simlib.device.fitness import check_fit
from simlib.device.layouts import max_image_bytes
from simlib.device.meter import ceil_div
from simlib.device.powercut.case import SweepCase, SweepOptions, artefact_of, build_case
from simlib.device.powercut.event import BOOT, CONFIRM
from simlib.device.ram import ram_needed
from simlib.release import Manifest, open_manifest

SLOT_BYTES: Final = 512 << 10
"""The slot whose largest image is told, unless another is asked for."""


@dataclass(frozen=True, slots=True)
class LayoutCost:
    """One update on one layout, from the first check to the boot after the confirmation.

    `revert_*` are of the boot that reverts a failed trial; None where there is no trial.
    """

    layout: str
    payload: str
    codec: str | None  # None: the payload has none
    ops: int
    erases: int
    bytes_written: int
    time_ms: int
    energy_uj: int
    ram_bytes: int  # beside what the running firmware takes
    flash_bytes: int  # of all partitions, for this image
    most_erases: int  # of one sector
    largest_image_bytes: int  # in a slot of the size that was asked for
    revert_ops: int | None
    revert_time_ms: int | None


def layout_cost(options: SweepOptions, *, slot_bytes: int = SLOT_BYTES) -> LayoutCost:
    """What the update of `options` costs.

    Raises:
        InputError: the options do not go together.
        Refused: the device does not take what it is sent.
    """
    case = build_case(options)
    facts = _manifest(case, options)
    check_fit(case.config, facts, encrypted=options.encrypted)
    device = case.make()
    case.update.run(device)
    BOOT.run(device)
    trial = boot_loader(device).in_trial(device)
    tried = device.snapshot()
    CONFIRM.run(device)
    BOOT.run(device)
    flash, meter = device.flash, device.meter
    cost = LayoutCost(
        layout=options.layout,
        payload=options.payload,
        codec=facts.codec,
        ops=flash.ops,
        erases=flash.erases,
        bytes_written=flash.bytes_written,
        time_ms=ceil_div(meter.time_ns, 1_000_000),
        energy_uj=ceil_div(meter.flash_nj + meter.compute_nj, 1_000),
        ram_bytes=ram_needed(case.config, facts),
        flash_bytes=sum(partition.size for partition in device.partitions),
        most_erases=max(flash.wear),
        largest_image_bytes=_largest(case.config, slot_bytes, encrypted=options.encrypted),
        revert_ops=None,
        revert_time_ms=None,
    )
    if not trial:
        return cost
    device.restore(tried)
    ops, began_ns = device.flash.ops, device.meter.time_ns
    BOOT.run(device)
    return replace(
        cost,
        revert_ops=device.flash.ops - ops,
        revert_time_ms=ceil_div(device.meter.time_ns - began_ns, 1_000_000),
    )


def layout_costs(sweeps: Iterable[SweepOptions], *, slot_bytes: int = SLOT_BYTES) -> list[dict[str, Any]]:
    """A row for each of these updates: what a data frame is made of. Raises as `layout_cost` does."""
    return [asdict(layout_cost(options, slot_bytes=slot_bytes)) for options in sweeps]


def _manifest(case: SweepCase, options: SweepOptions) -> Manifest:
    artefact = artefact_of(case.release, 0, 1, options.payload)
    return open_manifest(artefact.manifest, (case.release.verify_key,))


def _largest(config: DeviceConfig, slot_bytes: int, *, encrypted: bool) -> int:
    return max_image_bytes(replace(config, slot_size_bytes=slot_bytes), encrypted=encrypted)
