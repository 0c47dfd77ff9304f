"""hdiffpatch, HPatchLite, zstd and full images: what the libraries write is read back, and nothing else."""

from __future__ import annotations

import itertools
import json
import lzma
import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import hdiffpatch
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from imgtool import main as imgtool

from simlib.delta import apply_patch, patch_pieces
from simlib.delta.envelope import seal
from simlib.delta.packed import SHORTEST_MATCH_BYTES
from simlib.delta.registry import CODECS
from simlib.delta.tinyuz import tinyuz_portions
from simlib.errors import Reason, Refused
from simlib.firmware.synthetic import synthetic_chain
from tests.amounts import examples

ROOT = Path(__file__).parents[2]
KIB, MIB = 1 << 10, 1 << 20
NAMES = ("hdiffpatch-lzma2", "hpatchlite-tuz", "zstd-patch-from", "full-lzma", "full-zstd")
each_codec = pytest.mark.parametrize("name", NAMES)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")


def base_of(name, old):
    return old if CODECS[name].traits.takes_base else b""


def library_reads(name, old, payload):
    """What the library that wrote a payload makes of it."""
    match name:
        case "hdiffpatch-lzma2":
            return hdiffpatch.apply(old, payload)
        case "hpatchlite-tuz":
            return hdiffpatch.apply_lite(old, payload)
        case "full-lzma":
            filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 128 * KIB}]
            return lzma.decompress(payload[2:], lzma.FORMAT_RAW, filters=filters)
        case _:
            base = (
                zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if old else None
            )
            return zstandard.ZstdDecompressor(dict_data=base).decompress(payload)


def made_by(recipe, old):
    base = np.frombuffer(old, dtype=np.uint8)
    made = recipe.values.copy()
    made[recipe.sources >= 0] += base[recipe.sources[recipe.sources >= 0]]
    return made.tobytes()


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


def check_whole(name, old, new):
    """Everything that a codec can do with an honest payload gives `new`."""
    codec, base = CODECS[name], base_of(name, old)
    payload = codec.diff(base, new)
    assert codec.apply(base, payload, len(new)) == new
    assert library_reads(name, base, payload) == new
    if codec.traits.streams:
        assert b"".join(codec.pieces(base, payload, len(new))) == new
    else:
        with pytest.raises(NotImplementedError):
            codec.pieces(base, payload, len(new))
    if codec.traits.in_place:
        assert made_by(codec.recipe(len(base), payload, len(new)), base) == new
    else:
        with pytest.raises(NotImplementedError):
            codec.recipe(len(base), payload, len(new))


@each_codec
@settings(max_examples=examples(150), deadline=None)
@given(pair=related_bytes())
def test_what_a_library_writes_is_read_back_as_the_library_reads_it(name, pair):
    check_whole(name, *pair)


@cache
def firmwares():
    return synthetic_chain(5, [64 * KIB, 65 * KIB, 66 * KIB], ("minor", "toolchain"))


@each_codec
def test_firmware_is_read_back_and_a_patch_is_smaller_than_a_full_image(name):
    for old, new in itertools.pairwise(firmwares()):
        check_whole(name, old, new)
        full = len(CODECS["full-lzma"].diff(b"", new))
        if CODECS[name].traits.takes_base:
            assert len(CODECS[name].diff(old, new)) < full
        else:
            assert full <= len(CODECS[name].diff(b"", new)) < len(new)


@each_codec
@pytest.mark.parametrize(
    "new", [bytes(3 * MIB), b"ab" * MIB, random.Random(3).randbytes(600_000)], ids=["zeros", "pairs", "noise"]
)
def test_long_matches_and_no_matches_are_read_back(name, new):
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
    assert set(found) <= {Reason.PATCH_DAMAGED, Reason.RESULT_MISMATCH, Reason.NONE}
    assert found.count(Reason.NONE) < 20  # bits that nobody reads, such as the last ones of a code
    assert found.count(Reason.PATCH_DAMAGED) > 20


@pytest.mark.parametrize("name", [name for name in NAMES if CODECS[name].traits.takes_base])
def test_a_base_swapped_under_fresh_hashes_gives_no_wrong_result(name):
    old, new = firmwares()[:2]
    payload = CODECS[name].diff(old, new)
    for base in (old[::-1], new, bytes(len(old)), b""):
        assert verdict(name, payload, base, new) in {Reason.PATCH_DAMAGED, Reason.RESULT_MISMATCH}
    for base in (bytes([old[0] ^ 1]) + old[1:], old[:-1]):
        verdict(name, payload, base, new)  # refused, or right where the byte is not needed


