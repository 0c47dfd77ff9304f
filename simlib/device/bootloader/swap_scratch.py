"""The swap of two slots through a scratch area, MCUboot's first (docs/design.md, "Image swapping").

The slots are swapped in regions as large as the scratch area, from the top down, each in three steps: the
secondary's region goes to the scratch area, the primary's to the secondary, the scratch area's to the
primary. A step erases its target, copies, and writes its status unit, so any may be repeated. The erase
units of the two slots may differ: a region is a multiple of both.

The image may reach into the first sector of the trailers (`layouts`). Then the highest region is swapped
while its status is kept in the scratch area, for the primary's trailer goes with it; else the scratch area
only keeps the request while the primary's trailer is written anew. Which trailer counts is found in this
order (MCUboot's `boot_status_tables`):

1. the primary's, good and its swap not complete: a swap is under way there;
2. the scratch area's, good: a swap is being written down, or its highest region is under way;
3. else none: the trailers of the slots say what to do.

The primary's comes first, since it is written when the scratch area has served, and the erase of the scratch
area may be torn with the magic still standing. A swap never ends with a good magic in the scratch area, also
where image data happen to look like one.

What passes through the scratch area is not read back: a worn cell in it damages both images on their way, and
nothing can help that.

Leaves to others: what swaps have in common (`swap`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simlib.device.bootloader import swap
from simlib.device.bootloader.check import image_limit
from simlib.device.bootloader.decision import decide
from simlib.device.meter import ceil_div
from simlib.device.payload_cipher import PayloadCipher
from simlib.device.places import Place
from simlib.device.slots import common_unit
from simlib.device.trailer import Magic, SwapType, Trailer
from simlib.errors import Refused

if TYPE_CHECKING:
    from simlib.device.config import DeviceConfig
    from simlib.device.device import Device


@dataclass(frozen=True, slots=True)
class ScratchRegion:
    """A part of both slots that is swapped at once; `copied` of its bytes hold image, the rest trailer."""

    start: int
    size: int
    copied: int


def regions(config: DeviceConfig, size: int, trailer_at: int, scratch_size: int) -> list[ScratchRegion]:
    """The regions of a swap of `size` bytes, from the highest down; trailers start at `trailer_at`."""
    unit = common_unit(config)
    found = []
    end = ceil_div(size, unit) * unit
    while end > 0:
        start = max(0, end - scratch_size // unit * unit)
        found.append(ScratchRegion(start, end - start, min(end, trailer_at) - start))
        end = start
    return found


class SwapScratch:
    """The algorithm, as `simlib.device.bootloader.swap.Swap` asks for it."""

    def decide(self, device: Device) -> SwapType:
        """By MCUboot's table; a request that has got as far as the scratch area counts as under way."""
        primary, secondary = (swap.trailer_of(device, slot) for slot in ("primary", "secondary"))
        return decide(primary.state(), secondary.state())

    def candidate(self, device: Device, kind: SwapType) -> Place:
        """The secondary's start, whatever the kind."""
        return Place(device.area("secondary"))

    def under_way(self, device: Device) -> SwapType:
        """By whichever trailer counts."""
        source = _source(device)
        return SwapType.NONE if source is None else source.swap_type()

    def untouched(self, device: Device) -> bool:
        """Neither trailer has a status unit of its own writing."""
        source = _source(device)
        return source is None or source.status_units() == 0

    def start(self, device: Device, kind: SwapType) -> None:
        """Into the scratch area's trailer: it keeps the request while the primary's is erased."""
        candidate = self.candidate(device, kind)
        size = swap.size_to_swap(device, candidate)
        scratch = swap.trailer_of(device, "scratch")
        with device.step("swap", f"start {kind}, {size} bytes"):
            keys = swap.content_keys(device, candidate)
            confirmed = kind is not SwapType.TEST
            device.area("scratch").erase_all()
            swap.describe(scratch, kind, size, keys, confirmed=confirmed)

    def _rewrite(self, device: Device, work: _Work) -> None:
        try:
            work.rewrite_primary_trailer()
        except Refused:
            # Worn cells: no swap can be kept a status of. The request goes, from wherever it stands.
            device.area("secondary").erase_all()
            swap.trailer_of(device, "primary").erase()
            device.area("scratch").erase_all()
            raise

    def withdraw(self, device: Device) -> None:
        """Take back a swap that was written down and is not to be."""
        if swap.trailer_of(device, "scratch").magic() is Magic.GOOD:
            device.area("scratch").erase_all()

    def finish(self, device: Device) -> None:
        """From the trailer that counts."""
        work = _Work.of(device)
        if work.source.area.name == "scratch":
            if work.shares_sector:
                with device.step("swap", "the highest region, its status in the scratch area"):
                    work.swap_highest()
            else:
                with device.step("swap", "write the primary's trailer"):
                    self._rewrite(device, work)
            work = _Work.of(device)
        trailer = work.source
        done = trailer.status_units()
        if done == 0:
            with device.step("swap", "erase the secondary's trailer"):
                swap.trailer_of(device, "secondary").erase()
        parts = work.parts
        with device.step("swap", f"swap {len(parts)} regions, {done // 3} done"):
            for step in range(done, 3 * len(parts)):
                device.checkpoint("scratch", step, trailer.swap_size(), work.ciphers(step))
                work.run(step)
                trailer.write_status_unit(step)
        with device.step("swap", "complete"):
            if swap.trailer_of(device, "scratch").magic() is Magic.GOOD:
                device.area("scratch").erase_all()
            trailer.write_copy_done()


