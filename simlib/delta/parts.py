"""A payload that is read in order, and the parts of a result that it tells one after another.

Formats that stream differ in how their bytes are compressed and how a part is written down. What is common to
them is here: reading a body out of portions that something else has bounded, and making the result of parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from simlib.delta.codec import Recipe
from simlib.delta.packed import damaged
from simlib.errors import Refused

PIECE_BYTES: Final = 1 << 16
"""How large a piece of the result becomes before it is given away [byte]."""


class Body:
    """The body of a payload as it is read, in order."""

    def __init__(self, portions: Iterator[bytes | memoryview], where: str) -> None:
        """`portions` are its bytes, decompressed; `where` names it in messages."""
        self._portions = portions
        self._portion: bytes | memoryview = b""
        self._at = 0
        self._where = where

    def byte(self) -> int:
        """The next byte. Raises Refused PATCH_DAMAGED where the body is damaged or ends."""
        while self._at == len(self._portion):
            self._next()
        self._at += 1
        return self._portion[self._at - 1]

    def pieces(self, size_bytes: int) -> Iterator[bytes | memoryview]:
        """The next `size_bytes` bytes, in pieces. Raises as `byte` does."""
        while size_bytes:
            while self._at == len(self._portion):
                self._next()
            piece = self._portion[self._at : self._at + size_bytes]
            self._at += len(piece)
            size_bytes -= len(piece)
            yield piece

    def rest(self) -> bytes:
        """All that is left. Raises as `byte` does."""
        whole = b"".join((self._portion[self._at :], *self._portions))
        self._portion, self._at = b"", 0
        return whole

    def expect_end(self) -> None:
        """Raises Refused PATCH_DAMAGED where the body goes on."""
        if self._at < len(self._portion) or any(len(portion) for portion in self._portions):
            raise damaged(self._where, "more bytes", "as many as are needed")

    def _next(self) -> None:
        portion = next(self._portions, None)
        if portion is None:
            raise damaged(self._where, "its end", "as many bytes as are needed")
        self._portion, self._at = portion, 0


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of the result that are made alike: from the body, from the base, or the sum of both."""

    position: int
    """Where they come from in the base; −1 where it has no part in them."""
    size: int
    added: Iterator[bytes | memoryview] | None
    """The bytes of the body, to be taken before the next part is asked for; None: the base's as they are."""


def pieces_of(parts: Iterable[Part], old: bytes) -> Iterator[bytes]:
    """The result in pieces of about `PIECE_BYTES`.

    What was made before a refusal is given first. Raises what `parts` raise.
    """
    made = bytearray()
    fault: Refused | None = None
    try:
        for part in parts:
            for piece in _bytes_of(part, old):
                made += piece
                if len(made) >= PIECE_BYTES:
                    yield bytes(made)
                    made.clear()
    except Refused as error:
        fault = error
    if made:
        yield bytes(made)
    if fault is not None:
        raise fault


def recipe_of(parts: Iterable[Part], result_size_bytes: int) -> Recipe:
    """Where each byte of the result comes from. Raises what `parts` raise."""
    sources = np.full(result_size_bytes, -1, dtype=np.int32)
    values = np.zeros(result_size_bytes, dtype=np.uint8)
    at = 0
    for part in parts:
        if part.position >= 0:
            stop = part.position + part.size
            sources[at : at + part.size] = np.arange(part.position, stop, dtype=np.int32)
        value_at = at
        for added in part.added or ():
            values[value_at : value_at + len(added)] = np.frombuffer(added, dtype=np.uint8)
            value_at += len(added)
        at += part.size
    return Recipe(sources, values)


def _bytes_of(part: Part, old: bytes) -> Iterator[bytes | memoryview]:
    if part.added is None:
        yield memoryview(old)[part.position : part.position + part.size]
    elif part.position < 0:
        yield from part.added
    else:
        base, at = np.frombuffer(old, dtype=np.uint8), part.position
        for added in part.added:
            values = np.frombuffer(added, dtype=np.uint8)
            yield (base[at : at + len(values)] + values).tobytes()
            at += len(values)
