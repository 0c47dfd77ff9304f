"""Decompression that cannot be made to allocate more than was agreed.

A bzip2 block of 45 bytes can hold 900 kB, and a stream of any number of blocks is legal, so a few hundred
bytes ask for gigabytes (the class of CVE-2020-15904). A stream is therefore read as a file is: whoever reads
says how much, and nothing more is decompressed. It must end where its container says: an unfinished stream
or a byte behind it is refused, because two readers could disagree about it.
"""

from __future__ import annotations

import bz2
import lzma
from typing import Final

from simlib.errors import Reason, Refused

FEED_BYTES: Final = 1 << 16
"""How much of a stream the decompressor is given at a time [byte]; it copies what it has not used."""


def bz2_ceiling(size_bytes: int) -> int:
    """The largest that bzip2 makes of `size_bytes` bytes: 1 % and 600 bytes more (its manual, 3.4.1)."""
    return size_bytes + size_bytes // 100 + 600


class BoundedStream:
    """One whole stream of bzip2 or LZMA, decompressed as far as it is asked for.

    Besides what it returns it holds the decompressor: of bzip2 at most 3.7 MB (its manual, 3.1, at block size
    9), of LZMA the dictionary.
    """

    def __init__(
        self,
        stream: memoryview,
        where: str,
        engine: lzma.LZMADecompressor | None = None,
        kind: str = "a bzip2 stream",
    ) -> None:
        """`where` names the stream in messages, `kind` what it should be; `engine` None: bzip2's."""
        self._stream = stream
        self._where = where
        self._fed = 0
        self._engine = bz2.BZ2Decompressor() if engine is None else engine
        self._kind = kind

    def read(self, size_bytes: int) -> bytearray:
        """The next `size_bytes` bytes; fewer, or none, where the stream ends.

        Raises:
            Refused: PATCH_DAMAGED when it is no such stream, or stops before its end.
        """
        data = bytearray(size_bytes)
        at = 0
        while at < size_bytes and (piece := self.some(size_bytes - at)):
            data[at : at + len(piece)] = piece
            at += len(piece)
        del data[at:]
        return data

    def take(self, size_bytes: int) -> bytearray:
        """The next `size_bytes` bytes.

        Raises:
            Refused: PATCH_DAMAGED as for `read`, and when there are fewer.
        """
        data = self.read(size_bytes)
        if len(data) != size_bytes:
            raise self._damaged(f"its end {size_bytes - len(data)} bytes early", "as many as are needed")
        return data

    def expect_end(self) -> None:
        """Check that everything has been read and nothing follows.

        Raises:
            Refused: PATCH_DAMAGED when the stream goes on, or a byte follows it.
        """
        if self.some(1):
            raise self._damaged("more bytes", "as many as are needed")
        if behind := len(self._engine.unused_data) + len(self._stream) - self._fed:
            raise self._damaged(f"{behind} bytes behind the stream", "none")

    def some(self, limit_bytes: int) -> bytes:
        """Some of the next bytes, at least one and at most the limit or 64 KiB; none at the stream's end.

        Raises:
            Refused: PATCH_DAMAGED as for `read`.
        """
        while not self._engine.eof:
            feed = b""
            if self._engine.needs_input:
                feed = bytes(self._stream[self._fed : self._fed + FEED_BYTES])
                if not feed:
                    raise self._damaged("its end", f"the end of {self._kind}")
                self._fed += len(feed)
            try:
                piece = self._engine.decompress(feed, min(limit_bytes, FEED_BYTES))
            except (OSError, ValueError, lzma.LZMAError) as error:
                raise self._damaged(error, self._kind) from error
            if piece:
                return piece
        return b""

    def _damaged(self, found: object, expected: str) -> Refused:
        return Refused(Reason.PATCH_DAMAGED, f"{self._where}: found {found}, expected {expected}")
