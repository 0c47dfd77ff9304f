"""Where private keys are kept: derived in memory, in encrypted files, or in a token that they never leave."""

from __future__ import annotations

from typing import Final

from simlib.errors import InputError
from simlib.security.stores.encrypted_file import EncryptedFileStore
from simlib.security.stores.key_store import KeyStore, MemoryStore

__all__ = ["STORES", "EncryptedFileStore", "KeyStore", "MemoryStore", "open_store"]

STORES: Final = ("file", "pkcs11")
"""What ``release.keys`` of a scenario may be."""


def open_store(name: str) -> KeyStore:
    """The store called ``file`` or ``pkcs11``, as the environment has it.

    Raises `InputError` for another name, `MissingPartError` for ``pkcs11`` where the library, a module or the
    token is missing; what needs neither is ``file``.
    """
    if name == "file":
        return EncryptedFileStore()
    if name == "pkcs11":
        from simlib.security.stores.token_store import Pkcs11Store

        return Pkcs11Store()
    raise InputError(f"release.keys: found {name!r}, expected one of {', '.join(STORES)}")
