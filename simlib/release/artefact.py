"""What travels to a device: a signed manifest and a blob.

A full artefact's blob is the image as shipped. A delta's is a patch between two images as they lie in a
primary slot, in the clear, encrypted afterwards under a content key of its own: encrypting first would make a
patch as large as the image, since two ciphertexts have nothing in common. A compressed artefact's is such a
patch from nothing, in an envelope like any, and for the same reason encrypted after it was made.

A device checks in this order: the manifest's signature (`open_manifest`), the blob's size and hash against
it, then it decrypts, then it applies the patch (`simlib.delta`). `unpack_blob` does the second and third
step, and refuses a patch that names another base or result than the manifest does.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from simlib.delta import read_envelope
from simlib.errors import InputError, Reason, Refused
from simlib.release.manifest import Manifest
from simlib.security.encryption import ctr_crypt, unwrap_key
from simlib.security.keys import DecryptionKey


@dataclass(frozen=True, slots=True)
class Artefact:
    """One download: `manifest` is signed, `blob` is as on the wire."""

    name: (
        str  # "full", "delta-from-BASE"; to another target "full-of-TARGET", "TARGET-from-BASE"; "compressed"
    )
    kind: str  # "full", "compressed" or "delta"
    base: int | None  # chain index of the firmware a delta starts from
    target: int  # chain index of the firmware that it leads to
    blob: bytes
    manifest: bytes

    @property
    def wire_bytes(self) -> int:
        """What a device downloads [byte]."""
        return len(self.manifest) + len(self.blob)


def unpack_blob(manifest: Manifest, blob: bytes, decryption_key: DecryptionKey | None) -> bytes:
    """The patch in a `blob`, in the clear, as the opened `manifest` describes it; from nothing if compressed.

    Raises:
        InputError: the manifest is a full artefact's, whose blob is the image itself.
        Refused: ARTEFACT_MISMATCH when the blob is not the manifest's or its patch is for another base or
            result; DECRYPTION_FAILED when its key is for somebody else; as `read_envelope` for no patch.
    """
    if manifest.codec is None:
        raise InputError(f"artefact: found a {manifest.kind} one, expected one with a codec")
    _expect("blob size", len(blob), manifest.blob_size)
    _expect("blob SHA-256", sha256(blob).hexdigest(), manifest.blob_sha256.hex())
    patch = blob
    if manifest.wrapped_key is not None:
        if decryption_key is None:
            raise Refused(
                Reason.DECRYPTION_FAILED, "patch: found an encrypted one, expected one in the clear: no key"
            )
        patch = ctr_crypt(unwrap_key(manifest.wrapped_key, decryption_key), blob)
    check_envelope(manifest, patch)
    return patch


def check_envelope(manifest: Manifest, patch: bytes) -> None:
    """Whether `patch`, in the clear, is about what the opened `manifest` says; its payload is not looked at.

    Raises:
        Refused: ARTEFACT_MISMATCH for another codec, base or result; as `read_envelope` for no patch.
    """
    envelope = read_envelope(patch)
    base_sha256 = sha256().hexdigest() if manifest.base_sha256 is None else manifest.base_sha256.hex()
    _expect("patch codec", envelope.codec, manifest.codec)
    _expect("patch base SHA-256", envelope.base_sha256.hex(), base_sha256)
    _expect("patch result SHA-256", envelope.result_sha256.hex(), manifest.image_sha256.hex())
    _expect("patch result size", envelope.result_size, manifest.image_size)


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Refused(Reason.ARTEFACT_MISMATCH, f"{what}: found {found}, expected {expected} by the manifest")
