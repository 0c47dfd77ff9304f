"""The swap of two slots where the new image lies one sector higher in the secondary.

MCUboot's swap by offset (docs/design.md, "Swap using offset"), in 2·L steps for the L sectors the larger
image touches:

- an *update* goes from the bottom up: sector i of the primary goes to sector i of the secondary, which is
  free, then sector i + 1 of the secondary to sector i of the primary;
- a *revert* finds the old image at the secondary's start and goes from the top down: sector i of the primary
  goes to sector i + 1 of the secondary, then sector i of the secondary to sector i of the primary.

Each slot is erased once. Since the two go different ways, a revert cannot be made to look like a permanent
update: its request in the secondary's trailer is copy_done without image_ok.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simlib.device.bootloader import swap
from simlib.device.bootloader.decision import decide_by_offset
from simlib.device.meter import ceil_div
from simlib.device.places import Place
from simlib.device.trailer import SwapType, Trailer

if TYPE_CHECKING:
    from simlib.device.device import Device
    from simlib.device.payload_cipher import PayloadCipher


class SwapOffset(swap.GapSwap):
    """The algorithm, as `simlib.device.bootloader.swap.Swap` asks for it."""

    def decide(self, device: Device) -> SwapType:
        """By MCUboot's table, with its row for reverts that were asked for before."""
        primary, secondary = (swap.trailer_of(device, slot) for slot in ("primary", "secondary"))
        return decide_by_offset(primary.state(), secondary.state())

    def candidate(self, device: Device, kind: SwapType) -> Place:
        """The secondary's second sector; of a revert its start."""
        area = device.area("secondary")
        return Place(area, 0 if kind is SwapType.REVERT else area.sector)

    def steps(self, device: Device) -> swap.Steps:
        """The steps of the swap that was written down."""
        return _OffsetSteps(device)


class _OffsetSteps:
    """Putting out and bringing in by turns, upwards or, for a revert, downwards."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._primary, self._secondary = device.area("primary"), device.area("secondary")
        self._trailer: Trailer = swap.trailer_of(device, "primary")
        self._reverts = self._trailer.swap_type() is SwapType.REVERT
        self._sector = self._primary.sector
        self._sectors = ceil_div(self._trailer.swap_size(), self._sector)
        self._ciphers: tuple[PayloadCipher, PayloadCipher] | None = None
        self.total = 2 * self._sectors

    def done(self) -> int:
        """Steps complete, from the highest status unit written."""
        return min(self._trailer.status_units(), self.total)

    def phases(self, done: int) -> Iterator[tuple[str, range]]:
        """All in one."""
        self._ciphers = self._find_ciphers(done)
        way = "down" if self._reverts else "up"
        yield f"swap {self._sectors} sectors going {way}, {done // 2} done", range(done, self.total)

    def where(self, step: int) -> tuple[object, ...]:
        """Which way, how many sectors, and the ciphers."""
        return (self._reverts, self._sectors, self._ciphers)

    def run(self, step: int) -> None:
        """Put out or bring in one sector."""
        assert self._ciphers is not None
        old, new = self._ciphers
        sector, meter = self._sector, self._device.meter
        at = (self._sectors - 1 - step // 2 if self._reverts else step // 2) * sector
        put_to, bring_from = (at + sector, at) if self._reverts else (at, at + sector)
        if step % 2 == 0:
            swap.put(self._secondary, put_to, old.turn(at, self._primary.read(at, sector), meter))
        else:
            swap.put(self._primary, at, new.turn(at, self._secondary.read(bring_from, sector), meter))
        self._trailer.write_status_unit(step)

    def _find_ciphers(self, done: int) -> tuple[PayloadCipher, PayloadCipher]:
        above = Place(self._secondary, self._sector)
        if self._reverts:
            # The primary's first sector is the last to be overwritten; the secondary's never is.
            leaving = above if done >= self.total - 1 else Place(self._primary)
            coming = Place(self._secondary)
        else:
            leaving = Place(self._secondary if done else self._primary)
            coming = above if done <= 1 else Place(self._primary)
        return swap.ciphers(self._device, self._trailer, leaving, coming)
