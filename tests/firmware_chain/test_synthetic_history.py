"""Histories and corpus-like chains: drawn kinds, growth, gaps, and bytes that never change."""

from __future__ import annotations

import lzma
import zlib
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise

import bsdiff4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.draws import Stream
from simlib.errors import InputError
from simlib.firmware.chain import load_chain, load_chain_and_fix
from simlib.firmware.synthetic import (
    KINDS,
    WEIGHTS,
    corpus_like_chain,
    drawn_steps,
    synthetic_chain,
    synthetic_history,
)
from simlib.firmware.synthetic.habits import CORPUS
from simlib.firmware.synthetic.kinds import GROWTH, SCALES_PER_MILLE, between, corpus_work, scaled_work
from simlib.firmware.synthetic.linker import LINK_ADDRESS, SECTOR_BYTES
from simlib.firmware.synthetic.quantiles import alike
from simlib.firmware.synthetic.releases import CORPUS_LIKE, Variation, linked_chain
from simlib.firmware.thumb import decode_bl
from simlib.scenario.model import ReleaseSpec, StepWeights

KIB = 1024
EVERY_KIND = tuple(KINDS)
RELEASE = ReleaseSpec(
    source="synthetic",
    files=(),
    seed=3,
    size_bytes=100_000,
    base_size_bytes=90_000,
    steps=("any", "any", "any"),
    payload="full",
    codec="bsdiff4",
    full_above=Fraction(4, 5),
    encrypted=False,
    signature="ecdsa-p256",
    hardware=(),
    published_ms=(0,),
    stepping_stones=(),
    security_counters="raise",
    variation="corpus",
)


def digest(firmwares: tuple[bytes, ...]) -> str:
    return sha256(b"".join(firmwares)).hexdigest()


def test_the_bytes_of_a_corpus_like_chain_never_change() -> None:
    sizes = [100_001, 100_001, 131_072, 131_072, 120_000, 120_000]
    assert (
        digest(corpus_like_chain(7, sizes, EVERY_KIND))
        == "c0e508a54238765d1dac17bfd97cf8bfabd1ba99feef7c9340afd3b82ef5af41"
    )


def test_the_bytes_of_a_history_never_change() -> None:
    history = synthetic_history(5, 5, 128 * KIB, gaps=Fraction(1, 10))
    assert digest(history.firmwares) == "1929d09aeca971dfd5f6d161410c102477c14a009bba9fd971a5056048c47c2f"


def test_a_history_is_made_of_as_many_of_everything() -> None:
    history = synthetic_history(2, 6, 96 * KIB)
    assert len(history.steps) == 5
    assert [len(firmware) for firmware in history.firmwares] == list(history.sizes)
    for version, firmware in zip(history.versions, history.firmwares, strict=True):
        assert f"simlib synthetic {version}\0".encode() in firmware
    assert list(history.versions) == sorted(set(history.versions))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_what_follows_in_a_history_does_not_change_what_came_first(seed: int, releases: int) -> None:
    longer, shorter = (synthetic_history(seed, n, 70 * KIB) for n in (releases + 1, releases))
    assert longer.firmwares[:releases] == shorter.firmwares
    assert longer.steps[: releases - 1] == shorter.steps


def test_kinds_are_drawn_in_proportion_to_their_weights() -> None:
    drawn = Counter(drawn_steps(1, ("any",) * 20_000))
    total = sum(WEIGHTS.values())
    for kind, weight in WEIGHTS.items():
        assert abs(drawn[kind] / 20_000 - weight / total) < 0.01


def test_only_the_ratios_of_weights_count() -> None:
    steps = ("any",) * 300
    assert drawn_steps(4, steps) == drawn_steps(4, steps, {kind: 7 * w for kind, w in WEIGHTS.items()})


def test_a_kind_without_weight_is_never_drawn() -> None:
    assert set(drawn_steps(1, ("any",) * 500, {"minor": Fraction(1), "major": Fraction(1, 3)})) == {
        "minor",
        "major",
    }


