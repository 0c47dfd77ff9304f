"""Devices, images and the few moves of an updater that the boot loader's tests need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from simlib.device import Device, DeviceConfig, new_device
from simlib.device.bootloader import request_trial
from simlib.device.bootloader.swap import trailer_of
from simlib.draws import Stream
from simlib.firmware.version import Version
from simlib.security.encryption import decrypt_image
from simlib.security.keys import DecryptionKey, SigningKey, derive_private
from simlib.security.signing import sign_image

KIB = 1024
SIGNER = SigningKey.of(derive_private("ecdsa-p256", 1, "test key of the device tests: signer"))
STRANGER = SigningKey.of(derive_private("ecdsa-p256", 1, "test key of the device tests: stranger"))
DEVICE_KEY = DecryptionKey.of(derive_private("ecies-p256", 1, "test key of the device tests: device"))
EPHEMERAL = DecryptionKey.of(derive_private("ecies-p256", 1, "test key of the device tests: ephemeral"))


@dataclass(frozen=True)
class Bench:
    """What a test builds devices and images from."""

    config: DeviceConfig = field(
        default_factory=lambda: DeviceConfig("swap-move", slot_size_bytes=64 * KIB, download_size_bytes=0)
    )
    encrypted: bool = False

    def with_config(self, **changes: object) -> Bench:
        return replace(self, config=replace(self.config, **changes))

    def image(
        self, version: str, size: int, *, counter: int | None = 1, signer: SigningKey = SIGNER
    ) -> bytes:
        """A signed image as shipped, of `size` bytes of payload."""
        number = Version.parse(version)
        return sign_image(
            Stream(number.minor, 1).block(-(-size // 4)).tobytes()[:size],
            number,
            signer,
            security_counter=counter,
            encrypt_to=DEVICE_KEY.public() if self.encrypted else None,
            content_key=bytes([number.minor]) * 32 if self.encrypted else None,
            ephemeral=EPHEMERAL if self.encrypted else None,
            deterministic=True,
        )

    def clear(self, image: bytes) -> bytes:
        """The image as it lies in a primary slot."""
        return decrypt_image(image, DEVICE_KEY) if self.encrypted else image

    def device(self, image: bytes, security_counter: int = 1) -> Device:
        """A device that runs this image."""
        key = DEVICE_KEY if self.encrypted else None
        return new_device(self.config, [SIGNER.public()], key, self.clear(image), security_counter)


def put_candidate(device: Device, image: bytes) -> None:
    """Erase the secondary slot and write this image there, without asking for anything."""
    area = device.area("secondary")
    area.erase_all()
    area.write_bytes(0, image)


def stage(device: Device, image: bytes, *, permanent: bool = False) -> None:
    """Put a candidate in place and ask for it; for good as a file padded with a confirmed trailer does."""
    put_candidate(device, image)
    if permanent:
        trailer = trailer_of(device, "secondary")
        trailer.write_image_ok()
        trailer.write_magic()
    else:
        request_trial(device)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def stranger() -> SigningKey:
    return STRANGER


@pytest.fixture
def staged() -> Callable[..., None]:
    return stage


@pytest.fixture
def put() -> Callable[..., None]:
    return put_candidate


@pytest.fixture
def sign_encrypted() -> Callable[[str, int, bytes], bytes]:
    """An image of so many bytes of payload, encrypted under the content key that is given."""

    def sign(version: str, size: int, content_key: bytes) -> bytes:
        return sign_image(
            bytes(size),
            Version.parse(version),
            SIGNER,
            security_counter=1,
            encrypt_to=DEVICE_KEY.public(),
            content_key=content_key,
            ephemeral=EPHEMERAL,
            deterministic=True,
        )

    return sign
