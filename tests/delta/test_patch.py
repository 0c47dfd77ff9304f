"""A patch names its base and its result, and nothing but that result ever comes out."""

from __future__ import annotations

import bz2
import random
import struct
from hashlib import sha256

import bsdiff4
import bsdiff4.core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.delta import (
    MAX_ENVELOPE_BYTES,
    apply_patch,
    codec_names,
    codec_ram_bytes,
    codec_traits,
    compare,
    create_patch,
    default_result_limit,
    read_envelope,
)
from simlib.errors import InputError, Reason, Refused
from tests.amounts import examples

SOURCE = random.Random(11)
OLD = b"".join(SOURCE.choice([b"\x70\x47", b"\x2d\xe9\xf0\x41", SOURCE.randbytes(3)]) for _ in range(1500))
NEW = OLD[:700] + SOURCE.randbytes(90) + OLD[760:2100] + OLD[2090:] + b"build 2"
PATCH = create_patch(OLD, NEW)
HEAD = read_envelope(PATCH).header_size


def reason_of(old, patch, limit=1 << 20):
    with pytest.raises(Refused) as caught:
        apply_patch(old, patch, max_result_bytes=limit)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def reseal(payload, *, old=OLD, new=NEW, size=None):
    """The envelope an attacker writes around a payload of his own: every hash is right."""
    head = struct.pack("<8sHB7s", b"SIMDELTA", 1, 7, b"bsdiff4")
    head += sha256(old).digest() + struct.pack("<Q", len(old))
    head += sha256(new).digest() + struct.pack("<Q", len(new) if size is None else size)
    head += sha256(payload).digest() + struct.pack("<Q", len(payload))
    return head + sha256(head).digest() + payload


def test_the_attackers_envelope_is_the_real_one():
    assert reseal(PATCH[HEAD:]) == PATCH


@settings(max_examples=examples(100), deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300), st.lists(st.integers(0, 600), max_size=6))
def test_any_pair_of_byte_strings_round_trips(old, middle, cuts):
    new = b"".join((old + middle)[cut : cut + 80] for cut in cuts) + middle
    for codec in codec_names():
        patch = create_patch(old, new, codec)
        assert apply_patch(old, patch, max_result_bytes=len(new)) == new


@pytest.mark.parametrize("codec", codec_names())
@pytest.mark.parametrize(("old", "new"), [(b"", b""), (b"", b"new"), (b"old", b""), (b"same", b"same")])
def test_empty_and_equal_images_round_trip(codec, old, new):
    assert apply_patch(old, create_patch(old, new, codec), max_result_bytes=len(new)) == new


@pytest.mark.parametrize("codec", codec_names(takes_base=False))
def test_a_full_image_needs_no_base(codec):
    patch = create_patch(OLD, NEW, codec)
    assert read_envelope(patch).base_size == 0
    assert apply_patch(b"whatever there is", patch, max_result_bytes=len(NEW)) == NEW


def test_the_payload_is_bsdiff4s_own_in_an_envelope_of_at_most_200_bytes():
    payload = bsdiff4.diff(OLD, NEW)
    assert PATCH[HEAD:] == payload
    assert len(PATCH) - len(payload) == HEAD <= MAX_ENVELOPE_BYTES <= 200


def test_the_envelope_names_codec_base_result_and_payload():
    envelope = read_envelope(PATCH)
    assert envelope.codec == "bsdiff4"
    assert (envelope.base_sha256, envelope.base_size) == (sha256(OLD).digest(), len(OLD))
    assert (envelope.result_sha256, envelope.result_size) == (sha256(NEW).digest(), len(NEW))
    assert (envelope.patch_sha256, envelope.patch_size) == (sha256(PATCH[HEAD:]).digest(), len(PATCH) - HEAD)


@pytest.mark.parametrize("base", [b"", NEW, OLD[:-1], OLD + b"\0", bytes([OLD[0] ^ 1]) + OLD[1:]])
def test_the_wrong_base_is_refused(base):
    assert reason_of(base, PATCH) is Reason.WRONG_BASE


def test_the_wrong_base_is_refused_before_the_codec_runs(monkeypatch):
    import simlib.delta.bsdiff4_codec as codec

    monkeypatch.setattr(codec.Bsdiff4, "apply", lambda *_: pytest.fail("the codec ran on the wrong base"))
    assert reason_of(NEW, PATCH) is Reason.WRONG_BASE


