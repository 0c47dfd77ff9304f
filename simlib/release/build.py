"""Building a release from its specification: the chain signed, the newest shipped in full and as patches.

Every firmware of the chain is signed with one key and a security counter that counts up from 1, since each
older one is what some device runs. All secrets are derived from the specification's seed, so that the same
specification gives the same bytes on every machine. No signature leaves anything to chance either: it is part
of the images that patches are made of, and would change their lengths. A content key is derived from the
bytes it encrypts as well: under AES-CTR with the counter from zero, one key must never meet two plaintexts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from simlib.delta import create_patch
from simlib.errors import InputError
from simlib.firmware.chain import Firmware, load_chain
from simlib.release.artefact import Artefact
from simlib.release.manifest import Manifest, sign_manifest
from simlib.scenario.model import ReleaseSpec
from simlib.security.encryption import KEY_BYTES, ctr_crypt, decrypt_image, wrap_key
from simlib.security.keys import DecryptionKey, SigningKey, VerifyKey, derive_bytes, derive_private
from simlib.security.signing import sign_image

HEADER_SIZE: Final = 0x200
"""MCUboot's usual header on Cortex-M, where a vector table of 128 entries must lie on its own size [byte]."""


@dataclass(frozen=True)
class Release:
    """A chain of firmware, signed, and what devices are offered to reach its newest member.

    `images` lie as in a primary slot, payload in the clear, without padding; its index and that of
    `firmwares` and `security_counters` is the chain's, newest last. `artefacts` begins with the full one.
    """

    firmwares: tuple[Firmware, ...]
    images: tuple[bytes, ...]
    wire_image: bytes  # the newest as shipped
    artefacts: tuple[Artefact, ...]
    signing_key: SigningKey
    verify_key: VerifyKey
    decryption_key: DecryptionKey | None
    security_counters: tuple[int, ...]

    def artefact_for(self, base: int, can_patch: bool, download_size_bytes: int) -> Artefact:
        """What a device that runs the chain's number `base` is offered.

        The patch from that base if there is one, the device can apply patches, and its download partition of
        `download_size_bytes` holds the blob; the full artefact otherwise.

        Raises:
            InputError: the chain has no such member.
        """
        if not 0 <= base < len(self.images):
            raise InputError(f"base: found {base}, expected 0 to {len(self.images) - 1}")
        for artefact in self.artefacts:
            if artefact.base == base and can_patch and len(artefact.blob) <= download_size_bytes:
                return artefact
        return self.artefacts[0]


def build_release(spec: ReleaseSpec, bases: Collection[int] | None = None) -> Release:
    """Sign the chain of `spec` and make its artefacts; with `bases`, patches from those chain indices alone.

    A patch is offered if its wire bytes are at most `spec.full_above` of the full artefact's.

    Raises:
        InputError: the chain cannot be loaded or signed, or a base is not older than the newest.
    """
    firmwares = load_chain(spec)
    newest = len(firmwares) - 1
    chosen = _chosen_bases(spec, newest, bases)
    signing_key = SigningKey.of(derive_private(spec.signature, spec.seed, "release signing key"))
    decryption_key = None
    if spec.encrypted:
        decryption_key = DecryptionKey.of(derive_private("ecies-p256", spec.seed, "device decryption key"))
    counters = tuple(range(1, len(firmwares) + 1))
    wire_images = tuple(
        _sign(spec, firmware, counter, signing_key, decryption_key)
        for firmware, counter in zip(firmwares, counters, strict=True)
    )
    images = wire_images
    if decryption_key is not None:
        images = tuple(decrypt_image(image, decryption_key) for image in wire_images)
    facts = _Newest(spec, firmwares[newest], images[newest], counters[newest], signing_key)
    full = facts.full(wire_images[newest])
    deltas = (facts.delta(base, firmwares[base], images[base], decryption_key) for base in chosen)
    worth = tuple(delta for delta in deltas if delta.wire_bytes <= spec.full_above * full.wire_bytes)
    return Release(
        firmwares=firmwares,
        images=images,
        wire_image=wire_images[newest],
        artefacts=(full, *worth),
        signing_key=signing_key,
        verify_key=signing_key.public(),
        decryption_key=decryption_key,
        security_counters=counters,
    )


