"""One device taken through one update: install, boot, self-test, confirmation, and perhaps a power cut.

The self-test passes if the new image is what runs, byte for byte, and so decides what counts as updated. A
new image that is the old one byte for byte is refused (already installed): nothing is written, and the
device has failed to take an update, for it had none to take. A power cut counts flash operations from the
first write of the install to the confirmation; power then returns, the device boots, and the update is not
started again.

Leaves to others: what two files and the options mean (`single_case`), what happens in between (`updater`,
`bootloader`), printing and files.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from simlib.device.bootloader import Boot, boot
from simlib.device.device import Device, Step, new_device
from simlib.device.flash import PowerCut
from simlib.device.meter import ceil_div
from simlib.device.partitions import Partition
from simlib.device.ram import ram_needed
from simlib.device.single_case import Case, UpdateOptions, case_of, device_for
from simlib.device.updater import confirm_update, install
from simlib.errors import InputError, Reason
from simlib.outcomes import Outcome
from simlib.release import open_manifest
from simlib.security.counters import FIRST_INDEX, TpmSecurityCounter, open_tpm
from simlib.security.keys import VerifyKey

__all__ = ["UpdateOptions", "UpdateResult", "partition_table", "update_once"]


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """How it ended and what it cost; sums are over everything, each rounded up once."""

    journal: tuple[Step, ...]
    booted_version: str | None  # what ran at the end; None: nothing
    outcome: Outcome
    reason: Reason
    codec: str | None  # of what was sent
    wire_bytes: int  # of manifest and blob
    flash_ops: int
    erases: int
    bytes_written: int
    most_erases: int  # of one sector
    ram_bytes: int  # what the update takes beside the running firmware's
    security_counter: int
    counter_kind: str  # where it is kept: fuses, flash, or which TPM
    energy_uj: int
    time_ms: int
    flash: bytes  # all of it, as the last boot left it
    partitions: tuple[Partition, ...]


def update_once(old: Path, new: Path, options: UpdateOptions, key: VerifyKey | None = None) -> UpdateResult:
    """Take a device that runs `old` to `new`.

    Without `key` both are raw binaries; with it both are signed images, trusted by that key. A new image that
    the key did not sign is the device's to refuse.

    Raises:
        InputError: files or options do not go together, or power is to be cut after the last operation (a
            refused update may have none).
        Refused: a signed image is malformed, or `old` is not by `key`.
    """
    case = case_of(old, new, options, key)
    config = device_for(case, options)
    device = new_device(config, (case.image_key,), case.decryption_key, case.old, case.old_counter)
    if options.counter_store != "tpm":
        return _drive(device, case, options, options.counter_store)
    with closing(open_tpm()) as tpm:
        device.counter_chip = TpmSecurityCounter.provision(tpm.define(FIRST_INDEX), case.old_counter)
        return _drive(device, case, options, tpm.kind)


def partition_table(partitions: tuple[Partition, ...]) -> dict[str, list[dict[str, str | int]]]:
    """The partition table that accompanies a dump of the flash, JSON-able; offsets and sizes in bytes."""
    return {"partitions": [{"name": p.name, "offset": p.offset, "size": p.size} for p in partitions]}


def _drive(device: Device, case: Case, options: UpdateOptions, counter_kind: str) -> UpdateResult:
    """Install, boot, confirm; where power is cut in any of them, boot instead of going on."""
    if options.cut_at is not None:
        device.flash.arm_cut(options.cut_at, options.tear, seed=options.cut_at)
    tried = cut = False
    try:
        reason = install(device, (case.release_key,), case.artefact.manifest, case.artefact.blob)
        booted = boot(device)
        content = device.flash.content()
        tried = booted.trial
        _self_test_passes(device, case, booted)
    except PowerCut as power_cut:
        cut, reason = True, Reason.POWER_CUT
        device.note("power", f"{power_cut}; it returns")
        device.flash.power_on()
        booted = boot(device)
        content = device.flash.content()
        _self_test_passes(device, case, booted)
    meter, flash = device.meter, device.flash
    if options.cut_at is not None and not cut:
        expected = f"1 to {flash.ops}, the update's operations"
        if flash.ops == 0:
            expected = f"none: the update is refused before any operation ({reason})"
        raise InputError(f"cut-at: found {options.cut_at}, expected {expected}")
    outcome, why = _ending(case, booted, tried, reason)
    facts = open_manifest(case.artefact.manifest, (case.release_key,))
    return UpdateResult(
        journal=tuple(device.journal),
        booted_version=None if booted.version is None else str(booted.version),
        outcome=outcome,
        reason=why,
        codec=facts.codec,
        wire_bytes=case.artefact.wire_bytes,
        flash_ops=flash.ops,
        erases=flash.erases,
        bytes_written=flash.bytes_written,
        most_erases=max(flash.wear),
        ram_bytes=ram_needed(device.config, facts),
        security_counter=device.security_counter,
        counter_kind=counter_kind,
        energy_uj=ceil_div(meter.flash_nj + meter.compute_nj, 1_000),
        time_ms=ceil_div(meter.time_ns, 1_000_000),
        flash=content,
        partitions=device.partitions,
    )


def _self_test_passes(device: Device, case: Case, booted: Boot) -> None:
    if _new_runs(case, booted):
        confirm_update(device)


def _new_runs(case: Case, booted: Boot) -> bool:
    """Whether the boot ran the new image. By the bytes: a record in a forged image may say anything."""
    return case.new != case.old and booted.image_sha256 == sha256(case.new).digest()


def _ending(case: Case, booted: Boot, tried: bool, reason: Reason) -> tuple[Outcome, Reason]:
    """The outcome in the design's words: by what runs at the end, and whether the new image ever ran."""
    if booted.version is None:
        return Outcome.BRICKED, booted.reason
    if _new_runs(case, booted):
        return Outcome.UPDATED, Reason.NONE
    if tried:
        return Outcome.REVERTED, reason
    return Outcome.FAILED, reason if reason is not Reason.NONE else booted.reason