@each_codec
def test_a_payload_cut_short_or_made_longer_is_damaged(name):
    old, new = firmwares()[0][: 9 * KIB], firmwares()[1][: 8 * KIB]
    payload = CODECS[name].diff(base_of(name, old), new)
    for size in [*range(64), *range(64, len(payload), 37), len(payload) - 1]:
        assert verdict(name, payload[:size], old, new) is Reason.PATCH_DAMAGED
    for behind in (b"\0", payload, bytes(1000)):
        assert verdict(name, payload + behind, old, new) is Reason.PATCH_DAMAGED


@cache
def large_firmwares():
    return synthetic_chain(8, [300 * KIB, 300 * KIB], ("minor",))


@pytest.mark.parametrize("name", [name for name in NAMES if CODECS[name].traits.streams])
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_what_came_before_a_fault_has_been_given(name, kept):
    old, new = large_firmwares()
    base = base_of(name, old)
    payload = CODECS[name].diff(base, new)
    patch = seal(name, base, new, payload[: int(kept * len(payload))])
    pieces = []
    with pytest.raises(Refused) as caught:
        pieces.extend(patch_pieces(base, patch, max_result_bytes=len(new)))
    assert caught.value.reason is Reason.PATCH_DAMAGED
    # zstd hands out whole blocks, and a frame cut short has no chain of blocks to begin with.
    if "zstd" not in name:
        made = b"".join(pieces)
        assert made == new[: len(made)]
        assert 0.15 < len(made) / len(new) < 0.95


def test_a_damaged_block_of_a_frame_leaves_those_before_it():
    new = random.Random(1).randbytes(64 * KIB)
    codec = CODECS["full-zstd"]
    payload = bytearray(codec.diff(b"", new))
    starts = block_starts(payload)
    payload[starts[-1]] |= 0b100  # what was stored is now said to be compressed
    pieces = []
    with pytest.raises(Refused, match="patch-damaged"):
        pieces.extend(codec.pieces(b"", bytes(payload), len(new)))
    assert b"".join(pieces) == new[: len(new) - 8 * KIB]


def test_payloads_are_what_the_libraries_write_with_these_settings():
    old, new = large_firmwares()
    lzma2 = hdiffpatch.Lzma2Config(level=9, window=23, threads=1)
    tuz = hdiffpatch.TuzConfig(dict_size=4096, max_save_length=65_535, threads=1, literal_line=True)
    near = zstandard.ZstdCompressionParameters.from_level(19, source_size=len(new), window_log=13)
    far = zstandard.ZstdCompressionParameters.from_level(
        19, source_size=len(new), dict_size=len(old), enable_ldm=True
    )
    base = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    written = {
        "hdiffpatch-lzma2": hdiffpatch.diff(old, new, compression=lzma2),
        "hpatchlite-tuz": hdiffpatch.diff_lite(old, new, compression=tuz),
        "zstd-patch-from": zstandard.ZstdCompressor(compression_params=far, dict_data=base).compress(new),
        "full-zstd": zstandard.ZstdCompressor(compression_params=near).compress(new),
    }
    for name, payload in written.items():
        assert CODECS[name].diff(base_of(name, old), new) == payload


@pytest.mark.parametrize("header", [b"\x0b\x66", b"\x0a\x5d", b"\x28\x66", b"\x0a", b""])
def test_a_full_lzma_payload_for_another_dictionary_or_other_properties_is_damaged(header):
    payload = CODECS["full-lzma"].diff(b"", OLD)
    with pytest.raises(Refused, match=r"^patch-damaged: full-lzma header: found .*, expected 0a66"):
        CODECS["full-lzma"].apply(b"", header + payload[2:], len(OLD))


