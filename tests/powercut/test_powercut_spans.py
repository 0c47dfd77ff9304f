"""Runs of bytes, against sets of their numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from simlib.device.powercut.footprint import Footprint, changed_in_turn, looked_in_turn
from simlib.device.powercut.spans import Spans, agree, minus, overlaid, pieces, union

SIZE = 24
NUMBERS = st.sets(st.integers(0, SIZE - 1))
WORK = st.lists(st.tuples(st.booleans(), st.integers(0, 3 * SIZE - 1), st.integers(1, SIZE)), max_size=12)


def spans_of(numbers: set[int]) -> Spans:
    spans: Spans = ()
    for number in sorted(numbers):
        spans = union(spans, ((number, number + 1),))
    return spans


def numbers_of(spans: Spans) -> set[int]:
    return {number for start, stop in spans for number in range(start, stop)}


@given(NUMBERS, NUMBERS)
def test_spans_add_and_take_away_as_sets_do(one: set[int], other: set[int]) -> None:
    for result, expected in (
        (union(spans_of(one), spans_of(other)), one | other),
        (minus(spans_of(one), spans_of(other)), one - other),
    ):
        assert numbers_of(result) == expected
        assert all(start < stop for start, stop in result)
        assert all(before[1] < after[0] for before, after in pairwise(result))


@given(st.binary(min_size=SIZE, max_size=SIZE), st.binary(min_size=SIZE, max_size=SIZE), NUMBERS)
def test_sectors_agree_and_are_laid_over_each_other_byte_by_byte(
    one: bytes, other: bytes, numbers: set[int]
) -> None:
    spans = spans_of(numbers)
    assert agree(one, other, spans) == all(one[n] == other[n] for n in numbers)
    assert list(overlaid(one, other, spans)) == [other[n] if n in numbers else one[n] for n in range(SIZE)]


@given(st.integers(0, 3 * SIZE), st.integers(0, 3 * SIZE))
def test_pieces_cover_a_range_once(offset: int, n: int) -> None:
    covered = [
        sector * SIZE + at for sector, start, stop in pieces(offset, n, SIZE) for at in range(start, stop)
    ]
    assert covered == list(range(offset, offset + n))


def footprint(work: list[tuple[bool, int, int]]) -> Footprint:
    seen = Footprint(SIZE)
    for changes, offset, n in work:
        (seen.change if changes else seen.look)(offset, n)
    return seen


def bytes_of(by_sector: dict[int, Spans]) -> set[int]:
    return {sector * SIZE + at for sector, spans in by_sector.items() for at in numbers_of(spans)}


@given(WORK)
def test_a_look_is_a_dependence_only_at_what_the_work_has_not_changed(
    work: list[tuple[bool, int, int]],
) -> None:
    looked: set[int] = set()
    changed: set[int] = set()
    for changes, offset, n in work:
        touched = set(range(offset, offset + n))
        if changes:
            changed |= touched
        else:
            looked |= touched - changed
    seen = footprint(work)
    assert (bytes_of(seen.looked), bytes_of(seen.changed)) == (looked, changed)


@given(WORK, WORK)
def test_two_stretches_of_work_in_turn_depend_on_what_the_whole_does(
    first: list[tuple[bool, int, int]], second: list[tuple[bool, int, int]]
) -> None:
    whole, before, after = footprint(first + second), footprint(first), footprint(second)
    assert bytes_of(looked_in_turn(before, after.looked)) == bytes_of(whole.looked)
    assert bytes_of(changed_in_turn(before, after.changed)) == bytes_of(whole.changed)
