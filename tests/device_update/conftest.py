"""Small releases of real signed images, built once, for every test of the updater and the bench."""

from __future__ import annotations

from collections.abc import Callable, Collection
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import pytest

from simlib.delta import codec_traits
from simlib.device import DeviceConfig
from simlib.device.update_case import release_of
from simlib.draws import Stream
from simlib.firmware.synthetic import synthetic_chain
from simlib.release import Recovery, Release, build_release
from simlib.scenario.model import ReleaseSpec

MakeRelease = Callable[..., Release]


def firmware_bytes(size: int, changed: int = 0) -> bytes:
    """Random bytes; `changed` of them, spread out, differ from those of another number."""
    data = bytearray(Stream(1, 2).block(size // 4 + 1).astype("<u4").tobytes()[:size])
    for n in range(changed):
        data[(n * 977 + changed) % size] ^= 0x55
    return bytes(data)


@pytest.fixture(scope="session")
def make_release(tmp_path_factory: pytest.TempPathFactory) -> MakeRelease:
    """Builds a release of raw files: sizes oldest first; the same arguments give the same object."""
    folder = tmp_path_factory.mktemp("firmware")

    def file(number: int, size: int) -> str:
        path: Path = folder / f"fw-{number}-{size}.bin"
        if not path.exists():
            path.write_bytes(firmware_bytes(size, 11 * number))
        return str(path)

    @lru_cache
    def make(
        sizes: tuple[int, ...] = (9_000, 9_400),
        *,
        payload: str = "delta",
        encrypted: bool = True,
        signature: str = "ecdsa-p256",
        seed: int = 7,
        hardware: tuple[str, ...] = (),
        security_counters: str = "raise",
        targets: Collection[int] | None = None,
        recovery: str | None = None,
        cipher: str = "aes-256",
        key_wrap: str = "ecies-p256",
        load_address: int = 0,
    ) -> Release:
        return build_release(
            ReleaseSpec(
                source="files",
                files=tuple(file(n, size) for n, size in enumerate(sizes)),
                seed=seed,
                size_bytes=0,
                base_size_bytes=0,
                steps=(),
                payload=payload,
                codec="bsdiff4",
                full_above=Fraction(1),
                encrypted=encrypted,
                signature=signature,
                hardware=hardware,
                published_ms=(),
                stepping_stones=(),
                security_counters=security_counters,
                cipher=cipher,
                key_wrap=key_wrap,
                load_address=load_address,
            ),
            targets=targets,
            recovery=None if recovery is None else Recovery(recovery, "patch"),
        )

    return make


@pytest.fixture(scope="session")
def two_slots() -> DeviceConfig:
    """A swap-move device with room for the small releases: 512-byte sectors keep a sweep short."""
    return DeviceConfig(
        layout="swap-move", slot_size_bytes=16_384, download_size_bytes=4_096, sector_size_bytes=512
    )


@pytest.fixture(scope="session")
def one_slot() -> DeviceConfig:
    """A device whose only slot is overwritten in place."""
    return DeviceConfig(
        layout="single-slot", slot_size_bytes=12_288, download_size_bytes=0, sector_size_bytes=512
    )


@pytest.fixture(scope="session")
def release_with(tmp_path_factory: pytest.TempPathFactory) -> MakeRelease:
    """Builds a release with the codec that is named: three firmwares like real ones, oldest first.

    The artefacts lead to the newest and to the second; there is one with the codec whether it is worth it or
    not.
    """
    folder = tmp_path_factory.mktemp("codecs")
    files = [folder / f"fw{number}.bin" for number in range(3)]
    for file, payload in zip(files, synthetic_chain(3, (64 << 10,) * 3, ("patch", "patch")), strict=True):
        file.write_bytes(payload[: 7_800 if file is files[2] else 7_000])

    @lru_cache
    def make(codec: str, *, encrypted: bool = False) -> Release:
        payload = "delta" if codec_traits(codec).takes_base else "compressed"
        return release_of(files, payload, encrypted=encrypted, codec=codec, targets=(1,))

    return make
