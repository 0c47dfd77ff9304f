"""A compressed artefact is the image itself, smaller: a patch from nothing, beside the full one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from simlib.delta import apply_patch
from simlib.device import DeviceConfig
from simlib.device.fitness import has_room
from simlib.release import Artefact, Manifest, Release, build_release, open_manifest, unpack_blob
from simlib.scenario.model import ReleaseSpec
from simlib.scenario.schema import FULL_CODECS

MARK = b"a readable sentence in the firmware, unchanged in every release "


def spec_of(folder: Path, sentences: int) -> ReleaseSpec:
    """Four firmwares of noise, a little changed from one to the next, and so many sentences."""
    source = random.Random(3)
    payload, paths = source.randbytes(7_000), []
    for number in range(4):
        at = source.randrange(6_000)
        payload = payload[:at] + source.randbytes(40 + number) + payload[at + 40 :]
        path = folder / f"fw{number}.bin"
        path.write_bytes(payload + MARK * sentences)
        paths.append(str(path))
    return ReleaseSpec(
        source="files",
        files=tuple(paths),
        seed=5,
        size_bytes=0,
        base_size_bytes=0,
        steps=(),
        payload="delta",
        codec="bsdiff4",
        full_above=Fraction(1),
        encrypted=False,
        signature="ecdsa-p256",
        hardware=(),
        published_ms=(),
        stepping_stones=(),
        security_counters="raise",
    )


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ReleaseSpec:
    return spec_of(tmp_path_factory.mktemp("wordy"), 40)


def opened(release: Release, artefact: Artefact) -> Manifest:
    return open_manifest(artefact.manifest, (release.verify_key,))


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("codec", FULL_CODECS)
def test_it_gives_the_image_whatever_ran_before(spec: ReleaseSpec, codec: str, encrypted: bool) -> None:
    release = build_release(replace(spec, encrypted=encrypted, full_codec=codec))
    full, compressed = release.artefacts[:2]
    assert (compressed.name, compressed.kind, compressed.base, compressed.target) == (
        "compressed",
        "compressed",
        None,
        3,
    )
    assert compressed.wire_bytes < full.wire_bytes
    manifest = opened(release, compressed)
    assert (manifest.kind, manifest.codec, manifest.base_sha256) == ("compressed", codec, None)
    assert (manifest.wrapped_key is not None) == encrypted
    assert (compressed.blob[:8] == b"SIMDELTA") != encrypted
    patch = unpack_blob(manifest, compressed.blob, release.decryption_key)
    for base_image in (b"", *release.images):
        assert apply_patch(base_image, patch, max_result_bytes=1 << 20) == release.images[3]


def test_it_stands_between_the_patch_and_the_full_one(spec: ReleaseSpec) -> None:
    release = build_release(replace(spec, full_codec="full-lzma"))
    full, compressed, *deltas = release.artefacts
    assert [each.base for each in deltas] == [0, 1, 2]
    for base, patch in enumerate(deltas):
        assert release.artefacts_for(base) == (patch, compressed, full)
    assert release.artefacts_for(3) == release.artefacts_for(None) == (compressed, full)


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("codec", FULL_CODECS)
def test_of_what_leads_to_its_target_a_device_gets_the_first_that_it_can_take(
    spec: ReleaseSpec, codec: str, encrypted: bool
) -> None:
    """bsdiff4 has to be stored; a compressed image is decoded as it arrives, but not an encrypted one."""
    release = build_release(replace(spec, full_codec=codec, encrypted=encrypted))
    full, compressed, patch = release.artefacts[:3]

    def offered(layout: str, download_size_bytes: int, base: int | None = 0) -> Artefact:
        config = DeviceConfig(layout, 32 << 10, download_size_bytes, sector_size_bytes=512)
        there = release.artefacts_for(base)
        return next(each for each in there if has_room(config, opened(release, each), encrypted=encrypted))

    sectors = -(-len(patch.blob) // 512)
    unstored = full if encrypted else compressed
    assert offered("swap-move", 512 * sectors) is patch
    assert offered("swap-move", 512 * (sectors - 1)) is unstored
    assert offered("swap-move", 0) is unstored
    assert offered("swap-move", 16 << 10, None) is compressed
    assert offered("single-slot", 0) is full
    assert offered("in-place-journal", 16 << 10) is patch
    assert offered("in-place-journal", 16 << 10, None) is full, "nothing is made over a base that it has not"


def test_an_image_that_does_not_compress_has_none(tmp_path: Path) -> None:
    """Each literal byte takes nine bits, and what the empty header saves does not make up for it."""
    release = build_release(replace(spec_of(tmp_path, 0), full_codec="full-heatshrink"))
    assert [each.kind for each in release.artefacts] == ["full", "delta", "delta", "delta"]


def test_a_patch_is_weighed_against_what_would_be_downloaded_without_it(spec: ReleaseSpec) -> None:
    spec = replace(spec, full_codec="full-lzma")
    full, compressed, *deltas = build_release(spec).artefacts
    largest = max(each.wire_bytes for each in deltas)
    share = Fraction(largest, compressed.wire_bytes) - Fraction(1, 10**9)
    assert share > Fraction(largest, full.wire_bytes), "by the size of the full one it would be worth it"
    few = build_release(replace(spec, full_above=share)).artefacts
    assert len(few) == 2 + len(deltas) - 1


def patches(spec: ReleaseSpec, devices: Callable[[int], int]) -> list[int | None]:
    """The bases of the patches to the newest where so many devices run the 1st, 2nd, … release behind it."""
    populations = [Fraction(devices(behind)) for behind in range(1, 4)]
    release = build_release(spec, populations=populations)
    return [each.base for each in release.artefacts if each.kind == "delta"]


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_patches_are_made_from_the_newest_bases_or_those_that_most_devices_run(
    spec: ReleaseSpec, limit: int
) -> None:
    limited = replace(spec, patch_limit=limit)
    assert patches(limited, lambda behind: behind) == [0, 1, 2][-limit:]
    by_devices = replace(limited, patches="population")
    assert patches(by_devices, lambda behind: behind) == [0, 1, 2][:limit]
    assert patches(by_devices, lambda behind: 4 - behind) == [0, 1, 2][-limit:]
    assert patches(by_devices, lambda behind: 5) == [0, 1, 2][-limit:], "of like ones the newer goes first"
