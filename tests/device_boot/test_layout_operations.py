"""Every erase and write call of an update is one that the layout's rules ask for, and none is missing."""

from __future__ import annotations

import pytest

from simlib.delta import create_patch, patch_recipe
from simlib.device import Device
from simlib.device.bootloader import Boot, boot
from simlib.device.bootloader.journal_plan import Save, plan_for
from simlib.device.updater import confirm_update
from simlib.errors import Reason
from tests.device_boot import predicted
from tests.device_boot.predicted import Ops, shape_of
from tests.device_boot.rigs import ENCRYPTING, LAYOUTS, TRYING, Rig, counted, runs

# Sector, write size, sectors of a slot, old and new image: they end in a sector, at its end, just behind.
FLASHES = [
    (512, 1, 64, 9_001, 12_288),
    (512, 8, 64, 16_384, 3_000),
    (1024, 4, 32, 10_241, 10_240),
    (2048, 16, 24, 20_000, 30_500),
    (4096, 2, 16, 8_192, 39_000),
    (4096, 32, 16, 12_289, 25_000),
    (8192, 4, 12, 60_000, 24_576),
    (16384, 8, 8, 20_000, 50_000),
]


def expect(device: Device, wanted: Ops, work: object) -> object:
    """Do `work`, which must take the operations that were predicted; returns what it returned."""
    results: list[object] = []
    assert counted(device, lambda: results.append(work())) == (wanted.erases, wanted.writes)
    return results[0]


def patch_size(rig: Rig, old: bytes, new: bytes, kind: str) -> int:
    return len(create_patch(rig.clear(old), rig.clear(new))) if kind == "delta" else 0


def booting(rig: Rig, old: bytes, new: bytes, kind: str) -> Ops:
    """The boot after an install."""
    shape, keys = shape_of(rig), 2 if rig.encrypted else 0
    if rig.config.layout != "in-place-journal" or kind == "full":
        return predicted.boot(shape, len(old), len(new), keys)
    before, after = rig.clear(old), rig.clear(new)
    sector = shape.sector
    changed = [
        at for at in range(0, len(after), sector) if before[at : at + sector] != after[at : at + sector]
    ]
    plan = plan_for(patch_recipe(create_patch(before, after))[1], sector)
    saves = sum(isinstance(step, Save) for step in plan.steps)
    return predicted.made_in_place(shape, [min(sector, len(after) - at) for at in changed], saves)


def check_a_life(rig: Rig, sizes: tuple[int, int, int], kind: str) -> None:
    """Install, boot and confirm one image, then try a third one and go back to it."""
    shape, keys = shape_of(rig), 2 if rig.encrypted else 0
    old, new, third = (rig.image(f"1.{n}.0", size) for n, size in enumerate(sizes, start=1))
    device = rig.device(old)
    taking = predicted.install(shape, len(new), patch_size(rig, old, new, kind), encrypted=rig.encrypted)
    assert expect(device, taking, lambda: rig.take(device, new, kind)) is Reason.NONE
    booted = expect(device, booting(rig, old, new, kind), lambda: boot(device))
    assert isinstance(booted, Boot)
    assert runs(booted, rig, new)
    tries = rig.config.layout in TRYING
    expect(device, predicted.writes(1 if tries else 0), lambda: confirm_update(device))
    expect(device, Ops(), lambda: boot(device))
    if not tries:
        return
    taking = predicted.install(shape, len(third), patch_size(rig, new, third, kind), encrypted=rig.encrypted)
    assert expect(device, taking, lambda: rig.take(device, third, kind)) is Reason.NONE
    expect(device, booting(rig, new, third, kind), lambda: boot(device))
    back = expect(device, predicted.revert(shape, max(len(new), len(third)), keys), lambda: boot(device))
    assert isinstance(back, Boot)
    assert runs(back, rig, new)
    expect(device, Ops(), lambda: boot(device))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("flash", FLASHES, ids=lambda f: f"{f[0]}B-write{f[1]}")
def test_full_updates_take_the_predicted_operations(layout: str, flash: tuple[int, ...]) -> None:
    sector, write, sectors, old, new = flash
    rig = Rig.of(layout, sectors=sectors, sector=sector, write_size_bytes=write)
    check_a_life(rig, (old, new, old - 700), "full")


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "single-slot"])
@pytest.mark.parametrize("flash", FLASHES[::3], ids=lambda f: f"{f[0]}B-write{f[1]}")
def test_patches_take_the_predicted_operations(layout: str, flash: tuple[int, ...]) -> None:
    sector, write, sectors, old, new = flash
    rig = Rig.of(layout, sectors=sectors, sector=sector, write_size_bytes=write)
    check_a_life(rig, (old, new, old), "delta")


@pytest.mark.parametrize(
    ("layout", "kind"),
    [(layout, "full") for layout in ENCRYPTING]
    + [(layout, "delta") for layout in ENCRYPTING if layout != "single-slot"],
)
@pytest.mark.parametrize("flash", [FLASHES[1], FLASHES[5]], ids=lambda f: f"{f[0]}B-write{f[1]}")
def test_encrypted_updates_take_the_predicted_operations(
    layout: str, flash: tuple[int, ...], kind: str
) -> None:
    sector, write, sectors, old, new = flash
    rig = Rig.of(layout, sectors=sectors, sector=sector, write_size_bytes=write, encrypted=True)
    check_a_life(rig, (old, new, old), kind)


@pytest.mark.parametrize("scratch_sectors", [1, 2, 3, 8])
@pytest.mark.parametrize("reach", ["low", "at the trailer", "in the trailer's sector"])
@pytest.mark.parametrize(("sector", "write"), [(512, 4), (1024, 8), (4096, 4), (4096, 32)])
def test_a_scratch_area_of_any_size_takes_the_predicted_operations(
    scratch_sectors: int, reach: str, sector: int, write: int
) -> None:
    sectors = 24 if write == 4 and sector == 512 else 16
    rig = Rig.of(
        "swap-scratch",
        sectors=sectors,
        sector=sector,
        write_size_bytes=write,
        scratch_size_bytes=scratch_sectors * sector,
    )
    shape = shape_of(rig)
    below = (shape.slot - shape.trailer) // sector * sector
    size = {"low": below - 2 * sector + 5, "at the trailer": below, "in the trailer's sector": shape.limit}[
        reach
    ]
    check_a_life(rig, (size, size - 300, size), "full")
