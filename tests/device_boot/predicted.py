"""How many erases and write calls each layout's rules ask for, from sizes alone and without `simlib.device`.

The rules are those of MCUboot's design document. A write call has at most 1,024 bytes; a field of a trailer
is one call, and so is a status unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.device_boot.rigs import Rig

CALL_BYTES = 1024
STATES = {"swap-move": 3, "swap-scratch": 3, "swap-offset": 2, "in-place-journal": 3}


def up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


@dataclass(frozen=True)
class Ops:
    """So many erases and write calls."""

    erases: int = 0
    writes: int = 0

    def __add__(self, other: Ops) -> Ops:
        return Ops(self.erases + other.erases, self.writes + other.writes)

    def __rmul__(self, n: int) -> Ops:
        return Ops(n * self.erases, n * self.writes)

    def __iter__(self):
        return iter((self.erases, self.writes))


def calls(n: int) -> Ops:
    """So many bytes in a row."""
    return Ops(0, -(-n // CALL_BYTES))


def writes(n: int) -> Ops:
    return Ops(0, n)


def erases(n: int) -> Ops:
    return Ops(n, 0)


def sector_by_sector(n: int, sector: int) -> Ops:
    """So many bytes copied, each sector erased before it is written."""
    total = Ops()
    for start in range(0, n, sector):
        total += erases(1) + calls(min(sector, n - start))
    return total


@dataclass(frozen=True)
class Shape:
    """A device's flash, in bytes; `decrypts`: its boot loader keeps content keys."""

    layout: str
    slot: int
    sector: int
    write: int
    decrypts: bool = False
    scratch: int = 0
    secondary: int = 0
    secondary_sector: int = 0

    @property
    def align(self) -> int:
        return max(8, self.write)

    @property
    def flags(self) -> int:
        """The magic and the three flags below it."""
        return up(16, self.align) + 3 * self.align

    @property
    def fields(self) -> int:
        """All of a trailer but the status."""
        if self.layout not in STATES:
            return self.flags
        sizes = 2 if self.layout == "swap-offset" else 1
        keys = 2 * up(32, self.align) if self.decrypts else 0
        return self.flags + sizes * self.align + keys

    @property
    def trailer(self) -> int:
        """Three (by offset: two) status units for each of at least 128 sectors."""
        return self.fields + max(128, self.slot // self.sector) * STATES.get(self.layout, 0) * self.write

    @property
    def short_trailer(self) -> int:
        """Of a scratch area: the status of a single region."""
        return self.fields + 3 * self.write

    @property
    def unit(self) -> int:
        return max(self.sector, self.secondary_sector)

    @property
    def of_secondary(self) -> tuple[int, int]:
        """Size and erase unit of the second slot."""
        unit = self.secondary_sector or self.sector
        return self.secondary or self.slot + (unit if self.layout == "swap-offset" else 0), unit

    @property
    def of_scratch(self) -> int:
        if self.layout == "in-place-journal":
            return self.scratch or up(self.trailer + self._journals_keys, self.sector) + 4 * self.sector
        return self.scratch or self.unit

    @property
    def _journals_keys(self) -> int:
        # A journal has room for a key whether the device decrypts or not.
        return 0 if self.decrypts else 2 * up(32, self.align)

    @property
    def limit(self) -> int:
        """The largest image."""
        secondary, unit = self.of_secondary
        of_primary = self.slot - up(self.trailer, self.sector)
        of_secondary = secondary - up(self.trailer, unit)
        match self.layout:
            case "swap-move":
                return min(of_primary - self.sector, of_secondary)
            case "swap-offset":
                return min(of_primary, of_secondary - unit)
            case "swap-scratch":
                shared = self.trailer % self.unit or self.unit
                return self.slot - self.trailer - max(0, self.short_trailer - shared)
            case "in-place-journal" | "single-slot":
                return self.slot
        return min(self.slot, secondary) - self.flags


def shape_of(rig: Rig) -> Shape:
    """The flash of this rig's devices."""
    config = rig.config
    return Shape(
        config.layout,
        config.slot_size_bytes,
        config.sector_size_bytes,
        config.write_size_bytes,
        rig.encrypted,
        config.scratch_size_bytes,
        config.secondary_size_bytes,
        config.secondary_sector_bytes,
    )


def trailer_erases(shape: Shape, slot: str = "primary") -> Ops:
    unit = shape.of_secondary[1] if slot == "secondary" else shape.sector
    return erases(-(-shape.trailer // unit))


def described(shape: Shape, keys: int, confirmed: bool) -> Ops:
    """Kind, size and magic, the content keys there are, image_ok where no trial follows."""
    return writes(3 + keys + confirmed)


def install(shape: Shape, image: int, patch: int = 0, *, encrypted: bool = False) -> Ops:
    """An image of so many bytes taken and asked for; `patch`: the bytes of the patch that brings it."""
    streamed = erases(-(-image // (shape.of_secondary[1]))) + calls(image)
    stored = erases(-(-patch // shape.sector)) + calls(patch)
    match shape.layout:
        case "single-slot":
            return erases(-(-image // shape.sector)) + calls(image)
        case "in-place-journal":
            waiting = stored if patch else erases(-(-image // shape.sector)) + calls(image)
            return trailer_erases(shape) + waiting + writes(3 + bool(patch and encrypted))
        case "direct-xip" | "ram-load":
            return stored + streamed
    return stored + trailer_erases(shape, "secondary") + streamed + writes(1)


def swap(shape: Shape, image: int, keys: int = 0, *, confirmed: bool = False) -> Ops:
    """The swap of two images, the larger of so many bytes, from a request in the secondary's trailer on."""
    trailers = trailer_erases(shape) + trailer_erases(shape, "secondary")
    if shape.layout == "swap-scratch":
        return _swap_through_scratch(shape, image, described(shape, keys, confirmed))
    sectors = -(-image // shape.sector)
    steps = 3 * sectors if shape.layout == "swap-move" else 2 * sectors
    step = erases(1) + calls(shape.sector) + writes(1)
    return described(shape, keys, confirmed) + trailers + steps * step + writes(1)


def _swap_through_scratch(shape: Shape, image: int, described: Ops) -> Ops:
    unit, scratch, at = shape.unit, shape.of_scratch, shape.slot - shape.trailer
    secondary, of_secondary = shape.of_secondary
    clear_scratch = erases(scratch // shape.sector)
    total = clear_scratch + described  # the request goes to the scratch area
    end, parts = up(image, unit), []
    while end > 0:
        start = max(0, end - scratch)
        parts.append((start, end))
        end = start
    first, last = parts[0][0], parts[0][1]
    if last > at // unit * unit:  # the highest region shares a sector with the trailers
        copied = calls(min(last, at, first + scratch - shape.short_trailer) - first)
        to_scratch = copied + writes(1)
        to_secondary = erases((secondary - first) // of_secondary) + copied + writes(1)
        to_primary = erases((shape.slot - first) // shape.sector) + copied + writes(3) + described
        total += to_scratch + to_secondary + to_primary
        parts = parts[1:]
        if not parts:
            total += clear_scratch  # it still holds the request
    else:
        total += trailer_erases(shape) + described + trailer_erases(shape, "secondary")
    for start, end in parts:
        copied = calls(min(end, at) - start) + writes(1)
        total += clear_scratch + copied
        total += erases((end - start) // of_secondary) + copied
        total += erases((end - start) // shape.sector) + copied
    return total + writes(1)


def scratch_erases(shape: Shape, image: int) -> int:
    """How often a swap erases the scratch area: once a region, and once for the request.

    But where the highest region shares a sector with the trailers, it goes there beside the request.
    """
    regions = -(-up(image, shape.unit) // shape.of_scratch)
    shares = up(image, shape.unit) > (shape.slot - shape.trailer) // shape.unit * shape.unit
    return regions + (not shares or regions == 1)


def revert(shape: Shape, image: int, keys: int = 0) -> Ops:
    """The swap back; without a scratch area, its request is first written to the secondary's trailer."""
    if shape.layout == "direct-xip-revert":
        size, unit = shape.of_secondary
        return erases(size // unit)
    if shape.layout == "swap-scratch":
        return swap(shape, image, keys, confirmed=True)
    return trailer_erases(shape, "secondary") + writes(2) + swap(shape, image, keys, confirmed=True)


def boot(shape: Shape, old: int, new: int, keys: int = 0) -> Ops:
    """The boot that brings in a full image of `new` bytes in place of one of `old` bytes."""
    match shape.layout:
        case "overwrite-only":
            forget = trailer_erases(shape, "secondary") + erases(1)
            return sector_by_sector(new, shape.sector) + forget
        case "direct-xip-revert":
            return writes(1)
        case "direct-xip" | "ram-load" | "single-slot":
            return Ops()
        case "in-place-journal":
            begun_and_complete = writes(2)
            return begun_and_complete + sector_by_sector(new, shape.sector) + writes(-(-new // shape.sector))
    return swap(shape, max(old, new), keys)


def made_in_place(shape: Shape, made: list[int], saves: int) -> Ops:
    """The boot that makes an image in place: the sizes of what changes, and the sectors saved first."""
    saved = saves * (erases(1) + calls(shape.sector) + writes(1))
    total = writes(2) + saved
    for size in made:
        total += erases(1) + calls(size) + writes(1)
    return total
