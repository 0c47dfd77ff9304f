"""The layout without a second slot: the image is checked and runs, or nothing does."""

from __future__ import annotations

import hashlib

import pytest

from simlib.device import FlashError, layouts
from simlib.device.bootloader import Boot, Swap, boot, confirm, request_trial
from simlib.errors import Reason


@pytest.fixture
def bench(bench: object) -> object:
    return bench.with_config(layout="single-slot")


def test_a_valid_image_boots_and_no_operation_touches_the_flash(bench: object) -> None:
    image = bench.image("1.1.0", 9000)
    device = bench.device(image)
    booted = boot(device)
    assert str(booted.version) == "1.1.0"
    assert booted.image_sha256 == hashlib.sha256(image).digest()
    assert (booted.trial, booted.swap, booted.reason) == (False, Swap.NONE, Reason.NONE)
    request_trial(device)
    confirm(device)
    assert device.flash.ops == 0


def test_an_image_may_fill_the_slot_to_its_last_byte(bench: object) -> None:
    limit = layouts.max_image_bytes(bench.config)
    overhead = len(bench.image("1.1.0", 8192)) - 8192
    # The length of an ECDSA signature varies by a byte or two.
    image = next(i for n in range(8) if len(i := bench.image("1.1.0", limit - overhead - 4 + n)) == limit)
    assert str(boot(bench.device(image)).version) == "1.1.0"


def test_an_image_that_does_not_fit_is_cut_off_by_the_driver_and_the_boot_loader_finds_nothing(
    bench: object,
) -> None:
    device = bench.device(bench.image("1.1.0", 9000))
    area = device.area("primary")
    area.erase_all()
    with pytest.raises(FlashError, match="out-of-partition"):
        area.write_bytes(0, bench.image("1.2.0", area.size))
    assert boot(device) == Boot(None, None, False, Swap.NONE, Reason.NO_VALID_IMAGE)
    assert any(Reason.TRUNCATED in step.detail for step in device.journal)


@pytest.mark.parametrize("sector", [0, 1, 2])
def test_an_update_broken_off_bricks(bench: object, sector: int) -> None:
    device = bench.device(bench.image("1.1.0", 9000))
    device.area("primary").erase(sector * 4096)
    assert boot(device).reason is Reason.NO_VALID_IMAGE


def test_the_security_counter_follows_the_image_that_runs(bench: object) -> None:
    device = bench.device(bench.image("1.1.0", 9000, counter=6), security_counter=2)
    boot(device)
    assert device.security_counter == 6
    area = device.area("primary")
    area.erase_all()
    area.write_bytes(0, bench.image("1.2.0", 9000, counter=5))
    assert boot(device).reason is Reason.NO_VALID_IMAGE
