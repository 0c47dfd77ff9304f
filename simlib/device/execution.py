"""One event on a device with real bytes: the updater or the boot loader runs, and what it did is read off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simlib.device.bootloader import boot
from simlib.device.details import Details
from simlib.device.events import Boot, Event, Install
from simlib.device.flash import PowerCut
from simlib.device.running import running_digest, slot_of
from simlib.device.transition import Effect
from simlib.device.updater import confirm_update, install
from simlib.errors import Reason

if TYPE_CHECKING:
    from simlib.device.arrivals import Arrivals
    from simlib.device.device import Device

Digest = Callable[[int], bytes]
"""The digest of what a sector, by its number, holds now."""
Done = tuple[Effect, tuple[int, ...]]
"""What an event did, and the sectors that it depended on, in the order in which it came to them."""


def execute(device: Device, event: Event, arrivals: Arrivals, image: str | None, digest: Digest) -> Done:
    """Run `event` on `device`, whose meter, counters, journal and marks stand at nothing.

    `image` is the one that runs, by its signed digest.
    """
    if event.cut is not None:
        device.flash.arm_cut(event.cut.op, event.cut.tear, seed=event.cut.op)
    verdict, trial, swap = Reason.NONE, False, ""
    if not isinstance(event, Boot):
        device.running_slot = slot_of(device, image)
    try:
        if isinstance(event, Install):
            verdict = install(device, device.verify_keys, *arrivals.of(event))
        elif isinstance(event, Boot):
            booted = boot(device)
            image = None if booted.version is None else running_digest(device)
            verdict, trial, swap = booted.reason, booted.trial, str(booted.swap)
        else:
            confirm_update(device)
    except PowerCut:
        if event.cut is None:
            raise
    if event.cut is not None:
        return cut_off(device, digest)
    flash = device.flash
    details = Details.of(flash.op_end_ns, flash.op_end_nj, device.journal)
    return _read_off(device, details, digest, verdict=verdict, trial=trial, swap=swap, image=image)


def cut_off(device: Device, digest: Digest) -> Done:
    """What an event did to a device that has lost its power in it, or just after it."""
    details = Details.of((), (), device.journal)
    return _read_off(device, details, digest, verdict=Reason.POWER_CUT, trial=False, swap="", image=None)


def _read_off(
    device: Device,
    details: Details,
    digest: Digest,
    *,
    verdict: Reason,
    trial: bool,
    swap: str,
    image: str | None,
) -> Done:
    flash, meter = device.flash, device.meter
    looked_at, changed = tuple(flash.access.looked_at), flash.access.changed()
    effect = Effect(
        verdict=verdict,
        trial=trial,
        swap=swap,
        time_ns=meter.time_ns,
        flash_nj=meter.flash_nj,
        compute_nj=meter.compute_nj,
        ops=flash.ops,
        erases=flash.erases,
        bytes_written=flash.bytes_written,
        details=details,
        image=image,
        security_counter=device.counter_register,
        changed=changed,
        digests=tuple([digest(sector) for sector in changed]),
    )
    return effect, looked_at
