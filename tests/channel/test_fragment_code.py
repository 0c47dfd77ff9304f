"""LoRaWAN's fragmented block: any fragments of full rank give the bytes back, and no others do."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from simlib.channel.fragmentation import coded_fragment, decodes, matrix_line, prbs23, rebuild, split
from simlib.errors import InputError


def line_as_specified(n: int, m: int) -> list[int]:
    """The specification's pseudo code with columns counted from 0, written out."""
    row = [0] * m
    extra = 1 if 2 ** (m.bit_length() - 1) == m else 0
    x, coefficients = 1 + 1001 * n, 0
    while coefficients < m // 2:
        r = 2**16
        while r >= m:
            b0, b1 = x % 2, x // 32 % 2
            x = x // 2 + (b0 + b1) % 2 * 2**22
            r = x % (m + extra)
        row[r] = 1
        coefficients += 1
    return row


def rank(rows: Iterable[list[int]], columns: int) -> int:
    """The rank over GF(2), column by column on a matrix of bits."""
    matrix = np.array([*rows, [0] * columns], dtype=np.uint8)
    done = 0
    for column in range(columns):
        pivots = np.flatnonzero(matrix[done:, column]) + done
        if pivots.size:
            matrix[[done, pivots[0]]] = matrix[[pivots[0], done]]
            for row in range(len(matrix)):
                if row != done and matrix[row, column]:
                    matrix[row] ^= matrix[done]
            done += 1
    return done


def members(fragments: int) -> list[int]:
    return [n for n in range(fragments.bit_length()) if fragments >> n & 1]


@st.composite
def receptions(draw: st.DrawFn) -> tuple[bytes, int, int, set[int]]:
    """A block, its fragments' length, the data fragments lost and the coded fragments received."""
    fragment_bytes = draw(st.integers(1, 9))
    block = draw(st.binary(min_size=1, max_size=24 * fragment_bytes))
    count = -(-len(block) // fragment_bytes)
    lost = draw(st.integers(0, (1 << count) - 1))
    coded = draw(st.sets(st.integers(0, 40), max_size=lost.bit_count() + 4))
    return block, fragment_bytes, lost, coded


def sent(block: bytes, fragment_bytes: int, lost: int, coded: set[int]) -> dict[int, bytes]:
    """What arrives, by number."""
    data = split(block, fragment_bytes)
    arrived = {n: f for n, f in enumerate(data) if not lost >> n & 1}
    return arrived | {len(data) + k: coded_fragment(data, k) for k in coded}


def test_the_generator_gives_the_sequence_another_implementation_publishes() -> None:
    # Documentation of the Rust crate flash-algo, from 1001.
    state, states = 1001, []
    for _ in range(4):
        state = prbs23(state)
        states.append(state)
    assert states == [0x1F4, 0x4000FA, 0x60007D, 0x30003E]


@given(st.integers(1, 16_382), st.integers(1, 300))
@example(16_000, 1400)
@example(1, 256)
def test_a_line_is_the_specification_s(n: int, m: int) -> None:
    assert members(matrix_line(n, m)) == [i for i, bit in enumerate(line_as_specified(n, m)) if bit]


@given(receptions())
def test_decoding_succeeds_exactly_when_the_rank_is_full(case: tuple[bytes, int, int, set[int]]) -> None:
    block, fragment_bytes, lost, coded = case
    count = -(-len(block) // fragment_bytes)
    identity = np.eye(count, dtype=int).tolist()
    rows = [identity[n] for n in range(count) if not lost >> n & 1]
    rows += [line_as_specified(k + 1, count) for k in coded]
    full = rank(rows, count) == count
    assert decodes(count, lost, coded) == full
    arrived = sent(block, fragment_bytes, lost, coded)
    if full:
        assert rebuild(arrived, len(block)) == block
    elif arrived:
        with pytest.raises(
            InputError, match=f"found rank .*, expected {count} to rebuild {len(block)} bytes"
        ):
            rebuild(arrived, len(block))


@given(st.binary(min_size=1, max_size=300), st.integers(1, 60))
def test_without_loss_the_data_fragments_are_the_block(block: bytes, fragment_bytes: int) -> None:
    data = split(block, fragment_bytes)
    assert b"".join(data)[: len(block)] == block
    assert {len(fragment) for fragment in data} == {fragment_bytes}
    assert decodes(len(data), 0, ())
    assert rebuild(dict(enumerate(data)), len(block)) == block


def test_fewer_fragments_than_the_block_has_are_never_enough() -> None:
    block = bytes(range(200))
    arrived = sent(block, 10, lost=0b1111, coded={0, 1, 2})
    assert not decodes(20, 0b1111, {0, 1, 2})
    with pytest.raises(InputError, match=r"found rank 1[6-9], expected 20"):
        rebuild(arrived, len(block))


@pytest.mark.parametrize("size_bytes", [150, 190, 210, 300])
def test_another_size_than_the_sender_s_does_not_rebuild(size_bytes: int) -> None:
    arrived = sent(bytes(range(1, 201)), 10, lost=0b1010, coded=set(range(12)))
    with pytest.raises(InputError, match=r"contradiction|rank"):
        rebuild(arrived, size_bytes)


@given(st.integers(0, 7), st.integers(0, 79))
def test_a_damaged_coded_fragment_beyond_the_rank_is_noticed(which: int, bit: int) -> None:
    block = bytes(range(100))
    arrived = sent(block, 10, lost=0b100001, coded=set(range(8)))
    damaged = int.from_bytes(arrived[10 + which], "little") ^ 1 << bit
    with pytest.raises(InputError, match="contradiction"):
        rebuild(arrived | {10 + which: damaged.to_bytes(10, "little")}, len(block))


def test_fragments_of_different_length_or_none_are_refused() -> None:
    for arrived in ({}, {0: b"ab", 1: b"a"}, {0: b""}):
        with pytest.raises(InputError, match="expected one length above 0"):
            rebuild(arrived, 4)
    with pytest.raises(InputError, match="expected 1 or more each"):
        split(b"", 4)


@given(st.integers(2, 400), st.integers(1, 5000))
def test_a_line_takes_some_and_at_most_half_of_the_fragments(m: int, n: int) -> None:
    line = matrix_line(n, m)
    assert 0 < line.bit_count() <= m // 2
    assert line < 1 << m


def test_a_single_fragment_has_nothing_to_mix_so_only_itself_gives_it() -> None:
    assert matrix_line(1, 1) == 0
    assert not decodes(1, 1, range(100))


def test_eight_fragments_more_than_are_lost_are_nearly_always_enough() -> None:
    rng = np.random.default_rng(1)
    failed = 0
    for _ in range(300):
        lost = sum(1 << int(n) for n in rng.choice(120, 12, replace=False))
        failed += not decodes(120, lost, rng.choice(4000, 20, replace=False).tolist())
    # A random matrix of 20 rows is short of rank 12 with a chance of about 2**-8.
    assert failed <= 6


@given(receptions(), st.integers(0, 60))
def test_one_more_fragment_never_harms(case: tuple[bytes, int, int, set[int]], more: int) -> None:
    block, fragment_bytes, lost, coded = case
    count = -(-len(block) // fragment_bytes)
    assume(decodes(count, lost, coded))
    assert decodes(count, lost, coded | {more})
