"""One whole run of an event, operation by operation: what a power cut in any of them leaves is played back.

Up to the operation that power fails in, an event that is cut is the event that is not. So a device can be put
where it was just before that operation (all until then done again on the bytes, the rest as it was noted),
and only the operation itself is carried out, on the flash model, with the cut armed.

A tape serves every device in which the event looks at the same bytes. Leaves to others: which events are
worth one, and whose bytes it is played on (`bench`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from simlib.device.access import SectorAccess
from simlib.device.device import Device, DeviceState, StepNote
from simlib.device.events import Cut
from simlib.device.execution import Done, cut_off
from simlib.device.flash import FlashState, PowerCut
from simlib.device.sector_store import SectorStore

_MOMENT_BYTES: Final = 400
"""About what is kept of an operation beside the bytes it writes."""


class _Moment(NamedTuple):
    """A device just before an operation: `data` written at `offset`, or a sector erased there."""

    offset: int
    data: bytes | None
    looked_at: int  # how many sectors by then
    security_counter: int
    time_ns: int
    flash_nj: int
    compute_nj: int
    erases: int
    writes: int
    bytes_written: int
    steps: int  # how many were complete
    open_step: StepNote | None
    detail: str  # of the open step, which may change


class Tape:
    """Records `device`, which has done nothing yet, from now on until `stop`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._moments: list[_Moment] = []
        device.flash.on_operation = self._note

    def stop(self, digests: Sequence[bytes]) -> None:
        """The event is over; `digests` are those of the flash's sectors before it."""
        device, flash = self._device, self._device.flash
        flash.on_operation = None
        self._note(-1, None)
        self._end = self._moments.pop()
        self._sectors = flash.sectors
        self._ends = tuple(flash.op_end_ns), tuple(flash.op_end_nj)
        self._journal = tuple(device.journal)
        self._looked_at = tuple(flash.access.looked_at)
        self._found = [digests[sector] for sector in self._looked_at]
        self._touching: defaultdict[int, list[int]] = defaultdict(list)  # operations, from 0, of each sector
        for number, moment in enumerate(self._moments):
            for sector in self._touched(moment):
                self._touching[sector].append(number)
        self._versions: dict[tuple[int, int], bytes] = {}  # (sector, operations done on it) to its digest
        moments = [*self._moments, self._end]
        self.size_bytes = sum(len(moment.data or b"") + _MOMENT_BYTES for moment in moments)
        """About what the tape takes in memory."""

    def serves(self, digests: Sequence[bytes]) -> bool:
        """Whether the event goes the same way on a device whose sectors have these digests."""
        return [digests[sector] for sector in self._looked_at] == self._found

    def play(self, device: Device, content: bytes, cut: Cut, store: SectorStore) -> Done:
        """What the event, cut, does to a device of which the flash held `content`; `device` is left there."""
        done = min(cut.op - 1, len(self._moments))  # operations that power outlasts
        moment = self._moments[done] if done < len(self._moments) else self._end
        changed = [sector for sector, numbers in self._touching.items() if numbers[0] < done]
        device.restore(self._before(moment, done, content, store))
        flash = device.flash
        flash.access = SectorAccess.of(self._sectors, self._looked_at[: moment.looked_at], changed)
        torn = range(0)
        if moment is not self._end:
            torn = self._touched(moment)
            flash.arm_cut(1, cut.tear, seed=cut.op)
            try:
                if moment.data is None:
                    flash.erase(moment.offset)
                else:
                    flash.write(moment.offset, moment.data)
            except PowerCut:
                if moment.open_step is not None:
                    device.close_step(replace(moment.open_step, detail=moment.detail))

        def digest(sector: int) -> bytes:
            if sector in torn:
                return store.put(flash.sector(sector))
            version = sector, bisect_left(self._touching[sector], done)
            known = self._versions.get(version)
            if known is None:
                known = self._versions[version] = store.put(flash.sector(sector))
            return known

        return cut_off(device, digest)

    def _before(self, moment: _Moment, done: int, content: bytes, store: SectorStore) -> DeviceState:
        cells = bytearray(content)
        size = len(content) // self._sectors
        known: dict[int, bytes] = {}  # sectors, as they were then
        again: set[int] = set()  # operations on the others
        for sector, numbers in self._touching.items():
            n = bisect_left(numbers, done)
            then = store.get(self._versions.get((sector, n), b"")) if n else None
            if then is not None:
                known[sector] = then
            else:
                again.update(numbers[:n])
        erased = bytes([self._device.config.erased_value])
        for number in sorted(again):
            offset, data, *_ = self._moments[number]
            if data is None:
                data = erased * self._device.flash.erase_size(offset)
            cells[offset : offset + len(data)] = data
        for sector, then in known.items():  # last: a write may have reached into one of them
            cells[sector * size : (sector + 1) * size] = then
        flash = FlashState(
            bytes(cells),
            (0,) * self._sectors,
            moment.erases,
            moment.writes,
            moment.bytes_written,
            self._ends[0][:done],
            self._ends[1][:done],
        )
        journal = self._journal[: moment.steps]
        spent = moment.time_ns, moment.flash_nj, moment.compute_nj
        return DeviceState(flash, moment.security_counter, *spent, journal)

    def _touched(self, moment: _Moment) -> range:
        """The sectors that an operation is about."""
        flash = self._device.flash
        size = flash.geometry.sector_size
        n = flash.erase_size(moment.offset) if moment.data is None else len(moment.data)
        return range(moment.offset // size, (moment.offset + n - 1) // size + 1)

    def _note(self, offset: int, data: bytes | None) -> None:
        device, flash = self._device, self._device.flash
        meter, step = flash.meter, device.open_step
        self._moments.append(
            _Moment(
                offset,
                data,
                len(flash.access.looked_at),
                device.counter_register,
                meter.time_ns,
                meter.flash_nj,
                meter.compute_nj,
                flash.erases,
                flash.writes,
                flash.bytes_written,
                len(device.journal),
                step,
                "" if step is None else step.detail,
            )
        )
