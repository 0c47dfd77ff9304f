"""What a sweep is about: three signed firmwares of one size, and the device that goes from one to the next.

The payloads are synthetic firmwares (`simlib.firmware.synthetic`); of one smaller than it makes there is the
first part. The update is from the first to the second, and the third is the further update that a device must
be able to take afterwards. Everything follows from the options alone, so that every process can make it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from simlib.device.config import DeviceConfig
from simlib.device.device import Device, new_device
from simlib.device.payload_cipher import turned
from simlib.device.powercut.event import Event, install_event, search_event
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
from simlib.errors import InputError
from simlib.firmware.synthetic import synthetic_chain
from simlib.release import Artefact, Release, open_manifest, unpack_blob

NAMES: Final = ("old", "new", "third")
SMALLEST_IMAGE_BYTES: Final = 256
LARGEST_IMAGE_BYTES: Final = 1 << 20
_SMALLEST_WHOLE: Final = 64 << 10
_STEPS: Final = ("minor", "minor")
ALL_TEARS: Final = "all"
SECOND_CUTS_ALL: Final = -1


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """Which device, which update, and how power fails in it; sizes in bytes, None: the least that will do."""

    layout: str = "swap-move"
    image_size_bytes: int = 48 << 10
    payload: str = "full"
    encrypted: bool = False
    tear: str = ALL_TEARS  # one of `TEARS`, or all of them
    second_cuts: int = 0  # how many, drawn with the seed; `SECOND_CUTS_ALL`: every one
    sector_size_bytes: int = 4096
    slot_size_bytes: int | None = None
    write_size_bytes: int = 4
    erased_value: int = 0xFF
    counter_store: str = "fuses"  # where the security counter is kept
    seed: int = 0  # of what is drawn: the bytes of torn operations, and which second cuts
    codec: str | None = None  # of a payload that has one; None: the usual one
    download_size_bytes: int | None = None  # 0: no such partition

    @property
    def tears(self) -> tuple[str, ...]:
        """The tear modes that are tried."""
        return TEARS if self.tear == ALL_TEARS else (self.tear,)

    def check(self) -> None:
        """Raises `InputError` where the options name nothing that there is."""
        check_payload(self.layout, self.payload, self.codec)
        if self.encrypted:
            check_encrypted(self.layout)
        if self.tear != ALL_TEARS and self.tear not in TEARS:
            known = ", ".join((*TEARS, ALL_TEARS))
            raise InputError(f"tear: found {self.tear!r}, expected one of {known}")
        if not SMALLEST_IMAGE_BYTES <= self.image_size_bytes <= LARGEST_IMAGE_BYTES:
            raise InputError(
                f"image-size: found {self.image_size_bytes} bytes, "
                f"expected {SMALLEST_IMAGE_BYTES} to {LARGEST_IMAGE_BYTES}"
            )


@dataclass(frozen=True)
class SweepCase:
    """The bytes, keys and events of one sweep; "old", "new" and "third" name the images."""

    config: DeviceConfig
    release: Release
    update: Event
    further: Mapping[str, Event]  # by the image that runs: to the third
    search: Mapping[str, Event]  # by image: for the slot that holds it
    hashes: Mapping[bytes, str]  # SHA-256 of an image as it lies in a slot, to its name

    def make(self) -> Device:
        """A device as the factory ships it, with the old image."""
        release = self.release
        return new_device(
            self.config,
            (release.verify_key,),
            release.decryption_key,
            release.images[0],
            release.security_counters[0],
        )

    def name_of(self, image_sha256: bytes | None) -> str | None:
        """Which image has this hash; None: nothing that was signed."""
        return None if image_sha256 is None else self.hashes.get(image_sha256)


def build_case(options: SweepOptions) -> SweepCase:
    """Raises `InputError` where the options do not go together."""
    options.check()
    release = _release(
        options.image_size_bytes,
        options.payload,
        options.codec,
        load_address_for(options.layout),
        encrypted=options.encrypted,
    )
    sizes = [len(image) for image in release.images]
    config = config_for(
        FlashShape(
            options.layout,
            options.sector_size_bytes,
            options.slot_size_bytes,
            options.write_size_bytes,
            options.erased_value,
            options.download_size_bytes,
        ),
        (max(sizes), *sizes),
        max((len(each.blob) for each in release.artefacts if each.kind != "full"), default=0),
        encrypted=options.encrypted,
        patches=_patches(release),
    )
    config = replace(config, counter_store=options.counter_store)
    key = release.verify_key
    update = install_event(artefact_of(release, 0, 1, options.payload), key)
    further = {
        name: install_event(artefact_of(release, base, 2, options.payload), key)
        for base, name in enumerate(NAMES[:2])
    }
    forms = [forms_of(release, number) for number in range(len(NAMES))]
    return SweepCase(
        config=config,
        release=release,
        update=update,
        further=further,
        search={name: search_event(forms[n], name) for n, name in enumerate(NAMES)},
        hashes={sha256(form).digest(): name for n, name in enumerate(NAMES) for form in forms[n]},
    )


@lru_cache(maxsize=16)  # the same for all layouts, and for all shapes of their flash
def _release(size: int, payload: str, codec: str | None, load_address: int, *, encrypted: bool) -> Release:
    made = max(size, _SMALLEST_WHOLE)
    payloads = synthetic_chain(KEY_SEED, (made,) * len(NAMES), _STEPS)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.bin" for name in NAMES]
        for file, content in zip(files, payloads, strict=True):
            file.write_bytes(content[:size])
        return release_of(
            files, payload, encrypted=encrypted, codec=codec, targets=(1,), load_address=load_address
        )


def artefact_of(release: Release, base: int, target: int, payload: str) -> Artefact:
    """What leads from one number of the chain to another in this form."""
    return next(each for each in release.artefacts_for(base, target) if each.kind == payload)


def _patches(release: Release) -> Iterator[bytes]:
    """Every patch of the release, from nothing too, in the clear."""
    for each in release.artefacts:
        if each.kind != "full":
            facts = open_manifest(each.manifest, (release.verify_key,))
            yield unpack_blob(facts, each.blob, release.decryption_key)


def forms_of(release: Release, number: int) -> tuple[bytes, ...]:
    """The image as it may lie in a slot: in the clear, and its payload encrypted if it is shipped so."""
    clear, key = release.images[number], release.decryption_key
    return (clear,) if key is None else (clear, turned(clear, key))
