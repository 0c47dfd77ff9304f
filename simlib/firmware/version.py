"""The version an image carries: MCUboot's `image_version`, written as ``major.minor.revision+build``.

Decides which texts are versions (imgtool's "semi-semantic" form, all three numbers required, no leading
zeros) and how two versions compare (field by field, the build last, as MCUboot does with
``BOOT_VERSION_CMP_USE_BUILD_NUMBER``). Which version may replace which is the boot loader's business.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from simlib.errors import InputError

_NUMBER: Final = r"(0|[1-9][0-9]*)"
_FORM: Final = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:\+{_NUMBER})?", re.ASCII)
_LAYOUT: Final = struct.Struct("<BBHI")
_LIMITS: Final = {"major": 0xFF, "minor": 0xFF, "revision": 0xFFFF, "build": 0xFFFF_FFFF}

VERSION_BYTES: Final = _LAYOUT.size
"""How many bytes a version takes in a header."""


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """A firmware version; major and minor are 8 bits wide, the revision 16, the build 32.

    Raises `InputError` for a number that does not fit its field.
    """

    major: int
    minor: int
    revision: int
    build: int = 0

    def __post_init__(self) -> None:
        for field, limit in _LIMITS.items():
            value: int = getattr(self, field)
            if not 0 <= value <= limit:
                raise InputError(f"version: found {field} {value}, expected 0 to {limit}")

    @classmethod
    def parse(cls, text: str) -> Version:
        """The version written as ``1.2.3`` or ``1.2.3+4``; `InputError` for any other text."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise InputError(f"version: found {text!r}, expected one like 1.2.3 or 1.2.3+4")
        # A number too long to fit its field is refused before Python is asked to convert a huge text.
        if any(len(part or "") > len("4294967295") for part in match.groups()):
            raise InputError("version: found a number of more than 10 digits, expected at most 4294967295")
        return cls(*(int(part or 0) for part in match.groups()))

    @classmethod
    def unpack(cls, data: bytes) -> Version:
        """The version in the `VERSION_BYTES` bytes of a header's version field."""
        return cls(*_LAYOUT.unpack(data))

    def pack(self) -> bytes:
        """The `VERSION_BYTES` bytes of a header's version field."""
        return _LAYOUT.pack(self.major, self.minor, self.revision, self.build)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.revision}"
        return f"{text}+{self.build}" if self.build else text
