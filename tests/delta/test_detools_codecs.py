"""detools and heatshrink: what the libraries write is read back as they read it, and nothing else."""

from __future__ import annotations

import io
import itertools
import lzma
import random
from functools import cache

import detools
import numpy as np
import pytest
from heatshrink2 import core
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.delta import apply_patch, patch_pieces
from simlib.delta.detools_codec import DETOOLS, SEGMENT_BYTES
from simlib.delta.envelope import seal
from simlib.delta.portions import LZMA_DICTIONARY_BYTES, LZMA_HEADER
from simlib.delta.registry import CODECS
from simlib.errors import Reason, Refused
from simlib.firmware.synthetic import synthetic_chain
from tests.amounts import examples

KIB, MIB = 1 << 10, 1 << 20
PATCHES = tuple(codec.name for codec in DETOOLS)
NAMES = (*PATCHES, "full-heatshrink")
each_codec = pytest.mark.parametrize("name", NAMES)
each_patch = pytest.mark.parametrize("name", PATCHES)


def base_of(name, old):
    return old if CODECS[name].traits.takes_base else b""


def library_reads(name, old, payload):
    """What the library that wrote a payload makes of it."""
    if name == "full-heatshrink":
        decoder = core.Encoder(core.Reader(window_sz2=11, lookahead_sz2=4))
        return bytes(decoder.fill(payload)) + bytes(decoder.finish())
    if not CODECS[name].in_place:
        out = io.BytesIO()
        detools.apply_patch(io.BytesIO(old), io.BytesIO(payload), out)
        return out.getvalue()
    memory = io.BytesIO(old + bytes(len(old) + 40 * len(payload) + 3 * MIB))
    size = detools.apply_patch_in_place(memory, io.BytesIO(payload))
    return memory.getvalue()[:size]


def made_by(recipe, old):
    base = np.frombuffer(old, dtype=np.uint8)
    made = recipe.values.copy()
    made[recipe.sources >= 0] += base[recipe.sources[recipe.sources >= 0]]
    return made.tobytes()


def check_whole(name, old, new):
    """Everything that a codec can do with an honest payload gives `new`."""
    codec, base = CODECS[name], base_of(name, old)
    payload = codec.diff(base, new)
    assert codec.apply(base, payload, len(new)) == new
    assert library_reads(name, base, payload) == new
    assert b"".join(codec.pieces(base, payload, len(new))) == new
    if codec.traits.in_place:
        assert made_by(codec.recipe(len(base), payload, len(new)), base) == new
    else:
        with pytest.raises(NotImplementedError):
            codec.recipe(len(base), payload, len(new))


@st.composite
def related_bytes(draw):
    """Two byte strings, the second made of pieces of the first, short alphabets included."""
    alphabet = draw(st.sampled_from([1, 2, 3, 256]))
    some = st.lists(st.integers(0, alphabet - 1), max_size=200).map(bytes)
    old = draw(some)
    new = b""
    for _ in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, len(old)))
        new += old[start : start + draw(st.integers(0, 60))] + draw(some)[: draw(st.integers(0, 4))]
    return old, draw(st.sampled_from([new, old + new, new + old, old[::-1], old, b""]))


@each_codec
@settings(max_examples=examples(120), deadline=None)
@given(pair=related_bytes())
def test_what_a_library_writes_is_read_back_as_the_library_reads_it(name, pair):
    check_whole(name, *pair)


@cache
def firmwares():
    return synthetic_chain(5, [64 * KIB, 65 * KIB, 66 * KIB], ("minor", "toolchain"))


@each_codec
def test_firmware_is_read_back(name):
    for old, new in (*itertools.pairwise(firmwares()), firmwares()[::-2]):
        check_whole(name, old, new)


