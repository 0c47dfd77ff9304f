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

from simlib.delta import codec_names, codec_traits, patch_recipe, read_envelope
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
PAYLOADS: Final = ("full", "delta", "compressed")
USUAL_CODECS: Final = {"delta": "bsdiff4", "compressed": "full-lzma"}
"""The codec of a payload where nobody has named one."""


@dataclass(frozen=True, slots=True)
class FlashShape:
    """How a device's flash is made; sizes in bytes, None: the least that will do."""

    layout: str
    sector_size_bytes: int
    slot_size_bytes: int | None
    write_size_bytes: int
    erased_value: int
    download_size_bytes: int | None = None


def check_payload(layout: str, payload: str, codec: str | None = None) -> None:
    """`InputError` for an unknown layout or payload, and for what does not go together.

    That is a payload that the layout does not take, and a codec that does not make such a payload. Whether
    there is a place for what the codec needs is the device's to find out.
    """
    known = get(layout)
    if payload not in PAYLOADS:
        raise InputError(f"payload: found {payload!r}, expected one of {', '.join(PAYLOADS)}")
    if payload != "full" and not known.patches:
        raise InputError(f"payload: found {payload} on {layout}, expected a layout that takes patches")
    if codec is None:
        return
    if payload == "full":
        raise InputError(f"codec: found {codec!r} with a full image, expected none, or another payload")
    fitting = codec_names(takes_base=payload == "delta")
    if codec not in fitting:
        raise InputError(
            f"codec: found {codec!r} with payload {payload}, expected one of {', '.join(fitting)}"
        )


def codec_of(payload: str, codec: str | None) -> str | None:
    """The codec that a payload is made with, the usual one if none was named; None: it has none."""
    return codec or USUAL_CODECS.get(payload)


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
    codec: str | None = None,
    targets: Collection[int] | None = None,
    load_address: int = 0,
) -> Release:
    """Raw binaries signed, oldest first, and what leads to the newest and to the chain indices `targets`.

    A patch, or a compressed artefact, is made whether it is worth it or not; `codec` as in `codec_of`. Raises
    as `build_release` does.
    """
    named = codec_of(payload, codec)
    return build_release(
        ReleaseSpec(
            source="files",
            files=tuple(str(file) for file in files),
            seed=KEY_SEED,
            size_bytes=0,
            base_size_bytes=0,
            steps=(),
            payload="delta" if payload == "delta" else "full",
            codec=named if payload == "delta" and named is not None else USUAL_CODECS["delta"],
            full_codec=named if payload == "compressed" and named is not None else "none",
            full_above=Fraction(1 << 32),  # what was asked for, worth it or not
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
    made_there = (patch for patch in patches if codec_traits(read_envelope(patch).codec).in_place)
    spares = [SPARE_SECTORS, *(plan_for(patch_recipe(patch)[1], sector).spares for patch in made_there)]
    return size_of(config, "scratch") + (max(spares) - SPARE_SECTORS) * sector


def config_for(
    shape: FlashShape,
    image_sizes: Sequence[int],
    patch_bytes: int,
    *,
    encrypted: bool,
    patches: Iterable[bytes] = (),
) -> DeviceConfig:
    """The device that runs the first of these images and can take the others; `patch_bytes` 0: no codec.

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
    if sector < 1:
        raise InputError(f"sector-size: found {sector}, expected 1 or more")
    download_size_bytes = ceil_div(waiting, sector) * sector
    if shape.download_size_bytes is not None:
        download_size_bytes = shape.download_size_bytes

    def config(slot_size_bytes: int) -> DeviceConfig:
        return DeviceConfig(
            layout=shape.layout,
            slot_size_bytes=slot_size_bytes,
            download_size_bytes=download_size_bytes,
            sector_size_bytes=sector,
            write_size_bytes=shape.write_size_bytes,
            erased_value=shape.erased_value,
        )

    def limit(built: DeviceConfig) -> int:
        return max_image_bytes(built, encrypted=encrypted)

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
