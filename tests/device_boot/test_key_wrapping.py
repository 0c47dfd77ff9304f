"""An encrypted image is only as good as the wrapping of its content key, and no constant takes its place."""

from __future__ import annotations

import pytest

from simlib.device import Device, PowerCut
from simlib.device.bootloader import Swap, boot, confirm
from simlib.device.bootloader.swap import trailer_of
from simlib.errors import Reason
from simlib.firmware.image import TlvType, parse_image
from simlib.security.encryption import ctr_crypt

KIB = 1024
TEARS = ("none", "partial", "garbage")


@pytest.fixture(params=[0xFF, 0x00], ids=["erased-ff", "erased-00"])
def bench(bench: object, request: pytest.FixtureRequest) -> object:
    small = bench.with_config(slot_size_bytes=8 * 4096, erased_value=request.param)
    return type(bench)(small.config, encrypted=True)


def damage(device: Device, offset: int) -> None:
    """Change a bit of the primary slot, as decay or an intruder would."""
    device.flash._cells[device.area("primary").partition.offset + offset] ^= 0x10


def offsets(image: bytes) -> dict[str, int]:
    parsed = parse_image(image)
    wrapping = parsed.find(TlvType.ENCEC256)
    assert wrapping is not None
    start = wrapping.offset + 4
    return {
        "point": start + 40,
        "mac": start + 80,
        "key": start + 110,
        "area": parsed.payload_end,  # the TLV area's magic: the image has no end then
        "payload": parsed.header.header_size + 900,
    }


def leaks(device: Device, clear: bytes) -> bool:
    """Whether any of an image's payload can be read in the secondary slot, as it is or by a constant key."""
    parsed = parse_image(clear)
    first = parsed.header.header_size
    content = device.area("secondary").read(first, parsed.header.image_size)
    views = [content] + [ctr_crypt(bytes([value]) * 32, content) for value in (0x00, 0xFF)]
    blocks = {parsed.payload[at : at + 16] for at in range(0, len(parsed.payload) - 16, 16)}
    return any(view[at : at + 16] in blocks for view in views for at in range(0, len(view) - 16, 16))


@pytest.mark.parametrize("part", ["point", "mac", "key"])
def test_an_image_with_a_damaged_wrapping_does_not_boot(bench: object, part: str) -> None:
    image = bench.image("1.1.0", 5 * KIB)
    device = bench.device(image)
    assert boot(device).version is not None
    damage(device, offsets(bench.clear(image))[part])
    assert boot(device).reason is Reason.NO_VALID_IMAGE
    assert any(Reason.DECRYPTION_FAILED in step.detail for step in device.journal)


def test_every_boot_of_an_encrypted_image_pays_for_unwrapping_its_key(bench: object) -> None:
    image = bench.image("1.1.0", 5 * KIB)
    with_key, without = bench.device(image), bench.device(image)
    without.decryption_key = None
    boot(with_key)
    boot(without)
    before = with_key.meter.compute_nj
    with_key.meter.unwrap("ecies-p256")
    assert with_key.meter.compute_nj - before == before - without.meter.compute_nj > 0


@pytest.mark.parametrize("part", ["point", "mac", "key", "area", "payload"])
def test_a_candidate_takes_the_place_of_a_damaged_image_of_which_nothing_leaks(
    bench: object, staged: object, part: str
) -> None:
    old, new = bench.image("1.1.0", 6 * KIB), bench.image("1.2.0", 5 * KIB)
    device = bench.device(old)
    damage(device, offsets(bench.clear(old))[part])
    staged(device, new)
    tried = boot(device)
    assert (str(tried.version), tried.trial, tried.swap) == ("1.2.0", True, Swap.TEST)
    assert not leaks(device, bench.clear(old))
    stays = boot(device)
    assert (str(stays.version), stays.trial) == ("1.2.0", False), "there is no way back to a damaged image"
    staged(device, bench.image("1.3.0", 6 * KIB))
    assert str(boot(device).version) == "1.3.0"
    confirm(device)
    assert str(boot(device).version) == "1.3.0"


@pytest.mark.parametrize("tear", TEARS)
def test_no_cut_while_a_damaged_image_is_replaced_bricks_or_leaks(
    bench: object, staged: object, tear: str
) -> None:
    old = bench.image("1.1.0", 6 * KIB)
    device = bench.device(old)
    damage(device, offsets(bench.clear(old))["mac"])
    staged(device, bench.image("1.2.0", 5 * KIB))
    start, before = device.snapshot(), device.flash.ops
    boot(device)
    ops = device.flash.ops - before
    for op in range(1, ops + 1):
        device.restore(start)
        device.flash.arm_cut(op, tear, seed=op)
        with pytest.raises(PowerCut):
            boot(device)
        device.flash.power_on()
        assert not leaks(device, bench.clear(old))
        assert str(boot(device).version) == "1.2.0", op
        assert not leaks(device, bench.clear(old))
    assert ops > 30


def test_a_candidate_whose_content_key_reads_as_erased_is_refused_before_anything_moves(
    bench: object, staged: object, sign_encrypted: object
) -> None:
    """Anybody may wrap a content key for the device; this one could not be kept for the swap."""
    old = bench.image("1.1.0", 5 * KIB)
    device = bench.device(old)
    staged(device, sign_encrypted("1.2.0", 5 * KIB, bytes([bench.config.erased_value]) * 32))
    refused = boot(device)
    assert (str(refused.version), refused.reason) == ("1.1.0", Reason.DECRYPTION_FAILED)
    assert device.area("primary").read(0, len(old)) == bench.clear(old)
    staged(device, bench.image("1.3.0", 5 * KIB))
    assert str(boot(device).version) == "1.3.0"


def test_a_swap_whose_trailer_has_lost_the_new_key_stops_and_overwrites_no_image(
    bench: object, staged: object
) -> None:
    new = bench.image("1.2.0", 5 * KIB)
    device = bench.device(bench.image("1.1.0", 5 * KIB))
    staged(device, new)
    trailer = trailer_of(device, "primary")
    device.flash.arm_cut(3 + trailer.map.sectors * 2 + 20, "none")
    with pytest.raises(PowerCut):
        boot(device)
    device.flash.power_on()
    assert trailer.status_units() > 0
    lost = device.area("primary").partition.offset + trailer.map.key(1)
    device.flash._cells[lost : lost + 32] = bytes([bench.config.erased_value]) * 32
    assert boot(device).reason is Reason.NO_VALID_IMAGE
    assert device.area("secondary").read(0, len(new)) == new
