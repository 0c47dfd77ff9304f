"""The layouts that run from either slot: the highest version is chosen, what does not hold is erased."""

from __future__ import annotations

import pytest

from simlib.device import Device
from simlib.device.bootloader import Swap, boot
from simlib.device.bootloader.swap import trailer_of
from simlib.device.ram import RAM_START, RAM_STOP
from simlib.device.trailer import Magic
from simlib.device.updater import confirm_update
from simlib.errors import Reason
from tests.device_boot.rigs import SELECTING, STRANGER, Rig, counted, put, runs

TWO_TRAILERS = "direct-xip-revert"


def small(layout: str, **facts: object) -> Rig:
    return Rig.of(layout, sectors=16, sector=512, **facts)


def both(rig: Rig, primary: bytes, secondary: bytes) -> Device:
    """A device with an image in each slot, neither on trial."""
    device = rig.device(primary)
    put(device, secondary)
    if rig.config.layout == TWO_TRAILERS:
        trailer_of(device, "secondary").write_image_ok()
    return device


@pytest.mark.parametrize(
    ("primary", "secondary", "chosen"),
    [
        ("1.1.0", "1.2.0", "secondary"),
        ("1.2.0", "1.1.0", "primary"),
        ("1.9.0", "1.10.0", "secondary"),
        ("2.0.0", "1.255.65535", "primary"),
        ("1.2.0", "1.2.0", "primary"),
        ("1.2.0+1", "1.2.0+2", "secondary"),
    ],
)
@pytest.mark.parametrize("layout", SELECTING)
def test_the_highest_version_runs_whichever_slot_it_is_in(
    layout: str, primary: str, secondary: str, chosen: str
) -> None:
    rig = small(layout)
    images = {"primary": rig.image(primary, 2_000), "secondary": rig.image(secondary, 2_100)}
    device = both(rig, images["primary"], images["secondary"])
    before = device.flash.content()
    for _ in range(2):
        booted = boot(device)
        assert (booted.slot, runs(booted, rig, images[chosen])) == (chosen, True)
    assert device.flash.content() == before, "and nothing is written for it"


@pytest.mark.parametrize("layout", SELECTING)
def test_updates_go_to_the_slots_by_turns(layout: str) -> None:
    rig = small(layout)
    images = [rig.image(f"1.{n}.0", 1_500 + 100 * n) for n in range(1, 6)]
    device = rig.device(images[0])
    slots = []
    for image in images[1:]:
        boot(device)
        assert rig.take(device, image, "delta") is Reason.NONE
        booted = boot(device)
        assert runs(booted, rig, image)
        confirm_update(device)
        slots.append(booted.slot)
    assert slots == ["secondary", "primary"] * 2


@pytest.mark.parametrize("version", ["1.4.0", "1.5.0"])
@pytest.mark.parametrize("layout", SELECTING)
def test_a_version_that_would_not_be_chosen_is_refused_before_it_is_written(
    layout: str, version: str
) -> None:
    rig = small(layout)
    old = rig.image("1.5.0", 2_000)
    device = rig.device(old)
    boot(device)
    assert rig.take(device, rig.image(version, 2_100)) is Reason.VERSION_LOW
    assert device.flash.ops == 0
    put(device, rig.image(version, 2_100))
    assert runs(boot(device), rig, old)


@pytest.mark.parametrize("layout", SELECTING)
def test_an_invalid_highest_image_is_erased_and_the_other_one_runs(layout: str) -> None:
    rig = small(layout)
    for slot in ("primary", "secondary"):
        good, bad = rig.image("1.1.0", 2_000), rig.image("1.2.0", 2_000, signer=STRANGER)
        images = (bad, good) if slot == "primary" else (good, bad)
        device = both(rig, *images)
        booted = boot(device)
        assert runs(booted, rig, good)
        area = device.area(slot)
        assert area.is_erased(0, area.size)
        assert counted(device, lambda: boot(device)) == (0, 0)  # noqa: B023


@pytest.mark.parametrize("layout", SELECTING)
def test_a_boot_says_why_it_refused_an_image_but_not_that_it_cleared_a_half_written_one(layout: str) -> None:
    rig = small(layout)
    old = rig.image("1.1.0", 2_000)
    forged, low = rig.image("1.2.0", 2_000, signer=STRANGER), rig.image("1.2.0", 2_000, counter=0)
    for bad, reason in (
        (forged, Reason.KEY_UNKNOWN),
        (low, Reason.SECURITY_COUNTER_LOW),
        (forged[:1_000], Reason.NONE),
    ):
        device = both(rig, old, bad)
        booted = boot(device)
        assert (runs(booted, rig, old), booted.reason) == (True, reason)
        assert boot(device).reason is Reason.NONE


@pytest.mark.parametrize("layout", SELECTING)
def test_the_other_slot_keeps_its_image_while_the_highest_one_holds(layout: str) -> None:
    rig = small(layout)
    old, new = rig.image("1.1.0", 2_000), rig.image("1.2.0", 2_000)
    device = both(rig, old, new)
    boot(device)
    assert device.area("primary").read(0, len(old)) == old
    device.area("secondary").erase(512)
    assert runs(boot(device), rig, old)


