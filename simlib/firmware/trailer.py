"""What may stand behind an image in a file or slot: nothing, erased flash, or a boot loader trailer.

MCUboot's trailer (docs/design.md, "Image trailer") grows from the slot's end: the 16-byte magic, then
one field of `max_align` bytes each for image_ok, copy_done, swap info and swap size. A file made for a
slot carries the magic and at most the two flags; everything else must still read as erased, so nothing
can hide there. The trailer as a boot loader rewrites it during a swap belongs to `simlib.device`.

Whether an image fits is decided by imgtool's rule: image and trailer together are no larger than the slot,
the trailer being sized for `max_sectors`, 128 unless said otherwise (``imgtool sign --max-sectors``). A file
does not know the flash: the boot loader of a slot of more sectors keeps a longer trailer, and one that swaps
by moving needs a sector beside it. That is `simlib.device`'s to check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simlib.errors import InputError, Reason, Refused

MAGIC_BYTES: Final = 16
MAGIC_8: Final = bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")
_MAGIC_TAIL: Final = bytes.fromhex("2de15d29410b8d77679c110f1f8a")
WRITE_SIZES: Final = (1, 2, 4, 8, 16, 32)
MAX_SECTORS: Final = 128
FLAG_SET: Final = 0x01
_STATES_PER_SECTOR: Final = 3
CONTENT_KEY_BYTES: Final = 32
"""Of AES-256; AES-128 has 16."""


@dataclass(frozen=True, slots=True)
class Trailer:
    """The two flags of a trailer and the `write_size` [bytes] its layout follows."""

    write_size: int
    image_ok: bool
    copy_done: bool


def trailer_magic(max_align: int) -> bytes:
    """The magic for this alignment: a fixed one up to 8 bytes, above that it names the alignment."""
    return MAGIC_8 if max_align <= 8 else max_align.to_bytes(2, "little") + _MAGIC_TAIL


def trailer_size(
    write_size: int,
    *,
    encrypted: bool,
    max_sectors: int = MAX_SECTORS,
    content_key_bytes: int = CONTENT_KEY_BYTES,
) -> int:
    """The bytes a slot's trailer takes in the swap modes; `max_sectors` as the boot loader was built for.

    Three status writes a sector, two content keys when images are encrypted, four fields and the magic.
    imgtool 2.5 reserves 16 bytes a key whatever the cipher; MCUboot saves the key whole, 16 or 32.
    """
    max_align = _max_align(write_size)
    keys = 2 * _align_up(content_key_bytes, max_align) if encrypted else 0
    status = max_sectors * _STATES_PER_SECTOR * write_size
    return status + keys + 4 * max_align + _align_up(MAGIC_BYTES, max_align)


def check_fits(
    image: bytes,
    slot_size: int,
    *,
    write_size: int,
    content_key_bytes: int,
    max_sectors: int = MAX_SECTORS,
) -> None:
    """Raise `InputError` unless `image` and the slot's trailer fit in `slot_size` bytes.

    `content_key_bytes` is the length of the image's content key, 0 for an image in the clear.
    """
    needed = len(image) + trailer_size(
        write_size,
        encrypted=content_key_bytes > 0,
        max_sectors=max_sectors,
        content_key_bytes=content_key_bytes,
    )
    if needed > slot_size:
        raise InputError(f"slot size: found {slot_size}, expected at least {needed} for image and trailer")


def padded(image: bytes, slot_size: int, *, write_size: int, confirm: bool, erased_value: int) -> bytes:
    """`image` filled up to `slot_size` with erased bytes and a trailer's magic, image_ok set to confirm.

    The caller has seen to it that it fits (`check_fits`).
    """
    max_align = _max_align(write_size)
    fill = bytearray([erased_value]) * (slot_size - len(image))
    fill[-MAGIC_BYTES:] = trailer_magic(max_align)
    if confirm:
        fill[-_align_up(MAGIC_BYTES, max_align) - max_align] = FLAG_SET
    return bytes(image) + bytes(fill)


def parse_trailing(data: bytes, start: int, erased_value: int | None) -> Trailer | None:
    """The trailer in ``data[start:]``, None when that is empty or wholly erased.

    `erased_value` None means the data must end at `start`. Raises `Refused` TRAILING_BYTES, naming the
    first byte that should not be there.
    """
    if len(data) == start:
        return None
    if erased_value is None:
        raise _unexpected(start, data[start], "the end of the file")
    tail = bytearray(memoryview(data)[start:])
    trailer = None
    for max_align in (8, 16, 32):
        magic_span = _align_up(MAGIC_BYTES, max_align)
        if len(tail) >= magic_span + 4 * max_align and tail.endswith(trailer_magic(max_align)):
            flags = [_take_flag(tail, magic_span + n * max_align, start, erased_value) for n in (1, 2)]
            tail[-MAGIC_BYTES:] = bytes([erased_value]) * MAGIC_BYTES
            trailer = Trailer(max_align, *flags)
            break
    if tail.count(erased_value) != len(tail):
        at = next(i for i, byte in enumerate(tail) if byte != erased_value)
        raise _unexpected(start + at, tail[at], f"erased flash (0x{erased_value:02x})")
    return trailer


def _take_flag(tail: bytearray, from_end: int, start: int, erased_value: int) -> bool:
    """Read a flag and blank it, so that one comparison covers every byte that must be erased."""
    found = tail[-from_end]
    if found not in {FLAG_SET, erased_value}:
        expected = f"a flag, 0x01 or erased (0x{erased_value:02x})"
        raise _unexpected(start + len(tail) - from_end, found, expected)
    tail[-from_end] = erased_value
    return found == FLAG_SET


def _max_align(write_size: int) -> int:
    if write_size not in WRITE_SIZES:
        sizes = ", ".join(map(str, WRITE_SIZES))
        raise InputError(f"write size: found {write_size}, expected one of {sizes}")
    return max(8, write_size)


def _align_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _unexpected(offset: int, found: int, expected: str) -> Refused:
    return Refused(
        Reason.TRAILING_BYTES,
        f"behind the image at offset 0x{offset:x}: found 0x{found:02x}, expected {expected}",
    )
