"""An image's payload on its way between the slots: encrypted in the secondary, in the clear in the primary.

AES-256 in counter mode from counter zero at the payload's first byte (MCUboot docs/encrypted_images.md), so
one sector can be turned either way without the others; header and TLVs are never encrypted. An image that
its header does not call encrypted passes as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from simlib.device.meter import Meter
from simlib.firmware.header import Header
from simlib.security.encryption import ctr_crypt


@dataclass(frozen=True, slots=True)
class PayloadCipher:
    """Turns parts of one image; without a key it leaves them alone."""

    header: Header | None
    key: bytes | None

    @classmethod
    def of(cls, header: Header | None, key: bytes) -> PayloadCipher:
        """The cipher of the image with this header; no header, no image, no cipher."""
        encrypted = header is not None and header.encrypted
        return cls(header, key if encrypted else None)

    def turn(self, offset: int, data: bytes, meter: Meter) -> bytes:
        """The bytes at `offset` of the image, deciphered or enciphered: the same operation both ways."""
        if self.header is None or self.key is None:
            return data
        first = self.header.header_size
        start = max(offset, first)
        end = min(offset + len(data), first + self.header.image_size)
        if start >= end:
            return data
        meter.aes_ctr(end - start)
        turned = ctr_crypt(self.key, data[start - offset : end - offset], start - first)
        return data[: start - offset] + turned + data[end - offset :]