def test_a_full_lzma_payload_is_what_imgtool_puts_in_a_compressed_image():
    new = firmwares()[0]
    header = imgtool.create_lzma2_header(
        dictsize=imgtool.comp_default_dictsize,
        pb=imgtool.comp_default_pb,
        lc=imgtool.comp_default_lc,
        lp=imgtool.comp_default_lp,
    )
    filters = [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": imgtool.comp_default_preset,
            "dict_size": imgtool.comp_default_dictsize,
            "lp": imgtool.comp_default_lp,
            "lc": imgtool.comp_default_lc,
        }
    ]
    expected = bytes(header) + lzma.compress(new, lzma.FORMAT_RAW, filters=filters)
    assert CODECS["full-lzma"].diff(b"", new) == expected
    assert CODECS["full-lzma"].ram_bytes(0, 0) == imgtool.comp_default_dictsize + 28 * KIB


def test_zstd_windows_are_the_result_or_what_a_microcontroller_holds():
    old, new = firmwares()[:2]
    full = zstandard.get_frame_parameters(CODECS["full-zstd"].diff(b"", new))
    delta = zstandard.get_frame_parameters(CODECS["zstd-patch-from"].diff(old, new))
    assert full.window_size == 8 * KIB
    assert delta.window_size == len(new)
    state = zstandard.estimate_decompression_context_size()
    assert CODECS["full-zstd"].ram_bytes(0, len(new)) == state + (1 + 1 + 2) * 8 * KIB + 64
    assert CODECS["zstd-patch-from"].ram_bytes(0, len(new)) == state + 2 * len(new)
    assert CODECS["full-zstd"].ram_bytes(0, len(new)) < 128 * KIB + 2 * KIB


def block_starts(frame):
    """Where the blocks of a zstd frame begin (RFC 8878, 3.1.1.2)."""
    at = zstandard.frame_header_size(bytes(frame[:18]))
    starts = []
    while True:
        starts.append(at)
        header = int.from_bytes(frame[at : at + 3], "little")
        at += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
        if header & 1:
            return starts


def frame(blocks, size=100, window=None):
    """A zstd frame of our own: blocks are (kind, size, content); one segment unless a window is given."""
    head = b"\x28\xb5\x2f\xfd" + (b"\xe0" if window is None else b"\xc0" + bytes([window]))
    head += size.to_bytes(8, "little")
    for number, (kind, length, content) in enumerate(blocks, 1):
        head += (length << 3 | kind << 1 | (number == len(blocks))).to_bytes(3, "little") + content
    return head


RAW, RLE, RESERVED = 0, 1, 3
HUNDRED = (RAW, 100, bytes(100))


@pytest.mark.parametrize("name", ["zstd-patch-from", "full-zstd"])
@pytest.mark.parametrize(
    ("payload", "found"),
    [
        pytest.param(frame([HUNDRED], size=99), "result size", id="another size"),
        pytest.param(frame([HUNDRED], size=1 << 40), "result size", id="a size of 2^40"),
        pytest.param(
            zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100)),
            "result size",
            id="no size",
        ),
        pytest.param(
            zstandard.ZstdCompressor(write_checksum=True).compress(bytes(100)), "header", id="checksum"
        ),
        pytest.param(frame([HUNDRED], window=0xF8), "window|header", id="a window of 2^41"),
        pytest.param(frame([HUNDRED], window=0x20), "window", id="a window of 16 KiB"),
        pytest.param(frame([HUNDRED])[:5], "header", id="half a header"),
        pytest.param(
            b"\x50\x2a\x4d\x18\4\0\0\0skip" + frame([HUNDRED]), "magic", id="skippable frame in front"
        ),
        pytest.param(frame([HUNDRED]) + frame([(RAW, 0, b"")], size=0), "bytes behind", id="a second frame"),
        pytest.param(frame([(RAW, 0, b"")] * 5 + [HUNDRED]), "block", id="empty blocks"),
        pytest.param(frame([(RESERVED, 100, bytes(100))]), "block", id="reserved kind of block"),
        pytest.param(frame([(RLE, 1 << 20, b"\0")]), "block", id="a block of 1 MiB"),
        pytest.param(frame([HUNDRED, (RLE, 1, b"\0")]), "more bytes|frame", id="too much"),
        pytest.param(frame([(RAW, 99, bytes(99))]), "early|frame", id="too little"),
        pytest.param(frame([(RAW, 0, b"")]), "early|frame", id="nothing"),
        pytest.param(frame([HUNDRED])[:-1], "its end", id="a byte missing"),
    ],
)
def test_a_frame_that_breaks_a_rule_is_damaged(name, payload, found):
    assert CODECS[name].apply(b"", frame([HUNDRED]), 100) == bytes(100)
    with pytest.raises(Refused, match=f"^patch-damaged: {name}.*({found})"):
        CODECS[name].apply(b"", payload, 100)


