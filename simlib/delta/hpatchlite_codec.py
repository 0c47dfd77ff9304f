"""The HPatchLite codec: the format that HDiffPatch offers for small devices, with tinyuz compression.

Payloads are what `hdiffpatch.diff_lite` writes (github.com/sisong/HPatchLite). A payload is "hI", a byte for
the compression (0 none, 1 tinyuz), a byte of lengths (its top bits are the version, 1), the result's size
and the body's size, both little endian in as many bytes as the lengths say; then the body. A body that no
compression makes shorter is stored, and its size left out.

The body is a count of covers, then for each: its length, how far its place in the base is from the end of
the last one (with a sign, and a flag that says that nothing is added), and how many bytes come before it in
the result; these bytes; and, without the flag, the bytes to be added to the base's. All of it is in the
order in which it is needed, so the result can be made while the body arrives, and any part of it from the
base and the body: the codec streams and works in place.

Nobody has vouched for a payload, and the library's own decoder is C that would have to be trusted: it is
read here instead. Sizes and covers are checked by the rules in `simlib.delta.packed`, and the body is at
most twice the result, which is more than an honest one: every byte of the result once, and covers, each
shorter than what it covers. Memory is the payload and twice the result. Time grows with the result: an
honest payload takes some 0.3 seconds of a processor for each MiB, the worst ten times that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from simlib.delta.codec import Recipe, Traits
from simlib.delta.packed import check_cover, check_cover_count, damaged, read_number
from simlib.delta.parts import Body, Part, pieces_of, recipe_of
from simlib.delta.tinyuz import tinyuz_portions

WHERE: Final = "hpatchlite-tuz"
MAGIC: Final = b"hI"
HEADER_BYTES: Final = 4
VERSION: Final = 1
STORED, TINYUZ = 0, 1
DICTIONARY_BYTES: Final = 4096
"""The dictionary that a device must hold [byte]; eight times as much makes a patch less than 1 % shorter."""
LONGEST_MATCH: Final = 65_535
CACHE_BYTES: Final = 256
"""The buffers of input: one for tinyuz, one for the body and one for the base [byte]; a larger one is
faster and nothing else."""
STATE_BYTES: Final = 128
"""The two decoders' own variables on a 32-bit device [byte]."""
_EXACT, _BACKWARDS = 1 << 7, 1 << 6
_POSITION_BITS: Final = 5
TRAITS: Final = Traits(
    takes_base=True,
    streams=True,
    in_place=True,
    decoder="small",
    effort_percent=25,
    source="read: the READMEs of HPatchLite (662 bytes of code) and tinyuz (824), and what they need of RAM;"
    " measured: effort (benchmarks/decoders.py)",
)


def _opened(view: memoryview, result_size_bytes: int) -> Body:
    """The body of a payload whose header holds."""
    if len(view) < HEADER_BYTES or bytes(view[:2]) != MAGIC or view[3] >> 6 != VERSION:
        raise damaged(f"{WHERE} header", bytes(view[:HEADER_BYTES]).hex() or "nothing", f"{MAGIC.hex()}..4.")
    result_length, body_length = view[3] & 7, view[3] >> 3 & 7
    body_from = HEADER_BYTES + result_length + body_length
    if len(view) < body_from:
        raise damaged(f"{WHERE} header", f"{len(view)} bytes", f"at least {body_from}")
    size = int.from_bytes(view[HEADER_BYTES : HEADER_BYTES + result_length], "little")
    body_size = int.from_bytes(view[HEADER_BYTES + result_length : body_from], "little")
    if size != result_size_bytes:
        raise damaged(f"{WHERE} result size", str(size), str(result_size_bytes))
    body, where = view[body_from:], f"{WHERE} body"
    limit = 2 * result_size_bytes + 16
    if view[2] == STORED and not body_size:
        if len(body) > limit:
            raise damaged(where, f"{len(body)} bytes", f"at most {limit}")
        return Body(iter([body]), where)
    if view[2] == TINYUZ and body_size:
        if body_size > limit:
            raise damaged(where, f"{body_size} bytes", f"at most {limit}")
        return Body(tinyuz_portions(body, body_size, DICTIONARY_BYTES, where), where)
    found = f"{view[2]} and a body of {body_size} bytes"
    raise damaged(f"{WHERE} compression", found, f"{STORED} and none, or {TINYUZ} and one")


