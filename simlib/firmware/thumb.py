"""The few Thumb-2 instructions whose bytes depend on where things lie, and register renaming.

Encodings follow the Armv7-M Architecture Reference Manual (ARM DDI 0403): BL encoding T1 (A7.7.18), LDR
(literal) encodings T1 and T2 (A7.7.44), and the 16-bit formats of A5.2 for the register fields. Everything
works on little-endian halfwords given as integers; where they lie is the linker's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

NOP: Final = 0xBF00
BL_RANGE_BYTES: Final = 1 << 24
"""BL reaches from −16 MiB to 16 MiB − 2 from the address of the instruction plus 4."""
LDR_NARROW_RANGE_BYTES: Final = 1020
LDR_WIDE_RANGE_BYTES: Final = 4095


def encode_bl(offset_bytes: int) -> tuple[int, int]:
    """The two halfwords of ``BL`` to the instruction's address + 4 + `offset_bytes`.

    Raises ValueError for an odd offset or one out of reach.
    """
    if offset_bytes % 2 or not -BL_RANGE_BYTES <= offset_bytes < BL_RANGE_BYTES:
        raise ValueError(f"BL offset: found {offset_bytes}, expected even within 16 MiB")
    first, second = encode_bls(np.array([offset_bytes], dtype=np.int64))
    return int(first[0]), int(second[0])


def encode_bls(offsets_bytes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`encode_bl` for each offset, unchecked; I1 = NOT(J1 EOR S) and I2 = NOT(J2 EOR S)."""
    sign = (offsets_bytes >> 24) & 1
    j1 = ((offsets_bytes >> 23) & 1) ^ 1 ^ sign
    j2 = ((offsets_bytes >> 22) & 1) ^ 1 ^ sign
    first = 0xF000 | sign << 10 | (offsets_bytes >> 12) & 0x3FF
    second = 0xD000 | j1 << 13 | j2 << 11 | (offsets_bytes >> 1) & 0x7FF
    return first, second


def is_bl(first: int, second: int) -> bool:
    """Whether the two halfwords are a ``BL`` (encoding T1)."""
    return first & 0xF800 == 0xF000 and second & 0xD000 == 0xD000


def decode_bl(first: int, second: int) -> int:
    """The offset [byte] of a ``BL``, counted from the instruction's address + 4.

    Raises ValueError if the halfwords are another instruction.
    """
    if not is_bl(first, second):
        raise ValueError(f"halfwords: found {first:04x} {second:04x}, expected a BL")
    sign = first >> 10 & 1
    i1 = (second >> 13 & 1) ^ 1 ^ sign
    i2 = (second >> 11 & 1) ^ 1 ^ sign
    magnitude = sign << 24 | i1 << 23 | i2 << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
    return magnitude - (sign << 25)


def rename_registers(halfwords: NDArray[np.uint16], names: Sequence[int]) -> NDArray[np.uint16]:
    """16-bit instructions with each low register r replaced by ``names[r]`` (8 entries).

    Instructions without a low register, register lists, and prefixes of 32-bit instructions stay as they are.
    """
    perm = np.array(names, dtype=np.int64)
    code = halfwords.astype(np.int64)
    top = code >> 11
    # one row a field: its shift, and the formats (top five bits) that have a register there
    at_8 = np.isin(top, (4, 5, 6, 7, 9, 18, 19, 20, 21, 24, 25))
    at_6 = np.isin(top, (10, 11)) | ((top == 3) & (code >> 10 & 1 == 0))
    at_0 = (top <= 3) | np.isin(top, (10, 11, 12, 13, 14, 15, 16, 17)) | ((top == 8) & (code >> 10 & 1 == 0))
    for shift, present in ((8, at_8), (6, at_6), (3, at_0), (0, at_0)):
        renamed = code & ~(7 << shift) | perm[code >> shift & 7] << shift
        code = np.where(present, renamed, code)
    return code.astype(np.uint16)
