"""The image made over the old one: what is written, what is refused, and that no cut loses it."""

from __future__ import annotations

import pytest

from simlib.delta import create_patch, patch_recipe
from simlib.device import Device, PowerCut
from simlib.device.bootloader import Swap, boot
from simlib.device.bootloader.journal_plan import plan_for
from simlib.device.bootloader.swap import trailer_of
from simlib.device.tears import TEARS
from simlib.device.trailer import Magic, TrailerMap
from simlib.device.updater import install
from simlib.errors import InputError, Reason
from tests.device_boot.rigs import RELEASER, Rig, payload_of, runs, wear_of

SECTOR = 512
LENGTH = 5_000


def small(spares: int = 4, *, encrypted: bool = False, **facts: object) -> Rig:
    rig = Rig.of("in-place-journal", sectors=16, sector=SECTOR, encrypted=encrypted, **facts)
    journal = TrailerMap.of(rig.config, encrypted=True, slot="scratch").sectors
    return rig.with_config(scratch_size_bytes=(journal + spares) * SECTOR)


def exchanged(rig: Rig) -> tuple[bytes, bytes]:
    """Two images, the second with the halves of the first exchanged: every second sector must be saved."""
    payload = payload_of(1, LENGTH)
    half = LENGTH // 2
    return (
        rig.image("1.1.0", 0, payload=payload),
        rig.image("1.2.0", 0, payload=payload[half:] + payload[:half]),
    )


def spares_for(rig: Rig, old: bytes, new: bytes) -> int:
    patch = create_patch(rig.clear(old), rig.clear(new))
    return plan_for(patch_recipe(patch)[1], SECTOR).spares


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("kind", ["full", "delta"])
def test_the_new_image_is_made_and_stays(kind: str, encrypted: bool) -> None:
    rig = small(encrypted=encrypted)
    old, new = rig.image("1.1.0", 5_000), rig.image("1.2.0", 6_000)
    device = rig.device(old)
    assert rig.take(device, new, kind) is Reason.NONE
    assert device.area("primary").read(0, len(old)) == rig.clear(old), "not before the boot"
    booted = boot(device)
    assert (runs(booted, rig, new), booted.trial, booted.swap) == (True, False, Swap.COPIED)
    assert device.area("primary").read(0, len(new)) == rig.clear(new)
    again = boot(device)
    assert (runs(again, rig, new), again.swap) == (True, Swap.NONE)


