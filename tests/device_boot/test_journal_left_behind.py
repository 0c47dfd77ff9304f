"""A journal that asks for something is withdrawn in one write, and only then erased.

An erase that is torn leaves status units where there were none. Of a journal that still asks they would say
that the work had begun: steps would be left out, and what waits would not be checked any more.
"""

from __future__ import annotations

import pytest

from simlib.device import Device, PowerCut
from simlib.device.bootloader import boot
from simlib.device.updater import install
from simlib.errors import Reason
from tests.device_boot.rigs import RELEASER, Rig, runs

FLASHES = [(512, 4, 60_000), (512, 16, 30_000), (4096, 32, 200_000)]  # sector, write size, image


def rig_of(sector: int, write: int, size: int) -> Rig:
    sectors = -(-size // sector) + 4
    return Rig.of("in-place-journal", sectors=sectors, sector=sector, write_size_bytes=write)


@pytest.mark.parametrize("kind", ["full", "delta"])
@pytest.mark.parametrize(("sector", "write", "size"), FLASHES)
@pytest.mark.parametrize("tear", ["partial", "garbage"])
def test_an_update_on_top_of_one_that_waits_can_be_cut_anywhere(
    kind: str, sector: int, write: int, size: int, tear: str
) -> None:
    rig = rig_of(sector, write, size)
    old, waiting, new = (
        rig.image("1.1.0", size - 999),
        rig.image("1.2.0", size),
        rig.image("1.3.0", size - 500),
    )
    for number in range(1, 16):
        device = rig.device(old)
        assert rig.take(device, waiting, kind) is Reason.NONE
        manifest, blob = rig.offer(device, new)
        device.flash.arm_cut(number, tear, seed=number)
        with pytest.raises(PowerCut):
            install(device, (RELEASER.public(),), manifest, blob)
        device.flash.power_on()
        booted = boot(device)
        assert runs(booted, rig, old) or runs(booted, rig, waiting), (number, booted)
        assert rig.take(device, new) is Reason.NONE
        assert runs(boot(device), rig, new)


@pytest.mark.parametrize("kind", ["full", "delta"])
@pytest.mark.parametrize(("sector", "write", "size"), FLASHES)
@pytest.mark.parametrize("tear", ["partial", "garbage"])
def test_a_request_that_a_boot_takes_back_can_be_cut_anywhere(
    kind: str, sector: int, write: int, size: int, tear: str
) -> None:
    rig = rig_of(sector, write, size)
    old, waiting = rig.image("1.1.0", size - 999), rig.image("1.2.0", size)

    def spoilt() -> Device:
        device = rig.device(old)
        assert rig.take(device, waiting, kind) is Reason.NONE
        device.flash.damage(device.area("download").partition.offset + 400, bytes(8))
        return device

    device = spoilt()
    before = device.flash.ops
    assert boot(device).reason is not Reason.NONE
    operations = device.flash.ops - before
    assert operations
    for number in range(1, operations + 1):
        device = spoilt()
        device.flash.arm_cut(number, tear, seed=number)
        with pytest.raises(PowerCut):
            boot(device)
        device.flash.power_on()
        assert runs(boot(device), rig, old), number
        assert rig.take(device, waiting, kind) is Reason.NONE
        assert runs(boot(device), rig, waiting)
