"""What a patch adds to the harm of updates and what it takes away, by boot layout.

A patch is a shorter download, with fewer chances to drop, and a longer install, with more time for power to
fail in. It can be refused where a full image is not: for a base that the server did not think of, for want
of RAM, by a layout with no place to apply it. Then the device takes the full image, as the life-cycle has it.
Chances of a try are worked out on real bytes (`windows`) and followed through a device's tries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Final

import pandas as pd

from simlib.device.layouts import get
from simlib.device.powercut import SweepOptions
from simlib.errors import InputError, Reason, Refused
from simlib.study.payloads.windows import Exposure, exposure

LAYOUTS: Final = (
    "swap-move",
    "swap-scratch",
    "overwrite-only",
    "direct-xip-revert",
    "in-place-journal",
    "single-slot",
)
MILLION: Final = 1_000_000
_COUNTS: Final = ("updated", "bricked", "stuck", "failed", "retried_installs", "dropped", "refused")


_HALF: Final = 0.5  # of its bytes have come, on average, when a download breaks off


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazards:
    """What a fleet meets. Raises `InputError` for what cannot be."""

    cuts_per_hour: float = 0.0  # of a device, while it updates
    drop: float = 0.0  # chance that a download breaks off, however long it is, as `faults.drop`
    drops_per_mib: float = 0.0  # how often one breaks off for each MiB of it, beside that
    wrong_base: float = 0.0  # share of devices that run another firmware than the server thinks
    ram_bytes: int = 0  # what a device can spare; 0: as much as it takes
    attempts: int = 3  # downloads and installs until a device gives up

    def __post_init__(self) -> None:
        for name in ("cuts_per_hour", "drops_per_mib"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name}: found {getattr(self, name)}, expected 0 or more")
        for name in ("drop", "wrong_base"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}: found {getattr(self, name)}, expected 0 to 1")
        if self.attempts < 1 or self.ram_bytes < 0:
            raise InputError(
                f"attempts and ram_bytes: found {self.attempts} and {self.ram_bytes}, "
                "expected 1 or more, and 0 or more"
            )


def harm(
    hazards: Hazards,
    layouts: Sequence[str] = LAYOUTS,
    payloads: Sequence[str] = ("full", "delta"),
    *,
    options: SweepOptions | None = None,
    trial_ms: int = 0,
) -> pd.DataFrame:
    """A row for each layout and form, in devices of a million that are to be updated.

    `options` say all else of the device and the update, by default those of a sweep with images of 48 KiB,
    and operations torn in the middle. `trial_ms` is from the boot to the confirmation. The columns:

    - `takes`: whether such a device takes this form, and `why` not; the figures are then the raw image's;
    - `exposed_ms`: how long the update is open to a power cut, and `wire_bytes`, of the form that is taken;
    - `updated`, `bricked`, `stuck` (runs, and can never be updated again) and `failed` (the old firmware
      runs on, after so many attempts) sum to a million;
    - `retried_installs`, `dropped` downloads and `refused` patches (the wrong base) count events;
    - `mean_bytes`: what a device downloads in all its attempts, dropped ones with half of their bytes.

    Raises `InputError`, also where the device can spare too little RAM for the raw image.
    """
    shared = SweepOptions(tear="partial") if options is None else options
    rows = []
    for layout in layouts:
        full = exposure(replace(shared, layout=layout, payload="full"), trial_ms)
        try:
            full.check_ram(hazards.ram_bytes)
        except Refused as refusal:
            raise InputError(f"ram_bytes: {layout}, the raw image: {refusal}") from None
        for payload in payloads:
            taken, why = full, ""
            try:
                _expect_place(layout, payload)
                taken = exposure(replace(shared, layout=layout, payload=payload), trial_ms)
                taken.check_ram(hazards.ram_bytes)
            except Refused as refusal:
                taken, why = full, str(refusal)
            rows.append(
                {
                    "layout": layout,
                    "payload": payload,
                    "takes": not why,
                    "why": why,
                    "exposed_ms": taken.length_ns() / 1e6,
                    "wire_bytes": taken.wire_bytes,
                    **_through(taken, full, hazards),
                }
            )
    return pd.DataFrame(rows)


def _expect_place(layout: str, payload: str) -> None:
    if payload != "full" and not get(layout).patches:
        raise Refused(Reason.NO_ARTEFACT, f"{layout}: found a {payload}, expected a full image")


def _through(first: Exposure, full: Exposure, hazards: Hazards) -> dict[str, float]:
    """What becomes of a million devices that begin with `first` and go over to `full` if it is refused."""
    counts = dict.fromkeys(_COUNTS, 0.0)
    bytes_down = 0.0
    patched = first.wrong_base is Reason.WRONG_BASE
    wrong = hazards.wrong_base if patched else 0.0
    # Devices on their way, by what they fetch next and whether the server knows their base.
    on_the_way = [(first, False, MILLION * (1 - wrong)), (first, True, MILLION * wrong)]
    for attempt in range(1, hazards.attempts + 1):
        again: list[tuple[Exposure, bool, float]] = []
        for form, mistaken, devices in on_the_way:
            dropped = devices * _drop(form, hazards)
            arrived = devices - dropped
            counts["dropped"] += dropped
            bytes_down += (arrived + _HALF * dropped) * form.wire_bytes
            again.append((form, mistaken, dropped))
            if mistaken:
                counts["refused"] += arrived
                again.append((full, False, arrived))
                continue
            fates = form.of_one_try(hazards.cuts_per_hour).times(arrived)
            counts["updated"] += fates.new
            counts["bricked"] += fates.bricked
            counts["stuck"] += fates.stuck
            again.append((form, False, fates.old))
            if attempt < hazards.attempts:
                counts["retried_installs"] += fates.old
        on_the_way = again
    counts["failed"] = sum(devices for _, _, devices in on_the_way)
    return counts | {"mean_bytes": bytes_down / MILLION}


def _drop(form: Exposure, hazards: Hazards) -> float:
    """The chance that this form's download breaks off."""
    return 1 - (1 - hazards.drop) * exp(-hazards.drops_per_mib * form.wire_bytes / (1 << 20))
