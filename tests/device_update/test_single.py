"""`simlib device update`: one device, two files, and what comes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from simlib.delta import codec_names, codec_traits
from simlib.device.single import UpdateOptions, UpdateResult, partition_table, update_once
from simlib.draws import Stream
from simlib.errors import InputError, Reason, Refused
from simlib.firmware.image import TlvType, pad_to_slot, parse_image
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
@pytest.mark.parametrize("payload", ["full", "delta", "compressed"])
def test_raw_binaries_are_signed_on_the_way_and_installed(files, payload, encrypted) -> None:
    options = replace(SMALL, payload=payload, encrypted=encrypted)
    result = update_once(*files, options)
    assert summary(result) == ("1.1.0", Outcome.UPDATED, Reason.NONE)
    assert files[1].read_bytes() in partition(result, "primary")
    assert (files[0].read_bytes() in partition(result, "secondary")) is not encrypted
    assert {p.name for p in result.partitions} == {"primary", "secondary"} | (
        {"download"} if payload != "full" else set()
    )
    assert result.flash_ops == sum(step.ops for step in result.journal) > 0
    assert result.bytes_written == sum(step.bytes for step in result.journal)
    assert result.time_ms == -(-sum(step.time_ns for step in result.journal) // 10**6)
    assert result.energy_uj == -(-sum(step.energy_nj for step in result.journal) // 10**3)
    assert update_once(*files, options) == result, "the same files give the same bytes"


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("payload", ["full", "delta", "compressed"])
def test_signed_images_are_installed_as_they_are(signed, payload, padded) -> None:
    images = [path.read_bytes() for path in signed]
    if padded:
        for path, image in zip(signed, images, strict=True):
            path.write_bytes(pad_to_slot(image, 16_384, write_size=4, confirm=False))
    result = update_once(*signed, replace(SMALL, payload=payload), KEY.public())
    assert summary(result) == ("2.1.0", Outcome.UPDATED, Reason.NONE)
    assert partition(result, "primary").startswith(images[1])
    assert partition(result, "secondary").startswith(images[0])


@pytest.mark.parametrize("codec", codec_names())
def test_every_codec_takes_signed_images_and_raw_binaries(files, signed, codec) -> None:
    """Both are noise, which does not compress: the artefact is made all the same."""
    payload = "delta" if codec_traits(codec).takes_base else "compressed"
    options = replace(SMALL, payload=payload, codec=codec)
    for result in (update_once(*files, options), update_once(*signed, options, KEY.public())):
        assert (result.outcome, result.codec) == (Outcome.UPDATED, codec)
    streamed = update_once(*signed, replace(options, download_size_bytes=0), KEY.public())
    if codec_traits(codec).streams:
        assert summary(streamed) == ("2.1.0", Outcome.UPDATED, Reason.NONE)
        assert partition(streamed, "primary").startswith(signed[1].read_bytes())
    else:
        assert summary(streamed) == ("2.0.0", Outcome.FAILED, Reason.STORAGE_SHORT)


@pytest.mark.parametrize("tear", ["none", "partial", "garbage"])
def test_a_cut_at_any_operation_of_a_streamed_update_leaves_one_of_the_two_running(files, tear) -> None:
    options = replace(SMALL, payload="delta", codec="detools-heatshrink", download_size_bytes=0, tear=tear)
    ops = update_once(*files, options).flash_ops
    ends = {summary(update_once(*files, replace(options, cut_at=op))) for op in range(1, ops + 1, 5)}
    assert ("1.0.0", Outcome.FAILED, Reason.POWER_CUT) in ends
    assert ends <= {
        ("1.0.0", Outcome.FAILED, Reason.POWER_CUT),
        ("1.1.0", Outcome.UPDATED, Reason.NONE),
        ("1.0.0", Outcome.REVERTED, Reason.POWER_CUT),
    }


def test_a_new_image_that_the_key_did_not_sign_is_the_devices_to_refuse(signed) -> None:
    signed[1].write_bytes(sign_image(raw(3_000), Version(3, 0, 0), STRANGER, security_counter=9))
    result = update_once(*signed, SMALL, KEY.public())
    assert summary(result) == ("2.0.0", Outcome.FAILED, Reason.KEY_UNKNOWN)


STRANGER = SigningKey.of(derive_private("ed25519", 4, "test key of a stranger"))


def flipped(old: bytes) -> bytes:
    at = parse_image(old).header.header_size + 100
    return old[:at] + bytes([old[at] ^ 1]) + old[at + 1 :]


def signed_by_a_stranger(old: bytes) -> bytes:
    return sign_image(raw(3_000), Version(2, 0, 0), STRANGER, security_counter=4)


def with_the_hash_of(old: bytes) -> bytes:
    forged = bytearray(sign_image(raw(3_000, 7), Version(9, 0, 0), STRANGER, security_counter=9))
    record, genuine = parse_image(bytes(forged)).find(TlvType.SHA256), parse_image(old).find(TlvType.SHA256)
    forged[record.offset + 4 : record.offset + 36] = genuine.value
    return bytes(forged)


FORGED = [
    (flipped, Reason.HASH_MISMATCH),
    (signed_by_a_stranger, Reason.KEY_UNKNOWN),
    (with_the_hash_of, Reason.HASH_MISMATCH),
]


@pytest.mark.parametrize("payload", ["full", "delta"])
@pytest.mark.parametrize(("forge", "reason"), FORGED)
def test_a_refused_image_that_carries_the_old_ones_hash_does_not_count_as_updated(
    signed, payload, forge, reason
) -> None:
    signed[1].write_bytes(forge(signed[0].read_bytes()))
    result = update_once(*signed, replace(SMALL, payload=payload), KEY.public())
    assert summary(result) == ("2.0.0", Outcome.FAILED, reason)
    assert not any(step.phase == "confirm" for step in result.journal), "nothing was on trial"


@pytest.mark.parametrize(("forge", "reason"), FORGED)
def test_nor_does_it_when_power_is_cut_on_the_way(signed, forge, reason) -> None:
    signed[1].write_bytes(forge(signed[0].read_bytes()))
    ops = update_once(*signed, SMALL, KEY.public()).flash_ops
    for op in (1, ops // 2, ops):
        result = update_once(*signed, replace(SMALL, cut_at=op), KEY.public())
        assert summary(result) == ("2.0.0", Outcome.FAILED, Reason.POWER_CUT)


@pytest.mark.parametrize("layout", ["swap-move", "single-slot"])
def test_the_image_that_runs_already_is_refused_without_an_operation(signed, layout) -> None:
    signed[1].write_bytes(signed[0].read_bytes())
    options = replace(SMALL, layout=layout)
    result = update_once(*signed, options, KEY.public())
    assert summary(result) == ("2.0.0", Outcome.FAILED, Reason.ALREADY_INSTALLED)
    assert result.flash_ops == 0
    with pytest.raises(InputError, match=r"cut-at: found 1, expected none: .*already-installed"):
        update_once(*signed, replace(options, cut_at=1), KEY.public())


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


@pytest.mark.parametrize("grows", [False, True], ids=["as large", "larger"])
@pytest.mark.parametrize("layout", ["swap-move", "single-slot"])
@pytest.mark.parametrize("sector", [512, 4096])
def test_the_slot_is_the_smallest_that_carries_both(tmp_path: Path, layout, sector, grows) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(raw(9_000))
    new.write_bytes(raw(9_000 + (sector if grows else 0), 9))
    options = UpdateOptions(layout=layout, sector_size_bytes=sector)
    slot = next(p for p in update_once(old, new, options).partitions if p.name == "primary").size
    assert summary(update_once(old, new, replace(options, slot_size_bytes=slot)))[1] is Outcome.UPDATED
    smaller = replace(options, slot_size_bytes=slot - sector)
    if not grows:
        with pytest.raises(InputError, match=f"slot-size: found {slot - sector} for an old image of"):
            update_once(old, new, smaller)
    elif layout == "swap-move":
        result = update_once(old, new, smaller)
        assert summary(result) == ("1.0.0", Outcome.FAILED, Reason.STORAGE_SHORT)
    else:
        result = update_once(old, new, smaller)
        assert summary(result) == (None, Outcome.BRICKED, Reason.NO_VALID_IMAGE)
        assert any("out-of-partition" in step.detail for step in result.journal)


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
        ({"codec": "bsdiff4"}, "codec: found 'bsdiff4' with a full image"),
        ({"payload": "delta", "codec": "full-lzma"}, "codec: found 'full-lzma' with payload delta"),
        ({"payload": "compressed", "codec": "bsdiff4"}, "codec: found 'bsdiff4' with payload compressed"),
        ({"payload": "delta", "codec": "bsdiff5"}, "codec: found 'bsdiff5'"),
        ({"payload": "compressed", "layout": "single-slot"}, "takes patches"),
        ({"payload": "delta", "download_size_bytes": 100}, "download_size"),
        ({"payload": "delta", "layout": "single-slot"}, "takes patches"),
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
    with pytest.raises(Refused, match=r"old\.img") as refused:
        update_once(*signed, SMALL, STRANGER.public())
    assert refused.value.reason is Reason.KEY_UNKNOWN
    key = DecryptionKey.of(derive_private("ecies-p256", 4, "test key of a device"))
    signed[1].write_bytes(sign_image(raw(3_000), Version(3, 0, 0), KEY, encrypt_to=key.public()))
    with pytest.raises(InputError, match="in the clear"):
        update_once(*signed, SMALL, KEY.public())
