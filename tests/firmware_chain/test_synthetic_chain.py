"""Synthetic chains: the same bytes everywhere, exact sizes, and patches that weigh what real ones weigh."""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import zlib
from functools import cache
from hashlib import sha256

import bsdiff4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.firmware.synthetic import KINDS, release_versions, synthetic_chain
from simlib.firmware.synthetic.releases import linked_chain
from simlib.firmware.thumb import decode_bl

KIB = 1024
EVERY_KIND = tuple(KINDS)

# bsdiff4 patch size over new size between consecutive releases: p10 to p90 of a model with these kinds,
# fitted to 80 public steps, a tenth wider on both sides.
BANDS = {
    "rebuild": (0.0006, 0.0025),
    "patch": (0.012, 0.055),
    "minor": (0.080, 0.163),
    "major": (0.200, 0.360),
    "toolchain": (0.430, 0.580),
}


@cache
def chain(seed: int, size: int) -> tuple[bytes, ...]:
    """A release of every kind, all of one size."""
    return synthetic_chain(seed, [size] * (len(EVERY_KIND) + 1), EVERY_KIND)


@pytest.mark.parametrize(("seed", "size"), [(1, 256 * KIB), (2, 400 * KIB), (3, 320 * KIB)])
def test_a_patch_weighs_what_a_real_release_of_its_kind_weighs(seed: int, size: int) -> None:
    firmwares = chain(seed, size)
    for kind, old, new in zip(EVERY_KIND, firmwares, firmwares[1:], strict=False):
        low, high = BANDS[kind]
        assert low <= len(bsdiff4.diff(old, new)) / size <= high, kind


@pytest.mark.parametrize(("seed", "size"), [(1, 256 * KIB), (2, 400 * KIB)])
def test_an_image_compresses_as_a_microcontroller_image_does(seed: int, size: int) -> None:
    for firmware in chain(seed, size):
        assert abs(len(zlib.compress(firmware, 9)) / size - 0.72) <= 0.06
        assert abs(len(lzma.compress(firmware)) / size - 0.64) <= 0.06


def test_a_patch_across_more_releases_is_larger() -> None:
    firmwares = chain(2, 400 * KIB)
    newest = [len(bsdiff4.diff(old, firmwares[-1])) for old in firmwares[-2:0:-1]]
    assert newest == sorted(newest)


GOLDEN = {
    (0, 65536, ()): "b97ca0faa5d81b43b5e0a968a7abc5be2d4d3dadc9ed9b7812f0b7ea613aee83",
    (0, 262144, ("rebuild",)): "17f47c4e049b009d7a2b43d67764fdae69c8b0cdd660e7dbe607a994e136370b",
    (1, 131072, ("patch", "minor")): "39de41f2080cb20c52f0834b231476d0ef5a2aca909cd1bff4c3f0ab3b6ff1a3",
    (
        7,
        100001,
        ("major", "toolchain", "patch"),
    ): "d6633c2315c9734bd3256a971df464272ca4f9431a73b8c2f1e64316a1d3bce5",
    (2**63 - 1, 1048576, ()): "25da13f63299e05f335b3b28290e257fa206bae7157fcca18664aaca994b4bce",
}


