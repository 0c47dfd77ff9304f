"""The bytes behind the digests of sectors, each kept once for all the states that share it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from simlib.device.transition import DIGEST_BYTES

CONTENT_BYTES: Final = 256 << 20
"""How many bytes of sectors are kept at hand; those not used for longest fall out."""


def sector_digest(sector: bytes) -> bytes:
    """What stands for a sector's bytes: SHA-256, cut to `DIGEST_BYTES`. Nobody chooses sectors to collide."""
    return sha256(sector).digest()[:DIGEST_BYTES]


class SectorStore:
    """Sectors by digest."""

    def __init__(self) -> None:
        self._sectors: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def put(self, sector: bytes) -> bytes:
        """Keep these bytes; returns their digest."""
        digest = sector_digest(sector)
        if digest not in self._sectors:
            self._sectors[digest] = sector
            self._bytes += len(sector)
            while self._bytes > CONTENT_BYTES and len(self._sectors) > 1:
                self._bytes -= len(self._sectors.popitem(last=False)[1])
        return digest

    def get(self, digest: bytes) -> bytes | None:
        """The sector with this digest; None where it has fallen out."""
        return self._sectors.get(digest)

    def content(self, digests: Sequence[bytes]) -> bytes | None:
        """The sectors with these digests, one after the other; None where one has fallen out."""
        sectors = self._sectors
        if not all(digest in sectors for digest in digests):
            return None
        for digest in digests:
            sectors.move_to_end(digest)
        return b"".join([sectors[digest] for digest in digests])
