"""Named parts of a flash, and a driver that keeps each user inside its own.

The bound is what makes a missing second slot dangerous: a write that would run past the partition's end
is refused by the driver, whatever the writer had in mind, and what was written before it stays.
Leaves to others: which partitions a layout has (`layouts`).
"""

from __future__ import annotations

from dataclasses import dataclass

from simlib.device.flash import LARGEST_WRITE_BYTES, Flash, FlashError, FlashErrorKind


@dataclass(frozen=True, slots=True)
class Partition:
    """A run of whole sectors; offset from the start of the flash and size in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Area:
    """A flash seen through one partition: offsets count from the partition's start."""

    flash: Flash
    partition: Partition

    @property
    def name(self) -> str:
        """The partition's name."""
        return self.partition.name

    @property
    def size(self) -> int:
        """The partition's size [byte]."""
        return self.partition.size

    @property
    def sector(self) -> int:
        """The partition's erase unit [byte]."""
        return self.flash.erase_size(self.partition.offset)

    @property
    def sectors(self) -> int:
        """How many erase units the partition has."""
        return self.partition.size // self.sector

    def read(self, offset: int, n: int) -> bytes:
        """`n` bytes from `offset`; `FlashError` OUT_OF_PARTITION past the end."""
        self._need_inside(offset, n, "read")
        return self.flash.read(self.partition.offset + offset, n)

    def write(self, offset: int, data: bytes) -> None:
        """One write call under the flash's rules; `FlashError` OUT_OF_PARTITION past the end."""
        partition = self.partition
        if not 0 <= offset <= partition.size - len(data):
            self._need_inside(offset, len(data), "write")
        self.flash.write(partition.offset + offset, data)

    def erase(self, offset: int) -> None:
        """Erase the sector that starts at `offset`; `FlashError` OUT_OF_PARTITION past the end."""
        self._need_inside(offset, self.sector, "erase")
        self.flash.erase(self.partition.offset + offset)

    def erase_range(self, offset: int, n: int) -> None:
        """Erase, from the lowest up, every sector that the `n` bytes from `offset` touch."""
        sector = self.sector
        for start in range(offset // sector * sector, offset + n, sector):
            self.erase(start)

    def erase_all(self) -> None:
        """Erase every sector of the partition, from the lowest up."""
        self.erase_range(0, self.partition.size)

    def write_bytes(self, offset: int, data: bytes) -> None:
        """Write any number of bytes as write calls of at most 1,024, the tail padded with the erased value.

        The calls before one that is refused have taken place.
        """
        geometry = self.flash.geometry
        short = -len(data) % geometry.write_size
        if short:
            data = data + bytes([geometry.erased_value]) * short
        partition = self.partition
        if (
            len(data) > LARGEST_WRITE_BYTES
            and 0 <= offset <= partition.size - len(data)
            and self.flash.write_calls(partition.offset + offset, data)
        ):
            return
        for at in range(0, len(data), LARGEST_WRITE_BYTES):
            self.write(offset + at, data[at : at + LARGEST_WRITE_BYTES])

    def is_erased(self, offset: int, n: int) -> bool:
        """Whether these bytes all read as the erased value."""
        data = self.read(offset, n)
        return data.count(self.flash.geometry.erased_value) == len(data)

    def _need_inside(self, offset: int, n: int, what: str) -> None:
        if offset < 0 or n < 0 or offset + n > self.partition.size:
            raise FlashError(
                FlashErrorKind.OUT_OF_PARTITION,
                f"{what} of {n} bytes at {offset} of {self.name}, expected within {self.size}",
            )
