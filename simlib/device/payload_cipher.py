"""An image's payload on its way between the slots: encrypted in the secondary, in the clear in the primary.

AES in counter mode from counter zero at the payload's first byte (MCUboot docs/encrypted_images.md), so
one sector can be turned either way without the others; header and TLVs are never encrypted. An image that
its header does not call encrypted passes as it is. Where the content key of an encrypted payload is not
known, the payload is blanked: it must not reach the secondary slot in the clear, nor under a key that
anybody can guess.
"""

from __future__ import annotations

from dataclasses import dataclass

from simlib.device.meter import Meter
from simlib.firmware.header import Header, parse_header
from simlib.security.encryption import content_key_of, ctr_crypt
from simlib.security.keys import DecryptionKey


@dataclass(frozen=True, slots=True)
class PayloadCipher:
    """Turns parts of one image; without a key it leaves them alone, or blanks them."""

    header: Header | None
    key: bytes | None
    blank: bytes = b""  # a byte to take the place of each of the payload's, where there is no key

    @classmethod
    def of(cls, header: Header | None, key: bytes | None) -> PayloadCipher:
        """The cipher of the image with this header; no header, no image, no cipher.

        Of `key` as many bytes count as the header's cipher asks for: a trailer's field has room for more.
        """
        if header is None or not header.encrypted or key is None:
            return cls(header, None)
        return cls(header, key[: header.content_key_bytes])

    @classmethod
    def blanking(cls, header: Header, erased_value: int) -> PayloadCipher:
        """For an encrypted image whose content key is lost: its payload becomes erased bytes."""
        return cls(header, None, bytes([erased_value]))

    def turn(self, offset: int, data: bytes, meter: Meter | None) -> bytes:
        """The bytes at `offset` of the image, deciphered or enciphered: the same operation both ways.

        It is charged to `meter`, if there is one.
        """
        if self.header is None or (self.key is None and not self.blank):
            return data
        first = self.header.header_size
        start = max(offset, first)
        end = min(offset + len(data), first + self.header.image_size)
        if start >= end:
            return data
        if self.key is None:
            turned = self.blank * (end - start)
        else:
            if meter is not None:
                meter.aes_ctr(end - start, len(self.key))
            turned = ctr_crypt(self.key, data[start - offset : end - offset], start - first)
        return data[: start - offset] + turned + data[end - offset :]


def cipher_of(image: bytes, key: DecryptionKey | None, meter: Meter | None) -> PayloadCipher:
    """The cipher of this image, by the content key that it carries for `key`; none of one in the clear.

    The unwrapping is charged to `meter`, if there is one. Raises `Refused` as `content_key_of`.
    """
    header = parse_header(image)
    if not header.encrypted or key is None:
        return PayloadCipher(None, None)
    if meter is not None:
        meter.unwrap(key.algorithm)
    return PayloadCipher.of(header, content_key_of(image, key))


def turned(image: bytes, key: DecryptionKey | None) -> bytes:
    """The image with its payload turned, at no cost; as it is where it is not encrypted, or without `key`."""
    return cipher_of(image, key, None).turn(0, image, None)