def test_a_patch_sealed_for_another_base_gives_no_wrong_result():
    flipped = bytes([OLD[0] ^ 1]) + OLD[1:]
    assert len(bsdiff4.patch(flipped, PATCH[HEAD:])) == len(NEW)  # bsdiff4 itself notices nothing
    assert reason_of(flipped, reseal(PATCH[HEAD:], old=flipped)) is Reason.RESULT_MISMATCH


def test_a_flipped_bit_anywhere_is_refused():
    small = create_patch(OLD[:400], OLD[5:400] + b"x")
    for at in range(len(small)):
        damaged = bytearray(small)
        damaged[at] ^= 1 << (at % 8)
        expected = {Reason.PATCH_DAMAGED}
        if at < 11:  # magic, version and the length of the codec's name
            expected |= {Reason.NOT_A_PATCH, Reason.TRUNCATED}
        assert reason_of(OLD[:400], bytes(damaged)) in expected


def test_a_patch_cut_short_anywhere_is_refused():
    for size in range(len(PATCH)):
        expected = Reason.NOT_A_PATCH if size < 11 else Reason.TRUNCATED
        assert reason_of(OLD, PATCH[:size]) is expected


def test_a_byte_behind_the_patch_is_refused():
    assert reason_of(OLD, PATCH + b"\0") is Reason.TRAILING_BYTES


def test_a_result_larger_than_allowed_is_refused():
    assert apply_patch(OLD, PATCH, max_result_bytes=len(NEW)) == NEW
    assert reason_of(OLD, PATCH, limit=len(NEW) - 1) is Reason.OVERSIZE


@given(st.integers(0, 1 << 40))
def test_the_default_limit_is_twice_the_base_and_at_least_2_mib(base_size):
    limit = default_result_limit(base_size)
    assert limit in (2 * base_size, 2 << 20)
    assert limit >= max(2 * base_size, 2 << 20)


def test_an_unknown_codec_is_refused():
    head = PATCH[:11] + b"bsdiff9" + PATCH[18 : HEAD - 32]
    assert reason_of(OLD, head + sha256(head).digest() + PATCH[HEAD:]) is Reason.CODEC_UNKNOWN
    with pytest.raises(InputError, match=r"'bsdif4'.*nearest: bsdiff4"):
        create_patch(OLD, NEW, "bsdif4")


@pytest.mark.parametrize("name", [b"", b"BSDIFF4", b"bsdiff\0"])
def test_a_codec_name_of_other_characters_is_refused(name):
    head = PATCH[:10] + bytes([len(name)]) + name + PATCH[18 : HEAD - 32]
    assert reason_of(OLD, head + sha256(head).digest() + PATCH[HEAD:]) is Reason.PATCH_DAMAGED


def test_another_format_version_is_not_taken_for_this_one():
    head = PATCH[:8] + b"\2\0" + PATCH[10 : HEAD - 32]
    assert reason_of(OLD, head + sha256(head).digest() + PATCH[HEAD:]) is Reason.NOT_A_PATCH


def test_a_malicious_payload_under_fresh_hashes_is_refused():
    evil = bsdiff4.diff(OLD, NEW[:-7] + b"evil !!")
    assert reason_of(OLD, reseal(evil)) is Reason.RESULT_MISMATCH


