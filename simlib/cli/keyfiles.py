"""Keys as commands take them: by file, of the kind the command needs, under a passphrase from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simlib.cli.files import naming, read
from simlib.errors import InputError

if TYPE_CHECKING:
    from simlib.security.keys import DecryptionKey, EncryptionKey, SigningKey, VerifyKey

PassphraseFile = Annotated[
    Path | None, typer.Option(help="File whose first line is the private key's passphrase.")
]


def passphrase(path: Path | None) -> bytes | None:
    """The first line of the file; None without one."""
    if path is None:
        return None
    first, *_ = read(path, "a passphrase in its first line").splitlines() or [b""]
    if not first:
        raise InputError(f"{path}: found an empty first line, expected a passphrase")
    return first


def signing_key(path: Path, passphrase_file: Path | None) -> SigningKey:
    """The private key an image is signed with."""
    from simlib.security.keys import SigningKey, load_private

    secret = passphrase(passphrase_file)
    with naming(path):
        return SigningKey.of(load_private(path, secret))


def verify_key(path: Path) -> VerifyKey:
    """The public key, or the public half of a plain private one, that an image is verified with."""
    from simlib.security.keys import VerifyKey, load_public

    with naming(path):
        return VerifyKey.of(load_public(path))


def encryption_key(path: Path) -> EncryptionKey:
    """The public key an image is encrypted to."""
    from simlib.security.keys import EncryptionKey, load_public

    with naming(path):
        return EncryptionKey.of(load_public(path))


def decryption_key(path: Path, passphrase_file: Path | None) -> DecryptionKey:
    """The private key an image is decrypted with."""
    from simlib.security.keys import DecryptionKey, load_private

    secret = passphrase(passphrase_file)
    with naming(path):
        return DecryptionKey.of(load_private(path, secret))
