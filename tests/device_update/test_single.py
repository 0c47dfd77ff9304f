"""`simlib device update`: one device, two files, and what comes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from simlib.device.single import UpdateOptions, UpdateResult, partition_table, update_once
from simlib.draws import Stream
from simlib.errors import InputError, Reason, Refused
from simlib.firmware.image import pad_to_slot
from simlib.firmware.version import Version
from simlib.outcomes import Outcome
from simlib.security.keys import DecryptionKey, SigningKey, derive_private
from simlib.security.signing import sign_image

SMALL = UpdateOptions(sector_size_bytes=512)
KEY = SigningKey.of(derive_private("ed25519", 3, "test key of the images"))


def raw(size: int, changed: int = 0) -> bytes:
    data = bytearray(Stream(5, 6).block(size // 4 + 1).astype("<u4").tobytes()[:size])
    for n in range(changed):
        data[n * 331 % size] ^= 0xA5
    return bytes(data)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "old.bin", tmp_path / "new.bin"
    old.write_bytes(raw(3_000))
    new.write_bytes(raw(3_400, 9))
    return old, new


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "old.img", tmp_path / "new.img"
    for n, path in enumerate(paths):
        image = sign_image(raw(3_000 + 400 * n, n), Version(2, n, 0), KEY, security_counter=4 + n)
        path.write_bytes(image)
    return paths


def summary(result: UpdateResult) -> tuple[str | None, Outcome, Reason]:
    return result.booted_version, result.outcome, result.reason


def partition(result: UpdateResult, name: str) -> bytes:
    found = next(p for p in result.partitions if p.name == name)
    return result.flash[found.offset : found.offset + found.size]


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("payload", ["full", "delta"])
def test_raw_binaries_are_signed_on_the_way_and_installed(files, payload, encrypted) -> None:
    options = replace(SMALL, payload=payload, encrypted=encrypted)
    result = update_once(*files, options)
    assert summary(result) == ("1.1.0", Outcome.UPDATED, Reason.NONE)
    assert files[1].read_bytes() in partition(result, "primary")
    assert (files[0].read_bytes() in partition(result, "secondary")) is not encrypted
    assert {p.name for p in result.partitions} == {"primary", "secondary"} | (
        {"download"} if payload == "delta" else set()
    )
    assert result.flash_ops == sum(step.ops for step in result.journal) > 0
    assert result.bytes_written == sum(step.bytes for step in result.journal)
    assert result.time_ms == -(-sum(step.time_ns for step in result.journal) // 10**6)
    assert result.energy_uj == -(-sum(step.energy_nj for step in result.journal) // 10**3)
    assert update_once(*files, options) == result, "the same files give the same bytes"


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("payload", ["full", "delta"])
def test_signed_images_are_installed_as_they_are(signed, payload, padded) -> None:
    images = [path.read_bytes() for path in signed]
    if padded:
        for path, image in zip(signed, images, strict=True):
            path.write_bytes(pad_to_slot(image, 16_384, write_size=4, confirm=False))
    result = update_once(*signed, replace(SMALL, payload=payload), KEY.public())
    assert summary(result) == ("2.1.0", Outcome.UPDATED, Reason.NONE)
    assert partition(result, "primary").startswith(images[1])
    assert partition(result, "secondary").startswith(images[0])


def test_a_new_image_that_the_key_did_not_sign_is_the_devices_to_refuse(signed) -> None:
    stranger = SigningKey.of(derive_private("ed25519", 4, "test key of a stranger"))
    signed[1].write_bytes(sign_image(raw(3_000), Version(3, 0, 0), stranger, security_counter=9))
    result = update_once(*signed, SMALL, KEY.public())
    assert summary(result) == ("2.0.0", Outcome.FAILED, Reason.KEY_UNKNOWN)


def test_a_new_image_with_a_lower_security_counter_is_refused(signed) -> None:
    signed[1].write_bytes(sign_image(raw(3_000), Version(3, 0, 0), KEY, security_counter=3))
    result = update_once(*signed, SMALL, KEY.public())
    assert summary(result) == ("2.0.0", Outcome.FAILED, Reason.SECURITY_COUNTER_LOW)


def test_an_image_past_the_only_slot_bricks_and_a_smaller_one_does_not(tmp_path: Path) -> None:
    old, new, less = (tmp_path / name for name in ("old", "new", "less"))
    old.write_bytes(raw(60_000))
    new.write_bytes(raw(70_000))
    less.write_bytes(raw(70_000 * 85 // 100))
    options = UpdateOptions(layout="single-slot", slot_size_bytes=65_536)
    result = update_once(old, new, options)
    assert summary(result) == (None, Outcome.BRICKED, Reason.NO_VALID_IMAGE)
    assert any("out-of-partition" in step.detail for step in result.journal)
    assert summary(update_once(old, less, options)) == ("1.1.0", Outcome.UPDATED, Reason.NONE)
    two_slots = replace(options, layout="swap-move", slot_size_bytes=81_920 - 4_096)
    assert summary(update_once(old, new, two_slots)) == ("1.0.0", Outcome.FAILED, Reason.STORAGE_SHORT)


@pytest.mark.parametrize("tear", ["none", "partial", "garbage"])
def test_a_cut_at_any_operation_leaves_one_of_the_two_running(files, tear) -> None:
    options = replace(SMALL, payload="delta", encrypted=True, tear=tear)
    ops = update_once(*files, options).flash_ops
    ends = Counter()
    for op in range(1, ops + 1, 7 if tear != "none" else 1):
        result = update_once(*files, replace(options, cut_at=op))
        ends[summary(result)] += 1
        assert "power" in [step.phase for step in result.journal]
    assert set(ends) <= {
        ("1.0.0", Outcome.FAILED, Reason.POWER_CUT),
        ("1.1.0", Outcome.UPDATED, Reason.NONE),
        ("1.0.0", Outcome.REVERTED, Reason.POWER_CUT),
    }
    assert len(ends) >= 2, "some cuts come too early for the new image, some do not"


def test_a_cut_before_the_confirmation_reverts(files) -> None:
    ops = update_once(*files, SMALL).flash_ops
    result = update_once(*files, replace(SMALL, cut_at=ops))
    assert summary(result) == ("1.0.0", Outcome.REVERTED, Reason.POWER_CUT)


def test_most_cuts_brick_a_device_with_one_slot(files) -> None:
    options = replace(SMALL, layout="single-slot")
    ops = update_once(*files, options).flash_ops
    ends = [update_once(*files, replace(options, cut_at=op)).outcome for op in range(1, ops + 1)]
    assert ends[0] is Outcome.FAILED
    assert ends.count(Outcome.BRICKED) > len(ends) / 2


@pytest.mark.parametrize("layout", ["swap-move", "single-slot"])
@pytest.mark.parametrize("sector", [512, 4096])
def test_the_slot_is_the_smallest_that_carries_both(files, layout, sector) -> None:
    options = UpdateOptions(layout=layout, sector_size_bytes=sector)
    slot = next(p for p in update_once(*files, options).partitions if p.name == "primary").size
    assert update_once(*files, replace(options, slot_size_bytes=slot)).outcome is Outcome.UPDATED
    if slot > sector:
        smaller = replace(options, slot_size_bytes=slot - sector)
        try:
            outcome = update_once(*files, smaller).outcome
        except InputError as error:
            assert "slot-size" in str(error)
        else:
            assert outcome is not Outcome.UPDATED


def test_the_partition_table_covers_the_dump_without_gaps(files) -> None:
    result = update_once(*files, replace(SMALL, payload="delta"))
    table = partition_table(result.partitions)["partitions"]
    assert [p["name"] for p in table] == ["primary", "secondary", "download"]
    end = 0
    for entry in table:
        assert entry["offset"] == end
        end += int(entry["size"])
    assert end == len(result.flash)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "swap-mov"}, "swap-move"),
        ({"payload": "patch"}, "payload"),
        ({"payload": "delta", "layout": "single-slot"}, "second slot"),
        ({"tear": "half"}, "tear"),
        ({"cut_at": 0}, "cut-at"),
        ({"cut_at": 10**6}, r"expected 1 to \d+"),
        ({"slot_size_bytes": 1_024}, "slot-size"),
        ({"slot_size_bytes": 1_000}, "slot_size"),
        ({"sector_size_bytes": 0}, "sector"),
        ({"sector_size_bytes": -4096}, "sector"),
        ({"write_size_bytes": 3}, "write_size"),
        ({"erased_value": 7}, "erased_value"),
    ],
)
def test_what_does_not_go_together_is_bad_input(files, change, message) -> None:
    with pytest.raises(InputError, match=message):
        update_once(*files, replace(SMALL, **change))


def test_files_that_are_not_what_they_should_be(files, signed, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no key"):
        update_once(*signed, SMALL)
    with pytest.raises(InputError, match="missing"):
        update_once(files[0], tmp_path / "missing", SMALL)
    with pytest.raises(InputError, match="missing"):
        update_once(tmp_path / "missing", signed[1], SMALL, KEY.public())
    with pytest.raises(Refused, match=r"old\.bin"):
        update_once(files[0], signed[1], SMALL, KEY.public())
    with pytest.raises(InputError, match="raw binaries"):
        update_once(*signed, replace(SMALL, encrypted=True), KEY.public())
    stranger = SigningKey.of(derive_private("ed25519", 4, "test key of a stranger")).public()
    with pytest.raises(Refused, match=r"old\.img") as refused:
        update_once(*signed, SMALL, stranger)
    assert refused.value.reason is Reason.KEY_UNKNOWN
    key = DecryptionKey.of(derive_private("ecies-p256", 4, "test key of a device"))
    signed[1].write_bytes(sign_image(raw(3_000), Version(3, 0, 0), KEY, encrypt_to=key.public()))
    with pytest.raises(InputError, match="in the clear"):
        update_once(*signed, SMALL, KEY.public())