def mutants(count):
    """Structure-aware damage: triples, block contents and header fields, each compressed and sealed again."""
    source = random.Random(5)
    control, diff, extra = (bytearray(block) for block in bsdiff4.core.diff(OLD, NEW))
    for number in range(count):
        blocks = [bytearray(control), bytearray(diff), bytearray(extra)]
        sizes = [0, 0, len(NEW)]
        kind = number % 6
        if kind == 0:  # one number of one triple
            at = 8 * source.randrange(len(control) // 8)
            old_value = bsdiff4.core.decode_int64(bytes(control[at : at + 8]))
            value = source.choice([0, -1, old_value + 1, old_value - 1, -old_value, (1 << 63) - 1, 1 << 31])
            blocks[0][at : at + 8] = bsdiff4.core.encode_int64(value)
        elif kind == 1:  # a bit of a triple
            blocks[0][source.randrange(len(control))] ^= 1 << source.randrange(8)
        elif kind == 2:  # a triple dropped, doubled or swapped
            at = 24 * source.randrange(len(control) // 24)
            triple = bytes(control[at : at + 24])
            blocks[0][at : at + 24] = source.choice([b"", triple * 2, triple[::-1]])
        elif kind == 3:  # a byte of the diff or extra block
            block = blocks[source.choice([1, 2])]
            block[source.randrange(len(block))] ^= 1 << source.randrange(8)
        elif kind == 4:  # a block longer or shorter
            block = blocks[source.randrange(3)]
            block[:] = source.choice([block[:-1], block + b"\0", block + bytes(24), b""])
        else:  # a header field
            sizes[source.randrange(3)] += source.choice([-1, 1, -(1 << 40), 1 << 40, 1 << 20])
        packed = [bz2.compress(bytes(block)) for block in blocks]
        fields = (len(packed[0]) + sizes[0], len(packed[1]) + sizes[1], sizes[2])
        yield b"BSDIFF40" + b"".join(bsdiff4.core.encode_int64(value) for value in fields) + b"".join(packed)


def test_structure_aware_mutants_never_give_a_wrong_result():
    refused = unchanged = 0
    for payload in mutants(600):
        try:
            result = apply_patch(OLD, reseal(payload), max_result_bytes=1 << 20)
        except Refused as error:
            assert error.reason in (Reason.PATCH_DAMAGED, Reason.RESULT_MISMATCH)
            refused += 1
        else:
            assert result == NEW  # a number that does not matter, such as the last move
            unchanged += 1
    assert refused > 500
    assert refused + unchanged == 600


@settings(max_examples=examples(150), deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_as_a_patch_or_as_a_sealed_payload_are_refused(data):
    reason_of(OLD, data)
    assert reason_of(OLD, reseal(b"BSDIFF40" + data)) is Reason.PATCH_DAMAGED


def test_compare_gives_each_codec_a_row_with_the_compressed_full_images():
    rows = compare(OLD, NEW)
    assert [row.codec for row in rows] == list(codec_names())
    best = min(len(create_patch(OLD, NEW, codec)) for codec in codec_names(takes_base=False))
    for row in rows:
        assert row.applied
        assert row.patch_bytes == len(create_patch(OLD, NEW, row.codec))
        assert row.full_raw_bytes == len(NEW)
        assert row.full_lzma_bytes < row.full_raw_bytes
        assert row.full_zlib_bytes < row.full_raw_bytes
        assert row.full_best_bytes == best
        assert row.ratio_best_full == row.patch_bytes / best
        if row.takes_base:
            assert row.ratio < row.ratio_best_full < 1
            assert row.ratio < row.ratio_lzma < 1
        else:
            assert row.ratio_best_full >= 1
    assert min(row.ratio_best_full for row in rows if not row.takes_base) == 1


def test_compare_says_of_each_codec_what_it_asks_of_a_device():
    for row in compare(OLD, NEW):
        payload_size = read_envelope(create_patch(OLD, NEW, row.codec)).patch_size
        assert row.ram_bytes == codec_ram_bytes(row.codec, payload_size, len(NEW)) > 0
        traits = codec_traits(row.codec)
        for trait in ("takes_base", "streams", "in_place", "decoder", "effort_percent"):
            assert getattr(row, trait) == getattr(traits, trait)


def test_compare_of_an_empty_image_has_no_shares_of_nothing():
    assert {row.ratio for row in compare(OLD, b"")} == {0.0}


def test_compare_shows_a_codec_whose_patch_does_not_apply(monkeypatch):
    import simlib.delta.bsdiff4_codec as codec

    monkeypatch.setattr(codec.Bsdiff4, "apply", lambda *_: bytes(len(NEW)))
    assert [row.codec for row in compare(OLD, NEW) if not row.applied] == ["bsdiff4"]


def test_a_codec_that_a_manifest_makes_up_is_refused_when_asked_what_it_takes():
    """A malicious publisher signs any name; a device that asks must not fail for another reason."""
    assert codec_ram_bytes("bsdiff4", 1_000, 2_000) > 0
    with pytest.raises(Refused, match="codec: found 'made-up', expected one of bsdiff4") as caught:
        codec_ram_bytes("made-up", 1_000, 2_000)
    assert caught.value.reason is Reason.CODEC_UNKNOWN
