"""What a device is told about an artefact before it downloads it, signed by the release key.

On the wire, little endian::

    magic "SIMMANIF" | u16 n | n bytes document | 32 bytes key hash | u16 s | s bytes signature

The document is JSON in one form only (sorted keys, no spaces, ASCII), so that one content has one encoding.
The signature is over the hash of a context string, the key hash and the document, by the first hash that the
key's algorithm signs images with (SHA-256 for most). The context keeps manifests apart from images, which the
same key signs: an image's hashed bytes begin with MCUboot's magic and never with it, so neither signature can
be shown in place of the other.

`open_manifest` believes nothing before the signature holds: size, frame, key, signature, then the document.
The facts answer the questions of RFC 9124 (SUIT's information model): is it authentic, what is it for, what
must be there already, what will the result be. Whether a device wants it is the device's decision.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.version import Version
from simlib.security.keys import SigningKey, VerifyKey

MAGIC: Final = b"SIMMANIF"
CONTEXT: Final = b"simlib update manifest v1\0"
KINDS: Final = ("full", "compressed", "delta")
MAX_MANIFEST_BYTES: Final = 4096
_U16: Final = struct.Struct("<H")
_HASH_BYTES: Final = 32
_WRAPPED_BYTES: Final = {129: 32, 113: 16, 96: 32, 80: 16}
"""A content key wrapped by ECIES-P256, and by X25519: the length says how long the key is."""
_LARGEST: Final = (1 << 32) - 1
_TEXT_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Manifest:
    """The signed facts of one artefact; sizes in bytes, hashes as 32 bytes."""

    kind: str  # "full", "compressed" or "delta"
    codec: str | None  # of a patch, or of a compressed image
    hardware: tuple[str, ...]  # that the artefact is for; empty: every hardware
    version: Version
    security_counter: int
    blob_sha256: bytes  # of the blob as it travels
    blob_size: int
    base_sha256: bytes | None  # of the image in the primary slot that a delta starts from
    image_sha256: bytes  # of the image as it will lie in the primary slot
    image_size: int
    wrapped_key: bytes | None  # the content key of a blob with a codec, wrapped by ECIES-P256 or X25519

    @property
    def content_key_bytes(self) -> int:
        """The length of the content key that is wrapped; 0: there is none."""
        return 0 if self.wrapped_key is None else _WRAPPED_BYTES[len(self.wrapped_key)]


def sign_manifest(manifest: Manifest, key: SigningKey) -> bytes:
    """The signed bytes of `manifest`, the same each time.

    Raises:
        InputError: a fact is out of its range, or the whole is larger than `MAX_MANIFEST_BYTES`.
    """
    document = _encode(manifest)
    try:
        _decode(document)
    except Refused as refusal:
        raise InputError(f"cannot be signed: {refusal}") from refusal
    public = key.public()
    keyhash = public.keyhash
    signature = key.sign(_digest(public, document), deterministic=True)
    parts = (MAGIC, _U16.pack(len(document)), document, keyhash, _U16.pack(len(signature)), signature)
    data = b"".join(parts)
    if len(data) > MAX_MANIFEST_BYTES:
        raise InputError(f"manifest: found {len(data)} bytes, expected at most {MAX_MANIFEST_BYTES}")
    return data


def open_manifest(manifest: bytes, keys: Sequence[VerifyKey]) -> Manifest:
    """The facts in `manifest`, if one of `keys` signed it.

    Raises:
        Refused: MANIFEST_INVALID for another shape, an unknown key, a signature that does not hold, or a
            document with missing, unknown or contradictory facts.
    """
    if len(manifest) > MAX_MANIFEST_BYTES:
        raise _invalid("manifest", f"{len(manifest)} bytes", f"at most {MAX_MANIFEST_BYTES}")
    document, keyhash, signature = _unframe(manifest)
    key = next((key for key in keys if compare_digest(key.keyhash, keyhash)), None)
    if key is None:
        raise _invalid("manifest key", f"{keyhash.hex()[:16]}…", "the key of this release")
    if not key.accepts(signature, _digest(key, document)):
        raise _invalid("manifest signature", "one that does not hold", f"one by key {keyhash.hex()[:16]}…")
    return _decode(document)


def _digest(key: VerifyKey, document: bytes) -> bytes:
    return key.hashes[0].digest(CONTEXT, key.keyhash, document)


def _unframe(manifest: bytes) -> tuple[bytes, bytes, bytes]:
    at = len(MAGIC) + _U16.size
    if len(manifest) < at or manifest[: len(MAGIC)] != MAGIC:
        raise _invalid("manifest magic", manifest[: len(MAGIC)].hex() or "nothing", MAGIC.hex())
    keyhash_from = at + _U16.unpack_from(manifest, len(MAGIC))[0]
    size_from = keyhash_from + _HASH_BYTES
    signature_from = size_from + _U16.size
    if len(manifest) < signature_from:
        raise _invalid("manifest", f"{len(manifest)} bytes", f"at least {signature_from}")
    end = signature_from + _U16.unpack_from(manifest, size_from)[0]
    if len(manifest) != end:
        raise _invalid("manifest", f"{len(manifest)} bytes", f"{end}")
    return manifest[at:keyhash_from], manifest[keyhash_from:size_from], manifest[signature_from:]


def _encode(manifest: Manifest) -> bytes:
    facts = {
        "kind": manifest.kind,
        "codec": manifest.codec,
        "hardware": list(manifest.hardware),
        "version": str(manifest.version),
        "security_counter": manifest.security_counter,
        "blob_sha256": manifest.blob_sha256.hex(),
        "blob_size": manifest.blob_size,
        "base_sha256": None if manifest.base_sha256 is None else manifest.base_sha256.hex(),
        "image_sha256": manifest.image_sha256.hex(),
        "image_size": manifest.image_size,
        "wrapped_key": None if manifest.wrapped_key is None else manifest.wrapped_key.hex(),
    }
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode("ascii")


def _decode(document: bytes) -> Manifest:
    try:
        facts = json.loads(document.decode("ascii"))
    except (ValueError, RecursionError):
        raise _invalid("manifest document", "bytes that are no JSON text", "JSON") from None
    names = set(Manifest.__dataclass_fields__)
    if not isinstance(facts, dict) or set(facts) != names:
        odd = ", ".join(sorted(set(facts) ^ names)) if isinstance(facts, dict) else type(facts).__name__
        raise _invalid("manifest document", f"a difference in {odd[:80]!r}", f"exactly {len(names)} facts")
    manifest = Manifest(
        kind=_choice(facts, "kind", KINDS),
        codec=None if facts["codec"] is None else _text(facts["codec"], "codec"),
        hardware=_hardware(facts["hardware"]),
        version=_version(facts["version"]),
        security_counter=_number(facts, "security_counter"),
        blob_sha256=_octets(facts, "blob_sha256", _HASH_BYTES),
        blob_size=_number(facts, "blob_size"),
        base_sha256=_octets_or_none(facts, "base_sha256", _HASH_BYTES),
        image_sha256=_octets(facts, "image_sha256", _HASH_BYTES),
        image_size=_number(facts, "image_size"),
        wrapped_key=_octets_or_none(facts, "wrapped_key", *_WRAPPED_BYTES),
    )
    has_codec, has_base = manifest.codec is not None, manifest.base_sha256 is not None
    if has_codec != (manifest.kind != "full") or has_base != (manifest.kind == "delta"):
        raise _invalid(
            "manifest kind",
            f"{manifest.kind} with another kind's facts",
            "a codec in a compressed one and a delta, a base in a delta only",
        )
    if manifest.wrapped_key is not None and not has_codec:
        raise _invalid("manifest wrapped_key", "one in a full artefact", "none, the image carries its own")
    if _encode(manifest) != document:
        raise _invalid("manifest document", "another way of writing the same facts", "the canonical one")
    return manifest


def _choice(facts: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = facts[name]
    if value not in choices:
        raise _invalid(f"manifest {name}", _shown(value), " or ".join(choices))
    return str(value)


def _text(value: object, name: str) -> str:
    # Printable, for it will stand in journals and messages of one line.
    if not isinstance(value, str) or not 0 < len(value) <= _TEXT_CHARACTERS or not value.isprintable():
        expected = f"a text of 1 to {_TEXT_CHARACTERS} printable characters"
        raise _invalid(f"manifest {name}", _shown(value), expected)
    return value


def _hardware(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _invalid("manifest hardware", _shown(value), "a list of names")
    return tuple(_text(name, "hardware") for name in value)


def _version(value: object) -> Version:
    try:
        return Version.parse(_text(value, "version"))
    except InputError as error:
        raise _invalid("manifest version", _shown(value), "MAJOR.MINOR.REVISION[+BUILD]") from error


def _number(facts: dict[str, Any], name: str) -> int:
    value = facts[name]
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise _invalid(f"manifest {name}", _shown(value), f"0 to {_LARGEST}")
    return value


def _octets(facts: dict[str, Any], name: str, *sizes: int) -> bytes:
    value = facts[name]
    expected = " or ".join(map(str, sizes))
    try:
        octets = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise _invalid(f"manifest {name}", _shown(value), f"{expected} bytes in hexadecimal") from None
    if len(octets) not in sizes:
        raise _invalid(f"manifest {name}", f"{len(octets)} bytes", expected)
    return octets


def _octets_or_none(facts: dict[str, Any], name: str, *sizes: int) -> bytes | None:
    return None if facts[name] is None else _octets(facts, name, *sizes)


def _shown(value: object) -> str:
    """A value of the document on one line, cut where it is long."""
    return json.dumps(value)[:80]


def _invalid(where: str, found: str, expected: str) -> Refused:
    return Refused(Reason.MANIFEST_INVALID, f"{where}: found {found}, expected {expected}")