@dataclass(frozen=True, slots=True)
class _Work:
    """One swap on one device, described by the trailer `source`."""

    device: Device
    source: Trailer
    parts: list[ScratchRegion]
    shares_sector: bool
    """Whether the highest region reaches into a sector of the trailers."""

    @classmethod
    def of(cls, device: Device) -> _Work:
        source = _source(device)
        if source is None:
            raise RuntimeError("swap-scratch: no swap was written down")
        trailer_at = swap.trailer_of(device, "primary").map.status
        parts = regions(device.config, source.swap_size(), trailer_at, device.area("scratch").size)
        unit = common_unit(device.config)
        shares_sector = parts[0].start + parts[0].size > trailer_at // unit * unit
        if shares_sector:
            # The image ends below (`layouts`): what may follow it up to the trailer is nobody's.
            room = swap.trailer_of(device, "scratch").map.status
            parts[0] = replace(parts[0], copied=min(parts[0].copied, room))
        return cls(device, source, parts, shares_sector)

    def rewrite_primary_trailer(self) -> None:
        """The request moves from the scratch area to the primary's trailer, which then counts."""
        trailer = swap.trailer_of(self.device, "primary")
        trailer.erase()
        self._describe_again(trailer)

    def swap_highest(self) -> None:
        """The highest region; at the end the primary's trailer is there again, the first three units done."""
        source, trailer = self.source, swap.trailer_of(self.device, "primary")
        for step in range(source.status_units(), 2):
            self.device.checkpoint("highest", step, source.swap_size(), self.ciphers(step))
            if step == 0:
                self._fill_scratch()
            else:
                self._put_out(self.parts[0])
                secondary = swap.trailer_of(self.device, "secondary")
                end = self.parts[0].start + self.parts[0].size
                secondary.area.erase_range(end, secondary.map.slot_size - end)
            source.write_status_unit(step)
        self.device.checkpoint("highest", 2, source.swap_size(), self.ciphers(2))
        end = self.parts[0].start + self.parts[0].size
        primary = self.device.area("primary")
        primary.erase_range(end, primary.size - end)
        self._bring_in(self.parts[0])
        for unit in range(3):
            trailer.write_status_unit(unit)
        self._describe_again(trailer, units=trailer.status_units())

    def run(self, step: int) -> None:
        """One step of a region whose status the primary keeps."""
        part = self.parts[step // 3]
        match step % 3:
            case 0:
                scratch = self.device.area("scratch")
                scratch.erase_all()
                scratch.write_bytes(0, self._read("secondary", part))
            case 1:
                self._put_out(part)
            case _:
                self._bring_in(part)

    def ciphers(self, step: int) -> tuple[PayloadCipher, PayloadCipher]:
        """Of the old and the new image; their headers are in the lowest region, swapped last."""
        device = self.device
        if device.decryption_key is None:
            plain = PayloadCipher(None, None)
            return plain, plain
        last = 3 * (len(self.parts) - 1)
        primary, secondary = Place(device.area("primary")), Place(device.area("secondary"))
        leaving = secondary if step >= last + 2 else primary
        coming = Place(device.area("scratch")) if step >= last + 1 else secondary
        return swap.ciphers(device, self.source, leaving, coming)

    def _describe_again(
        self, trailer: Trailer, *, units: int = 0, before: Callable[[], None] | None = None
    ) -> None:
        """Write to `trailer`, which is erased or is by `before`, what stands in the source."""
        source = self.source
        kind, size, confirmed = source.swap_type(), source.swap_size(), source.state().image_ok
        keys = [source.content_key(0), source.content_key(1)] if source.map.encrypted else []
        if before is not None:
            before()
        swap.describe(trailer, kind, size, keys, confirmed=confirmed, units=units)

    def _fill_scratch(self) -> None:
        """Below the trailer that the scratch area has.

        What an earlier try has left there goes with the trailer, which is then written again. Until it is,
        the slots are as they were, and so is the request in their trailers.
        """
        scratch, data = self.device.area("scratch"), self._read("secondary", self.parts[0])
        if not scratch.is_erased(0, len(data)):
            self._describe_again(self.source, before=scratch.erase_all)
        scratch.write_bytes(0, data)

    def _put_out(self, part: ScratchRegion) -> None:
        old, _ = self.ciphers(self._step_of(part) + 1)
        data = old.turn(part.start, self._read("primary", part), self.device.meter)
        self._replace("secondary", part, data)

    def _bring_in(self, part: ScratchRegion) -> None:
        _, new = self.ciphers(self._step_of(part) + 2)
        data = self.device.area("scratch").read(0, part.copied)
        self._replace("primary", part, new.turn(part.start, data, self.device.meter))

    def _step_of(self, part: ScratchRegion) -> int:
        return 3 * self.parts.index(part)

    def _read(self, slot: str, part: ScratchRegion) -> bytes:
        return self.device.area(slot).read(part.start, part.copied)

    def _replace(self, slot: str, part: ScratchRegion, data: bytes) -> None:
        area = self.device.area(slot)
        area.erase_range(part.start, part.size)
        area.write_bytes(part.start, data)


def _source(device: Device) -> Trailer | None:
    """The trailer that describes a swap under way; None where there is none."""
    primary, scratch = swap.trailer_of(device, "primary"), swap.trailer_of(device, "scratch")
    state = primary.state()
    if state.magic is Magic.GOOD and not state.copy_done and _describes_a_swap(device, primary):
        return primary
    if scratch.magic() is Magic.GOOD and _describes_a_swap(device, scratch):
        return scratch
    return None


def _describes_a_swap(device: Device, trailer: Trailer) -> bool:
    return trailer.swap_type() is not SwapType.NONE and 0 < trailer.swap_size() <= image_limit(device)
