"""The hashes an image may be named by: SHA-256, SHA-384 and SHA-512 (MCUboot docs/design.md, "TLV").

Which of them a signature algorithm goes with is in `simlib.security.keys`; an image's own is the type of its
hash record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from simlib.errors import InputError
from simlib.firmware.tlv import TlvType


class Hash(StrEnum):
    """A hash algorithm by the name that `hashlib` has for it."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"

    @classmethod
    def of(cls, record: TlvType) -> Hash:
        """The algorithm of a hash record of this type; ValueError for any other record."""
        return cls(record.name.lower())

    @property
    def record(self) -> TlvType:
        """The type of the record that holds such a hash."""
        return TlvType[self.name]

    @property
    def size(self) -> int:
        """The length of such a hash [byte]."""
        return _SIZES[self]

    @property
    def label(self) -> str:
        """The name as a person writes it."""
        return f"SHA-{self.value.removeprefix('sha')}"

    def digest(self, *parts: bytes | memoryview) -> bytes:
        """The hash of the parts one behind the other."""
        running = hashlib.new(self.value)
        for part in parts:
            running.update(part)
        return running.digest()


_SIZES: Final = {each: hashlib.new(each.value).digest_size for each in Hash}


def hash_named(text: str, expected: Iterable[Hash] = tuple(Hash)) -> Hash:
    """The hash called ``sha256`` or ``256``; `InputError` unless it is one of `expected`."""
    known = tuple(expected)
    for each in known:
        if text in {each.value, each.value.removeprefix("sha")}:
            return each
    raise InputError(f"hash: found {text!r}, expected one of {', '.join(known)}")
