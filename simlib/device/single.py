"""One device taken through one update: install, boot, self-test, confirmation, and perhaps a power cut.

Decides what two files and a few options mean: raw binaries are signed on the way with test keys derived from
a fixed seed, signed images are taken as they are and trusted by the key that is given with them. The slot
is the smallest that carries both images unless its size is given.

The self-test passes if the new image is what runs, byte for byte, and so decides what counts as updated. A
new image that is the old one byte for byte is refused (already installed): nothing is written, and the
device has failed to take an update, for it had none to take. A power cut counts flash operations from the
first write of the install to the confirmation; power then returns, the device boots, and the update is not
started again.

Leaves to others: what happens in between (`updater`, `bootloader`), printing and files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from simlib.delta import create_patch
from simlib.device.bootloader import Boot, boot
from simlib.device.config import DeviceConfig
from simlib.device.device import Device, Step, new_device
from simlib.device.flash import PowerCut
from simlib.device.layouts import check_geometry
from simlib.device.meter import ceil_div
from simlib.device.partitions import Partition
from simlib.device.ram import ram_needed
from simlib.device.tears import TEARS
from simlib.device.update_case import (
    KEY_SEED,
    FlashShape,
    check_encrypted,
    check_payload,
    config_for,
    load_address_for,
    release_of,
)
from simlib.device.updater import confirm_update, install
from simlib.errors import InputError, Reason, Refused
from simlib.firmware.header import MAGIC
from simlib.firmware.image import ParsedImage, parse_image
from simlib.outcomes import Outcome
from simlib.release import Artefact, Manifest, open_manifest, sign_manifest, unpack_blob
from simlib.security.counters import FIRST_INDEX, TpmSecurityCounter, open_tpm
from simlib.security.keys import DecryptionKey, SigningKey, VerifyKey, derive_private
from simlib.security.verification import verify_image

IMAGE_MAGIC: Final = MAGIC.to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How the device is built and how the update reaches it; sizes in bytes, None: the least that will do."""

    layout: str = "swap-move"
    payload: str = "full"
    encrypted: bool = False
    sector_size_bytes: int = 4096
    slot_size_bytes: int | None = None
    write_size_bytes: int = 4
    erased_value: int = 0xFF
    secondary_size_bytes: int = 0  # 0, here and below: what the layout takes
    secondary_sector_bytes: int = 0
    scratch_size_bytes: int = 0
    counter_store: str = "fuses"
    ram_bytes: int = 0  # 0: as much as it takes
    downgrade_prevention: bool = False
    cut_at: int | None = None  # the flash operation, from 1, that power fails in
    tear: str = "none"


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """How it ended and what it cost; sums are over everything, each rounded up once."""

    journal: tuple[Step, ...]
    booted_version: str | None  # what ran at the end; None: nothing
    outcome: Outcome
    reason: Reason
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


@dataclass(frozen=True, slots=True)
class _Case:
    """The bytes and keys of one update; `old` as it lies in the primary slot."""

    old: bytes
    old_counter: int
    new: bytes  # likewise
    artefact: Artefact
    image_key: VerifyKey
    release_key: VerifyKey
    decryption_key: DecryptionKey | None


def update_once(old: Path, new: Path, options: UpdateOptions, key: VerifyKey | None = None) -> UpdateResult:
    """Take a device that runs `old` to `new`.

    Without `key` both are raw binaries; with it both are signed images, trusted by that key. A new image that
    the key did not sign is the device's to refuse.

    Raises:
        InputError: files or options do not go together, or power is to be cut after the last operation (a
            refused update may have none).
        Refused: a signed image is malformed, or `old` is not by `key`.
    """
    _check_options(options, signed=key is not None)
    case = _raw_case(old, new, options) if key is None else _signed_case(old, new, options, key)
    config = _config(case, options)
    device = new_device(config, (case.image_key,), case.decryption_key, case.old, case.old_counter)
    if options.counter_store != "tpm":
        return _drive(device, case, options, options.counter_store)
    with closing(open_tpm()) as tpm:
        device.counter_chip = TpmSecurityCounter.provision(tpm.define(FIRST_INDEX), case.old_counter)
        return _drive(device, case, options, tpm.kind)


def partition_table(partitions: tuple[Partition, ...]) -> dict[str, list[dict[str, str | int]]]:
    """The partition table that accompanies a dump of the flash, JSON-able; offsets and sizes in bytes."""
    return {"partitions": [{"name": p.name, "offset": p.offset, "size": p.size} for p in partitions]}


def _check_options(options: UpdateOptions, *, signed: bool) -> None:
    check_payload(options.layout, options.payload)
    if options.tear not in TEARS:
        raise InputError(f"tear: found {options.tear!r}, expected one of {', '.join(TEARS)}")
    if options.cut_at is not None and options.cut_at < 1:
        raise InputError(f"cut-at: found {options.cut_at}, expected 1 or more")
    if options.encrypted:
        check_encrypted(options.layout)
    if signed and options.encrypted:
        raise InputError("encrypted: found signed images, expected raw binaries, to be encrypted on the way")


