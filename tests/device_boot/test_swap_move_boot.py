"""The life of an update under swap-move: trial, confirmation, revert, permanence, refusal, cost."""

from __future__ import annotations

import hashlib

import pytest

from simlib.device import Device, layouts
from simlib.device.bootloader import Boot, Swap, boot, confirm, request_trial
from simlib.device.bootloader.swap import trailer_of
from simlib.device.device import Step
from simlib.errors import Reason
from simlib.firmware.trailer import WRITE_SIZES

KIB = 1024


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def bench(bench: object, request: pytest.FixtureRequest) -> object:
    return type(bench)(bench.config, request.param)


def versions(*boots: Boot) -> list[str]:
    return [f"{b.version} {b.swap}{' trial' if b.trial else ''}" for b in boots]


def predicted_ops(device: Device, size: int, *, permanent: bool = False, keys: int = 0) -> int:
    """Erases and write calls of one swap of `size` bytes, from the steps that `swap` documents."""
    config = device.config
    sectors = -(-size // config.sector_size_bytes)
    step = 1 + -(-config.sector_size_bytes // 1024) + 1
    trailer = trailer_of(device, "primary").map.sectors
    start = trailer + 3 + keys + (1 if permanent else 0) + trailer
    return start + 3 * sectors * step + 1


def test_a_trial_that_is_confirmed_stays(bench: object, staged: object) -> None:
    old, new = bench.image("1.1.0", 20 * KIB), bench.image("1.2.0", 30 * KIB)
    device = bench.device(old)
    assert versions(boot(device)) == ["1.1.0 none"]
    staged(device, new)
    first = boot(device)
    confirm(device)
    assert versions(first, boot(device), boot(device)) == ["1.2.0 test trial", "1.2.0 none", "1.2.0 none"]
    assert first.reason is Reason.NONE
    assert first.image_sha256 == hashlib.sha256(bench.clear(new)).digest()
    assert device.area("primary").read(0, len(new)) == bench.clear(new)
    assert device.area("secondary").read(0, len(old)) == old  # as shipped: encrypted again on its way out


def test_a_trial_that_is_not_confirmed_is_reverted_and_stays_reverted(bench: object, staged: object) -> None:
    old, new = bench.image("1.1.0", 30 * KIB), bench.image("1.2.0", 20 * KIB)
    device = bench.device(old)
    staged(device, new)
    assert versions(*(boot(device) for _ in range(4))) == [
        "1.2.0 test trial",
        "1.1.0 revert",
        "1.1.0 none",
        "1.1.0 none",
    ]
    assert device.area("primary").read(0, len(old)) == bench.clear(old)
    assert device.area("secondary").read(0, len(new)) == new


def test_a_permanent_update_has_no_trial(bench: object, staged: object) -> None:
    device = bench.device(bench.image("1.1.0", 8 * KIB))
    staged(device, bench.image("1.2.0", 8 * KIB), permanent=True)
    assert versions(boot(device), boot(device)) == ["1.2.0 permanent", "1.2.0 none"]


def test_updates_follow_one_another(bench: object, staged: object) -> None:
    device = bench.device(bench.image("1.1.0", 8 * KIB))
    for number in range(2, 6):
        staged(device, bench.image(f"1.{number}.0", number * 5 * KIB))
        assert versions(boot(device)) == [f"1.{number}.0 test trial"]
        confirm(device)
        assert versions(boot(device)) == [f"1.{number}.0 none"]


def test_an_encrypted_update_replaces_a_plain_image_and_the_revert_brings_it_back(
    bench: object, staged: object
) -> None:
    plain, encrypted = type(bench)(bench.config, False), type(bench)(bench.config, True)
    old, new = plain.image("1.1.0", 9 * KIB), encrypted.image("1.2.0", 17 * KIB)
    device = encrypted.device(encrypted.image("1.0.0", KIB))
    primary = device.area("primary")
    primary.erase_all()
    primary.write_bytes(0, old)
    staged(device, new)
    assert versions(boot(device), boot(device)) == ["1.2.0 test trial", "1.1.0 revert"]
    assert primary.read(0, len(old)) == old
    assert device.area("secondary").read(0, len(new)) == new


@pytest.mark.parametrize("bench", [True], ids=["encrypted"], indirect=True)
def test_no_plaintext_of_an_encrypted_image_ever_reaches_the_secondary_slot(
    bench: object, staged: object
) -> None:
    old, new = bench.image("1.1.0", 12 * KIB), bench.image("1.2.0", 12 * KIB)
    device = bench.device(old)
    seen: set[bytes] = set()
    erase = device.flash.erase

    def look() -> None:
        slot = device.area("secondary")
        content = slot.read(0, slot.size)
        seen.update(content[at : at + 64] for at in range(0, 12 * KIB, 64))

    def watched(offset: int) -> None:
        look()
        erase(offset)

    device.flash.erase = watched
    staged(device, new)
    boot(device)
    boot(device)
    look()
    shown = {bench.clear(image)[at : at + 64] for image in (old, new) for at in range(64, 12 * KIB, 64)}
    assert len(seen) > 300
    assert not seen & shown


@pytest.mark.parametrize("write_size", WRITE_SIZES)
@pytest.mark.parametrize("erased", [0x00, 0xFF])
def test_every_write_size_and_erased_value_swaps_and_reverts_with_the_predicted_operations(
    bench: object, staged: object, write_size: int, erased: int
) -> None:
    bench = bench.with_config(write_size_bytes=write_size, erased_value=erased)
    old, new = bench.image("1.1.0", 9000), bench.image("1.2.0", 5000)
    device = bench.device(old)
    staged(device, new)
    keys = 2 if bench.encrypted else 0
    size = max(len(old), len(new))
    before = device.flash.ops
    assert versions(boot(device)) == ["1.2.0 test trial"]
    assert device.flash.ops - before == predicted_ops(device, size, keys=keys)
    before = device.flash.ops
    assert versions(boot(device)) == ["1.1.0 revert"]
    fixup = trailer_of(device, "primary").map.sectors + 2
    assert device.flash.ops - before == predicted_ops(device, size, permanent=True, keys=keys) + fixup
    before = device.flash.ops
    boot(device)
    assert device.flash.ops == before


@pytest.mark.parametrize(("sector", "image"), [(512, 40 * KIB), (1024, 20 * KIB), (8192, 30 * KIB)])
def test_other_sector_sizes_swap_and_revert(bench: object, staged: object, sector: int, image: int) -> None:
    bench = bench.with_config(sector_size_bytes=sector)
    device = bench.device(bench.image("1.1.0", image))
    staged(device, bench.image("1.2.0", 3000))
    assert versions(boot(device), boot(device)) == ["1.2.0 test trial", "1.1.0 revert"]


def test_the_wear_of_a_swap_is_two_erases_in_the_primary_and_one_in_the_secondary(
    bench: object, staged: object
) -> None:
    device = bench.device(bench.image("1.1.0", 39 * KIB))
    staged(device, bench.image("1.2.0", 39 * KIB))
    wear = list(device.flash.wear)
    boot(device)
    added = [now - then for now, then in zip(device.flash.wear, wear, strict=True)]
    # Ten sectors of image, the gap above them once, the trailer once in each slot.
    assert added[:16] == [1] + [2] * 9 + [1] + [0] * 4 + [1]
    assert added[16:] == [1] * 10 + [0] * 5 + [1]


def test_the_largest_image_is_taken_and_one_larger_is_refused(bench: object, staged: object) -> None:
    device = bench.device(bench.image("1.1.0", 3000))
    limit = layouts.max_image_bytes(bench.config, encrypted=bench.encrypted)
    overhead = len(bench.image("1.2.0", 8 * KIB)) - 8 * KIB
    # A signature's length varies by a few bytes and an encrypted payload is padded to whole blocks.
    sizes = range(limit - overhead - 24, limit - overhead + 25)
    fits = max((i for n in sizes if len(i := bench.image("1.2.0", n)) <= limit), key=len)
    over = min((i for n in sizes if len(i := bench.image("1.3.0", n)) > limit), key=len)
    assert bench.encrypted or (len(fits), len(over)) == (limit, limit + 1)
    staged(device, fits)
    largest = boot(device)
    confirm(device)
    assert versions(largest) == ["1.2.0 test trial"]
    staged(device, over)
    refused = boot(device)
    assert (versions(refused), refused.reason) == (["1.2.0 none"], Reason.OVERSIZE)


def bad_candidates(bench: object, stranger: object) -> dict[str, tuple[bytes, set[Reason]]]:
    good = bench.image("1.2.0", 9000)
    flipped = bytearray(good)
    flipped[5000] ^= 4
    signature = bytearray(good)
    signature[-20] ^= 1
    return {
        "payload bit": (bytes(flipped), {Reason.HASH_MISMATCH}),
        "end bit": (bytes(signature), {Reason.SIGNATURE_INVALID, Reason.DECRYPTION_FAILED}),
        "stranger": (bench.image("1.2.0", 9000, signer=stranger), {Reason.KEY_UNKNOWN}),
        "counter": (bench.image("1.2.0", 9000, counter=4), {Reason.SECURITY_COUNTER_LOW}),
        "no counter": (bench.image("1.2.0", 9000, counter=None), {Reason.SECURITY_COUNTER_MISSING}),
        "cut short": (good[:6000], {Reason.TLV_INVALID, Reason.TRUNCATED}),
        "nothing": (b"", {Reason.NOT_AN_IMAGE}),
    }


BAD = ["payload bit", "end bit", "stranger", "counter", "no counter", "cut short", "nothing"]


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_candidate_is_erased_and_never_swapped_and_the_device_can_update_afterwards(
    bench: object, staged: object, stranger: object, name: str
) -> None:
    candidate, reasons = bad_candidates(bench, stranger)[name]
    device = bench.device(bench.image("1.1.0", 9000, counter=5), security_counter=5)
    primary, secondary = device.area("primary"), device.area("secondary")
    image_area = primary.size - 4096
    before = primary.read(0, image_area)
    staged(device, candidate)
    refused = boot(device)
    assert versions(refused) == ["1.1.0 none"]
    assert refused.reason in reasons
    assert any(str(refused.reason) in step.detail for step in device.journal)
    assert primary.read(0, image_area) == before
    assert secondary.is_erased(0, secondary.size)
    assert trailer_of(device, "primary").state().image_ok
    again = boot(device)
    assert (versions(again), again.reason) == (["1.1.0 none"], Reason.NONE)
    staged(device, bench.image("1.3.0", 9000, counter=5))
    assert versions(boot(device)) == ["1.3.0 test trial"]


def test_a_revert_to_a_spoilt_image_is_refused_and_the_trial_image_stays(
    bench: object, staged: object
) -> None:
    old = bench.image("1.1.0", 9000)
    device = bench.device(old)
    staged(device, bench.image("1.2.0", 9000))
    boot(device)
    area = device.area("secondary")
    area.erase(4096)
    stays = boot(device)
    assert versions(stays, boot(device)) == ["1.2.0 none", "1.2.0 none"]
    assert stays.reason is Reason.HASH_MISMATCH


def test_the_primary_is_checked_at_every_boot(bench: object) -> None:
    device = bench.device(bench.image("1.1.0", 9000))
    assert versions(boot(device)) == ["1.1.0 none"]
    device.area("primary").erase(4096)
    dead = boot(device)
    assert dead == Boot(None, None, False, Swap.NONE, Reason.NO_VALID_IMAGE)
    assert any(Reason.HASH_MISMATCH in step.detail for step in device.journal)


def test_a_primary_below_the_security_counter_does_not_boot(bench: object) -> None:
    device = bench.device(bench.image("1.1.0", 9000, counter=3), security_counter=4)
    assert boot(device).reason is Reason.NO_VALID_IMAGE


def test_a_valid_candidate_replaces_a_primary_that_does_not_boot(bench: object, staged: object) -> None:
    device = bench.device(bench.image("1.1.0", 9000))
    device.area("primary").erase(0)
    staged(device, bench.image("1.2.0", 9000))
    assert versions(boot(device)) == ["1.2.0 test trial"]


def test_the_security_counter_rises_only_once_the_image_is_confirmed(bench: object, staged: object) -> None:
    device = bench.device(bench.image("1.1.0", 9000, counter=1))
    staged(device, bench.image("1.2.0", 9000, counter=7))
    boot(device)
    assert device.security_counter == 1
    assert versions(boot(device)) == ["1.1.0 revert"]
    staged(device, bench.image("1.2.0", 9000, counter=7))
    boot(device)
    confirm(device)
    assert device.security_counter == 1
    boot(device)
    assert device.security_counter == 7
    staged(device, bench.image("1.1.0", 9000, counter=1))
    assert boot(device).reason is Reason.SECURITY_COUNTER_LOW


def test_confirming_without_a_trial_writes_nothing(bench: object) -> None:
    device = bench.device(bench.image("1.1.0", 9000))
    confirm(device)
    assert device.flash.ops == 0


def test_a_request_left_torn_does_not_turn_a_trial_into_a_permanent_update(
    bench: object, put: object
) -> None:
    device = bench.device(bench.image("1.1.0", 9000))
    put(device, bench.image("1.2.0", 9000))
    trailer_of(device, "secondary").write_image_ok()
    request_trial(device)
    assert versions(boot(device)) == ["1.2.0 test trial"]


def test_the_journal_adds_up_to_the_meter_with_what_was_computed(bench: object, staged: object) -> None:
    device = bench.device(bench.image("1.1.0", 9000))
    boot(device)
    assert device.flash.ops == 0
    plain = device.meter.time_ns
    assert plain > 0
    start = len(device.journal)
    ops, written = device.flash.ops, device.flash.bytes_written
    staged(device, bench.image("1.2.0", 9000))
    ops, written, time_ns = device.flash.ops - ops, device.flash.bytes_written - written, device.meter.time_ns
    request = device.journal[start]
    boot(device)
    steps = device.journal[start + 1 :]
    assert request.ops == 1
    assert sum(step.time_ns for step in steps) == device.meter.time_ns - time_ns
    assert sum(step.ops for step in steps) == device.flash.ops - ops
    assert sum(step.bytes for step in steps) == device.flash.bytes_written - written
    checks = {step.detail.split()[0]: step for step in steps if step.phase == "check"}
    assert set(checks) == {"primary", "secondary"}
    dearer = checks["secondary"].time_ns - checks["primary"].time_ns
    assert dearer > 0 if bench.encrypted else dearer == 0
    assert all(isinstance(step, Step) and step.energy_nj >= 0 for step in steps)


def test_the_state_is_the_content_and_the_counter_and_not_the_wear(bench: object) -> None:
    image = bench.image("1.1.0", 9000)
    one, other = bench.device(image), bench.device(image)
    assert one.state_id() == other.state_id()
    other.area("secondary").erase_all()
    assert one.state_id() == other.state_id()
    state = one.snapshot()
    one.area("secondary").write_bytes(0, b"\x00")
    assert one.state_id() != other.state_id()
    one.restore(state)
    assert one.state_id() == other.state_id()
    one.counter_register += 1
    assert one.state_id() != other.state_id()


def test_restoring_a_snapshot_replays_the_same_run(bench: object, staged: object) -> None:
    device = bench.device(bench.image("1.1.0", 9000))
    state = device.snapshot()
    runs = []
    for _ in range(2):
        device.restore(state)
        staged(device, bench.image("1.2.0", 9000))
        boot(device)
        runs.append((device.snapshot(), device.state_id()))
    assert runs[0] == runs[1]


def test_a_slot_without_room_for_gap_and_trailer_boots_no_image(bench: object) -> None:
    device = bench.with_config(slot_size_bytes=2 * 4096).device(bench.image("1.1.0", 2000))
    assert boot(device).reason is Reason.NO_VALID_IMAGE
    assert any(Reason.OVERSIZE in step.detail for step in device.journal)
