"""The bytes that a file in Intel's HEX format puts into flash.

A line is ``:``, then in hexadecimal a count, a 16-bit address, a type, that many bytes, and a checksum with
which all bytes of the line come to 0 modulo 256 (Intel, Hexadecimal Object File Format Specification,
revision A). Types: 00 data, 01 end, 02 and 04 the upper part of the address, 03 and 05 where execution
starts, which flash does not hold.
"""

from __future__ import annotations

from typing import Final

from simlib.errors import Reason, Refused

_ERASED: Final = 0xFF
_LEAST_BYTES: Final = 5  # of a line: count, address, type, checksum
_DATA, _END, _SEGMENT, _START_SEGMENT, _LINEAR, _START_LINEAR = range(6)


def flash_image(content: bytes, size_bytes: int, where: str) -> bytes:
    """The `size_bytes` bytes of flash from address 0 up; what no line writes is erased, 0xFF.

    Lines above that span are left out: they set a processor's configuration words, which lie far behind its
    flash. A byte written twice holds what was written last.

    Raises `Refused` ARTEFACT_MISMATCH, naming `where` and the line, for a line that breaks a rule of the
    format, and for a file without an end.
    """
    image = bytearray([_ERASED]) * size_bytes
    upper = 0
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        record = _record(line.strip(), f"{where}: line {number}")
        address, kind, data = int.from_bytes(record[1:3], "big"), record[3], record[4:-1]
        if kind == _END:
            return bytes(image)
        if kind == _DATA:
            for offset, byte in enumerate(data):
                place = upper + (address + offset) % 0x1_0000  # the 16 bits wrap, the upper part stays
                if place < size_bytes:
                    image[place] = byte
        elif kind in (_SEGMENT, _LINEAR):
            if len(data) != 2:
                raise _refusal(f"{where}: line {number}", f"{len(data)} bytes of address, expected 2")
            upper = int.from_bytes(data, "big") << (4 if kind == _SEGMENT else 16)
        elif kind not in (_START_SEGMENT, _START_LINEAR):
            raise _refusal(f"{where}: line {number}", f"type {kind}, expected 0 to 5")
    raise _refusal(where, "no end record, expected one")


def _record(line: bytes, where: str) -> bytes:
    """The bytes of a line, its count and checksum right."""
    try:
        record = bytes.fromhex(line[1:].decode("ascii"))
    except ValueError:
        record = b""
    if not line.startswith(b":") or len(record) < _LEAST_BYTES:
        raise _refusal(where, "something else, expected a colon and hexadecimal digits")
    if len(record) != _LEAST_BYTES + record[0]:
        raise _refusal(where, f"{len(record) - _LEAST_BYTES} bytes of data, expected {record[0]}")
    if sum(record) % 256:
        raise _refusal(where, f"bytes that come to {sum(record) % 256} modulo 256, expected 0")
    return record


def _refusal(where: str, found: str) -> Refused:
    return Refused(Reason.ARTEFACT_MISMATCH, f"{where}: found {found}")
