"""Making a signed MCUboot image, in the clear or encrypted, as ``imgtool sign --pad-header`` does.

Decides the order of the parts: header filled up with erased bytes, payload (filled with zeros to a
multiple of 16 from the image's start when encrypted), the protected security counter, then SHA256,
KEYHASH, the signature over the hash, and the wrapped content key. The hash is over the plaintext.
`verify_image`, the other way, is in `simlib.security.verification` and offered here as well.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from simlib.errors import InputError
from simlib.firmware.image import HEADER_BYTES, Flag, Header, Tlv, TlvType, build_area
from simlib.firmware.version import Version
from simlib.security.encryption import BLOCK_BYTES, ctr_crypt, generate_content_key, wrap_key
from simlib.security.keys import DecryptionKey, EncryptionKey, SigningKey
from simlib.security.verification import VerifiedImage, verify_image

__all__ = ["VerifiedImage", "sign_image", "verify_image"]

_COUNTER_LIMIT: Final = 0xFFFF_FFFF


def sign_image(
    payload: bytes,
    version: Version,
    key: SigningKey,
    *,
    security_counter: int | None = None,
    header_size: int = HEADER_BYTES,
    erased_value: int = 0xFF,
    load_address: int | None = None,
    encrypt_to: EncryptionKey | None = None,
    content_key: bytes | None = None,
    ephemeral: DecryptionKey | None = None,
    deterministic: bool = False,
) -> bytes:
    """The signed image of `payload`: header, payload and TLVs, without padding to a slot.

    `header_size` [bytes] leaves room for a vector table's alignment, filled with `erased_value`.
    A `load_address` makes it an image for RAM. With `encrypt_to` the payload is encrypted under
    `content_key` and that key wrapped with `ephemeral`, both fresh unless given. `deterministic` leaves
    nothing of the signature to chance. Raises `InputError` for a value that no image can hold.
    """
    if encrypt_to is None and (content_key is not None or ephemeral is not None):
        raise InputError("content key: found one without a key to encrypt to, expected encrypt_to as well")
    if not 0 <= erased_value <= 0xFF:
        raise InputError(f"erased value: found {erased_value}, expected 0 to 255")
    flags = Flag.RAM_LOAD if load_address is not None else Flag(0)
    body = bytes(payload)
    if encrypt_to is not None:
        flags |= Flag.ENCRYPTED_AES256
        if body:  # an empty payload is refused below, not filled up
            body += bytes(-(header_size + len(body)) % BLOCK_BYTES)
    protected = build_area(_counter_records(security_counter), protected=True)
    header = Header(header_size, len(protected), len(body), flags, version, load_address or 0)
    start = header.pack().ljust(header_size, bytes([erased_value]))
    digest = sha256(start + body + protected).digest()
    public = key.public()
    records = [
        Tlv(TlvType.SHA256, digest),
        Tlv(TlvType.KEYHASH, public.keyhash),
        Tlv(public.signature_tlv, key.sign(digest, deterministic=deterministic)),
    ]
    if encrypt_to is not None:
        content_key = generate_content_key() if content_key is None else content_key
        records.append(Tlv(TlvType.ENCEC256, wrap_key(content_key, encrypt_to, ephemeral)))
        body = ctr_crypt(content_key, body)
    return start + body + protected + build_area(records, protected=False)


def _counter_records(security_counter: int | None) -> list[Tlv]:
    if security_counter is None:
        return []
    if not 0 <= security_counter <= _COUNTER_LIMIT:
        raise InputError(f"security counter: found {security_counter}, expected 0 to {_COUNTER_LIMIT}")
    return [Tlv(TlvType.SEC_CNT, security_counter.to_bytes(4, "little"), protected=True)]
