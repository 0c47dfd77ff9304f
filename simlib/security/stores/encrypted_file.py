"""Derived keys in files: PKCS#8 PEM encrypted under a passphrase, one file a key.

What this protects: a key file that leaves its folder, in a backup or a commit, is of no use without the
passphrase. A passphrase that was generated lies beside the keys, and protects nothing from someone who can
read that folder; one from elsewhere (`simlib.security.stores.passphrase`) does. A scenario's keys are derived
from its seed besides, so whoever has the scenario has them. The private key is in this process's memory while
it is used, which a token avoids (`simlib.security.stores.token_store`).

A file begins with a line of text that binds the key to its name (`check_value`); RFC 7468 section 2 lets
readers of PEM pass over it. A store that cannot be read or written is no reason to fail: the keys are derived
and it says that its kind is "memory". A file that is there and is not right is one.
"""

from __future__ import annotations

import hmac
import re
from pathlib import Path
from typing import Final

from simlib.errors import InputError
from simlib.firmware.cache import cache_dir
from simlib.firmware.files import write_whole
from simlib.security.algorithms import PrivateKey
from simlib.security.derivation import derive_private
from simlib.security.keyfiles import load_private, private_pem
from simlib.security.keys import DecryptionKey, SigningKey
from simlib.security.stores.key_store import MEMORY, check_value, key_name
from simlib.security.stores.passphrase import passphrase_for

KIND: Final = "encrypted-file"
FOLDER: Final = "keys"
_FIRST_LINE: Final = re.compile(rb"simlib scenario key, check ([0-9a-f]{64})\r?\n")


class EncryptedFileStore:
    """Keys in a folder: `folder`, or ``keys`` in simlib's cache; the passphrase is looked up unless given."""

    def __init__(self, folder: Path | None = None, passphrase: bytes | None = None) -> None:
        self.folder = cache_dir() / FOLDER if folder is None else folder
        self._passphrase = passphrase
        self._kept = True

    @property
    def kind(self) -> str:
        """ "encrypted-file", or "memory" once a key could not be kept."""
        return KIND if self._kept else MEMORY

    def signing_key(self, algorithm: str, seed: int, purpose: str) -> SigningKey:
        """The signing key of this name. Raises `InputError` as `path_of` explains."""
        return SigningKey.of(self._private(algorithm, seed, purpose))

    def decryption_key(self, algorithm: str, seed: int, purpose: str) -> DecryptionKey:
        """The decryption key of this name. Raises `InputError` as `path_of` explains."""
        return DecryptionKey.of(self._private(algorithm, seed, purpose))

    def path_of(self, algorithm: str, seed: int, purpose: str) -> Path:
        """The file that the key is kept in.

        One that is there has to be whole, under the store's passphrase and of this very key: whatever else
        is asked of the store then raises `InputError`.
        """
        return self.folder / f"{key_name(algorithm, seed, purpose)}.pem"

    def _private(self, algorithm: str, seed: int, purpose: str) -> PrivateKey:
        path = self.path_of(algorithm, seed, purpose)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._passphrase is None:
                self._passphrase = passphrase_for(self.folder)
            try:
                text = path.read_bytes()
            except FileNotFoundError:
                private = derive_private(algorithm, seed, purpose)
                check = check_value(algorithm, seed, purpose, private.public_key())
                line = f"simlib scenario key, check {check.hex()}\n".encode("ascii")
                write_whole(path, line + private_pem(private, self._passphrase), 0o600)
                return private
        except OSError:
            self._kept = False
            return derive_private(algorithm, seed, purpose)
        private = load_private(path, self._passphrase)
        self._expect_own(path, text, check_value(algorithm, seed, purpose, private.public_key()))
        return private

    @staticmethod
    def _expect_own(path: Path, text: bytes, check: bytes) -> None:
        line = _FIRST_LINE.match(text)
        if line is None or not hmac.compare_digest(line[1], check.hex().encode("ascii")):
            raise InputError(
                f"{path}: found another key than the one of this name, expected that; "
                "removing the file has it derived anew"
            )
