"""The zstd codecs: a base as the prefix of its successor's window, and an image compressed by itself.

`zstd-patch-from` is what ``zstd --patch-from`` writes at level 19: a frame whose matches may reach back into
the base, found over long distances too. `full-zstd` is a frame of level 19 with a window that a
microcontroller can hold.

The format is RFC 8878. A payload is one frame without checksum or dictionary number, and says its result's
size. Nobody has vouched for it, so before a byte is decompressed the header and the chain of blocks are
followed: no block is larger than 128 KiB, and the last one ends with the payload. Then it is decompressed
block by block, so that nothing is made that the sizes have not bounded: memory is twice the result, the
window and the library's state of a few hundred KiB, and for `zstd-patch-from` a copy of the base, which the
library's binding makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import zstandard

from simlib.delta.codec import Recipe, Traits
from simlib.delta.packed import damaged

LEVEL: Final = 19
FULL_WINDOW_LOG: Final = 13
"""Window of `full-zstd`, 8 KiB: the decoder takes 96 kB and four times the window, so this is half of a
microcontroller's 256 KiB where 32 KiB would be all of it, for an image less than 2 % shorter."""
MAGIC: Final = b"\x28\xb5\x2f\xfd"
BLOCK_HEADER_BYTES: Final = 3
HEADER_BYTES: Final = 18
"""The longest header of a frame [byte]."""
MAX_BLOCK_BYTES: Final = 128 << 10
MIN_WINDOW_BYTES: Final = 1 << 10
_RLE, _RESERVED = 1, 3


def zstd_ceiling(size_bytes: int) -> int:
    """No honest frame is longer (``ZSTD_COMPRESSBOUND`` of zstd.h, and the largest header)."""
    return size_bytes + (size_bytes >> 8) + max(0, (MAX_BLOCK_BYTES - size_bytes) >> 11) + 18


def decoder_bytes(window_bytes: int, content_bytes: int) -> int:
    """What a streaming decoder takes [byte] (``ZSTD_estimateDStreamSize`` of zstd 1.5, for a known content).

    Its state, as large as the library on this machine says; a block of input; and the window with two blocks
    and 64 bytes behind it, so that a block can be written wherever in the buffer the last one ended, but
    never more than the content.
    """
    block = min(window_bytes, MAX_BLOCK_BYTES)
    output = min(content_bytes, window_bytes + 2 * block + 64)
    return int(zstandard.estimate_decompression_context_size()) + block + output