@pytest.mark.parametrize("layout", SELECTING)
def test_with_no_image_left_nothing_boots(layout: str) -> None:
    rig = small(layout)
    device = rig.device(rig.image("1.1.0", 2_000))
    device.area("primary").erase(512)
    for _ in range(2):
        assert boot(device).reason is Reason.NO_VALID_IMAGE


def test_a_trial_is_selected_once_and_erased_at_the_next_boot_unless_it_confirms_itself() -> None:
    rig = small(TWO_TRAILERS)
    old, new = rig.image("1.1.0", 2_000), rig.image("1.2.0", 2_100)
    device = rig.device(old)
    rig.take(device, new)
    trailer = trailer_of(device, "secondary")
    assert not trailer.state().copy_done
    assert boot(device).trial
    assert (trailer.state().copy_done, trailer.state().image_ok) == (True, False)
    back = boot(device)
    assert (runs(back, rig, old), back.swap, back.slot) == (True, Swap.REVERT, "primary")
    assert trailer.area.is_erased(0, trailer.area.size)
    rig.take(device, new)
    boot(device)
    confirm_update(device)
    assert trailer.state().image_ok
    assert not boot(device).trial


def test_an_image_without_a_request_is_not_complete_and_is_erased() -> None:
    rig = small(TWO_TRAILERS)
    old = rig.image("1.1.0", 2_000)
    device = rig.device(old)
    area = device.area("secondary")
    area.write_bytes(0, rig.image("1.2.0", 2_000))
    assert runs(boot(device), rig, old)
    assert area.is_erased(0, area.size)


def test_without_trailers_a_whole_image_needs_no_request() -> None:
    for layout in ("direct-xip", "ram-load"):
        rig = small(layout)
        new = rig.image("1.2.0", 2_000)
        device = rig.device(rig.image("1.1.0", 2_000))
        device.area("secondary").write_bytes(0, new)
        assert runs(boot(device), rig, new)
        assert trailer_of(device, "secondary").magic() is Magic.UNSET


@pytest.mark.parametrize("layout", ["direct-xip", "direct-xip-revert"])
def test_images_that_run_in_place_from_both_slots_cannot_be_encrypted(layout: str) -> None:
    rig = small(layout)
    device = rig.device(rig.image("1.1.0", 2_000))
    encrypted = small("swap-move", encrypted=True).image("1.2.0", 2_000)
    assert rig.take(device, encrypted) is Reason.HEADER_INVALID
    put(device, encrypted)
    assert str(boot(device).version) == "1.1.0"


def test_an_image_for_ram_stays_encrypted_in_both_slots_and_runs_in_the_clear() -> None:
    rig = small("ram-load", encrypted=True)
    images = [rig.image(f"1.{n}.0", 2_000) for n in range(1, 4)]
    device = rig.device(images[0])
    shipped = device.area("primary").read(0, len(images[0]))
    assert shipped == images[0]
    for image, slot in zip(images[1:], ("secondary", "primary"), strict=True):
        boot(device)
        assert rig.take(device, image, "delta") is Reason.NONE
        booted = boot(device)
        assert (booted.slot, runs(booted, rig, image)) == (slot, True)
        assert device.area(slot).read(0, len(image)) == image
    clear = {rig.clear(image)[at : at + 32] for image in images for at in range(64, 1_600, 32)}
    flash = device.flash.content()
    assert not any(part in flash for part in clear)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (RAM_START, Reason.NONE),
        (RAM_START + 4, Reason.NONE),
        (RAM_START - 4, Reason.LOAD_ADDRESS_WRONG),
        (0, Reason.LOAD_ADDRESS_WRONG),
        (RAM_STOP - 2_000, Reason.NONE),
        (RAM_STOP - 1_999, Reason.LOAD_ADDRESS_WRONG),
        (0xFFFF_FFFF, Reason.LOAD_ADDRESS_WRONG),
    ],
)
def test_an_image_for_ram_must_lie_within_it(address: int, reason: Reason) -> None:
    rig = small("ram-load")
    old, new = rig.image("1.1.0", 2_000), rig.image("1.2.0", 2_000, load_address=address)
    device = rig.device(old)
    boot(device)
    assert rig.take(device, new) is reason
    assert runs(boot(device), rig, old if reason is not Reason.NONE else new)
    fresh = rig.device(old)
    put(fresh, new)
    assert runs(boot(fresh), rig, old if reason is not Reason.NONE else new)


def test_an_image_for_ram_must_lie_within_what_the_device_has() -> None:
    rig = small("ram-load", ram_bytes=16_000)
    old = rig.image("1.1.0", 2_000)
    for address, reason in (
        (RAM_START + 14_000, Reason.NONE),
        (RAM_START + 14_001, Reason.LOAD_ADDRESS_WRONG),
    ):
        device = rig.device(old)
        assert rig.take(device, rig.image("1.2.0", 2_000, load_address=address)) is reason


def test_a_device_that_runs_from_ram_refuses_an_image_that_runs_in_place() -> None:
    rig, other = small("ram-load"), small("direct-xip")
    old = rig.image("1.1.0", 2_000)
    device = rig.device(old)
    assert rig.take(device, other.image("1.2.0", 2_000)) is Reason.HEADER_INVALID
    assert rig.take(device, other.image("1.2.0", 2_000, rom_fixed=0)) is Reason.HEADER_INVALID
    assert runs(boot(device), rig, old)