@pytest.mark.parametrize(("seed", "size", "steps"), GOLDEN)
def test_the_bytes_never_change(seed: int, size: int, steps: tuple[str, ...]) -> None:
    firmwares = synthetic_chain(seed, [size] * (len(steps) + 1), steps)
    assert sha256(b"".join(firmwares)).hexdigest() == GOLDEN[seed, size, steps]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_bytes_do_not_depend_on_python_hashing(hash_seed: str) -> None:
    program = (
        "from hashlib import sha256; from simlib.firmware.synthetic import synthetic_chain;"
        "print(sha256(b''.join(synthetic_chain(1, [131072] * 3, ('patch', 'minor')))).hexdigest())"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    said = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == GOLDEN[1, 131072, ("patch", "minor")]


SIZES = st.integers(64 * KIB, 128 * KIB)


@settings(max_examples=15)
@given(st.data(), st.integers(0, 2**32), st.lists(st.sampled_from(EVERY_KIND), max_size=3))
def test_every_firmware_has_exactly_the_size_asked_for(
    data: st.DataObject, seed: int, steps: list[str]
) -> None:
    sizes = data.draw(st.lists(SIZES, min_size=len(steps) + 1, max_size=len(steps) + 1))
    assert [len(firmware) for firmware in synthetic_chain(seed, sizes, steps)] == sizes


@pytest.mark.parametrize("sizes", [(64 * KIB, 1024 * KIB), (1024 * KIB, 64 * KIB), (65537, 65539)])
def test_a_release_may_grow_and_shrink_to_the_ends_of_the_range(sizes: tuple[int, int]) -> None:
    firmwares = synthetic_chain(4, sizes, ["minor"])
    assert tuple(len(firmware) for firmware in firmwares) == sizes


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(EVERY_KIND), min_size=1, max_size=3), st.data())
def test_older_firmwares_do_not_depend_on_later_releases(
    seed: int, steps: list[str], data: st.DataObject
) -> None:
    shorter = data.draw(st.integers(0, len(steps) - 1))
    sizes = [80 * KIB + 1000 * i for i in range(len(steps) + 1)]
    whole = synthetic_chain(seed, sizes, steps)
    assert whole[: shorter + 1] == synthetic_chain(seed, sizes[: shorter + 1], steps[:shorter])


def test_seeds_give_unrelated_firmwares() -> None:
    one, other = chain(1, 256 * KIB)[0], synthetic_chain(2, [256 * KIB], [])[0]
    assert len(bsdiff4.diff(one, other)) > 0.6 * len(one)


def test_every_call_in_every_image_lands_on_a_function() -> None:
    for image, laid_out in linked_chain(9, [96 * KIB] * (len(EVERY_KIND) + 1), EVERY_KIND):
        halfwords = np.frombuffer(image[: len(image) & ~1], dtype="<u2")
        starts = set(laid_out.function_starts.tolist())
        assert len(laid_out.call_sites) > 500
        for site in laid_out.call_sites.tolist():
            offset = decode_bl(int(halfwords[site // 2]), int(halfwords[site // 2 + 1]))
            assert site + 4 + offset in starts


def test_the_fill_stays_a_small_part() -> None:
    for size, (_, laid_out) in zip(
        (96 * KIB, 200 * KIB), linked_chain(3, [96 * KIB, 200 * KIB], ["major"]), strict=True
    ):
        start, end = laid_out.fill
        assert 0 <= end - start <= size * 3 // 100


def test_a_rebuild_changes_stamps_version_and_build_id_only() -> None:
    (old, old_map), (new, new_map) = linked_chain(6, [96 * KIB] * 2, ["rebuild"])
    assert old_map.fill == new_map.fill
    end = old_map.fill[1]
    assert old[:end] == new[:end]
    assert old[-20:] != new[-20:]
    assert b"simlib synthetic 1.0.0+1\0" in new


def test_versions_count_up_by_kind() -> None:
    steps = ("rebuild", "rebuild", "patch", "minor", "patch", "toolchain", "major", "rebuild")
    expected = ["1.0.0", "1.0.0+1", "1.0.0+2", "1.0.1", "1.1.0", "1.1.1", "1.2.0", "2.0.0", "2.0.0+1"]
    assert [str(version) for version in release_versions(steps)] == expected


@pytest.mark.parametrize(
    ("sizes", "steps", "message"),
    [
        ([65536], ["patch"], "found 1 for 1 steps"),
        ([65535], [], "found 65535 byte"),
        ([1048577], [], "found 1048577 byte"),
        ([65536, 65536], ["mayor"], "found 'mayor', expected one of rebuild"),
    ],
)
def test_what_cannot_be_made_is_bad_input(sizes: list[int], steps: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        synthetic_chain(1, sizes, steps)
