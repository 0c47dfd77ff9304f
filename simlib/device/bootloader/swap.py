"""The swap of two slots through a one-sector gap, resumable at any flash operation.

MCUboot's swap-move (docs/design.md, "Swap without using scratch"), in 2·L + L steps for the L sectors the
larger image touches:

1. *move*: from the top down, sector i − 1 of the primary goes to sector i, until sector 0 is free;
2. *swap*: from the bottom up, sector i of the secondary goes to sector i of the primary, then what waits in
   sector i + 1 of the primary goes to sector i of the secondary.

A step erases its target, copies a whole sector and then writes its status unit. Its source is left alone
until a later step, which starts only once this one's unit is written, so any step may be repeated, torn or
not, and a swap resumes from the last unit written.

Everything a resumed swap needs stands in the primary's trailer before the first step: the kind, the size,
the content keys, image_ok where no trial follows, the magic last. Then the secondary's trailer is erased,
its magic last: until it is gone the start is simply done again, from then on the primary's trailer counts.

A revert is asked for by the primary's own trailer, which the start must erase. So that a cut cannot lose
the request, the secondary is first made to look like a permanent update (as MCUboot does).

An encrypted image leaves the primary slot under its own content key. One whose key cannot be unwrapped does
not boot; should a candidate take its place, its payload is blanked on the way out, and there is no way back
to it.

Leaves to others: whether there is anything to swap (`decision`), whether it may be used (`check`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simlib.device.bootloader.check import image_limit, occupied
from simlib.device.bootloader.decision import under_way
from simlib.device.bootloader.payload_cipher import PayloadCipher
from simlib.device.meter import ceil_div
from simlib.device.partitions import Area
from simlib.device.trailer import SwapType, Trailer, TrailerMap
from simlib.errors import Reason, Refused
from simlib.firmware.header import HEADER_BYTES, Header, parse_header
from simlib.security.encryption import content_key_of

if TYPE_CHECKING:
    from simlib.device.device import Device


def trailer_of(device: Device, slot: str) -> Trailer:
    """The trailer of this slot."""
    return Trailer(
        device.area(slot), TrailerMap.of(device.config, encrypted=device.decryption_key is not None)
    )


def interrupted(device: Device) -> bool:
    """Whether a swap was started and is not complete."""
    primary = trailer_of(device, "primary")
    return (
        under_way(primary.state(), trailer_of(device, "secondary").state())
        and primary.swap_type() is not SwapType.NONE
        and 0 < primary.swap_size() <= image_limit(device)
    )


def untouched(device: Device) -> bool:
    """Whether an interrupted swap has not completed its first step: the candidate is still whole."""
    return trailer_of(device, "primary").status_units() == 0


def start(device: Device, kind: SwapType) -> None:
    """Write down the swap that is to be; `finish` does it. The candidate must have been checked.

    Raises `Refused` before anything is written: OVERSIZE for what lies in the primary slot,
    DECRYPTION_FAILED for a candidate whose content key cannot be kept.
    """
    primary, secondary = trailer_of(device, "primary"), trailer_of(device, "secondary")
    size = max(_size_in(device, "primary"), _size_in(device, "secondary"))
    if size > image_limit(device):
        raise Refused(
            Reason.OVERSIZE, f"image in the primary slot: found {size} bytes, expected {image_limit(device)}"
        )
    with device.step("swap", f"start {kind}, {size} bytes"):
        keys = [_unwrapped_key(device, slot) for slot in ("primary", "secondary")]
        if keys[1] is None and device.decryption_key is not None and _is_encrypted(device, "secondary"):
            raise _no_content_key()
        if kind is SwapType.REVERT:
            secondary.erase()
            secondary.write_image_ok()
            secondary.write_magic()
        primary.erase()
        primary.write_swap_type(kind)
        if secondary.state().image_ok:
            primary.write_image_ok()
        primary.write_swap_size(size)
        for slot, key in enumerate(keys):
            if key is not None:
                primary.write_content_key(slot, key)
        primary.write_magic()


def finish(device: Device) -> None:
    """Go on with the swap that the primary's trailer describes, from wherever it stopped, to its end.

    Raises `Refused` DECRYPTION_FAILED, before an image is overwritten, where the trailer has lost the new
    image's content key.
    """
    primary = trailer_of(device, "primary")
    sector = device.config.sector_size_bytes
    sectors = ceil_div(primary.swap_size(), sector)
    done = _steps_done(primary, sectors)
    if done == 0:
        with device.step("swap", "erase the secondary's trailer"):
            trailer_of(device, "secondary").erase()
    moves = _Moves(device.area("primary"), device.area("secondary"), primary, sector, sectors)
    with device.step("swap", f"move {sectors} sectors up, {min(done, sectors)} done"):
        for step in range(done, sectors):
            moves.move_up(step)
    old, new = _ciphers(device, primary, sectors)
    done = max(0, done - sectors)
    with device.step("swap", f"swap {sectors} sectors, {done // 2} done"):
        for step in range(done, 2 * sectors):
            if step % 2 == 0:
                moves.bring_in(step, new)
            else:
                moves.put_out(step, old)
    with device.step("swap", "complete"):
        primary.write_copy_done()


@dataclass(frozen=True, slots=True)
class _Moves:
    """The three kinds of step; each erases, copies and writes its status unit."""

    primary: Area
    secondary: Area
    trailer: Trailer
    sector: int
    sectors: int

    def move_up(self, step: int) -> None:
        at = (self.sectors - 1 - step) * self.sector
        self._put(self.primary, at + self.sector, self.primary.read(at, self.sector))
        self.trailer.write_status_unit(step)

    def bring_in(self, step: int, cipher: PayloadCipher) -> None:
        at = step // 2 * self.sector
        data = self.secondary.read(at, self.sector)
        self._put(self.primary, at, cipher.turn(at, data, self.primary.flash.meter))
        self.trailer.write_status_unit(self.trailer.map.status_sectors + step)

    def put_out(self, step: int, cipher: PayloadCipher) -> None:
        at = step // 2 * self.sector
        data = self.primary.read(at + self.sector, self.sector)
        self._put(self.secondary, at, cipher.turn(at, data, self.primary.flash.meter))
        self.trailer.write_status_unit(self.trailer.map.status_sectors + step)

    @staticmethod
    def _put(area: Area, offset: int, data: bytes) -> None:
        area.erase(offset)
        area.write_bytes(offset, data)


def _steps_done(primary: Trailer, sectors: int) -> int:
    """Steps complete, moves first, from the highest status unit written."""
    highest = primary.status_units()
    of_the_moves = primary.map.status_sectors
    if highest <= of_the_moves:
        return min(highest, sectors)
    return min(sectors + highest - of_the_moves, 3 * sectors)


def _ciphers(device: Device, primary: Trailer, sectors: int) -> tuple[PayloadCipher, PayloadCipher]:
    """The ciphers of the old and the new image, their headers read from where the moves have left them."""
    if device.decryption_key is None:
        plain = PayloadCipher(None, None)
        return plain, plain
    swaps = max(0, _steps_done(primary, sectors) - sectors)
    sector = device.config.sector_size_bytes
    # The first sector brought in still stands in the secondary until the second step erases it; the old
    # image's first sector waits above the gap until that step has put it out.
    new = ("secondary", 0) if swaps == 0 else ("primary", 0)
    old = ("primary", sector) if swaps <= 1 else ("secondary", 0)
    old_header, new_header = (_header_at(device.area(slot), offset) for slot, offset in (old, new))
    old_key, new_key = primary.content_key(0), primary.content_key(1)
    if new_header is not None and new_header.encrypted and new_key is None:
        raise _no_content_key()
    if old_header is not None and old_header.encrypted and old_key is None:
        old_cipher = PayloadCipher.blanking(old_header, device.config.erased_value)
    else:
        old_cipher = PayloadCipher.of(old_header, old_key)
    return old_cipher, PayloadCipher.of(new_header, new_key)


def _header_at(area: Area, offset: int) -> Header | None:
    try:
        return parse_header(area.read(offset, HEADER_BYTES))
    except Refused:
        return None  # no image there: its bytes are swapped as they are


def _size_in(device: Device, slot: str) -> int:
    try:
        return len(occupied(device, slot))
    except Refused:
        return 0  # nothing there that is worth keeping


def _is_encrypted(device: Device, slot: str) -> bool:
    header = _header_at(device.area(slot), 0)
    return header is not None and header.encrypted


def _unwrapped_key(device: Device, slot: str) -> bytes | None:
    """The content key of the image in this slot, None where it has none that can be unwrapped.

    One that equals an erased trailer field counts as none: once kept, it could not be told from nothing.
    """
    if device.decryption_key is None:
        return None
    try:
        image = occupied(device, slot)
        if not parse_header(image).encrypted:
            return None
        device.meter.ecies_unwrap()
        key = content_key_of(image, device.decryption_key)
    except Refused:
        return None
    return None if key == bytes([device.config.erased_value]) * len(key) else key


def _no_content_key() -> Refused:
    return Refused(
        Reason.DECRYPTION_FAILED, "content key of the new image: found none, expected one kept for the swap"
    )
