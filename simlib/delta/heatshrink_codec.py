"""The full-heatshrink codec: an image compressed for the smallest devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from simlib.delta.codec import Recipe, Traits
from simlib.delta.packed import damaged
from simlib.delta.portions import heatshrink_portions

WHERE: Final = "full-heatshrink"
WINDOW_BITS, LOOKAHEAD_BITS = 11, 4
"""A window of 2 KiB, matches of up to 16 bytes; the stream does not say so, the codec's name does."""
INPUT_BYTES: Final = 256
STATE_BYTES: Final = 16
TRAITS: Final = Traits(
    takes_base=False,
    streams=True,
    in_place=False,
    decoder="small",
    effort_percent=80,
    source="read: heatshrink_decoder.h (window, input buffer and state); measured: effort"
    " (benchmarks/decoders.py)",
)


@dataclass(frozen=True, slots=True)
class FullHeatshrink:
    """The image as heatshrink compresses it."""

    name: str = WHERE
    traits: Traits = TRAITS

    def ram_bytes(self, payload_size_bytes: int, result_size_bytes: int) -> int:
        """Window, input buffer and state, whatever the sizes."""
        return (1 << WINDOW_BITS) + INPUT_BYTES + STATE_BYTES

    def diff(self, old: bytes, new: bytes) -> bytes:
        """`new`, compressed; `old` does not count."""
        from heatshrink2 import core

        encoder = core.Encoder(core.Writer(window_sz2=WINDOW_BITS, lookahead_sz2=LOOKAHEAD_BITS))
        return bytes(encoder.fill(new)) + bytes(encoder.finish())

    def apply(self, old: bytes, payload: bytes | memoryview, result_size_bytes: int) -> bytes:
        """Decompress a payload that nobody has vouched for.

        Raises:
            Refused: PATCH_DAMAGED when it holds more or less than it should.
        """
        return b"".join(self.pieces(old, payload, result_size_bytes))

    def pieces(
        self, old: bytes, payload: bytes | memoryview, result_size_bytes: int
    ) -> Iterator[bytes | memoryview]:
        """The result in pieces of at most some 8 KiB; raises as `apply` does."""
        room = result_size_bytes
        for portion in heatshrink_portions(memoryview(payload), WINDOW_BITS, LOOKAHEAD_BITS, WHERE):
            if len(portion) > room:
                raise damaged(WHERE, "more bytes", "as many as are needed")
            room -= len(portion)
            if len(portion):
                yield portion
        if room:
            raise damaged(WHERE, f"its end {room} bytes early", "as many as are needed")

    def recipe(self, old_size_bytes: int, payload: bytes | memoryview, result_size_bytes: int) -> Recipe:
        """Not to be had: the result is made of itself, not of a base."""
        raise NotImplementedError
