"""The bsdiff4 codec on its own: it writes what bsdiff4 writes, and reads that and nothing else."""

from __future__ import annotations

import bz2
import random

import bsdiff4
import bsdiff4.core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.delta import bsdiff4_codec
from simlib.delta.bounded import BoundedStream
from simlib.delta.bsdiff4_codec import Bsdiff4
from simlib.delta.registry import CODECS
from simlib.errors import Reason, Refused
from tests.amounts import examples

CODEC = Bsdiff4()
OLD = bytes(random.Random(1).randbytes(600)) + b"literal pool " * 20


def payload(triples, diff=b"", extra=b"", size=None, compress=bz2.compress):
    """A bsdiff4 patch with any content, as an attacker would write it."""
    encode = bsdiff4.core.encode_int64
    control = compress(b"".join(encode(value) for triple in triples for value in triple))
    diff, extra = compress(diff), compress(extra)
    if size is None:
        size = sum(x + y for x, y, _ in triples)
    return b"BSDIFF40" + encode(len(control)) + encode(len(diff)) + encode(size) + control + diff + extra


def refusal(data, size, old=OLD):
    with pytest.raises(Refused) as caught:
        CODEC.apply(old, data, size)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@st.composite
def related_bytes(draw):
    """Two byte strings, the second made of pieces of the first, short alphabets included."""
    alphabet = draw(st.sampled_from([2, 3, 256]))
    some = st.lists(st.integers(0, alphabet - 1), max_size=200).map(bytes)
    old = draw(some)
    new = b""
    for _ in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, len(old)))
        new += old[start : start + draw(st.integers(0, 60))] + draw(some)[: draw(st.integers(0, 4))]
    return old, draw(st.sampled_from([new, old + new, new + old, old[::-1]]))


@settings(max_examples=examples(300), deadline=None)
@given(related_bytes())
def test_what_bsdiff4_writes_is_written_and_read_back(pair):
    old, new = pair
    patch = bsdiff4.diff(old, new)
    assert CODEC.diff(old, new) == patch
    assert CODEC.apply(old, patch, len(new)) == new


def test_an_empty_triple_that_bsdiff4_itself_writes_is_accepted():
    old, new = bytes(range(256)), bytes(range(100, 256))
    control = bsdiff4.core.diff(old, new)[0]
    assert [bsdiff4.core.decode_int64(control[at : at + 8]) for at in (0, 8, 16)] == [0, 0, 100]
    assert CODEC.apply(old, CODEC.diff(old, new), len(new)) == new


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(-60, 60)), max_size=8),
    st.randoms(use_true_random=False),
)
def test_a_hand_made_patch_gives_what_bsdiff4_gives_or_is_refused(triples, source):
    diff = source.randbytes(sum(x for x, _, _ in triples))
    extra = source.randbytes(sum(y for _, y, _ in triples))
    data = payload(triples, diff, extra)
    size = len(diff) + len(extra)
    position, inside = 0, True
    for x, _, z in triples:
        inside &= position + x <= len(OLD)
        position += x + z
        inside &= 0 <= position <= len(OLD)
    if inside and len(triples) <= size // 9 + 1:
        assert CODEC.apply(OLD, data, size) == bsdiff4.patch(OLD, data)
    else:
        assert refusal(data, size) is Reason.PATCH_DAMAGED


@settings(max_examples=examples(200), deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 600)), min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_where_runs_and_steps_end_makes_no_difference(run_triples, step_bytes, wanted, source):
    triples = [(0, 200, 0)]  # enough result for this many triples
    position = 0
    for x, y, goal in wanted:
        triples.append((x, y, goal - position - x))
        position = goal
    diff = source.randbytes(sum(x for x, _, _ in triples))
    extra = source.randbytes(sum(y for _, y, _ in triples))
    data = payload(triples, diff, extra)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bsdiff4_codec, "RUN_TRIPLES", run_triples)
        patched.setattr(bsdiff4_codec, "STEP_BYTES", step_bytes)
        assert CODEC.apply(OLD, data, len(diff) + len(extra)) == bsdiff4.patch(OLD, data)


@settings(deadline=None)
@given(st.lists(st.integers(0, 100_000), max_size=8), st.integers(0, 150_000), st.integers(1, 70_000))
def test_a_stream_is_read_in_any_portions_and_ends_where_its_bytes_do(portions, size, behind):
    content = random.Random(size).randbytes(size)
    stream = memoryview(bz2.compress(content))
    reader = BoundedStream(stream, "stream")
    read = [bytes(reader.read(portion)) for portion in portions]
    assert b"".join(read) == content[: sum(portions)]
    if sum(portions) < size:
        with pytest.raises(Refused, match="patch-damaged: stream: found more bytes"):
            reader.expect_end()
    else:
        reader.expect_end()
    with pytest.raises(Refused, match="patch-damaged: stream: found its end 1 bytes early"):
        BoundedStream(stream, "stream").take(size + 1)
    longer = BoundedStream(memoryview(bytes(stream) + bytes(behind)), "stream")
    assert longer.take(size) == content
    with pytest.raises(Refused, match=f"found {behind} bytes behind the stream, expected none"):
        longer.expect_end()
    with pytest.raises(Refused, match="found its end, expected the end of a bzip2 stream"):
        BoundedStream(stream[:-1], "stream").read(size + 1)


INT64_MAX = (1 << 63) - 1
GOOD = payload([(100, 50, 7), (30, 20, 0)], bytes(130), bytes(70))


