"""What one update of one device is about: what two files and a few options mean.

Raw binaries are signed on the way with test keys derived from a fixed seed, signed images are taken as they
are and trusted by the key that is given with them. Slots and download partition are the smallest that do,
unless their sizes are given.

Leaves to others: the update (`single`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from simlib.delta import create_patch
from simlib.device.config import DeviceConfig
from simlib.device.layouts import check_geometry
from simlib.device.tears import TEARS
from simlib.device.update_case import (
    KEY_SEED,
    FlashShape,
    check_encrypted,
    check_payload,
    codec_of,
    config_for,
    load_address_for,
    release_of,
)
from simlib.errors import InputError, Refused
from simlib.firmware.header import MAGIC
from simlib.firmware.image import ParsedImage, parse_image
from simlib.release import Artefact, Manifest, open_manifest, sign_manifest, unpack_blob
from simlib.security.keys import DecryptionKey, SigningKey, VerifyKey, derive_private
from simlib.security.verification import verify_image

IMAGE_MAGIC: Final = MAGIC.to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How the device is built and how the update reaches it; sizes in bytes, None: the least that will do."""

    layout: str = "swap-move"
    payload: str = "full"
    codec: str | None = None  # of a payload that has one; None: the usual one
    encrypted: bool = False
    sector_size_bytes: int = 4096
    slot_size_bytes: int | None = None
    download_size_bytes: int | None = None  # 0: no such partition
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
class Case:
    """The bytes and keys of one update; `old` as it lies in the primary slot."""

    old: bytes
    old_counter: int
    new: bytes  # likewise
    artefact: Artefact
    image_key: VerifyKey
    release_key: VerifyKey
    decryption_key: DecryptionKey | None


def case_of(old: Path, new: Path, options: UpdateOptions, key: VerifyKey | None) -> Case:
    """The update from `old` to `new`; with `key` they are signed images, trusted by it.

    Raises:
        InputError: files or options do not go together.
        Refused: a signed image is malformed, or `old` is not by `key`.
    """
    _check_options(options, signed=key is not None)
    return _raw_case(old, new, options) if key is None else _signed_case(old, new, options, key)


def device_for(case: Case, options: UpdateOptions) -> DeviceConfig:
    """The device that `options` ask for, the least that will do where they leave it open; or `InputError`."""
    config = config_for(
        FlashShape(
            options.layout,
            options.sector_size_bytes,
            options.slot_size_bytes,
            options.write_size_bytes,
            options.erased_value,
            options.download_size_bytes,
        ),
        (len(case.old), len(case.new)),
        len(case.artefact.blob) if case.artefact.kind != "full" else 0,
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


def _patches(case: Case) -> Iterator[bytes]:
    """The patch that is sent, if one is, in the clear."""
    if case.artefact.kind != "full":
        facts = open_manifest(case.artefact.manifest, (case.release_key,))
        yield unpack_blob(facts, case.artefact.blob, case.decryption_key)


def _check_options(options: UpdateOptions, *, signed: bool) -> None:
    check_payload(options.layout, options.payload, options.codec)
    if options.tear not in TEARS:
        raise InputError(f"tear: found {options.tear!r}, expected one of {', '.join(TEARS)}")
    if options.cut_at is not None and options.cut_at < 1:
        raise InputError(f"cut-at: found {options.cut_at}, expected 1 or more")
    if options.encrypted:
        check_encrypted(options.layout)
    if signed and options.encrypted:
        raise InputError("encrypted: found signed images, expected raw binaries, to be encrypted on the way")


def _raw_case(old: Path, new: Path, options: UpdateOptions) -> Case:
    for path in (old, new):
        if path.is_file() and path.read_bytes()[: len(IMAGE_MAGIC)] == IMAGE_MAGIC:
            raise InputError(
                f"{path}: found a signed image and no key, expected a raw binary or the image's key"
            )
    address = load_address_for(options.layout)
    release = release_of(
        (old, new),
        options.payload,
        encrypted=options.encrypted,
        codec=options.codec,
        load_address=address,
    )
    return Case(
        old=release.images[0],
        old_counter=release.security_counters[0],
        new=release.images[1],
        artefact=next(a for a in release.artefacts if a.kind == options.payload),
        image_key=release.verify_key,
        release_key=release.verify_key,
        decryption_key=release.decryption_key,
    )


def _signed_case(old: Path, new: Path, options: UpdateOptions, key: VerifyKey) -> Case:
    """The images' own key need not be at hand to sign: a derived test key vouches for the artefact."""
    base, image = _read_image(old, options), _read_image(new, options)
    try:
        verify_image(base.data, (key,), erased_value=None)
    except Refused as refusal:
        raise Refused(refusal.reason, f"{old}: {str(refusal).partition(': ')[2]}") from None
    release_key = SigningKey.of(derive_private("ecdsa-p256", KEY_SEED, "release signing key"))
    codec = codec_of(options.payload, options.codec)
    blob = image.data if codec is None else create_patch(base.data, image.data, codec)
    facts = Manifest(
        kind=options.payload,
        codec=codec,
        hardware=(),
        version=image.header.version,
        security_counter=image.security_counter or 0,
        blob_sha256=sha256(blob).digest(),
        blob_size=len(blob),
        base_sha256=sha256(base.data).digest() if options.payload == "delta" else None,
        image_sha256=sha256(image.data).digest(),
        image_size=len(image.data),
        wrapped_key=None,
    )
    return Case(
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
