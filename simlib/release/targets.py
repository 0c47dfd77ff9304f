"""The artefacts that lead to one member of a chain: in full, and as patches from other members."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from simlib.delta import create_patch
from simlib.firmware.firmware import Firmware
from simlib.release.artefact import Artefact
from simlib.release.content_keys import content_key_for
from simlib.release.manifest import Manifest, sign_manifest
from simlib.scenario.model import ReleaseSpec
from simlib.security.encryption import ctr_crypt, wrap_key
from simlib.security.keys import DecryptionKey, SigningKey


@dataclass(frozen=True, slots=True)
class Member:
    """One signed firmware of a chain; `image` lies as in a primary slot, `wire_image` is as shipped."""

    index: int
    firmware: Firmware
    image: bytes
    wire_image: bytes
    security_counter: int


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who makes the artefacts: by which specification, and with which keys."""

    spec: ReleaseSpec
    signing_key: SigningKey
    decryption_key: DecryptionKey | None

    def artefacts(self, target: Member, bases: Iterable[Member], *, main: bool) -> tuple[Artefact, ...]:
        """What leads to `target`: the full artefact first, then the patches from `bases` that are worth it.

        A patch is worth it if its wire bytes are at most `full_above` of the full artefact's. The names of
        the `main` release's artefacts leave out what they lead to.
        """
        label = target.firmware.label
        manifest = self._manifest("full", target, target.wire_image, None, None)
        name = "full" if main else f"full-of-{label}"
        full = Artefact(name, "full", None, target.index, target.wire_image, manifest)
        prefix = "delta" if main else label
        deltas = (self._delta(f"{prefix}-from-{base.firmware.label}", base, target) for base in bases)
        most_bytes = self.spec.full_above * full.wire_bytes
        return (full, *(delta for delta in deltas if delta.wire_bytes <= most_bytes))

    def _delta(self, name: str, base: Member, target: Member) -> Artefact:
        blob = create_patch(base.image, target.image, self.spec.codec)
        wrapped_key = None
        if self.decryption_key is not None:
            secret = content_key_for(self.spec, "patch", blob)
            blob = ctr_crypt(secret.key, blob)
            wrapped_key = wrap_key(secret.key, self.decryption_key.public(), secret.ephemeral)
        manifest = self._manifest("delta", target, blob, sha256(base.image).digest(), wrapped_key)
        return Artefact(name, "delta", base.index, target.index, blob, manifest)

    def _manifest(
        self, kind: str, target: Member, blob: bytes, base_sha256: bytes | None, wrapped_key: bytes | None
    ) -> bytes:
        facts = Manifest(
            kind=kind,
            codec=self.spec.codec if kind == "delta" else None,
            hardware=self.spec.hardware,
            version=target.firmware.version,
            security_counter=target.security_counter,
            blob_sha256=sha256(blob).digest(),
            blob_size=len(blob),
            base_sha256=base_sha256,
            image_sha256=sha256(target.image).digest(),
            image_size=len(target.image),
            wrapped_key=wrapped_key,
        )
        return sign_manifest(facts, self.signing_key)