def test_a_drawn_step_does_not_depend_on_the_others() -> None:
    alone = drawn_steps(9, ("any",) * 12)
    mixed = drawn_steps(9, ("any", "patch", "any", "toolchain") * 3)
    for step, (kind, among) in enumerate(zip(alone, mixed, strict=True)):
        assert among == (kind if step % 2 == 0 else ("patch", "toolchain")[step % 4 // 2])


def test_a_release_grows_as_its_kind_does() -> None:
    seen = set()
    for seed in range(1, 5):
        history = synthetic_history(seed, 8, 128 * KIB)
        for kind, (old, new) in zip(history.steps, pairwise(history.sizes), strict=True):
            assert old * (GROWTH[kind][0] - 1) // 10_000 - 4 <= new - old <= old * GROWTH[kind][-1] // 10_000
            seen.add((kind, new > old, new < old))
    assert {kind for kind, *_ in seen} == set(KINDS)
    assert ("rebuild", False, False) in seen
    assert {(kind, more, less) for kind, more, less in seen if kind == "rebuild"} == {
        ("rebuild", False, False)
    }
    assert len({(more, less) for kind, more, less in seen if kind in ("major", "toolchain")}) > 1


def test_growth_stops_at_the_ends_of_the_range() -> None:
    swelling = dict.fromkeys(KINDS, (9000,) * 11)
    shrinking = dict.fromkeys(KINDS, (-5000,) * 11)
    assert synthetic_history(1, 3, 600 * KIB, growth=swelling).sizes[1:] == (1 << 20, 1 << 20)
    assert synthetic_history(1, 3, 100 * KIB, growth=shrinking).sizes[1:] == (64 * KIB, 64 * KIB)


def test_an_image_compresses_as_a_microcontroller_image_does() -> None:
    for firmware in corpus_like_chain(1, [256 * KIB] * 6, EVERY_KIND):
        assert 0.59 <= len(lzma.compress(firmware)) / len(firmware) <= 0.65
        assert 0.67 <= len(zlib.compress(firmware, 9)) / len(firmware) <= 0.73


def gap_runs(image: bytes) -> list[tuple[int, int]]:
    """Start and end of each run of at least a kilobyte of 0xFF."""
    erased = np.frombuffer(image, dtype=np.uint8) == 0xFF
    edges = np.flatnonzero(np.diff(np.concatenate([[0], erased.view(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= KIB]


def test_gaps_take_their_share_and_sections_behind_them_start_on_sectors() -> None:
    share = Fraction(1, 5)
    size = 160 * KIB
    for image, laid_out in linked_chain(3, [size] * 3, ["minor", "major"], variation=CORPUS_LIKE, gaps=share):
        runs = gap_runs(image)
        assert len(image) == size
        assert len(runs) == 3
        assert abs(sum(end - start for start, end in runs) - size * share) < 16
        for _, end in runs[:2]:
            assert (LINK_ADDRESS + end) % SECTOR_BYTES == 0
        assert runs[1][1] < laid_out.fill[0] <= laid_out.fill[1] <= runs[2][0]


def test_calls_and_addresses_are_right_behind_gaps_too() -> None:
    for gaps in (Fraction(0), Fraction(1, 4)):
        chain = linked_chain(9, [96 * KIB] * 6, EVERY_KIND, variation=CORPUS_LIKE, gaps=gaps)
        for image, laid_out in chain:
            halfwords = np.frombuffer(image, dtype="<u2")
            starts = set(laid_out.function_starts.tolist())
            assert len(laid_out.call_sites) > 300
            for site in laid_out.call_sites.tolist():
                offset = decode_bl(int(halfwords[site // 2]), int(halfwords[site // 2 + 1]))
                assert site + 4 + offset in starts


def test_gaps_keep_tables_where_they_are_when_code_grows_a_little() -> None:
    """As long as the code stays within its last sector, what lies behind the gap does not move."""
    moved = 0
    for seed in range(1, 7):
        old, new = corpus_like_chain(seed, [96 * KIB] * 2, ["patch"], gaps=Fraction(1, 4))
        moved += gap_runs(old)[0][1] != gap_runs(new)[0][1]
    assert moved <= 2


def test_a_rebuild_of_a_few_modules_leaves_the_others_and_the_commit_alone() -> None:
    def some(per_mille: int) -> Variation:
        return Variation(CORPUS, lambda name, stream: scaled_work(name, per_mille))

    changed = []
    for per_mille in (0, 300, 1000):
        (old, laid_out), (new, _) = linked_chain(6, [96 * KIB] * 2, ["rebuild"], variation=some(per_mille))
        end = laid_out.fill[1]
        stamps = len(old) - end - 108
        assert old[:end] == new[:end]
        pairs = zip(old[end : end + stamps], new[end : end + stamps], strict=True)
        changed.append(sum(a != b for a, b in pairs))
        assert (old[-60:-20] == new[-60:-20]) is (per_mille < 1000)
        assert old[-20:] != new[-20:]
    assert changed[0] == 0 < changed[1] < changed[2]


def test_a_release_that_changes_values_in_place_moves_nothing() -> None:
    still = Variation(CORPUS, lambda name, stream: scaled_work(name, 4000, moving=False))
    moving = Variation(CORPUS, lambda name, stream: scaled_work(name, 4000))
    for variation, stays in ((still, True), (moving, False)):
        (old, before), (new, after) = linked_chain(2, [96 * KIB] * 2, ["patch"], variation=variation)
        code = slice(0, int(before.function_starts[-1]))
        assert old[code] != new[code]
        assert np.array_equal(before.function_starts, after.function_starts) is stays


@pytest.mark.parametrize("kind", ["minor", "major", "toolchain"])
def test_a_larger_scale_changes_more(kind: str) -> None:
    sizes = []
    for scale in (SCALES_PER_MILLE[kind][0], SCALES_PER_MILLE[kind][-1]):
        at_scale = Variation(CORPUS, lambda name, stream, s=scale: scaled_work(name, s))
        (old, _), (new, _) = linked_chain(4, [96 * KIB] * 2, [kind], variation=at_scale)
        sizes.append(len(bsdiff4.diff(old, new)))
    assert sizes[1] > 1.2 * sizes[0]


def test_scales_come_from_the_whole_of_their_table() -> None:
    scales = [corpus_work("major", Stream(seed, 1)).scale_per_mille for seed in range(2000)]
    table = SCALES_PER_MILLE["major"]
    assert table[0] <= min(scales) < table[1]
    assert table[-2] < max(scales) <= table[-1]
    assert abs(np.median(scales) - table[5]) < 0.05 * table[5]


def test_the_ends_of_a_table_are_reached_and_its_middle_is_in_the_middle() -> None:
    table = (10, 20, 40)
    assert [between(table, draw) for draw in (0, 1 << 30, 1 << 31, 3 << 30, (1 << 32) - 1)] == [
        10,
        15,
        20,
        30,
        39,
    ]


def test_equal_entries_are_drawn_alike_and_others_are_not() -> None:
    about = np.array([5, 7, 5, 5, 7, 8], dtype=np.int64)
    one, other = (alike(Stream(seed, 1), about) for seed in (1, 2))
    assert one[0] == one[2] == one[3] != one[1] == one[4] != one[5]
    assert not np.any(one == other)


def test_a_scenario_reaches_drawn_kinds_and_the_corpus_like_spread() -> None:
    chain = load_chain(RELEASE)
    steps = drawn_steps(3, RELEASE.steps)
    payloads = corpus_like_chain(3, [90_000] * 3 + [100_000], steps)
    assert tuple(each.payload for each in chain) == payloads
    typical = load_chain(replace(RELEASE, variation="typical"))
    assert tuple(each.payload for each in typical) == synthetic_chain(3, [90_000] * 3 + [100_000], steps)


def test_a_scenarios_weights_decide_on_drawn_kinds() -> None:
    nothing = Fraction(0)
    only_majors = StepWeights(nothing, nothing, nothing, Fraction(1), nothing)
    chain = load_chain(replace(RELEASE, step_weights=only_majors))
    assert [each.label for each in chain] == ["1.0.0", "2.0.0", "3.0.0", "4.0.0"]


def test_a_fix_changes_nothing_that_came_before_it() -> None:
    chain = load_chain(RELEASE)
    assert load_chain_and_fix(RELEASE, "patch")[:-1] == chain


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"mayor": Fraction(1)}, "weights: found 'mayor'"),
        ({"patch": Fraction(-1)}, "weights.patch: found -1"),
        ({"patch": Fraction(0)}, "weights: found none above 0"),
    ],
)
def test_weights_that_cannot_be_are_bad_input(weights: dict[str, Fraction], message: str) -> None:
    with pytest.raises(InputError, match=message):
        drawn_steps(1, ("any",), weights)


@pytest.mark.parametrize("gaps", [Fraction(-1, 10), Fraction(51, 100)])
def test_gaps_that_cannot_be_are_bad_input(gaps: Fraction) -> None:
    with pytest.raises(InputError, match="gaps: found"):
        corpus_like_chain(1, [64 * KIB], [], gaps=gaps)


def test_a_history_without_releases_is_bad_input() -> None:
    with pytest.raises(InputError, match="releases: found 0"):
        synthetic_history(1, 0, 64 * KIB)