@each_codec
@pytest.mark.parametrize(
    "new",
    [bytes(MIB), b"ab" * (MIB // 2), random.Random(3).randbytes(300_000)],
    ids=["zeros", "pairs", "noise"],
)
def test_long_matches_and_no_matches_are_read_back(name, new):
    if name == "detools-in-place-crle" or name == "detools-crle":
        new = new[:60_000]  # the library's own encoder takes time that grows with the square
    codec = CODECS[name]
    assert codec.apply(b"", codec.diff(b"", new), len(new)) == new


def verdict(name, payload, old, new):
    """Why a payload under fresh hashes is refused; NONE where it gives `new` all the same."""
    base = base_of(name, old)
    try:
        result = apply_patch(base, seal(name, base, new, payload), max_result_bytes=len(new))
    except Refused as refusal:
        assert "\n" not in str(refusal)
        return refusal.reason
    assert result == new
    return Reason.NONE


REFUSALS = {Reason.PATCH_DAMAGED, Reason.RESULT_MISMATCH}


@each_codec
def test_a_flipped_bit_under_fresh_hashes_gives_no_wrong_result(name):
    old, new = firmwares()[0][: 9 * KIB], firmwares()[1][: 8 * KIB]
    payload = CODECS[name].diff(base_of(name, old), new)
    source = random.Random(7)
    found = []
    for at in [*range(40), *(source.randrange(len(payload)) for _ in range(160))]:
        damaged = bytearray(payload)
        damaged[at] ^= 1 << source.randrange(8)
        found.append(verdict(name, bytes(damaged), old, new))
    assert set(found) <= {*REFUSALS, Reason.NONE}
    assert found.count(Reason.NONE) < 20
    assert sum(found.count(reason) for reason in REFUSALS) > 150


@each_patch
def test_a_base_swapped_under_fresh_hashes_gives_no_wrong_result(name):
    old, new = firmwares()[:2]
    payload = CODECS[name].diff(old, new)
    for base in (old[::-1], new, bytes(len(old)), b""):
        assert verdict(name, payload, base, new) in REFUSALS
    for base in (bytes([old[0] ^ 1]) + old[1:], old[:-1]):
        verdict(name, payload, base, new)  # refused, or right where the byte is not needed


@each_codec
def test_a_payload_cut_short_is_damaged(name):
    old, new = firmwares()[0][: 9 * KIB], firmwares()[1][: 8 * KIB]
    payload = CODECS[name].diff(base_of(name, old), new)
    for size in [*range(64), *range(64, len(payload) - 20, 37)]:
        assert verdict(name, payload[:size], old, new) is Reason.PATCH_DAMAGED
    # The last bytes may be the move behind the last part, or the rest of a code that says nothing more.
    for size in range(len(payload) - 20, len(payload)):
        assert verdict(name, payload[:size], old, new) in {Reason.PATCH_DAMAGED, Reason.NONE}


@each_codec
def test_bytes_behind_a_payload_are_refused(name):
    old, new = firmwares()[0][: 9 * KIB], firmwares()[1][: 8 * KIB]
    payload = CODECS[name].diff(base_of(name, old), new)
    for behind in (payload, random.Random(2).randbytes(1000), b"\0", b"\xff", b"\0\0", b"\1\0\0", bytes(4)):
        assert verdict(name, payload + behind, old, new) is Reason.PATCH_DAMAGED


@each_codec
def test_a_byte_behind_an_empty_result_is_refused(name):
    payload = CODECS[name].diff(b"", b"")
    assert verdict(name, payload, b"", b"") is Reason.NONE
    assert verdict(name, payload + b"\0", b"", b"") is Reason.PATCH_DAMAGED


@each_codec
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_what_came_before_a_fault_has_been_given(name, kept):
    old, new = firmwares()[:2]
    base = base_of(name, old)
    payload = CODECS[name].diff(base, new)
    patch = seal(name, base, new, payload[: int(kept * len(payload))])
    pieces = []
    with pytest.raises(Refused) as caught:
        pieces.extend(patch_pieces(base, patch, max_result_bytes=len(new)))
    assert caught.value.reason is Reason.PATCH_DAMAGED
    made = b"".join(pieces)
    assert made == new[: len(made)]
    assert 0.05 < len(made) / len(new) < 0.99


# Payloads of our own, part by part


def number(value):
    """detools' integers: a sign and six bits, then seven bits a byte."""
    size, out = abs(value), bytearray()
    out.append((0x40 if value < 0 else 0) | size & 0x3F)
    size >>= 6
    while size:
        out[-1] |= 0x80
        out.append(size & 0x7F)
        size >>= 7
    return bytes(out)


def parts_of(*parts):
    """A body: what is added to the base, bytes of its own, and a move, for each part."""
    return number(0) + b"".join(
        number(len(added)) + added + number(len(own)) + own + number(move) for added, own, move in parts
    )


def compressed(name, body):
    if name.endswith("lzma"):
        return lzma.compress(body, lzma.FORMAT_ALONE)
    if name.endswith("crle"):
        size, length = len(body), bytearray()
        while size > 0x7F:
            length.append(0x80 | size & 0x7F)
            size >>= 7
        return b"\0" + bytes(length) + bytes([size]) + body
    encoder = core.Encoder(core.Writer(window_sz2=8, lookahead_sz2=7))
    return b"\x44" + bytes(encoder.fill(body)) + bytes(encoder.finish())


KIND = {"lzma": 1, "crle": 2, "heatshrink": 4}
OLD = bytes(range(256)) * 16
MEMORY, SHIFT = 3 * SEGMENT_BYTES, 2 * SEGMENT_BYTES


def payload_of(name, *sequences, size, sizes=None):
    """`sizes` are the four in front of an in-place patch's result size."""
    codec = CODECS[name]
    head = bytes([codec.in_place << 4 | KIND[codec.compression]])
    if codec.in_place:
        head += b"".join(map(number, sizes or (MEMORY, SEGMENT_BYTES, SHIFT, len(OLD))))
    return head + number(size) + compressed(name, b"".join(sequences))


@each_patch
def test_a_payload_of_our_own_is_read_as_the_library_reads_it(name):
    body = parts_of((bytes(10), b"abc", -4), (b"\1" * 6, b"", 0), (b"", b"z", 9))
    expected = OLD[:10] + b"abc" + bytes(b + 1 for b in OLD[6:12]) + b"z"
    payload = payload_of(name, body, size=20)
    assert CODECS[name].apply(OLD, payload, 20) == expected == library_reads(name, OLD, payload)


BAD_PARTS = {
    "a negative length": number(0) + number(-3) + b"abc",
    "a length beyond the result": number(0) + number(101) + bytes(101),
    "a length of 2^40": number(0) + number(1 << 40),
    "own bytes beyond the result": number(0) + number(60) + bytes(60) + number(41) + bytes(41) + number(0),
    "a position below the base": parts_of((b"", b"", -1), (bytes(100), b"", 0)),
    "a position behind the base": parts_of((b"", b"", len(OLD) - 99), (bytes(100), b"", 0)),
    "nothing but empty parts": number(0) + (number(0) + number(0) + number(0)) * 1000,
    "a data format": number(1) + number(0) + b"\0" + parts_of((bytes(100), b"", 0)),
    "its end early": parts_of((bytes(50), b"", 0)),
    "too much": parts_of((bytes(100), b"", 0)) + bytes(200),
    "a number without an end": number(0) + b"\xff" * 40,
}


@each_patch
@pytest.mark.parametrize("body", BAD_PARTS.values(), ids=BAD_PARTS)
def test_a_body_that_breaks_a_rule_is_damaged(name, body):
    good = payload_of(name, parts_of((bytes(100), b"", 0)), size=100)
    assert CODECS[name].apply(OLD, good, 100) == OLD[:100]
    with pytest.raises(Refused, match=r"^patch-damaged: "):
        CODECS[name].apply(OLD, payload_of(name, body, size=100), 100)


@pytest.mark.parametrize("name", [name for name in PATCHES if "in-place" in name])
def test_an_in_place_patch_may_not_use_what_it_has_overwritten(name):
    new = bytes(2 * SEGMENT_BYTES)
    old = OLD * 3
    second = parts_of((bytes(10), bytes(SEGMENT_BYTES - 10), 0))
    plain = parts_of((b"", new[:SEGMENT_BYTES], 0))
    sizes = (4 * SEGMENT_BYTES, SEGMENT_BYTES, SEGMENT_BYTES, len(old))
    good = payload_of(name, plain, second, size=len(new), sizes=sizes)
    assert CODECS[name].apply(old, good, len(new)) == library_reads(name, old, good)
    back = parts_of((b"", b"", -10), (bytes(10), bytes(SEGMENT_BYTES - 10), 0))
    with pytest.raises(Refused, match=r"^patch-damaged: .*position"):
        CODECS[name].apply(old, payload_of(name, plain, back, size=len(new), sizes=sizes), len(new))


@pytest.mark.parametrize("name", [name for name in PATCHES if "in-place" in name])
@pytest.mark.parametrize(
    "sizes",
    [
        (MEMORY, 1 << 30, SHIFT, len(OLD)),
        (MEMORY, 0, SHIFT, len(OLD)),
        (MEMORY, SEGMENT_BYTES, 0, len(OLD)),
        (MEMORY, SEGMENT_BYTES, MEMORY + SEGMENT_BYTES, len(OLD)),
        (MEMORY + 1, SEGMENT_BYTES, SHIFT, len(OLD)),
        (MEMORY, SEGMENT_BYTES, SHIFT, len(OLD) - 1),
        (-MEMORY, SEGMENT_BYTES, SHIFT, len(OLD)),
    ],
)
def test_an_in_place_header_that_lies_is_damaged(name, sizes):
    payload = payload_of(name, parts_of((bytes(100), b"", 0)), size=100, sizes=sizes)
    with pytest.raises(Refused, match=r"^patch-damaged: "):
        CODECS[name].apply(OLD, payload, 100)


@each_patch
def test_a_header_of_another_kind_or_size_is_damaged(name):
    good = payload_of(name, parts_of((bytes(100), b"", 0)), size=100)
    for payload in (b"", bytes([good[0] ^ 0x10]) + good[1:], bytes([good[0] ^ 2]) + good[1:]):
        with pytest.raises(Refused, match=r"^patch-damaged: "):
            CODECS[name].apply(OLD, payload, 100)
    with pytest.raises(Refused, match="result size: found 100, expected 99"):
        CODECS[name].apply(OLD, good, 99)


@pytest.mark.parametrize("name", ["detools-lzma", "detools-in-place-lzma"])
def test_an_lzma_stream_that_asks_for_a_larger_dictionary_is_damaged(name):
    good = payload_of(name, parts_of((bytes(100), b"", 0)), size=100)
    at = good.index(LZMA_HEADER)
    assert int.from_bytes(LZMA_HEADER[1:5], "little") == LZMA_DICTIONARY_BYTES
    larger = good[: at + 1] + (1 << 30).to_bytes(4, "little") + good[at + 5 :]
    with pytest.raises(Refused, match=r"^patch-damaged: .*LZMA header"):
        CODECS[name].apply(OLD, larger, 100)


def test_ram_is_the_window_or_the_dictionary_and_the_same_for_any_size():
    ram = {name: CODECS[name].ram_bytes(1000, MIB) for name in NAMES}
    assert ram == {name: CODECS[name].ram_bytes(1, 1) for name in NAMES}
    assert ram["detools-crle"] < ram["detools-heatshrink"] < 2 * KIB < ram["full-heatshrink"] < 3 * KIB
    assert ram["detools-lzma"] > LZMA_DICTIONARY_BYTES