@dataclass(frozen=True, slots=True)
class Zstd:
    """A frame of level 19, with a base or with a small window."""

    name: str
    traits: Traits

    def ram_bytes(self, payload_size_bytes: int, result_size_bytes: int) -> int:
        """State, input and window (`decoder_bytes`); the base is read where it lies in flash."""
        return decoder_bytes(self._window_bytes(result_size_bytes), result_size_bytes)

    def diff(self, old: bytes, new: bytes) -> bytes:
        """The frame that holds `new`, with matches in `old` if this codec takes a base."""
        takes_base = self.traits.takes_base
        settings = {
            "source_size": len(new),
            "dict_size": len(old),
            "write_content_size": True,
            "write_checksum": False,
            "write_dict_id": False,
            "enable_ldm": takes_base,
            "threads": 0,
        }
        if not takes_base:
            settings["window_log"] = FULL_WINDOW_LOG
        compressor = zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters.from_level(LEVEL, **settings),
            dict_data=self._base(old),
        )
        return compressor.compress(new)

    def apply(self, old: bytes, payload: bytes | memoryview, result_size_bytes: int) -> bytes:
        """Decompress a payload that nobody has vouched for, by the rules in the module's docstring.

        Raises:
            Refused: PATCH_DAMAGED when one of them is broken.
        """
        return b"".join(self.pieces(old, payload, result_size_bytes))

    def pieces(
        self, old: bytes, payload: bytes | memoryview, result_size_bytes: int
    ) -> Iterator[bytes | memoryview]:
        """The result a block at a time, up to 128 KiB; raises as `apply` does."""
        view = memoryview(payload)
        window = self._checked_window(view, result_size_bytes)
        decoder = zstandard.ZstdDecompressor(
            dict_data=self._base(old), max_window_size=max(window, MIN_WINDOW_BYTES)
        ).decompressobj()
        room = result_size_bytes
        for part in _parts(view, window, self.name):
            try:
                piece = decoder.decompress(part)
            except zstandard.ZstdError as error:
                raise damaged(self.name, str(error), "a zstd frame") from error
            room -= len(piece)
            if room < 0:
                raise damaged(self.name, "more bytes", "as many as its header says")
            if piece:
                yield piece
        if room or not decoder.eof:
            raise damaged(self.name, f"its end {room} bytes early", "as many as its header says")

    def recipe(self, old_size_bytes: int, payload: bytes | memoryview, result_size_bytes: int) -> Recipe:
        """Not to be had: a match may be in the base or in the result itself."""
        raise NotImplementedError

    def _window_bytes(self, result_size_bytes: int) -> int:
        """The window that a payload of this codec may ask for."""
        return result_size_bytes if self.traits.takes_base else min(result_size_bytes, 1 << FULL_WINDOW_LOG)

    def _base(self, old: bytes) -> zstandard.ZstdCompressionDict | None:
        if not old or not self.traits.takes_base:
            return None
        return zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)

    def _checked_window(self, view: memoryview, result_size_bytes: int) -> int:
        """The window of a frame whose header holds."""
        if bytes(view[: len(MAGIC)]) != MAGIC:
            raise damaged(f"{self.name} magic", bytes(view[: len(MAGIC)]).hex() or "nothing", MAGIC.hex())
        ceiling = zstd_ceiling(result_size_bytes)
        if len(view) > ceiling:
            raise damaged(self.name, f"{len(view)} bytes", f"at most {ceiling}")
        try:
            header = zstandard.get_frame_parameters(view[:HEADER_BYTES])
        except zstandard.ZstdError as error:
            raise damaged(f"{self.name} header", str(error), "a zstd frame") from error
        if header.content_size != result_size_bytes:
            raise damaged(f"{self.name} result size", str(header.content_size), str(result_size_bytes))
        limit = max(self._window_bytes(result_size_bytes), MIN_WINDOW_BYTES)
        if header.window_size > limit:
            raise damaged(f"{self.name} window", str(header.window_size), f"at most {limit}")
        if header.has_checksum or header.dict_id:
            raise damaged(f"{self.name} header", "a checksum or a dictionary's number", "neither")
        return header.window_size


def _parts(view: memoryview, window_bytes: int, where: str) -> Iterator[memoryview]:
    """The frame's header, then block by block; the chain is followed to its end before the first is given."""
    ends = [zstandard.frame_header_size(view[:HEADER_BYTES])]
    limit = min(max(window_bytes, MIN_WINDOW_BYTES), MAX_BLOCK_BYTES)
    is_last = False
    while not is_last:
        at = ends[-1]
        header = int.from_bytes(view[at : at + BLOCK_HEADER_BYTES], "little")
        is_last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        end = at + BLOCK_HEADER_BYTES + (1 if kind == _RLE else size)
        if end > len(view) or at + BLOCK_HEADER_BYTES > len(view):
            raise damaged(where, "its end", "the end of a zstd frame")
        if kind == _RESERVED or size > limit or not (size or is_last):
            raise damaged(f"{where} block", f"kind {kind} of {size} bytes", f"one of 1 to {limit}")
        ends.append(end)
    if behind := len(view) - ends[-1]:
        raise damaged(where, f"{behind} bytes behind the frame", "none")
    start = 0
    for end in ends:
        yield view[start:end]
        start = end


PATCH_FROM: Final = Zstd(
    "zstd-patch-from",
    Traits(
        takes_base=True,
        streams=True,
        in_place=False,
        decoder="large",
        effort_percent=10,
        source="derived: RAM (zstd 1.5, ZSTD_estimateDStreamSize); recalled: the size class, some 60 kB of"
        " code; measured: effort (benchmarks/decoders.py)",
    ),
)
FULL: Final = Zstd(
    "full-zstd",
    Traits(
        takes_base=False,
        streams=True,
        in_place=False,
        decoder="large",
        effort_percent=15,
        source=PATCH_FROM.traits.source,
    ),
)