def test_sectors_that_stay_as_they_are_are_neither_erased_nor_written() -> None:
    rig = small()
    payload = bytearray(payload_of(1, LENGTH))
    old = rig.image("1.1.0", 0, payload=bytes(payload))
    payload[5 * SECTOR] ^= 1
    new = rig.image("1.1.0+1", 0, payload=bytes(payload))
    device = rig.device(old)
    rig.take(device, new, "delta")
    boot(device)
    # The header with the version, the byte that was changed, and the records at the end, across two sectors.
    assert wear_of(device, "primary") == [1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    assert device.area("primary").read(0, len(new)) == new


@pytest.mark.parametrize("encrypted", [False, True])
def test_too_few_spare_sectors_are_refused_with_the_old_image_untouched(encrypted: bool) -> None:
    needed = spares_for(small(encrypted=encrypted), *exchanged(small(encrypted=encrypted)))
    assert needed > 2
    for spares in (needed - 1, needed):
        rig = small(spares, encrypted=encrypted)
        old, new = exchanged(rig)
        device = rig.device(old)
        reason = rig.take(device, new, "delta")
        assert reason is (Reason.STORAGE_SHORT if spares < needed else Reason.NONE)
        booted = boot(device)
        assert runs(booted, rig, new if spares == needed else old)
        if spares < needed:
            assert sum(wear_of(device, "primary")) == 0


@pytest.mark.parametrize("kind", ["full", "delta"])
def test_a_cut_at_any_operation_goes_on_to_the_new_image(kind: str) -> None:
    rig = small(8)
    old, new = exchanged(rig)
    device = rig.device(old)
    assert rig.take(device, new, kind) is Reason.NONE
    state, before = device.snapshot(), device.flash.ops
    boot(device)
    ops = device.flash.ops - before
    for tear in TEARS:
        for cut in range(1, ops + 1):
            device.restore(state)
            device.flash.arm_cut(cut, tear, seed=cut)
            with pytest.raises(PowerCut):
                boot(device)
            device.flash.power_on()
            assert runs(boot(device), rig, new), f"{tear} in {cut}"


def test_a_patch_of_another_base_is_refused() -> None:
    rig = small()
    old, other = rig.image("1.1.0", 5_000), rig.image("1.3.0", 5_000)
    new = rig.image("1.2.0", 5_000)
    offer = rig.offer(rig.device(other), new, "delta")
    device = rig.device(old)
    assert install(device, (RELEASER.public(),), *offer) is Reason.WRONG_BASE
    assert device.flash.ops == 0
    assert runs(boot(device), rig, old)


def waiting(rig: Rig, kind: str) -> tuple[Device, bytes, bytes]:
    """A device that has taken an artefact and not booted."""
    old, new = rig.image("1.1.0", 5_000), rig.image("1.2.0", 5_000)
    device = rig.device(old)
    assert rig.take(device, new, kind) is Reason.NONE
    return device, old, new


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("kind", ["full", "delta"])
@pytest.mark.parametrize("at", [0, 40, 100, 200, 230])
def test_an_artefact_that_was_damaged_while_it_waited_costs_nothing(
    kind: str, at: int, encrypted: bool
) -> None:
    rig = small(encrypted=encrypted)
    device, old, new = waiting(rig, kind)
    place = device.area("download")
    found = place.read(at, 1)[0]
    device.flash.damage(place.partition.offset + at, bytes([found ^ 0x40]))
    booted = boot(device)
    assert runs(booted, rig, old)
    assert booted.reason is not Reason.NONE
    assert sum(wear_of(device, "primary")) == 0
    assert trailer_of(device, "scratch").magic() is Magic.UNSET
    assert boot(device).reason is Reason.NONE
    assert rig.take(device, new, kind) is Reason.NONE
    assert runs(boot(device), rig, new)


@pytest.mark.parametrize("kind", ["full", "delta"])
def test_a_base_that_was_damaged_while_the_artefact_waited_is_replaced_only_by_a_full_image(
    kind: str,
) -> None:
    rig = small()
    device, _, new = waiting(rig, kind)
    device.flash.damage(2_000, bytes([device.flash.read(2_000, 1)[0] ^ 1]))
    booted = boot(device)
    if kind == "full":
        assert runs(booted, rig, new)
    else:
        assert booted.reason is Reason.NO_VALID_IMAGE  # as it was before the boot
        assert any(Reason.WRONG_BASE in step.detail for step in device.journal)


def test_a_journal_that_names_an_impossible_size_is_taken_back() -> None:
    rig = small()
    device, old, _ = waiting(rig, "full")
    journal = trailer_of(device, "scratch")
    for size in (0, device.area("download").size + 1):
        journal.erase()
        journal.area.write_bytes(journal.map.swap_info, b"\x01")
        journal.write_swap_size(size)
        journal.write_magic()
        booted = boot(device)
        assert (runs(booted, rig, old), booted.reason) == (True, Reason.ARTEFACT_MISMATCH)


def test_without_a_download_partition_nothing_can_be_taken() -> None:
    rig = small(download_size_bytes=0)
    device = rig.device(rig.image("1.1.0", 2_000))
    for kind in ("full", "delta"):
        assert rig.take(device, rig.image("1.2.0", 2_000), kind) is Reason.STORAGE_SHORT


def test_a_scratch_area_too_small_for_the_journal_and_a_spare_sector_is_no_device() -> None:
    journal = TrailerMap.of(small().config, encrypted=True, slot="scratch").sectors
    small(1).device(small().image("1.1.0", 2_000))
    with pytest.raises(InputError, match="scratch_size"):
        small().with_config(scratch_size_bytes=journal * SECTOR).device(small().image("1.1.0", 2_000))
