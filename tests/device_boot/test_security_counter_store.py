"""The security counter in flash: a ring of records that only rises, also when power fails in the middle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.device import Area, Flash, Geometry, Meter, Partition, PowerCut
from simlib.device.bootloader import boot
from simlib.device.security_counter import FlashCounter, record
from simlib.device.tears import TEARS
from simlib.device.updater import confirm_update
from simlib.scenario.calibration import core_profile, flash_profile
from tests.amounts import examples
from tests.device_boot.rigs import Rig, runs, wear_of

SECTOR = 512


def counter_in(flash: Flash, unit: int) -> FlashCounter:
    return FlashCounter(Area(flash, Partition("counter", 0, 2 * SECTOR)), unit)


def fresh(write: int = 4, erased: int = 0xFF) -> tuple[Flash, FlashCounter]:
    geometry = Geometry(SECTOR, write, erased)
    meter = Meter(core_profile("cortex-m4-64mhz"))
    flash = Flash(2 * SECTOR, geometry, flash_profile("nrf52840"), meter)
    return flash, counter_in(flash, max(8, write))


@pytest.mark.parametrize("erased", [0x00, 0xFF])
@pytest.mark.parametrize("write", [1, 4, 8, 16, 32])
def test_it_begins_at_0_reads_what_was_written_and_never_goes_down(write: int, erased: int) -> None:
    flash, counter = fresh(write, erased)
    assert counter.read() == 0
    highest = 0
    for value in (1, 2, 2, 1, 0, 30, 29, 30, 31, 0xFFFF_FFFE, 5):
        counter.raise_to(value)
        highest = max(highest, value)
        assert counter.read() == highest
    assert flash.writes == 5, "what is not higher writes nothing"


@pytest.mark.parametrize("write", [4, 16, 32])
def test_a_full_sector_is_left_for_the_other_one_and_the_wear_is_shared(write: int) -> None:
    flash, counter = fresh(write)
    records = SECTOR // max(8, write)
    for value in range(1, 5 * records + 1):
        counter.raise_to(value)
        assert counter.read() == value
        begun = (value - 1) // records
        assert flash.wear == [begun // 2, (begun + 1) // 2]
    assert flash.writes == 5 * records


@pytest.mark.parametrize("erased", [0x00, 0xFF])
@pytest.mark.parametrize("write", [4, 16])
@pytest.mark.parametrize("tear", TEARS)
def test_a_cut_leaves_the_old_value_or_the_new_one_and_the_next_raise_works(
    tear: str, write: int, erased: int
) -> None:
    flash, counter = fresh(write, erased)
    records = SECTOR // max(8, write)
    for value in range(1, 2 * records + 3):
        before = flash.snapshot()
        ops = 2 if value > records and (value - 1) % records == 0 else 1
        for cut in range(1, ops + 1):
            flash.restore(before)
            flash.arm_cut(cut, tear, seed=value)
            with pytest.raises(PowerCut):
                counter.raise_to(7 * value)
            flash.power_on()
            assert counter.read() in (7 * (value - 1), 7 * value)
            counter.raise_to(7 * value)
            assert counter.read() == 7 * value
            counter.raise_to(7 * value + 1)
            assert counter.read() == 7 * value + 1
        flash.restore(before)
        counter.raise_to(7 * value)
        assert len(flash.op_end_ns) - len(before.op_end_ns) == ops


@settings(max_examples=examples(40))
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from([None, *TEARS]), st.integers(1, 2)),
        min_size=1,
        max_size=80,
    )
)
def test_whatever_is_cut_it_never_reads_less_than_what_was_once_raised(
    raises: list[tuple[int, str | None, int]],
) -> None:
    flash, counter = fresh(32)
    asked = sure = 0
    for step, (more, tear, cut) in enumerate(raises):
        asked = counter.read() + more
        if tear is not None:
            flash.arm_cut(cut, tear, seed=step)
        try:
            counter.raise_to(asked)
            sure = asked
        except PowerCut:
            pass
        flash.power_on()
        assert sure <= counter.read() <= asked
        sure = counter.read()


def test_a_record_is_the_value_and_its_complement_and_anything_else_is_none() -> None:
    flash, counter = fresh(16)
    assert record(0x0102, 16, 0xFF) == bytes.fromhex("02010000 fdfeffff") + b"\xff" * 8
    counter.raise_to(7)
    flash.damage(16, b"\x08\x00\x00\x00\xf6\xff\xff\xff")  # a bit of the complement is wrong
    assert counter.read() == 7
    counter.raise_to(8)
    assert (counter.read(), flash.read(32, 4)) == (8, b"\x08\x00\x00\x00"), "in the next unit that is erased"


@pytest.mark.parametrize("layout", ["swap-move", "direct-xip-revert", "overwrite-only", "in-place-journal"])
def test_a_device_keeps_it_over_many_updates_and_cuts(layout: str) -> None:
    """Fewer records than updates: the two sectors are used by turns."""
    rig = Rig.of(layout, sectors=32, sector=512, write_size_bytes=32, counter_store="flash")
    device = rig.device(rig.image("1.1.0", 1_500, counter=1), security_counter=1)
    for n in range(2, 22):
        new = rig.image(f"1.{n}.0", 1_500, counter=n)
        boot(device)
        rig.take(device, new, security_counter=n)
        booted = boot(device)
        assert runs(booted, rig, new)
        if booted.trial:
            device.flash.arm_cut(2 + n % 2, TEARS[n % 3], seed=n)
        try:
            confirm_update(device)
        except PowerCut:
            device.flash.power_on()
            assert device.security_counter in (n - 1, n)
        device.flash.power_on()
        assert runs(boot(device), rig, new)
        assert device.security_counter == n
    assert wear_of(device, "counter") == [0, 1]


def test_the_factory_writes_the_first_record_and_the_state_knows_it() -> None:
    rig = Rig.of("swap-move", sectors=24, sector=512, counter_store="flash")
    image = rig.image("1.1.0", 1_500, counter=4)
    one, other = rig.device(image, security_counter=4), rig.device(image, security_counter=5)
    assert (one.security_counter, other.security_counter) == (4, 5)
    assert one.flash.ops == 0
    assert one.state_id() != other.state_id()
    assert rig.device(image, security_counter=0).security_counter == 0
