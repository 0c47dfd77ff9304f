"""Keys, signatures and encryption: who made an image, whether it is whole, and who may read it."""

from simlib.security.encryption import decrypt_image
from simlib.security.keyring import KeyRing
from simlib.security.keys import DecryptionKey, EncryptionKey, SigningKey, VerifyKey
from simlib.security.signing import sign_image
from simlib.security.verification import VerifiedImage, verify_image

__all__ = [
    "DecryptionKey",
    "EncryptionKey",
    "KeyRing",
    "SigningKey",
    "VerifiedImage",
    "VerifyKey",
    "decrypt_image",
    "sign_image",
    "verify_image",
]