class Tinyuz:
    """A tinyuz stream of our own, code by code."""

    def __init__(self, dictionary=4096):
        self.out = bytearray(dictionary.to_bytes(4, "little"))
        self.bits_at = self.bit_count = 0

    def bit(self, bit):
        if not self.bit_count:
            self.bits_at = len(self.out)
            self.out.append(0)
        self.out[self.bits_at] |= bit << self.bit_count
        self.bit_count = (self.bit_count + 1) % 8
        return self

    def number(self, value, group):
        groups = 1
        while value >= (within := 1 << groups * group):
            value -= within
            groups += 1
        for left in reversed(range(groups)):
            for place in range(group):
                self.bit(value >> left * group + place & 1)
            self.bit(int(left > 0))
        return self

    def literal(self, byte):
        self.bit(1).out.append(byte)
        return self

    def match(self, length, distance=None, *, behind_literal=False):
        """A match; without a distance the last one again, which only a code behind a literal can say."""
        far = distance is not None and distance > 2687
        self.bit(0).number(length - 2 - far, 1)
        if behind_literal:
            self.bit(int(distance is None))
        if distance is not None:
            self.distance(distance)
        return self

    def distance(self, distance):
        if distance < 128:
            self.out.append(distance)
        else:
            high, low = divmod(distance - 128, 128)
            self.out.append(128 | low)
            self.number(high, 2)

    def order(self, order, *, behind_literal=False):
        self.bit(0).number(order, 1)
        if behind_literal:
            self.bit(0)
        self.out.append(0)
        return self

    def line(self, data, *, behind_literal=False):
        self.order(1, behind_literal=behind_literal).number(len(data) - 15, 2)
        self.out += data
        return self

    def afresh(self, *, behind_literal=False):
        self.order(2, behind_literal=behind_literal).bit_count = 0
        return self

    def end(self, *, behind_literal=False):
        return bytes(self.order(3, behind_literal=behind_literal).out)


def lite(stream, body_size, result_size):
    """An HPatchLite payload around a tinyuz stream."""
    return b"hI\x01\x64" + result_size.to_bytes(4, "little") + body_size.to_bytes(4, "little") + stream


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("literal"), st.integers(0, 255)),
            st.tuples(st.just("match"), st.integers(4, 600), st.one_of(st.none(), st.integers(1, 4096))),
            st.tuples(st.just("line"), st.binary(min_size=15, max_size=4000)),
            st.tuples(st.just("afresh")),
        ),
        max_size=20,
    )
)
def test_a_tinyuz_stream_holds_what_its_codes_say_and_what_the_library_reads(codes):
    stream = Tinyuz()
    body, behind, last = bytearray(), False, 1
    for code, *arguments in codes:
        if code == "literal":
            stream.literal(*arguments)
            body.append(*arguments)
        elif code == "line":
            stream.line(*arguments, behind_literal=behind)
            body += arguments[0]
        elif code == "afresh":
            stream.afresh(behind_literal=behind)
            last = 1
        elif body:
            length, distance = arguments
            if distance is None and behind and last <= len(body):
                stream.match(length, behind_literal=True)
            else:
                last = min(distance or 1, len(body))
                stream.match(length, last, behind_literal=behind)
            for _ in range(length):
                body.append(body[-last])
        behind = code in ("literal", "line") or (behind and code == "match" and not body)
    end = stream.end(behind_literal=behind)
    if len(end) <= len(body) + len(body) // 8 + 16:
        assert b"".join(tinyuz_portions(memoryview(end), len(body), 4096, "s")) == body
        # As the body of a payload: no covers, and then the body's own bytes as what comes before the last.
        whole = hdiffpatch.diff_lite(b"", bytes(body))
        tuz = hdiffpatch.TuzConfig(dict_size=4096, literal_line=True)
        assert CODECS["hpatchlite-tuz"].apply(b"", hdiffpatch.recompress_lite(whole, tuz), len(body)) == body


A = 0x41