def _number(body: Body) -> int:
    first = body.byte()
    return first if first < 128 else read_number(body.byte, first, 7, WHERE)


def _parts(body: Body, old_size_bytes: int, result_size_bytes: int) -> Iterator[Part]:
    """The result part by part, in order; a part's bytes are to be taken before the next is asked for."""
    covers = _number(body)
    check_cover_count(covers, result_size_bytes, WHERE)
    room, last_end = result_size_bytes, 0
    while covers:
        covers -= 1
        length = _number(body)
        tag = body.byte()
        far = read_number(body.byte, tag, _POSITION_BITS, WHERE)
        position = last_end - far if tag & _BACKWARDS else last_end + far
        before = _number(body)
        if before > room:
            raise damaged(f"{WHERE} bytes before a cover", str(before), f"at most {room}")
        check_cover(position, length, old_size_bytes, room - before, WHERE)
        if not length and covers:
            raise damaged(f"{WHERE} cover", "an empty one", "none but the last")
        if before:
            yield Part(-1, before, body.pieces(before))
        if length:
            yield Part(position, length, None if tag & _EXACT else body.pieces(length))
        room -= before + length
        last_end = position + length
    if room:
        raise damaged(f"{WHERE} covers", f"their end {room} bytes early", "as many as are needed")
    body.expect_end()


@dataclass(frozen=True, slots=True)
class HPatchLite:
    """The codec of HPatchLite with tinyuz, of the hdiffpatch package."""

    name: str = WHERE
    traits: Traits = TRAITS

    def ram_bytes(self, payload_size_bytes: int, result_size_bytes: int) -> int:
        """The dictionary, three buffers and the decoders' variables, whatever the sizes.

        (tinyuz README: dictionary and input buffer; HPatchLite README: one decompressor and a buffer, which
        its decoder divides between the body and the base.)
        """
        return DICTIONARY_BYTES + 3 * CACHE_BYTES + STATE_BYTES

    def diff(self, old: bytes, new: bytes) -> bytes:
        """What `hdiffpatch.diff_lite` gives with a dictionary of `DICTIONARY_BYTES`."""
        import hdiffpatch

        tinyuz = hdiffpatch.TuzConfig(
            dict_size=DICTIONARY_BYTES, max_save_length=LONGEST_MATCH, threads=1, literal_line=True
        )
        return hdiffpatch.diff_lite(old, new, compression=tinyuz, validate=False)

    def apply(self, old: bytes, payload: bytes | memoryview, result_size_bytes: int) -> bytes:
        """Apply a payload that nobody has vouched for, by the rules in the module's docstring.

        Raises:
            Refused: PATCH_DAMAGED when one of them is broken.
        """
        result = bytearray()
        for piece in self.pieces(old, payload, result_size_bytes):
            result += piece
        return bytes(result)

    def pieces(
        self, old: bytes, payload: bytes | memoryview, result_size_bytes: int
    ) -> Iterator[bytes | memoryview]:
        """The result in pieces of about 64 KiB; raises as `apply` does."""
        body = _opened(memoryview(payload), result_size_bytes)
        return pieces_of(_parts(body, len(old), result_size_bytes), old)

    def recipe(self, old_size_bytes: int, payload: bytes | memoryview, result_size_bytes: int) -> Recipe:
        """The recipe of a payload that nobody has vouched for; raises as `apply` does."""
        body = _opened(memoryview(payload), result_size_bytes)
        return recipe_of(_parts(body, old_size_bytes, result_size_bytes), result_size_bytes)