def _chosen_bases(spec: ReleaseSpec, newest: int, bases: Collection[int] | None) -> tuple[int, ...]:
    """The chain indices that patches are made from, in the chain's order."""
    if bases is not None and (wrong := [base for base in bases if not 0 <= base < newest]):
        raise InputError(f"bases: found {min(wrong)}, expected 0 to {newest - 1}")
    if spec.payload != "delta":
        return ()
    return tuple(base for base in range(newest) if bases is None or base in bases)


def _sign(
    spec: ReleaseSpec, firmware: Firmware, counter: int, key: SigningKey, decryption_key: DecryptionKey | None
) -> bytes:
    """The image of one firmware as shipped."""
    secrets = _secrets(spec, "image", firmware.payload) if decryption_key is not None else None
    return sign_image(
        firmware.payload,
        firmware.version,
        key,
        security_counter=counter,
        header_size=HEADER_SIZE,
        encrypt_to=decryption_key.public() if decryption_key is not None else None,
        content_key=secrets.content_key if secrets is not None else None,
        ephemeral=secrets.ephemeral if secrets is not None else None,
        deterministic=True,
    )


@dataclass(frozen=True, slots=True)
class _Secrets:
    """What encrypts one plaintext."""

    content_key: bytes
    ephemeral: DecryptionKey


def _secrets(spec: ReleaseSpec, what: str, plaintext: bytes) -> _Secrets:
    name = f"{what} {sha256(plaintext).hexdigest()}"
    ephemeral = derive_private("ecies-p256", spec.seed, f"ephemeral key of {name}")
    return _Secrets(derive_bytes(spec.seed, f"content key of {name}", KEY_BYTES), DecryptionKey.of(ephemeral))


@dataclass(frozen=True, slots=True)
class _Newest:
    """The newest member of the chain, for which artefacts are made; `image` as it lies in a primary slot."""

    spec: ReleaseSpec
    firmware: Firmware
    image: bytes
    security_counter: int
    signing_key: SigningKey

    def full(self, wire_image: bytes) -> Artefact:
        """The artefact that needs no base."""
        return Artefact("full", "full", None, wire_image, self._manifest("full", wire_image, None, None))

    def delta(
        self, base: int, firmware: Firmware, image: bytes, decryption_key: DecryptionKey | None
    ) -> Artefact:
        """The patch from chain index `base`, whose `image` lies in a primary slot."""
        blob = create_patch(image, self.image, self.spec.codec)
        wrapped_key = None
        if decryption_key is not None:
            secrets = _secrets(self.spec, "patch", blob)
            blob = ctr_crypt(secrets.content_key, blob)
            wrapped_key = wrap_key(secrets.content_key, decryption_key.public(), secrets.ephemeral)
        manifest = self._manifest("delta", blob, sha256(image).digest(), wrapped_key)
        return Artefact(f"delta-from-{firmware.label}", "delta", base, blob, manifest)

    def _manifest(
        self, kind: str, blob: bytes, base_sha256: bytes | None, wrapped_key: bytes | None
    ) -> bytes:
        facts = Manifest(
            kind=kind,
            codec=self.spec.codec if kind == "delta" else None,
            hardware=self.spec.hardware,
            version=self.firmware.version,
            security_counter=self.security_counter,
            blob_sha256=sha256(blob).digest(),
            blob_size=len(blob),
            base_sha256=base_sha256,
            image_sha256=sha256(self.image).digest(),
            image_size=len(self.image),
            wrapped_key=wrapped_key,
        )
        return sign_manifest(facts, self.signing_key)
