"""What an image may demand of another one: that it is there, and at least of a version.

The record is MCUboot's `image_dependency`: the other image's number, three zero bytes, the least version (a
boot loader built to count slots reads the second byte as one; zero is the active slot). Whether the demand is
met is for the boot loader to say: it alone knows the other images.
"""

from __future__ import annotations

from dataclasses import dataclass

from simlib.errors import InputError
from simlib.firmware.version import Version

_LARGEST_IMAGE = 0xFF


@dataclass(frozen=True, order=True, slots=True)
class Dependency:
    """Image number `image`, from 0, has to be of version `least` or newer."""

    image: int
    least: Version

    def __post_init__(self) -> None:
        if not 0 <= self.image <= _LARGEST_IMAGE:
            raise InputError(f"dependency: found image {self.image}, expected 0 to {_LARGEST_IMAGE}")

    @classmethod
    def parse(cls, text: str) -> Dependency:
        """The dependency written as ``1:1.2.3`` (image, version); `InputError` for any other text."""
        image, colon, version = text.partition(":")
        if not colon or not (image.isascii() and image.isdecimal()) or len(image) > len("255"):
            raise InputError(f"dependency: found {text!r}, expected one like 1:1.2.3")
        return cls(int(image), Version.parse(version))

    @classmethod
    def unpack(cls, value: bytes) -> Dependency:
        """The dependency in a DEPENDENCY record's value."""
        return cls(value[0], Version.unpack(value[4:]))

    def pack(self) -> bytes:
        """The record's 12 bytes."""
        return bytes([self.image, 0, 0, 0]) + self.least.pack()

    def __str__(self) -> str:
        return f"image {self.image} >= {self.least}"