@pytest.mark.parametrize(
    ("stream", "size", "found"),
    [
        pytest.param(b"", 1, "0 bytes", id="nothing"),
        pytest.param(Tinyuz(0).literal(A).end(behind_literal=True), 1, "dictionary of 0", id="no dictionary"),
        pytest.param(Tinyuz(4097).literal(A).end(behind_literal=True), 1, "4097", id="a larger dictionary"),
        pytest.param(Tinyuz().match(4, 1).end(), 4, "1 bytes back", id="a match before anything"),
        pytest.param(
            Tinyuz(1).literal(A).literal(A).match(4, 2, behind_literal=True).end(),
            6,
            "2 bytes back",
            id="a match out of the dictionary",
        ),
        pytest.param(
            Tinyuz().literal(A).match(100, 1, behind_literal=True).end(),
            50,
            "100 more bytes",
            id="too long a match",
        ),
        pytest.param(
            Tinyuz().literal(A).match((1 << 31) - 1, 1, behind_literal=True).end(),
            50,
            "more bytes",
            id="a match of 2^31",
        ),
        pytest.param(
            bytes(Tinyuz().bit(0).number(1 << 40, 1).out), 50, "a number above", id="a number of 2^40"
        ),
        pytest.param(
            Tinyuz().line(bytes(60)).end(behind_literal=True), 50, "60 more bytes", id="too long a line"
        ),
        pytest.param(
            Tinyuz().literal(A).literal(A).end(behind_literal=True), 1, "1 more bytes", id="too much"
        ),
        pytest.param(
            Tinyuz().literal(A).end(behind_literal=True), 2, "its end 1 bytes early", id="too little"
        ),
        pytest.param(
            Tinyuz().literal(A).end(behind_literal=True) + b"\0", 1, "1 bytes behind", id="a byte behind"
        ),
        pytest.param(bytes(Tinyuz().literal(A).out), 1, "its end", id="no end"),
        pytest.param(bytes(Tinyuz().order(0).out), 1, "order 0", id="order 0"),
        pytest.param(bytes(Tinyuz().order(4).out), 1, "order 4", id="order 4"),
        pytest.param(b"\1\0\0\0" + bytes(400), 50, "404 bytes", id="longer than it can be"),
    ],
)
def test_a_tinyuz_stream_that_breaks_a_rule_is_damaged(stream, size, found):
    with pytest.raises(Refused, match=f"^patch-damaged: the stream: found .*{found}"):
        list(tinyuz_portions(memoryview(stream), size, 4096, "the stream"))


def packed(value, tag=0, tag_bits=0):
    """An integer of the HDiffPatch formats."""
    groups = []
    while value >= 1 << 7 - tag_bits:
        groups.append(value & 127)
        value >>= 7
        if not groups[1:] and value < 1 << 7 - tag_bits:
            break
    head = value | (tag << 8 - tag_bits) | ((1 << 7 - tag_bits) if groups else 0)
    rest = [group | 128 for group in reversed(groups[1:])] + groups[:1]
    return bytes([head, *rest])


def lite_cover(length, far, before, *, exact=False, backwards=False):
    return packed(length) + packed(far, exact << 1 | backwards, 2) + packed(before)


OLD = bytes(range(200))


def stored(body, size=100):
    """A stored HPatchLite payload."""
    return b"hI\0\x44" + size.to_bytes(4, "little") + body


