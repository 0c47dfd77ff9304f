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


TOKEN_SCHEME = "pkcs11:"
"""What the address of a key in a token begins with (RFC 7512)."""


def passphrase(path: Path | None) -> bytes | None:
    """The first line of the file; None without one."""
    if path is None:
        return None
    first, *_ = read(path, "a passphrase in its first line").splitlines() or [b""]
    if not first:
        raise InputError(f"{path}: found an empty first line, expected a passphrase")
    return first


def signing_key(path: Path, passphrase_file: Path | None) -> SigningKey:
    """The private key an image is signed with: of a file, or of a token by its address ``pkcs11:…``.

    A token's PIN is then the first line of the passphrase's file, unless address or environment have it.
    """
    from simlib.security.keys import SigningKey, load_private

    secret = passphrase(passphrase_file)
    if str(path).startswith(TOKEN_SCHEME):
        from simlib.security.stores.pkcs11_uri import Pkcs11Uri
        from simlib.security.stores.token_store import signing_key_at

        try:
            pin = None if secret is None else secret.decode()
        except UnicodeDecodeError:
            raise InputError(f"{passphrase_file}: found no UTF-8, expected a token's PIN") from None
        return signing_key_at(Pkcs11Uri.parse(str(path)), pin)
    with naming(path):
        return SigningKey.of(load_private(path, secret))


def verify_key(path: Path) -> VerifyKey:
    """The public key, or the public half of a plain private one, that an image is verified with."""
    from simlib.security.keys import VerifyKey, load_public

    with naming(path):
        return VerifyKey.of(load_public(path))


def encryption_key(path: Path) -> EncryptionKey:
    """The key an image is encrypted to: public, or shared with the devices."""
    from simlib.security.keys import EncryptionKey, load_public, load_shared

    with naming(path):
        return EncryptionKey.of(load_shared(path) or load_public(path))


def decryption_key(path: Path, passphrase_file: Path | None) -> DecryptionKey:
    """The key an image is decrypted with: private, or shared with the publisher."""
    from simlib.security.keys import DecryptionKey, load_private, load_shared

    secret = passphrase(passphrase_file)
    with naming(path):
        shared = load_shared(path) if secret is None else None
        return DecryptionKey.of(shared or load_private(path, secret))
