"""Devices of every layout, signed images of exact sizes, and the moves of an update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any

from simlib.delta import create_patch
from simlib.device import Device, DeviceConfig, new_device
from simlib.device.bootloader import Boot, boot_loader
from simlib.device.ram import RAM_START
from simlib.device.rebuild import running_image
from simlib.device.updater import install
from simlib.draws import Stream
from simlib.errors import Reason
from simlib.firmware.header import parse_header
from simlib.firmware.version import Version
from simlib.release import Manifest, sign_manifest
from simlib.security.encryption import ctr_crypt, decrypt_image, wrap_key
from simlib.security.keys import DecryptionKey, SigningKey, derive_private
from simlib.security.signing import sign_image

SIGNER = SigningKey.of(derive_private("ed25519", 1, "test key of the layout tests: signer"))
RELEASER = SigningKey.of(derive_private("ed25519", 1, "test key of the layout tests: releaser"))
STRANGER = SigningKey.of(derive_private("ed25519", 1, "test key of the layout tests: stranger"))
DEVICE_KEY = DecryptionKey.of(derive_private("ecies-p256", 1, "test key of the layout tests: device"))
EPHEMERAL = DecryptionKey.of(derive_private("ecies-p256", 1, "test key of the layout tests: ephemeral"))
PATCH_KEY = bytes(range(32))

SWAPPING = ("swap-move", "swap-scratch", "swap-offset")
SELECTING = ("direct-xip", "direct-xip-revert", "ram-load")
TRYING = (*SWAPPING, "direct-xip-revert")
LAYOUTS = (*SWAPPING, "overwrite-only", *SELECTING, "in-place-journal", "single-slot")
ENCRYPTING = tuple(layout for layout in LAYOUTS if not layout.startswith("direct-xip"))


def payload_of(minor: int, size: int) -> bytes:
    """Bytes that differ between any two versions in every sector, and are alike enough for a patch."""
    data = bytearray(Stream(1, 2).block(size // 4 + 1).astype("<u4").tobytes()[:size])
    for at in range(minor % 7, size, 89):
        data[at] ^= minor
    return bytes(data)


@lru_cache(maxsize=256)
def _signed(
    version: str, payload: bytes, counter: int | None, signer: SigningKey, encrypted: bool, **placed: int
) -> bytes:
    number = Version.parse(version)
    return sign_image(
        payload,
        number,
        signer,
        security_counter=counter,
        encrypt_to=DEVICE_KEY.public() if encrypted else None,
        content_key=bytes([number.minor]) * 32 if encrypted else None,
        ephemeral=EPHEMERAL if encrypted else None,
        cipher="aes-256",
        deterministic=True,
        **placed,
    )


@dataclass(frozen=True)
class Rig:
    """What a test builds devices and images from; `encrypted`: devices with a key, images encrypted to it."""

    config: DeviceConfig
    encrypted: bool = False

    @classmethod
    def of(
        cls, layout: str, *, sectors: int = 16, sector: int = 4096, encrypted: bool = False, **facts: Any
    ) -> Rig:
        """A device whose slots have so many sectors; its download partition is as large as a slot."""
        slot = sectors * sector
        facts = {"download_size_bytes": slot, "sector_size_bytes": sector, **facts}
        return cls(DeviceConfig(layout, slot_size_bytes=slot, **facts), encrypted)

    def with_config(self, **changes: Any) -> Rig:
        return replace(self, config=replace(self.config, **changes))

    def image(
        self,
        version: str,
        size: int,
        *,
        counter: int | None = 1,
        signer: SigningKey = SIGNER,
        payload: bytes | None = None,
        **placed: int,
    ) -> bytes:
        """A signed image as shipped, of `size` bytes in all; encrypted, of less than a block below that.

        With `payload` its size is what comes of that.
        """
        if self.config.layout == "ram-load":
            placed = {"load_address": RAM_START, **placed}
        if payload is None:
            overhead = len(_signed(version, bytes(16), counter, signer, self.encrypted, **placed)) - 16
            room = size - overhead
            payload = payload_of(Version.parse(version).minor, room // 16 * 16 if self.encrypted else room)
        return _signed(version, payload, counter, signer, self.encrypted, **placed)

    def clear(self, image: bytes) -> bytes:
        """The image with its payload in the clear."""
        return decrypt_image(image, DEVICE_KEY) if self.encrypted else image

    def in_primary(self, image: bytes) -> bytes:
        """The image as it lies where it runs from."""
        return image if self.config.layout == "ram-load" else self.clear(image)

    def device(self, image: bytes, security_counter: int = 1) -> Device:
        """A device that runs this image."""
        key = DEVICE_KEY if self.encrypted else None
        return new_device(self.config, [SIGNER.public()], key, self.clear(image), security_counter)

    def offer(self, device: Device, new: bytes, kind: str = "full", **facts: Any) -> tuple[bytes, bytes]:
        """Manifest and blob that bring `new` to what the device runs; `facts` of the manifest may be set."""
        image, blob, wrapped, codec, base_sha256 = self.clear(new), new, None, None, None
        if kind == "delta":
            base = running_image(device)
            blob, codec, base_sha256 = create_patch(base, image), "bsdiff4", sha256(base).digest()
            if self.encrypted:
                blob = ctr_crypt(PATCH_KEY, blob)
                wrapped = wrap_key(PATCH_KEY, DEVICE_KEY.public(), EPHEMERAL)
        said = {
            "kind": kind,
            "codec": codec,
            "hardware": (),
            "version": parse_header(image).version,
            "security_counter": 1,
            "blob_sha256": sha256(blob).digest(),
            "blob_size": len(blob),
            "base_sha256": base_sha256,
            "image_sha256": sha256(image).digest(),
            "image_size": len(image),
            "wrapped_key": wrapped,
        }
        return sign_manifest(Manifest(**{**said, **facts}), RELEASER), blob

    def take(self, device: Device, new: bytes, kind: str = "full", **facts: Any) -> Reason:
        """Let the device install `new`."""
        return install(device, (RELEASER.public(),), *self.offer(device, new, kind, **facts))


def put(device: Device, image: bytes) -> None:
    """Write the image to where the next one goes and ask for it, past the updater and its checks."""
    loader = boot_loader(device)
    place = loader.target(device)
    place.area.erase_all()
    place.area.write_bytes(place.offset, image)
    loader.request(device)


def counted(device: Device, work: Callable[[], Any]) -> tuple[int, int]:
    """The erases and write calls that `work` took."""
    erases, writes = device.flash.erases, device.flash.writes
    work()
    return device.flash.erases - erases, device.flash.writes - writes


def wear_of(device: Device, name: str) -> list[int]:
    """How often each sector of this partition was erased."""
    partition = device.area(name).partition
    sector = device.flash.geometry.sector_size
    return device.flash.wear[partition.offset // sector : (partition.offset + partition.size) // sector]


def runs(booted: Boot, rig: Rig, image: bytes) -> bool:
    """Whether this boot ran the image, byte for byte."""
    return booted.image_sha256 == sha256(rig.clear(image)).digest()