@pytest.mark.parametrize(
    ("triples", "diff", "extra", "size"),
    [
        pytest.param([(-1, 101, 0)], b"", bytes(100), 100, id="negative x"),
        pytest.param([(10, 50, 5), (-3, 43, 0)], bytes(7), bytes(93), 100, id="negative x made up for"),
        pytest.param([(101, -1, 0)], bytes(100), b"", 100, id="negative y"),
        pytest.param([(50, 60, 0), (0, -10, 0)], bytes(50), bytes(50), 100, id="negative y made up for"),
        pytest.param([(INT64_MAX, 2, 0), (0, 2, 0)], b"", bytes(100), 100, id="x that wraps the total"),
        pytest.param(
            [(0, 1 << 62, 0)] * 4 + [(50, 50, 0)], bytes(50), bytes(50), 100, id="y that wraps the total"
        ),
        pytest.param(
            [(0, 0, 1), (INT64_MAX, 0, -INT64_MAX)] * 2 + [(52, 50, 0)],
            bytes(50),
            bytes(50),
            100,
            id="x and z that wrap",
        ),
        pytest.param([(50, 0, INT64_MAX), (50, 0, 0)], bytes(100), b"", 100, id="z that wraps the position"),
        pytest.param([(50, 0, -51), (50, 0, 0)], bytes(100), b"", 100, id="position before the base"),
        pytest.param([(50, 0, 800), (50, 0, 0)], bytes(100), b"", 100, id="diff past the base"),
        pytest.param([(50, 50, 811)], bytes(50), bytes(50), 100, id="last position past the base"),
        pytest.param([(50, 40, 0)], bytes(50), bytes(40), 100, id="too little result"),
        pytest.param([(60, 50, 0)], bytes(60), bytes(50), 100, id="too much result"),
        pytest.param([(50, 50, 0)], bytes(49), bytes(51), 100, id="diff shorter than the triples say"),
        pytest.param([(50, 50, 0)], bytes(51), bytes(50), 100, id="diff longer than the triples say"),
        pytest.param([(50, 50, 0)], bytes(50), bytes(49), 100, id="extra shorter than the triples say"),
        pytest.param([(50, 50, 0)], bytes(50), bytes(51), 100, id="extra longer than the triples say"),
        pytest.param([(0, 0, 0)] * 12 + [(50, 50, 0)], bytes(50), bytes(50), 100, id="more triples than fit"),
        pytest.param([], b"", b"", 100, id="no triples"),
    ],
)
def test_a_control_block_that_breaks_a_rule_is_refused(triples, diff, extra, size):
    assert refusal(payload(triples, diff, extra, size), size) is Reason.PATCH_DAMAGED


def with_header(control=None, diff=None, size=None, magic=b"BSDIFF40"):
    fields = [GOOD[8:16], GOOD[16:24], GOOD[24:32]]
    for index, value in enumerate((control, diff, size)):
        if value is not None:
            fields[index] = bsdiff4.core.encode_int64(value)
    return magic + b"".join(fields) + GOOD[32:]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:31], id="short header"),
        pytest.param(with_header(magic=b"BSDIFF41"), id="magic"),
        pytest.param(with_header(size=-200), id="negative result size"),
        pytest.param(with_header(size=1 << 40), id="result size 2^40"),
        pytest.param(with_header(size=199), id="result size one less"),
        pytest.param(GOOD + b"\0", id="a byte behind"),
        pytest.param(GOOD + bz2.compress(b""), id="a second stream behind"),
        pytest.param(GOOD[:-1], id="a byte missing"),
    ],
)
def test_a_header_or_a_length_that_lies_is_refused(data):
    assert CODEC.apply(OLD, GOOD, 200) == bsdiff4.patch(OLD, GOOD)
    assert refusal(data, 200) is Reason.PATCH_DAMAGED


@pytest.mark.parametrize("sizes", [(-1, 0), (0, -1), (1 << 40, 0), (0, 1 << 40), (INT64_MAX, INT64_MAX)])
def test_block_sizes_that_do_not_lie_in_the_payload_are_refused_as_such(sizes):
    control, diff = sizes
    with pytest.raises(Refused, match=f"patch-damaged: bsdiff4 block sizes: found {control} and {diff}"):
        CODEC.apply(OLD, with_header(control=control, diff=diff), 200)


def test_a_control_block_that_is_not_whole_triples_is_refused():
    control = bz2.compress(bytes(25))
    encode = bsdiff4.core.encode_int64
    empty = bz2.compress(b"")
    data = b"BSDIFF40" + encode(len(control)) + encode(len(empty)) + encode(100) + control + empty + empty
    assert refusal(data, 100) is Reason.PATCH_DAMAGED


def test_a_compressed_block_larger_than_bzip2_could_have_made_is_refused_unread():
    # 200 bytes are at most 802 compressed; what is 1,000 long need not be a bzip2 stream at all.
    data = GOOD[:32] + GOOD[32:].replace(bz2.compress(bytes(70)), bytes(1000))
    with pytest.raises(
        Refused, match="patch-damaged: bsdiff4 extra block: found 1000 bytes, expected at most 802"
    ):
        CODEC.apply(OLD, data, 200)


def test_sizes_that_could_leave_64_bit_sums_are_refused():
    assert refusal(GOOD, 1 << 31) is Reason.OVERSIZE


def test_the_codec_is_registered_under_its_name():
    assert CODECS["bsdiff4"] == CODEC
