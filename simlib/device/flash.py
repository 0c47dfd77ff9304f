"""A NOR flash with its rules, its wear, its cost and its power supply.

The rules, as datasheets of NOR parts and MCUboot's flash map have them:

- an erase sets one whole erase unit, a sector or several, to the erased value and must start at its start;
- a write can only move bits away from the erased value (with 0xFF: clear them); asking for a bit to go
  back is refused, even if the rest would be fine;
- offset and length of a write are multiples of the write size, and one call writes at most 1,024 bytes;
- a read is free: its time is hidden in the cost of whatever uses the bytes.

Power can be made to fail at any operation (`tears` says what that leaves).

Every way to the bytes notes in `Flash.access` which sectors were looked at and which were changed.
Leaves to others: where partitions lie (`partitions`) and what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simlib.device.access import CHANGED, SectorAccess
from simlib.device.cell_faults import CellFaults
from simlib.device.meter import Meter, ceil_div
from simlib.device.nor import (
    LARGEST_WRITE_BYTES,
    FlashError,
    FlashErrorKind,
    FlashState,
    Geometry,
    PowerCut,
    Region,
)
from simlib.device.tears import TEARS, torn

if TYPE_CHECKING:
    from simlib.scenario.calibration import FlashProfile

__all__ = [
    "LARGEST_WRITE_BYTES",
    "Flash",
    "FlashError",
    "FlashErrorKind",
    "FlashState",
    "Geometry",
    "PowerCut",
    "Region",
]


class Flash:
    """One flash device. `content`, if given, is what it holds at the start, at no cost and no wear."""

    def __init__(
        self,
        size_bytes: int,
        geometry: Geometry,
        profile: FlashProfile,
        meter: Meter,
        content: bytes | None = None,
    ) -> None:
        sector = geometry.sector_size
        if size_bytes <= 0 or size_bytes % sector:
            raise ValueError(f"size_bytes: found {size_bytes}, expected a multiple of the sector, {sector}")
        if content is not None and len(content) != size_bytes:
            raise ValueError(f"content: found {len(content)} bytes, expected {size_bytes}")
        self.size_bytes = size_bytes
        self.geometry = geometry
        self.profile = profile
        self.meter = meter
        self.erases = 0
        self.writes = 0
        self.bytes_written = 0
        self.sectors = size_bytes // sector
        self.wear = [0] * self.sectors
        self.access = SectorAccess(self.sectors)
        """What was looked at and changed since the flash was made or restored."""
        self.on_operation: Callable[[int, bytes | None], None] | None = None
        """Told of each operation just before it takes place: its offset, and the bytes of a write."""
        self.op_end_ns: list[int] = []  # the meter's time when each operation ended,
        self.op_end_nj: list[int] = []  # and its energy, of flash and compute together
        self._sector = sector
        self._erased_sector = bytes([geometry.erased_value]) * sector
        self._erased_chunk = bytes([geometry.erased_value]) * LARGEST_WRITE_BYTES
        self._cells = (
            bytearray(content)
            if content is not None
            else bytearray(bytes([geometry.erased_value]) * size_bytes)
        )
        self._erase_ns = ceil_div(profile.erase_ns * sector, profile.sector_bytes)
        self._erase_nj = ceil_div(profile.erase_nj * sector, profile.sector_bytes)
        self._powered = True
        self._cut_at = 0  # the number of the operation that power fails in; 0: none
        self._tear = "none"
        self._tear_seed = 0
        self._faults = CellFaults()
        self._faulty = False  # whether there are any: asked at every write

    @property
    def ops(self) -> int:
        """Flash operations that took place: erases of a sector and write calls, torn ones included."""
        return len(self.op_end_ns)

    def content(self) -> bytes:
        """Every byte, power or not: the view of a probe on the chip."""
        self.access.look(0, self.sectors - 1)
        return bytes(self._cells)

    def sector(self, number: int) -> bytes:
        """The bytes of one sector, counted from 0, power or not."""
        size = self.geometry.sector_size
        self._need_range(number * size, size)
        self.access.look(number, number)
        return bytes(self._cells[number * size : (number + 1) * size])

    def read(self, offset: int, n: int) -> bytes:
        """`n` bytes from `offset`."""
        self._need_power()
        self._need_range(offset, n)
        if n:
            sector = self.geometry.sector_size
            self.access.look(offset // sector, (offset + n - 1) // sector)
        return bytes(memoryview(self._cells)[offset : offset + n])

    def erase(self, offset: int) -> None:
        """Set the sector that starts at `offset`, or the larger unit there, to the erased value."""
        self._need_power()
        sector = self._sector
        if self.geometry.regions or offset % sector:
            self._need_start(offset)
        self._need_range(offset, sector)
        if self.on_operation is not None:
            self.on_operation(offset, None)
        if len(self.op_end_ns) + 1 == self._cut_at:
            self._fail_erase(offset)
        if self.geometry.regions or self._faulty:
            self._erase_unit(offset)
        else:
            self._cells[offset : offset + sector] = self._erased_sector
            self.access.marks[offset // sector] = CHANGED
        self._count_erase(offset)

    def erase_size(self, offset: int) -> int:
        """How many bytes an erase at `offset` sets to the erased value."""
        return self.geometry.erase_size(offset)

    def write(self, offset: int, data: bytes) -> None:
        """Program `data` at `offset`."""
        n = len(data)
        unit = self.geometry.write_size
        if (
            not self._powered
            or not 0 < n <= LARGEST_WRITE_BYTES
            or offset % unit
            or n % unit
            or not 0 <= offset <= self.size_bytes - n
        ):
            self._refuse_write(offset, n)
        cells = self._cells
        end = offset + n
        first, last = offset // self._sector, (end - 1) // self._sector
        marks = self.access.marks
        # Sectors of the work's own making need no more marks. (In small ones, a write may reach a third.)
        own = marks[first] == CHANGED == marks[last] and last - first < 2
        if not own:
            self.access.look(first, last)
        before = cells[offset:end]
        if before != self._erased_chunk[:n]:
            self._need_erased(offset, before, data)
        if self._faulty and self._faults.fails(offset, len(self.op_end_ns)):
            raise FlashError(FlashErrorKind.WRITE_FAILED, f"write at {offset}: the driver reports a failure")
        if self.on_operation is not None:
            self.on_operation(offset, data)
        if len(self.op_end_ns) + 1 == self._cut_at:
            self._fail_write(offset, data)
        cells[offset:end] = data
        if self._faulty:
            self._faults.hold(cells, offset, end)
        if not own:
            self.access.change(first, last)
        self._count_write(n)

    def write_calls(self, offset: int, data: bytes) -> bool:
        """Program `data` as calls of at most 1,024 bytes, where nothing can come between them.

        That is within one erased sector of the work's own making, with no cut armed and nobody to be told.
        False, and nothing is done, where that is not so.
        """
        n, end = len(data), offset + len(data)
        sector, unit = self._sector, self.geometry.write_size
        number = offset // sector
        if (
            not self._powered
            or self._cut_at
            or self.on_operation is not None
            or self._faulty
            or offset < 0
            or not 0 < n <= (number + 1) * sector - offset
            or end > self.size_bytes
            or offset % unit
            or n % unit
            or self.access.marks[number] != CHANGED
            or self._cells[offset:end] != self._erased_sector[:n]
        ):
            return False
        self._cells[offset:end] = data
        for at in range(0, n, LARGEST_WRITE_BYTES):
            self._count_write(min(LARGEST_WRITE_BYTES, n - at))
        return True

    def damage(self, offset: int, data: bytes) -> None:
        """Let the cells from `offset` on hold `data`: what a torn operation, or age, has left there.

        It takes no time, follows no rule of the driver, and needs no power.
        """
        if not data:
            return
        self._need_range(offset, len(data))
        first, last = offset // self._sector, (offset + len(data) - 1) // self._sector
        self.access.look(first, last)
        self._cells[offset : offset + len(data)] = data
        self.access.change(first, last)

    def stick(self, offset: int, bits: int, value: int) -> None:
        """From now on the `bits` of the byte at `offset` read as those of `value`, whatever is done to it."""
        self._need_range(offset, 1)
        self.access.look(offset // self._sector, offset // self._sector)
        self._faults.stick(offset, bits, value)
        self._faulty = True
        self._faults.hold(self._cells, offset, offset + 1)
        self.access.change(offset // self._sector, offset // self._sector)

    def fail_writes(self, fails: Callable[[int, int], bool] | None) -> None:
        """Let writes fail: `fails` is given the offset and how many operations took place before.

        A write that fails changes nothing, and the driver says so (`FlashError` WRITE_FAILED). None: all is
        well again.
        """
        self._faults.failing = fails
        self._faulty = bool(self._faults)

    def arm_cut(self, op: int, tear: str, seed: int = 0) -> None:
        """Let power fail in the `op`-th operation from now, counted from 1, with this tear.

        A refused operation does not count. `seed` makes the bytes of a garbage tear.
        """
        if op < 1:
            raise ValueError(f"op: found {op}, expected 1 or more")
        if tear not in TEARS:
            raise ValueError(f"tear: found {tear!r}, expected one of {TEARS}")
        self._cut_at = len(self.op_end_ns) + op
        self._tear = tear
        self._tear_seed = seed

    def power_on(self) -> None:
        """Power is back; a cut that was armed and did not strike is forgotten."""
        self._powered = True
        self._cut_at = 0

    def snapshot(self) -> FlashState:
        """Content, wear and counters as they are now."""
        return FlashState(
            self.content(),
            tuple(self.wear),
            self.erases,
            self.writes,
            self.bytes_written,
            tuple(self.op_end_ns),
            tuple(self.op_end_nj),
        )

    def restore(self, state: FlashState) -> None:
        """Go back to `state`, powered, with no cut armed, and nothing looked at or changed yet."""
        self._cells = bytearray(state.content)
        if self._faulty:
            self._faults.hold(self._cells, 0, self.size_bytes)
        self.access = SectorAccess(self.sectors)
        self.wear = list(state.wear)
        self.erases = state.erases
        self.writes = state.writes
        self.bytes_written = state.bytes_written
        self.op_end_ns = list(state.op_end_ns)
        self.op_end_nj = list(state.op_end_nj)
        self.power_on()

    def _need_start(self, offset: int) -> None:
        """An erase begins where an erase unit does."""
        unit, start = self._sector, 0
        for region in self.geometry.regions:
            if region.start <= offset < region.stop:
                unit, start = region.erase_size, region.start
        if (offset - start) % unit:
            raise FlashError(FlashErrorKind.UNALIGNED, f"erase at {offset}, expected a multiple of {unit}")

    def _erase_unit(self, offset: int) -> None:
        end = offset + self.erase_size(offset)
        self._cells[offset:end] = bytes([self.geometry.erased_value]) * (end - offset)
        self._faults.hold(self._cells, offset, end)
        self.access.change(offset // self._sector, (end - 1) // self._sector)

    def _need_power(self) -> None:
        if not self._powered:
            raise FlashError(FlashErrorKind.POWER_OFF, "the power is off")

    def _need_range(self, offset: int, n: int) -> None:
        if offset < 0 or n < 0 or offset + n > self.size_bytes:
            raise FlashError(
                FlashErrorKind.OUT_OF_RANGE,
                f"bytes {offset} to {offset + n}, expected within 0 to {self.size_bytes}",
            )

    def _refuse_write(self, offset: int, n: int) -> None:
        self._need_power()
        unit = self.geometry.write_size
        if offset % unit or n % unit or not n:
            raise FlashError(
                FlashErrorKind.UNALIGNED, f"write of {n} bytes at {offset}, expected multiples of {unit}"
            )
        if n > LARGEST_WRITE_BYTES:
            raise FlashError(
                FlashErrorKind.TOO_LARGE, f"write of {n} bytes, expected at most {LARGEST_WRITE_BYTES}"
            )
        self._need_range(offset, n)

    def _need_erased(self, offset: int, before: bytearray, data: bytes) -> None:
        """Refuse a bit that would have to go back to its erased value: only an erase does that."""
        old = int.from_bytes(before, "little")
        new = int.from_bytes(data, "little")
        set_back = new & ~old if self.geometry.erased_value else old & ~new
        if self._faulty:
            set_back = self._faults.movable(set_back, offset, len(data))
        if set_back:
            at = offset + ((set_back & -set_back).bit_length() - 1) // 8
            raise FlashError(FlashErrorKind.NOT_ERASED, f"write at {offset}: the byte at {at} is not erased")

    def _count_erase(self, offset: int) -> None:
        self.erases += 1
        meter = self.meter
        if self.geometry.regions and (size := self.erase_size(offset)) != self._sector:
            for sector in range(offset // self._sector, (offset + size) // self._sector):
                self.wear[sector] += 1
            profile = self.profile
            meter.flash(
                ceil_div(profile.erase_ns * size, profile.sector_bytes),
                ceil_div(profile.erase_nj * size, profile.sector_bytes),
            )
        else:
            self.wear[offset // self._sector] += 1
            meter.flash(self._erase_ns, self._erase_nj)
        self.op_end_ns.append(meter.time_ns)
        self.op_end_nj.append(meter.flash_nj + meter.compute_nj)

    def _count_write(self, n: int) -> None:
        words = -(-n // self.profile.word_bytes)
        self.writes += 1
        self.bytes_written += n
        meter = self.meter
        meter.flash(words * self.profile.word_ns, words * self.profile.word_nj)
        self.op_end_ns.append(meter.time_ns)
        self.op_end_nj.append(meter.flash_nj + meter.compute_nj)

    def _fail_erase(self, offset: int) -> None:
        if self._tear != "none":
            size = self.erase_size(offset)
            first, last = offset // self._sector, (offset + size - 1) // self._sector
            if self._tear == "partial":
                self.access.look(first, last)  # the other half stays as it was
            self._leave_torn(offset, bytes([self.geometry.erased_value]) * size, unit=1)
            self.access.change(first, last)
            self._count_erase(offset)
        self._lose_power()

    def _fail_write(self, offset: int, data: bytes) -> None:
        if self._tear != "none":
            self._leave_torn(offset, data, unit=self.geometry.write_size)
            self.access.change(offset // self._sector, (offset + len(data) - 1) // self._sector)
            self._count_write(len(data))
        self._lose_power()

    def _leave_torn(self, offset: int, after: bytes, unit: int) -> None:
        left = torn(self._tear, after, unit=unit, seed=self._tear_seed, offset=offset)
        self._cells[offset : offset + len(left)] = left

    def _lose_power(self) -> None:
        self._powered = False
        self._cut_at = 0
        raise PowerCut(f"power failed after {len(self.op_end_ns)} flash operations")