LITE_GOOD = stored(packed(1) + lite_cover(100, 50, 0, exact=True))


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        pytest.param(b"", "header", id="nothing"),
        pytest.param(b"hJ" + LITE_GOOD[2:], "header", id="magic"),
        pytest.param(LITE_GOOD[:3] + b"\x84" + LITE_GOOD[4:], "header", id="the version that works in place"),
        pytest.param(LITE_GOOD[:6], "header", id="half a header"),
        pytest.param(stored(LITE_GOOD[8:], size=99), "result size", id="another result"),
        pytest.param(b"hI\x04" + LITE_GOOD[3:], "compression", id="another compression"),
        pytest.param(lite(b"", 1 << 30, 100), "body", id="a body of 1 GiB"),
        pytest.param(stored(bytes(300)), "body", id="too long a body"),
        pytest.param(stored(packed(1 << 30)), "covers", id="2^30 covers"),
        pytest.param(
            stored(packed(28) + lite_cover(1, 0, 0, exact=True) * 28), "covers", id="more covers than fit"
        ),
        pytest.param(stored(b"\xff" * 9 + b"\0"), "number above", id="2^63 covers"),
        pytest.param(stored(packed(1) + lite_cover(100, 101, 0, exact=True)), "cover", id="past the base"),
        pytest.param(
            stored(packed(1) + lite_cover(100, 1, 0, exact=True, backwards=True)),
            "cover",
            id="before the base",
        ),
        pytest.param(stored(packed(1) + lite_cover(101, 0, 0, exact=True)), "cover", id="too much result"),
        pytest.param(
            stored(packed(1) + lite_cover(10, 0, 101, exact=True) + bytes(101)),
            "before a cover",
            id="too much before",
        ),
        pytest.param(stored(packed(1) + lite_cover(99, 0, 0, exact=True)), "early", id="too little result"),
        pytest.param(
            stored(packed(2) + lite_cover(0, 0, 0) + lite_cover(100, 0, 0, exact=True)),
            "empty one",
            id="an empty cover",
        ),
        pytest.param(
            stored(packed(1) + lite_cover(100, 0, 0) + bytes(99)), "its end", id="too little to add"
        ),
        pytest.param(LITE_GOOD + b"\0", "more bytes", id="a byte behind"),
        pytest.param(stored(b""), "its end", id="no body"),
    ],
)
def test_an_hpatchlite_payload_that_breaks_a_rule_is_damaged(payload, found):
    codec = CODECS["hpatchlite-tuz"]
    assert codec.apply(OLD, LITE_GOOD, 100) == OLD[50:150] == hdiffpatch.apply_lite(OLD, LITE_GOOD)
    for read in (lambda: codec.apply(OLD, payload, 100), lambda: codec.recipe(len(OLD), payload, 100)):
        with pytest.raises(Refused, match=f"^patch-damaged: hpatchlite-tuz.*{found}"):
            read()


def hdiff(covers=None, runs=None, run_bytes=b"", others=b"", *, sizes=(100, 200), count=1, pairs=None):
    """An HDiffPatch payload of stored blocks; `pairs` replaces the sizes that its header gives them."""
    blocks = [packed(50, 0, 1) + packed(0) + packed(100) if covers is None else covers]
    blocks += [packed(99, 0, 2) if runs is None else runs, run_bytes, others]
    pairs = pairs or [(len(block), 0) for block in blocks]
    numbers = [*sizes, count, *itertools.chain(*pairs)]
    return b"HDIFF13&lzma2\0" + b"".join(map(packed, numbers)) + b"".join(blocks)


def cover(far, before, length, *, backwards=False):
    return packed(far, int(backwards), 1) + packed(before) + packed(length)


ZEROS, ONES, SAME, OTHERS = range(4)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        pytest.param(b"", "magic", id="nothing"),
        pytest.param(hdiff().replace(b"lzma2", b"zlib"), "magic", id="another compression"),
        pytest.param(hdiff()[:20], "header|blocks", id="half a header"),
        pytest.param(hdiff(sizes=(101, 200)), "sizes", id="another result"),
        pytest.param(hdiff(sizes=(100, 201)), "sizes", id="another base"),
        pytest.param(hdiff(sizes=(1 << 40, 200)), "number above", id="a result of 2^40"),
        pytest.param(hdiff(count=1 << 30), "covers", id="2^30 covers"),
        pytest.param(hdiff(count=2), "its end", id="a cover missing"),
        pytest.param(hdiff(count=0), "bytes more", id="a cover too many"),
        pytest.param(
            hdiff(pairs=[(1 << 30, 3), (2, 0), (0, 0), (0, 0)]), "blocks|covers", id="covers of 1 GiB"
        ),
        pytest.param(hdiff() + b"\0", "blocks", id="a byte behind"),
        pytest.param(hdiff()[:-1], "blocks", id="a byte missing"),
        pytest.param(hdiff(cover(101, 0, 100)), "cover", id="past the base"),
        pytest.param(hdiff(cover(1, 0, 100, backwards=True)), "cover", id="before the base"),
        pytest.param(hdiff(cover(0, 0, 101)), "cover", id="too much result"),
        pytest.param(hdiff(cover(0, 101, 0), others=bytes(101)), "other bytes", id="too much before"),
        pytest.param(hdiff(cover(0, 50, 50), others=bytes(49)), "other bytes", id="too few others"),
        pytest.param(hdiff(cover(0, 50, 50), others=bytes(51)), "other bytes", id="too many others"),
        pytest.param(hdiff(runs=packed(98, ZEROS, 2)), "runs", id="runs that end early"),
        pytest.param(hdiff(runs=packed(100, ONES, 2)), "runs", id="runs that go on"),
        pytest.param(hdiff(runs=packed(99, SAME, 2)), "run bytes", id="no byte to repeat"),
        pytest.param(
            hdiff(runs=packed(99, OTHERS, 2), run_bytes=bytes(99)), "run bytes", id="too few run bytes"
        ),
        pytest.param(hdiff(run_bytes=b"x"), "runs", id="too many run bytes"),
    ],
)
def test_an_hdiffpatch_payload_that_breaks_a_rule_is_damaged(payload, found):
    codec = CODECS["hdiffpatch-lzma2"]
    assert codec.apply(OLD, hdiff(), 100) == OLD[50:150] == hdiffpatch.apply(OLD, hdiff())
    for read in (lambda: codec.apply(OLD, payload, 100), lambda: codec.recipe(len(OLD), payload, 100)):
        with pytest.raises(Refused, match=f"^patch-damaged: hdiffpatch-lzma2.*({found})"):
            read()


