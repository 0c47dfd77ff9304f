"""What one update of one device is made of: a release of raw binaries, and the least device that carries it.

Images are signed on the way with test keys derived from a fixed seed, so that the same binaries give the same
bytes everywhere. Leaves to others: what happens to the device (`single`, `powercut`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

from simlib.delta import patch_recipe
from simlib.device.bootloader.journal_plan import plan_for
from simlib.device.config import DeviceConfig
from simlib.device.layouts import get, max_image_bytes
from simlib.device.meter import ceil_div
from simlib.device.ram import RAM_START
from simlib.device.slots import SPARE_SECTORS, size_of
from simlib.errors import InputError
from simlib.release import Release, build_release
from simlib.scenario.model import ReleaseSpec

KEY_SEED: Final = 0
"""Test keys are derived from this: the same files give the same bytes everywhere."""
PAYLOADS: Final = ("full", "delta")


@dataclass(frozen=True, slots=True)
class FlashShape:
    """How a device's flash is made; sizes in bytes, a slot of None: the least that will do."""

    layout: str
    sector_size_bytes: int
    slot_size_bytes: int | None
    write_size_bytes: int
    erased_value: int


def check_payload(layout: str, payload: str) -> None:
    """`InputError` for an unknown layout or payload, and for a payload that the layout does not take."""
    known = get(layout)
    if payload not in PAYLOADS:
        raise InputError(f"payload: found {payload!r}, expected one of {', '.join(PAYLOADS)}")
    if payload == "delta" and not known.patches:
        raise InputError(f"payload: found delta on {layout}, expected a layout that takes patches")


def load_address_for(layout: str) -> int:
    """Where images for this layout are made to run in RAM; 0: they run in flash."""
    return RAM_START if get(layout).runs_from_ram else 0


def check_encrypted(layout: str) -> None:
    """`InputError` for a layout whose boot loader has no encryption."""
    if not get(layout).encrypts:
        raise InputError(
            f"encrypted: found it on {layout}, where images run from both slots, expected another layout"
        )


def release_of(
    files: Sequence[Path],
    payload: str,
    *,
    encrypted: bool,
    targets: Collection[int] | None = None,
    load_address: int = 0,
) -> Release:
    """Raw binaries signed, oldest first, and what leads to the newest and to the chain indices `targets`.

    A patch is made whether it is worth it or not. Raises as `build_release` does.
    """
    return build_release(
        ReleaseSpec(
            source="files",
            files=tuple(str(file) for file in files),
            seed=KEY_SEED,
            size_bytes=0,
            base_size_bytes=0,
            steps=(),
            payload=payload,
            codec="bsdiff4",
            full_above=Fraction(1 << 32),  # the patch was asked for, worth it or not
            encrypted=encrypted,
            signature="ecdsa-p256",
            hardware=(),
            published_ms=(),
            stepping_stones=(),
            security_counters="raise",
            load_address=load_address,
        ),
        targets=targets,
    )


def _scratch_for(config: DeviceConfig, patches: Iterable[bytes]) -> int:
    """The scratch area that an image made in place needs for each of these patches [byte].

    They are in the clear. At least the usual number of spare sectors.
    """
    sector = config.sector_size_bytes
    spares = [SPARE_SECTORS, *(plan_for(patch_recipe(patch)[1], sector).spares for patch in patches)]
    return size_of(config, "scratch") + (max(spares) - SPARE_SECTORS) * sector


def config_for(
    shape: FlashShape,
    image_sizes: Sequence[int],
    patch_bytes: int,
    *,
    encrypted: bool,
    patches: Iterable[bytes] = (),
) -> DeviceConfig:
    """The device that runs the first of these images and can take the others; `patch_bytes` 0: no patches.

    `encrypted` is for a device with a decryption key; `patches` are in the clear, asked for where the image
    is made in place. Raises `InputError` where a slot size that was given does not carry the first; that it
    may not carry another is the device's to find out.
    """
    config = _slots_for(shape, image_sizes, patch_bytes, encrypted=encrypted)
    in_place = list(patches) if get(shape.layout).waits else []
    return replace(config, scratch_size_bytes=_scratch_for(config, in_place)) if in_place else config


def _slots_for(
    shape: FlashShape, image_sizes: Sequence[int], patch_bytes: int, *, encrypted: bool
) -> DeviceConfig:
    sector = shape.sector_size_bytes

    # What is to be made in place waits in the download partition, whatever it is.
    waiting = patch_bytes or (max(image_sizes) if get(shape.layout).waits else 0)

    def config(slot_size_bytes: int) -> DeviceConfig:
        return DeviceConfig(
            layout=shape.layout,
            slot_size_bytes=slot_size_bytes,
            download_size_bytes=ceil_div(waiting, sector) * sector,
            sector_size_bytes=sector,
            write_size_bytes=shape.write_size_bytes,
            erased_value=shape.erased_value,
        )

    def limit(built: DeviceConfig) -> int:
        return max_image_bytes(built, encrypted=encrypted)

    if sector < 1:
        raise InputError(f"sector-size: found {sector}, expected 1 or more")
    if shape.slot_size_bytes is not None:
        built = config(shape.slot_size_bytes)
        if image_sizes[0] > limit(built):
            found = f"an old image of {image_sizes[0]} bytes"
            raise InputError(f"slot-size: found {built.slot_size_bytes} for {found}, expected room for it")
        return built
    largest = max(image_sizes)
    sectors = ceil_div(largest, sector)
    while limit(built := config(sectors * sector)) < largest:
        sectors += 1
    return built