def _raw_case(old: Path, new: Path, options: UpdateOptions) -> _Case:
    for path in (old, new):
        if path.is_file() and path.read_bytes()[: len(IMAGE_MAGIC)] == IMAGE_MAGIC:
            raise InputError(
                f"{path}: found a signed image and no key, expected a raw binary or the image's key"
            )
    address = load_address_for(options.layout)
    release = release_of((old, new), options.payload, encrypted=options.encrypted, load_address=address)
    return _Case(
        old=release.images[0],
        old_counter=release.security_counters[0],
        new=release.images[1],
        artefact=next(a for a in release.artefacts if a.kind == options.payload),
        image_key=release.verify_key,
        release_key=release.verify_key,
        decryption_key=release.decryption_key,
    )


def _signed_case(old: Path, new: Path, options: UpdateOptions, key: VerifyKey) -> _Case:
    """The images' own key need not be at hand to sign: a derived test key vouches for the artefact."""
    base, image = _read_image(old, options), _read_image(new, options)
    try:
        verify_image(base.data, (key,), erased_value=None)
    except Refused as refusal:
        raise Refused(refusal.reason, f"{old}: {str(refusal).partition(': ')[2]}") from None
    release_key = SigningKey.of(derive_private("ecdsa-p256", KEY_SEED, "release signing key"))
    is_delta = options.payload == "delta"
    blob = create_patch(base.data, image.data) if is_delta else image.data
    facts = Manifest(
        kind=options.payload,
        codec="bsdiff4" if is_delta else None,
        hardware=(),
        version=image.header.version,
        security_counter=image.security_counter or 0,
        blob_sha256=sha256(blob).digest(),
        blob_size=len(blob),
        base_sha256=sha256(base.data).digest() if is_delta else None,
        image_sha256=sha256(image.data).digest(),
        image_size=len(image.data),
        wrapped_key=None,
    )
    return _Case(
        old=base.data,
        old_counter=base.security_counter or 0,
        new=image.data,
        artefact=Artefact(options.payload, options.payload, None, 1, blob, sign_manifest(facts, release_key)),
        image_key=key,
        release_key=release_key.public(),
        decryption_key=None,
    )


def _read_image(path: Path, options: UpdateOptions) -> ParsedImage:
    """The image in a file, without the padding to a slot that may follow it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: found no readable file ({reason}), expected a signed image") from None
    try:
        parsed = parse_image(data, erased_value=options.erased_value)
    except Refused as refusal:
        raise Refused(refusal.reason, f"{path}: {str(refusal).partition(': ')[2]}") from None
    if parsed.header.encrypted:
        raise InputError(f"{path}: found an encrypted image, expected one in the clear, or raw binaries")
    return parse_image(data[: parsed.size])


def _config(case: _Case, options: UpdateOptions) -> DeviceConfig:
    config = config_for(
        FlashShape(
            options.layout,
            options.sector_size_bytes,
            options.slot_size_bytes,
            options.write_size_bytes,
            options.erased_value,
        ),
        (len(case.old), len(case.new)),
        len(case.artefact.blob) if case.artefact.kind == "delta" else 0,
        encrypted=case.decryption_key is not None,
        patches=_patches(case),
    )
    config = replace(
        config,
        secondary_size_bytes=options.secondary_size_bytes,
        secondary_sector_bytes=options.secondary_sector_bytes,
        scratch_size_bytes=options.scratch_size_bytes or config.scratch_size_bytes,
        counter_store=options.counter_store,
        ram_bytes=options.ram_bytes,
        downgrade_prevention=options.downgrade_prevention,
    )
    check_geometry(config)
    return config


def _patches(case: _Case) -> Iterator[bytes]:
    """The patch that is sent, if one is, in the clear."""
    if case.artefact.kind == "delta":
        facts = open_manifest(case.artefact.manifest, (case.release_key,))
        yield unpack_blob(facts, case.artefact.blob, case.decryption_key)


def _drive(device: Device, case: _Case, options: UpdateOptions, counter_kind: str) -> UpdateResult:
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
    return UpdateResult(
        journal=tuple(device.journal),
        booted_version=None if booted.version is None else str(booted.version),
        outcome=outcome,
        reason=why,
        flash_ops=flash.ops,
        erases=flash.erases,
        bytes_written=flash.bytes_written,
        most_erases=max(flash.wear),
        ram_bytes=ram_needed(device.config, open_manifest(case.artefact.manifest, (case.release_key,))),
        security_counter=device.security_counter,
        counter_kind=counter_kind,
        energy_uj=ceil_div(meter.flash_nj + meter.compute_nj, 1_000),
        time_ms=ceil_div(meter.time_ns, 1_000_000),
        flash=content,
        partitions=device.partitions,
    )


def _self_test_passes(device: Device, case: _Case, booted: Boot) -> None:
    if _new_runs(case, booted):
        confirm_update(device)


def _new_runs(case: _Case, booted: Boot) -> bool:
    """Whether the boot ran the new image. By the bytes: a record in a forged image may say anything."""
    return case.new != case.old and booted.image_sha256 == sha256(case.new).digest()


def _ending(case: _Case, booted: Boot, tried: bool, reason: Reason) -> tuple[Outcome, Reason]:
    """The outcome in the design's words: by what runs at the end, and whether the new image ever ran."""
    if booted.version is None:
        return Outcome.BRICKED, booted.reason
    if _new_runs(case, booted):
        return Outcome.UPDATED, Reason.NONE
    if tried:
        return Outcome.REVERTED, reason
    return Outcome.FAILED, reason if reason is not Reason.NONE else booted.reason