def test_a_dictionary_larger_than_its_block_is_damaged():
    old, new = firmwares()[:2]
    codec = CODECS["hdiffpatch-lzma2"]
    payload = codec.diff(old, new)
    code_at = payload.index(b"\xe0") - 1  # in front of the first chunk of the first block
    for code in range(41):
        other = payload[:code_at] + bytes([code]) + payload[code_at + 1 :]
        if code <= payload[code_at]:
            assert codec.apply(old, other, len(new)) == new
        else:
            with pytest.raises(Refused, match=f"covers dictionary: found code {code}, expected at most"):
                codec.apply(old, other, len(new))


def test_runs_of_every_kind_are_added_as_the_library_adds_them():
    runs = packed(19, ZEROS, 2) + packed(9, ONES, 2) + packed(29, SAME, 2) + packed(39, OTHERS, 2)
    payload = hdiff(
        cover(150, 20, 30) + cover(180, 0, 50, backwards=True),
        runs,
        b"\x05" + bytes(range(40)),
        bytes(20),
        count=2,
    )
    result = CODECS["hdiffpatch-lzma2"].apply(OLD, payload, 100)
    assert result == hdiffpatch.apply(OLD, payload)
    assert result[20:30] == bytes(range(149, 159))


CHILD = """
import json, resource, sys
from pathlib import Path
from simlib.delta import apply_patch
from simlib.errors import Refused

def status_kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name + ":")).split()[1])

def seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

folder, max_result_bytes, limit_bytes, limit_s = Path(sys.argv[1]), *map(int, sys.argv[2:])
old, patch = (folder / "old").read_bytes(), (folder / "patch").read_bytes()
address_space = status_kib("VmSize") * 1024 + limit_bytes
before_kib, before_s = status_kib("VmRSS"), seconds()
cpu_limit = int(before_s) + limit_s
resource.setrlimit(resource.RLIMIT_CPU, (cpu_limit, cpu_limit + 1))
resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
try:
    apply_patch(old, patch, max_result_bytes=max_result_bytes)
    verdict = "applied"
except Refused as error:
    verdict = str(error.reason)
print(json.dumps({
    "verdict": verdict,
    "grown_bytes": 1024 * (status_kib("VmHWM") - before_kib),
    "cpu_s": seconds() - before_s,
}))
"""


def applied_alone(folder, name, old, payload, result_size, *, limit_s):
    """What applying costs a process that does nothing else, and the verdict."""
    (folder / "old").write_bytes(old)
    (folder / "patch").write_bytes(seal(name, old, bytes(result_size), payload))
    numbers = map(str, (result_size, 64 * MIB, limit_s))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, folder, *numbers],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@cache
