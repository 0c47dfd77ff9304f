"""The integers of the HDiffPatch formats, and the covers that they describe.

An integer is written seven bits a byte, the highest first; the top bit of a byte says that another follows.
The first byte may give some of its upper bits away to a tag. A cover says: so many bytes of the result come
from this place in the base.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from simlib.errors import Reason, Refused

MAX_NUMBER: Final = (1 << 31) - 1
"""Larger integers are refused: no size or position here can be one."""
SHORTEST_MATCH_BYTES: Final = 5
"""Honest payloads have no more covers than one for so many bytes of the result (they reach one in seven)."""


def read_number(next_byte: Callable[[], int], first: int, bits: int, where: str) -> int:
    """The integer that starts in the low `bits` bits of `first`; the bit above them says that bytes follow.

    Raises:
        Refused: PATCH_DAMAGED when it is larger than any size can be; what `next_byte` raises at the end.
    """
    value = first & ((1 << bits) - 1)
    more = first >> bits & 1
    while more:
        byte = next_byte()
        value = value << 7 | byte & 127
        more = byte >> 7
        if value > MAX_NUMBER:
            raise damaged(where, f"a number above {MAX_NUMBER}", "a size or position")
    return value


def check_cover_count(count: int, result_size_bytes: int, where: str) -> None:
    """Refuse more covers than an honest encoder could have written.

    An encoder writes a cover only where it saves more than the three integers that describe it, so a cover is
    no shorter than `SHORTEST_MATCH_BYTES` but for the last, which may only mark the end.
    """
    limit = result_size_bytes // SHORTEST_MATCH_BYTES + 2
    if count > limit:
        raise damaged(f"{where} covers", str(count), f"at most {limit}")


def check_cover(position: int, length: int, old_size_bytes: int, room_bytes: int, where: str) -> None:
    """Refuse a cover that leaves the base, or what is left of the result.

    Raises:
        Refused: PATCH_DAMAGED.
    """
    if not 0 <= position <= old_size_bytes - length:
        found = f"{length} bytes at {position}"
        raise damaged(f"{where} cover", found, f"a place in a base of {old_size_bytes} bytes")
    if length > room_bytes:
        raise damaged(f"{where} cover", f"{length} bytes", f"at most {room_bytes}")


def damaged(what: str, found: str, expected: str) -> Refused:
    """The refusal of a payload."""
    return Refused(Reason.PATCH_DAMAGED, f"{what}: found {found}, expected {expected}")
