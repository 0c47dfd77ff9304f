"""What a flash tells of looks and changes is all there is: work repeats on any flash alike in what it saw."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simlib
from simlib.device import Flash, FlashError, Geometry, Meter, PowerCut
from simlib.device.access import CHANGED, SectorAccess
from simlib.device.tears import TEARS
from simlib.scenario.calibration import CoreProfile, FlashProfile
from tests.amounts import examples

PROFILE = FlashProfile(
    "test", sector_bytes=4096, erase_ns=85_000_001, erase_nj=900, word_bytes=4, word_ns=41_000, word_nj=500
)
CORE = CoreProfile("test", 64_000_000, 1, 1, 1, 1, {}, 1)
SECTOR, SECTORS = 512, 5
SIZE = SECTOR * SECTORS

offsets = st.integers(0, SIZE // 4).map(lambda n: 4 * n)
fills = st.sampled_from([b"\x00", b"\xff", b"\xf0", b"\x55"])
steps = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, SIZE), st.integers(-1, 1100)),
    st.tuples(st.just("erase"), st.integers(0, SECTORS).map(lambda n: n * SECTOR)),
    st.tuples(
        st.just("write"),
        offsets,
        st.builds(lambda fill, n: fill * n, fills, st.integers(0, 256).map(lambda n: 4 * n)),
    ),
    st.tuples(st.just("sector"), st.integers(0, SECTORS)),
)
contents = st.lists(
    st.sampled_from([b"\x00", b"\xff", b"\xf3", b"\x0f"]), min_size=SECTORS, max_size=SECTORS
).map(lambda fills: b"".join(fill * SECTOR for fill in fills))


def work(content: bytes, steps: list[tuple[object, ...]], cut: tuple[int, str] | None) -> tuple[Flash, list]:
    """Do `steps` on a flash with this content; what each of them told."""
    flash = Flash(SIZE, Geometry(SECTOR, 4, 0xFF), PROFILE, Meter(CORE), content)
    if cut is not None:
        flash.arm_cut(*cut, seed=1)
    told: list[object] = []
    for name, *arguments in steps:
        try:
            told.append(getattr(flash, str(name))(*arguments))
        except (FlashError, PowerCut) as error:
            told.append(str(error))
    return flash, told


@settings(max_examples=examples(400))
@given(
    contents,
    contents,
    st.lists(steps, min_size=1, max_size=8),
    st.none() | st.tuples(st.integers(1, 6), st.sampled_from(TEARS)),
)
def test_work_is_the_same_on_every_flash_with_the_sectors_it_looked_at(
    content: bytes, other: bytes, steps: list[tuple[object, ...]], cut: tuple[int, str] | None
) -> None:
    flash, told = work(content, steps, cut)
    looked_at, changed = tuple(flash.access.looked_at), flash.access.changed()
    assert len(set(looked_at)) == len(looked_at)
    mixed = bytearray(other)
    for sector in looked_at:
        mixed[sector * SECTOR : (sector + 1) * SECTOR] = content[sector * SECTOR : (sector + 1) * SECTOR]
    again, told_again = work(bytes(mixed), steps, cut)
    assert told_again == told
    assert (tuple(again.access.looked_at), again.access.changed()) == (looked_at, changed)
    for sector in range(SECTORS):
        before = bytes(mixed[sector * SECTOR : (sector + 1) * SECTOR])
        assert again.sector(sector) == (flash.sector(sector) if sector in changed else before)
    assert [again.op_end_ns, again.op_end_nj] == [flash.op_end_ns, flash.op_end_nj]


def made(content: bytes = bytes(SIZE)) -> Flash:
    return Flash(SIZE, Geometry(SECTOR, 4, 0xFF), PROFILE, Meter(CORE), content)


def test_what_was_erased_first_is_no_dependence() -> None:
    flash = made()
    flash.erase(SECTOR)
    flash.write(SECTOR, b"abcd")
    assert flash.read(SECTOR, SECTOR)[:4] == b"abcd"
    assert (flash.access.looked_at, flash.access.changed()) == ([], (1,))


def test_a_write_depends_on_every_sector_that_was_not_erased_before() -> None:
    flash = made(b"\xff" * SIZE)
    flash.erase(0)
    flash.erase(2 * SECTOR)
    flash.write(SECTOR - 4, bytes(SECTOR + 8))
    assert (flash.access.looked_at, flash.access.changed()) == ([1], (0, 1, 2))


def test_a_refused_write_has_looked_and_changed_nothing() -> None:
    flash = made()
    with pytest.raises(FlashError):
        flash.write(0, b"\xff" * 4)
    assert (flash.access.looked_at, flash.access.changed()) == ([0], ())


@pytest.mark.parametrize(
    ("tear", "looked_at", "changed"), [("none", [], ()), ("partial", [1], (1,)), ("garbage", [], (1,))]
)
def test_an_erase_torn_in_half_depends_on_the_other_half(
    tear: str, looked_at: list[int], changed: tuple[int, ...]
) -> None:
    flash = made()
    flash.arm_cut(1, tear)
    with pytest.raises(PowerCut):
        flash.erase(SECTOR)
    assert (flash.access.looked_at, flash.access.changed()) == (looked_at, changed)


@pytest.mark.parametrize("look", [lambda f: f.content(), lambda f: f.snapshot(), lambda f: f.read(0, SIZE)])
def test_whoever_takes_all_depends_on_all(look: object) -> None:
    flash = made()
    flash.erase(2 * SECTOR)
    look(flash)  # type: ignore[operator]
    assert flash.access.looked_at == [0, 1, 3, 4]


def test_the_order_is_that_of_the_first_look() -> None:
    flash = made()
    for offset in (3 * SECTOR, 0, 3 * SECTOR, 2 * SECTOR):
        flash.read(offset, SECTOR)
    flash.read(SECTOR, 0)
    assert flash.access.looked_at == [3, 0, 2]


def test_a_restored_flash_has_been_neither_looked_at_nor_changed() -> None:
    flash = made()
    state = flash.snapshot()
    flash.erase(0)
    flash.restore(state)
    assert (flash.access.looked_at, flash.access.changed()) == ([], ())


def test_marks_are_of_whole_sectors() -> None:
    access = SectorAccess(4)
    access.look(1, 2)
    access.change(2, 3)
    access.look(0, 3)
    assert (access.looked_at, access.changed()) == ([1, 2, 0], (2, 3))
    assert access.marks[3] == CHANGED


def test_the_flash_alone_touches_its_cells() -> None:
    """Any other way to the bytes would be a look that nobody notes."""
    package = Path(simlib.__file__).parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr == "_cells")
        or (isinstance(node, ast.Constant) and node.value == "_cells")
    }
    assert users == {"device/flash.py"}
