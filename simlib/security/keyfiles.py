"""Keys in files: PKCS#8 PEM for a private key, SubjectPublicKeyInfo PEM for its public half.

A private key without a passphrase is marked as a test key by a line of text before the PEM block, which
RFC 7468 section 2 allows and OpenSSL, cryptography and imgtool read past. A hybrid key is two blocks in
one file, the classical one first. Files are written whole or not at all, and never over an existing one
unless told to. A key that device and publisher share (AES-KW) has no such form: it is read as base64 text.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from simlib.errors import InputError
from simlib.firmware.files import write_whole
from simlib.security.algorithms import (
    HybridPrivateKey,
    HybridPublicKey,
    PrivateKey,
    PublicKey,
    algorithm_of,
)

TEST_KEY_MARK: Final = "simlib test key, not protected by a passphrase: for simulation and tests only"
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----\r?\n?", re.DOTALL)
_KEY_FILE_LIMIT_BYTES: Final = 1 << 20
_SHARED_KEY_BYTES: Final = (16, 32)
Key = TypeVar("Key", bound=PrivateKey | PublicKey)


def public_path(path: Path) -> Path:
    """Where the public half of the private key at `path` goes: ``k.pem`` gives ``k.pub.pem``."""
    if not path.name:
        raise InputError(f"{path}: found a folder, expected a file to write a key to")
    return path.with_name(f"{path.stem if path.suffix == '.pem' else path.name}.pub.pem")


def private_pem(private: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """`private` as PKCS#8 PEM: encrypted under the passphrase, else in the clear and marked as a test key."""
    algorithm = algorithm_of(private)
    protection: KeySerializationEncryption = NoEncryption()
    mark = f"{TEST_KEY_MARK} ({algorithm})\n".encode()
    if passphrase is not None:
        if not passphrase:
            raise InputError("passphrase: found an empty one, expected at least one byte")
        protection, mark = BestAvailableEncryption(passphrase), b""
    parts = (private.classical, private.post_quantum) if isinstance(private, HybridPrivateKey) else (private,)
    blocks = (part.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection) for part in parts)
    return mark + b"".join(blocks)


def public_pem(public: PublicKey) -> bytes:
    """`public` as SubjectPublicKeyInfo PEM."""
    algorithm_of(public)
    parts = (public.classical, public.post_quantum) if isinstance(public, HybridPublicKey) else (public,)
    return b"".join(part.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for part in parts)


def save_private(
    path: Path, private: PrivateKey, passphrase: bytes | None = None, *, force: bool = False
) -> Path:
    """Write the private key to `path`, readable by its owner only, and its public half beside it.

    Returns the public file's path. Raises `InputError` when either exists (unless `force`) or cannot be
    written.
    """
    beside = public_path(path)
    if not force:
        for target in (path, beside):
            if target.exists():
                raise InputError(f"{target}: found an existing file, expected none (--force overwrites it)")
    pem = private_pem(private, passphrase)
    try:
        write_whole(path, pem, 0o600)
        write_whole(beside, public_pem(private.public_key()), 0o644)
    except OSError as error:
        raise InputError(f"{path}: found {error.strerror}, expected a place to write a key to") from error
    return beside


def load_private(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """The private key in the PEM file at `path`.

    Raises `InputError` for a missing file, no private key in it, a missing, needless or wrong passphrase.
    """
    keys = [_private_of(block, path, passphrase) for block in _blocks(path)]
    return keys[0] if len(keys) == 1 else _checked(HybridPrivateKey(*keys), path)


def load_public(path: Path) -> PublicKey:
    """The public key in the PEM file at `path`, or the public half of the plain private key in it.

    Raises `InputError` for a missing file, or no key in it that can be read without a passphrase.
    """
    keys = [_public_of(block, path) for block in _blocks(path)]
    return keys[0] if len(keys) == 1 else _checked(HybridPublicKey(*keys), path)


def load_shared(path: Path) -> bytes | None:
    """The 16 or 32 bytes that the file at `path` has as base64 text; None where it holds anything else.

    Raises `InputError` for a missing file.
    """
    try:
        secret = base64.b64decode(_text(path).strip(), validate=True)
    except binascii.Error:
        return None
    return secret if len(secret) in _SHARED_KEY_BYTES else None


def _text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_KEY_FILE_LIMIT_BYTES)
    except OSError as error:
        raise InputError(f"{path}: found {error.strerror}, expected a PEM key") from error


def _blocks(path: Path) -> list[bytes]:
    text = _text(path)
    blocks = [match.group() for match in _BLOCK.finditer(text)]
    if len(blocks) not in {1, 2}:
        raise InputError(f"{path}: found {len(blocks)} PEM blocks, expected one key, or two of a hybrid one")
    return blocks


def _private_of(block: bytes, path: Path, passphrase: bytes | None) -> PrivateKeyTypes:
    encrypted = block.startswith(b"-----BEGIN ENCRYPTED ") or b"ENCRYPTED\n" in block[:80]
    if block.startswith(b"-----BEGIN PUBLIC "):
        raise InputError(f"{path}: found a public key, expected a private one")
    if encrypted and passphrase is None:
        raise InputError(f"{path}: found a key under a passphrase, expected it (--passphrase-file)")
    if passphrase is not None and not encrypted:
        raise InputError(f"{path}: found a key in the clear, expected one under the given passphrase")
    try:
        key = load_pem_private_key(block, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        found = "another passphrase or a damaged key" if encrypted else "a damaged or foreign key"
        raise InputError(f"{path}: found {found}, expected a PKCS#8 private key") from error
    return _checked(key, path)


def _public_of(block: bytes, path: Path) -> PublicKeyTypes:
    if b"PRIVATE KEY-----" in block[:40]:
        return _private_of(block, path, None).public_key()
    try:
        key = load_pem_public_key(block)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path}: found a damaged or foreign key, expected a PEM public key") from error
    return _checked(key, path)


def _checked(key: Key, path: Path) -> Key:
    """`key`, if it is of an algorithm simlib knows, a pair of keys only if they are a hybrid one's."""
    try:
        algorithm_of(key)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return key
