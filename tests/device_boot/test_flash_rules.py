"""The flash model against a bit-by-bit model, its counters, and what a cut leaves."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.device import Flash, FlashError, FlashErrorKind, Geometry, Meter, PowerCut
from simlib.device.flash import LARGEST_WRITE_BYTES
from simlib.scenario.calibration import CoreProfile, FlashProfile

PROFILE = FlashProfile(
    "test", sector_bytes=4096, erase_ns=85_000_001, erase_nj=900, word_bytes=4, word_ns=41_000, word_nj=500
)
CORE = CoreProfile("test", 64_000_000, 1, 1, 1, 1, {}, 1)
SECTOR = 512
SIZE = 4 * SECTOR


def make(write_size: int = 4, erased: int = 0xFF, content: bytes | None = None) -> Flash:
    return Flash(SIZE, Geometry(SECTOR, write_size, erased), PROFILE, Meter(CORE), content)


def bits(data: bytes) -> list[int]:
    return [byte >> n & 1 for byte in data for n in range(8)]


erases = st.tuples(st.just("erase"), st.integers(-1, 4).map(lambda n: n * SECTOR) | st.integers(0, SIZE))
fill = st.sampled_from([b"\x00", b"\xff", b"\xf0", b"\x55"])
writes = st.tuples(
    st.just("write"),
    st.integers(-8, SIZE + 8),
    st.one_of(st.binary(min_size=0, max_size=40), st.builds(lambda f, n: f * n, fill, st.integers(0, 1100))),
)


@given(
    st.sampled_from([1, 4, 8]),
    st.sampled_from([0x00, 0xFF]),
    st.lists(erases | writes, min_size=1, max_size=12),
)
def test_every_operation_does_what_the_bits_allow_and_nothing_else(
    unit: int, erased: int, operations: list[tuple[object, ...]]
) -> None:
    flash = make(unit, erased)
    erased_bit = erased & 1
    model = [erased_bit] * (SIZE * 8)
    counts = [0, 0, 0]
    for operation in operations:
        if operation[0] == "erase":
            at = operation[1]
            legal = at % SECTOR == 0 and 0 <= at <= SIZE - SECTOR
            if legal:
                model[at * 8 : (at + SECTOR) * 8] = [erased_bit] * (SECTOR * 8)
                counts[0] += 1
            call = partial(flash.erase, at)
        else:
            _, at, data = operation
            new = bits(data)
            legal = at % unit == 0 and len(data) % unit == 0 and 0 < len(data) <= LARGEST_WRITE_BYTES
            legal = legal and 0 <= at <= SIZE - len(data)
            legal = legal and all(
                bit == was or was == erased_bit for bit, was in zip(new, model[at * 8 :], strict=False)
            )
            if legal:
                model[at * 8 : at * 8 + len(new)] = new
                counts[1] += 1
                counts[2] += len(data)
            call = partial(flash.write, at, data)
        if legal:
            call()
        else:
            with pytest.raises(FlashError):
                call()
        assert bits(flash.content()) == model
    assert [flash.erases, flash.writes, flash.bytes_written] == counts
    assert flash.ops == flash.erases + flash.writes == len(flash.op_end_ns)
    assert sum(flash.wear) == flash.erases


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        (FlashErrorKind.UNALIGNED, lambda f: f.erase(4)),
        (FlashErrorKind.UNALIGNED, lambda f: f.write(2, b"abcd")),
        (FlashErrorKind.UNALIGNED, lambda f: f.write(0, b"abc")),
        (FlashErrorKind.UNALIGNED, lambda f: f.write(0, b"")),
        (FlashErrorKind.TOO_LARGE, lambda f: f.write(0, bytes(1028))),
        (FlashErrorKind.OUT_OF_RANGE, lambda f: f.write(SIZE, bytes(4))),
        (FlashErrorKind.OUT_OF_RANGE, lambda f: f.erase(SIZE)),
        (FlashErrorKind.OUT_OF_RANGE, lambda f: f.read(SIZE - 1, 2)),
        (FlashErrorKind.NOT_ERASED, lambda f: (f.write(0, bytes(4)), f.write(0, b"\x00\x00\x01\x00"))),
    ],
)
def test_a_refusal_names_the_rule_that_was_broken(kind: FlashErrorKind, act: object) -> None:
    with pytest.raises(FlashError) as caught:
        act(make())
    assert caught.value.kind is kind


def test_each_operation_is_timed_and_charged_rounded_up() -> None:
    flash = make()
    flash.erase(0)
    flash.write(0, bytes(8))
    flash.write(8, bytes(4))
    erase_ns = -(-85_000_001 * SECTOR // 4096)
    assert flash.op_end_ns == [erase_ns, erase_ns + 82_000, erase_ns + 123_000]
    erase_nj = -(-900 * SECTOR // 4096)
    assert flash.op_end_nj == [erase_nj, erase_nj + 1_000, erase_nj + 1_500]
    assert flash.meter.flash_nj == erase_nj + 3 * 500
    assert flash.meter.compute_nj == 0


def test_a_write_smaller_than_a_word_costs_the_word() -> None:
    flash = make(write_size=1)
    flash.write(5, b"\x00")
    assert flash.meter.time_ns == PROFILE.word_ns


@pytest.mark.parametrize("tear", ["none", "partial", "garbage"])
def test_a_cut_write_leaves_what_its_tear_says_and_nothing_works_until_power_is_back(tear: str) -> None:
    flash = make()
    flash.write(0, bytes(4))
    flash.arm_cut(2, tear, seed=9)
    flash.write(4, bytes(4))
    with pytest.raises(PowerCut):
        flash.write(8, b"\x11" * 20)
    for act in (lambda: flash.read(0, 4), lambda: flash.erase(0), lambda: flash.write(40, bytes(4))):
        with pytest.raises(FlashError) as caught:
            act()
        assert caught.value.kind is FlashErrorKind.POWER_OFF
    flash.power_on()
    left = flash.read(0, SIZE)
    assert left[:8] == bytes(8)
    assert left[28:] == b"\xff" * (SIZE - 28)
    if tear == "none":
        assert left[8:28] == b"\xff" * 20
    elif tear == "partial":
        assert left[8:28] == b"\x11" * 8 + b"\xff" * 12
    else:
        assert left[8:28] not in (b"\xff" * 20, b"\x11" * 20)
    assert flash.ops == (2 if tear == "none" else 3)


@pytest.mark.parametrize("tear", ["none", "partial", "garbage"])
def test_a_cut_erase_stays_inside_its_sector(tear: str) -> None:
    flash = make(content=bytes(SIZE))
    flash.arm_cut(1, tear, seed=3)
    with pytest.raises(PowerCut):
        flash.erase(SECTOR)
    left = flash.content()
    assert left[:SECTOR] == bytes(SECTOR)
    assert left[2 * SECTOR :] == bytes(2 * SECTOR)
    half = SECTOR // 2
    torn = left[SECTOR : 2 * SECTOR]
    if tear == "none":
        assert torn == bytes(SECTOR)
    elif tear == "partial":
        assert torn == b"\xff" * half + bytes(half)
    else:
        assert 0.3 * SECTOR * 8 < sum(bits(torn)) < 0.7 * SECTOR * 8
    assert flash.wear == [0, 0 if tear == "none" else 1, 0, 0]


def test_garbage_depends_on_the_seed_alone() -> None:
    torn = []
    for seed in (1, 1, 2):
        flash = make()
        flash.arm_cut(1, "garbage", seed)
        with pytest.raises(PowerCut):
            flash.erase(0)
        torn.append(flash.content())
    assert torn[0] == torn[1] != torn[2]


def test_power_that_returns_forgets_an_armed_cut() -> None:
    flash = make()
    flash.arm_cut(1, "none")
    flash.power_on()
    flash.erase(0)
    assert flash.erases == 1


def test_restore_brings_back_content_wear_counters_and_power() -> None:
    flash = make()
    flash.erase(0)
    flash.write(0, b"abcd")
    state, before = flash.snapshot(), flash.content()
    flash.arm_cut(3, "garbage")
    flash.erase(0)
    flash.erase(SECTOR)
    with pytest.raises(PowerCut):
        flash.erase(0)
    flash.restore(state)
    assert flash.content() == before
    assert (flash.wear, flash.ops, flash.bytes_written) == ([1, 0, 0, 0], 2, 4)
    assert flash.snapshot() == state
