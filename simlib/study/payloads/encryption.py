"""Why a patch is made first and encrypted afterwards: the lengths of both orders, with real ciphers.

A ciphertext looks like noise, so two versions of a firmware that are encrypted have nothing in common that a
difference could leave out. The one exception is a counter mode that is used twice with the same key and
nonce: what stands unmoved at the same place is then the same in both ciphertexts. It saves a little, and
gives the plain text away: the two ciphertexts combined by exclusive or are the two plain texts so combined.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import pandas as pd
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from simlib.delta import create_patch
from simlib.errors import InputError

WAYS: Final = (
    "difference of plain images",
    "difference, then encrypted",
    "encrypted in CTR with one nonce, then the difference",
    "encrypted in CTR with fresh nonces, then the difference",
    "encrypted in CBC, then the difference",
)
_BLOCK_BITS: Final = 128


def encryption_order(old: bytes, new: bytes, codec: str = "bsdiff4", seed: int = 0) -> pd.DataFrame:
    """A row (`way`, `bytes`, `of_full`) for each of `WAYS` to send `new` to a device that has `old`.

    `of_full` is the share of `new`, which encrypted in counter mode is as long. AES-256; key and nonces are
    derived from `seed`, so that the figures are the same on each machine: for demonstration, not for use.
    Raises `InputError` for an image without bytes.
    """
    if not old or not new:
        raise InputError(f"images: found {len(old)} and {len(new)} bytes, expected 1 or more of each")
    key, one, two = (sha256(f"{seed} {what}".encode()).digest() for what in ("key", "old", "new"))
    one, two = one[:16], two[:16]
    patch = create_patch(old, new, codec)
    sizes = (
        len(patch),
        len(_ctr(key, two, patch)),
        len(create_patch(_ctr(key, one, old), _ctr(key, one, new), codec)),
        len(create_patch(_ctr(key, one, old), _ctr(key, two, new), codec)),
        len(create_patch(_cbc(key, one, old), _cbc(key, two, new), codec)),
    )
    return pd.DataFrame({"way": WAYS, "bytes": sizes, "of_full": [size / len(new) for size in sizes]})


def _ctr(key: bytes, nonce: bytes, data: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _cbc(key: bytes, first: bytes, data: bytes) -> bytes:
    padder = PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(first)).encryptor()
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()