def lzma2_of_zeros(size):
    engine = lzma.LZMACompressor(
        lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "lc": 3, "lp": 1}]
    )
    return b"".join([engine.compress(bytes(MIB)) for _ in range(size // MIB)]) + engine.flush()


def hdiff_bomb(dictionary_code=16, size=MIB):
    block = bytes([dictionary_code]) + lzma2_of_zeros(128 * MIB)
    pairs = [(0, 0), (len(packed(MIB - 1, 0, 2)), 0), (0, 0), (size, len(block))]
    return hdiff(b"", packed(MIB - 1, 0, 2), b"", block, sizes=(MIB, 0), count=0, pairs=pairs)


BOMBS = {
    "hdiffpatch: a huge block": ("hdiffpatch-lzma2", hdiff_bomb),
    "hdiffpatch: a dictionary of 4 GiB": ("hdiffpatch-lzma2", lambda: hdiff_bomb(40)),
    "hdiffpatch: a block said to be huge": ("hdiffpatch-lzma2", lambda: hdiff_bomb(30, 1 << 30)),
    "hpatchlite: a huge match": (
        "hpatchlite-tuz",
        lambda: lite(Tinyuz().literal(A).match((1 << 31) - 1, 1, behind_literal=True).end(), MIB, MIB),
    ),
    "hpatchlite: a body said to be huge": (
        "hpatchlite-tuz",
        lambda: b"hI\x01\x7c" + MIB.to_bytes(4, "little") + (1 << 50).to_bytes(7, "little") + bytes(9),
    ),
    "zstd: many blocks": ("zstd-patch-from", lambda: frame([(RLE, 128 * KIB, b"\0")] * 20_000, MIB)),
    "zstd: many blocks in a small window": (
        "full-zstd",
        lambda: frame([(RLE, 8 * KIB, b"\0")] * 20_000, MIB, 0x18),
    ),
    "zstd: a result of 2^40": ("zstd-patch-from", lambda: frame([(RLE, 128 * KIB, b"\0")] * 20_000, 1 << 40)),
    "lzma: a huge stream": ("full-lzma", lambda: b"\x0a\x66" + lzma2_of_zeros(128 * MIB)),
    "lzma: a dictionary of 4 GiB": ("full-lzma", lambda: b"\x28\x66" + lzma2_of_zeros(128 * MIB)),
}


@linux_only
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_within_little_memory_and_time(tmp_path, bomb):
    name, payload = BOMBS[bomb]
    found = applied_alone(tmp_path, name, b"", payload(), MIB, limit_s=2)
    assert found["verdict"] == "patch-damaged"
    assert found["grown_bytes"] < 4 * MIB + 8 * MIB
    assert found["cpu_s"] <= 1


def shortest_covers(size):
    """Places in a base for as many covers as a result of `size` may have, no two in a row."""
    source = np.random.default_rng(1)
    return source.integers(0, 8 * KIB, size // SHORTEST_MATCH_BYTES).tolist()


def worst_hpatchlite(size):
    """As many covers as may be, in a stream of codes as short as can be that take nothing together."""
    body, end = bytearray(packed(size // SHORTEST_MATCH_BYTES)), 0
    for place in shortest_covers(size):
        body += lite_cover(SHORTEST_MATCH_BYTES, abs(place - end), 0, backwards=place < end)
        body += b"ababa"
        end = place + SHORTEST_MATCH_BYTES
    stream, at = Tinyuz(), 0
    while at < len(body):
        if at % 7 == 6 and body[at : at + 2] == body[at - 2 : at]:
            stream.match(2, 2, behind_literal=True)
            at += 2
        else:
            stream.literal(body[at])
            at += 1
    return lite(stream.end(behind_literal=True), len(body), size)


def worst_hdiffpatch(size):
    """As many covers and runs as may be."""
    covers, end = bytearray(), 0
    for place in shortest_covers(size):
        covers += cover(abs(place - end), 0, SHORTEST_MATCH_BYTES, backwards=place < end)
        end = place + SHORTEST_MATCH_BYTES
    runs = (packed(0, SAME, 2) + packed(1, OTHERS, 2)) * (size // 3)
    count = size // SHORTEST_MATCH_BYTES
    return hdiff(bytes(covers), runs, random.Random(3).randbytes(size), sizes=(size, size), count=count)


@linux_only
@pytest.mark.parametrize(
    ("name", "payload"),
    [("hpatchlite-tuz", worst_hpatchlite), ("hdiffpatch-lzma2", worst_hdiffpatch)],
)
def test_the_worst_payload_stays_within_four_times_its_result(tmp_path, name, payload):
    size = MIB // 2 // 15 * 15  # whole covers and whole runs
    found = applied_alone(tmp_path, name, random.Random(4).randbytes(size), payload(size), size, limit_s=30)
    assert found["verdict"] == "result-mismatch"
    assert found["grown_bytes"] < 4 * size + 8 * MIB
    assert found["cpu_s"] <= 10
