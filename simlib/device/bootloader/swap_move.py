"""The swap of two slots through a one-sector gap at the primary's top.

MCUboot's swap-move (docs/design.md, "Swap without using scratch"), in L + 2·L steps for the L sectors the
larger image touches:

1. *move*: from the top down, sector i − 1 of the primary goes to sector i, until sector 0 is free;
2. *swap*: from the bottom up, sector i of the secondary goes to sector i of the primary, then what waits in
   sector i + 1 of the primary goes to sector i of the secondary.

The primary is erased twice at a swap, the secondary once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simlib.device.bootloader import swap
from simlib.device.bootloader.decision import decide
from simlib.device.meter import ceil_div
from simlib.device.places import Place
from simlib.device.trailer import SwapType, Trailer

if TYPE_CHECKING:
    from simlib.device.device import Device
    from simlib.device.payload_cipher import PayloadCipher


class SwapMove(swap.GapSwap):
    """The algorithm, as `simlib.device.bootloader.swap.Swap` asks for it."""

    def decide(self, device: Device) -> SwapType:
        """By MCUboot's table."""
        primary, secondary = (swap.trailer_of(device, slot) for slot in ("primary", "secondary"))
        return decide(primary.state(), secondary.state())

    def candidate(self, device: Device, kind: SwapType) -> Place:
        """The secondary's start, whatever the kind."""
        return Place(device.area("secondary"))

    def steps(self, device: Device) -> swap.Steps:
        """The steps of the swap that was written down."""
        return _MoveSteps(device)


class _MoveSteps:
    """Moves, numbered from 0, then bringing in and putting out by turns."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._primary, self._secondary = device.area("primary"), device.area("secondary")
        self._trailer: Trailer = swap.trailer_of(device, "primary")
        self._sector = self._primary.sector
        self._sectors = ceil_div(self._trailer.swap_size(), self._sector)
        self._ciphers: tuple[PayloadCipher, PayloadCipher] | None = None
        self.total = 3 * self._sectors

    def done(self) -> int:
        """Steps complete, from the highest status unit written."""
        highest = self._trailer.status_units()
        of_the_moves = self._trailer.map.status_sectors
        if highest <= of_the_moves:
            return min(highest, self._sectors)
        return min(self._sectors + highest - of_the_moves, self.total)

    def phases(self, done: int) -> Iterator[tuple[str, range]]:
        """Moves, then swaps: only then are the headers where the ciphers look for them."""
        n = self._sectors
        yield f"move {n} sectors up, {min(done, n)} done", range(done, n)
        done = max(done, n)
        self._ciphers = self._find_ciphers(done - n)
        yield f"swap {n} sectors, {(done - n) // 2} done", range(done, self.total)

    def where(self, step: int) -> tuple[object, ...]:
        """The number of sectors, and from the first swap on the ciphers."""
        return (self._sectors, self._ciphers)

    def run(self, step: int) -> None:
        """Move up, bring in or put out one sector."""
        n, sector, primary, secondary = self._sectors, self._sector, self._primary, self._secondary
        if step < n:
            at = (n - 1 - step) * sector
            swap.put(primary, at + sector, primary.read(at, sector))
            self._trailer.write_status_unit(step)
            return
        assert self._ciphers is not None
        old, new = self._ciphers
        at, meter = (step - n) // 2 * sector, self._device.meter
        if (step - n) % 2 == 0:
            swap.put(primary, at, new.turn(at, secondary.read(at, sector), meter))
        else:
            swap.put(secondary, at, old.turn(at, primary.read(at + sector, sector), meter))
        self._trailer.write_status_unit(self._trailer.map.status_sectors + step - n)

    def _find_ciphers(self, swaps: int) -> tuple[PayloadCipher, PayloadCipher]:
        # The first sector brought in still stands in the secondary until the second step erases it; the old
        # image's first sector waits above the gap until that step has put it out.
        coming = Place(self._secondary if swaps == 0 else self._primary)
        leaving = Place(self._primary, self._sector) if swaps <= 1 else Place(self._secondary)
        return swap.ciphers(self._device, self._trailer, leaving, coming)
