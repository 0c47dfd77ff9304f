"""The two identifiers an image may carry: of its vendor, and of the class of devices it is made for.

Both are UUIDs (RFC 9562). A person gives one as a UUID or by name: a vendor by its domain name, a class by a
name of the vendor's choosing. A name becomes a version 5 UUID, the vendor's in the namespace of domain names,
the class's in the vendor's, as in ``imgtool sign --vid --cid`` and RFC 9124 section 3.4. Whether an image's
identifiers are the device's is decided in `simlib.security.verification`.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

from simlib.errors import InputError

IDENTIFIER_BYTES: Final = 16
_PLAIN: Final = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)
_DASHED: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def vendor_id_of(text: str) -> bytes:
    """The 16 bytes of the vendor that `text` names: a UUID, or a domain name."""
    return _identifier(text, "vendor id", uuid.NAMESPACE_DNS)


def class_id_of(text: str, vendor_id: bytes | None = None) -> bytes:
    """The 16 bytes of the class that `text` names: a UUID, or a name that this vendor has given it.

    Raises `InputError` for a name without a vendor.
    """
    return _identifier(text, "class id", None if vendor_id is None else uuid.UUID(bytes=vendor_id))


def check_identifier(identifier: bytes | None, what: str) -> None:
    """Raise `InputError` unless `identifier` is None or has a UUID's length."""
    if identifier is not None and len(identifier) != IDENTIFIER_BYTES:
        raise InputError(f"{what}: found {len(identifier)} bytes, expected {IDENTIFIER_BYTES}")


def shown(identifier: bytes) -> str:
    """The identifier as a person reads it."""
    return str(uuid.UUID(bytes=identifier))


def _identifier(text: str, what: str, namespace: uuid.UUID | None) -> bytes:
    if _PLAIN.fullmatch(text) or _DASHED.fullmatch(text):
        return bytes.fromhex(text.replace("-", ""))
    if not text or not text.isprintable():
        raise InputError(f"{what}: found {text!r}, expected a UUID or a name")
    if namespace is None:
        raise InputError(f"{what}: found the name {text!r}, expected a UUID, or a vendor id as well")
    return uuid.uuid5(namespace, text).bytes
