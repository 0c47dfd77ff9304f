"""The artefacts that lead to one member of a chain: in full, compressed, and as patches from others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256

from simlib.delta import create_patch
from simlib.firmware.firmware import Firmware
from simlib.release.artefact import Artefact
from simlib.release.choosing import Populations, kept
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
    populations: Populations  # that the patches are chosen by

    def artefacts(self, target: Member, bases: Iterable[Member], *, main: bool) -> tuple[Artefact, ...]:
        """What leads to `target`: the full artefact, the compressed one if there is to be one, and the
        patches from `bases` that are worth it.

        A patch is worth it if its wire bytes are at most `full_above` of what a device would download
        without it: the compressed artefact, or the full one. A compressed one is, if it is smaller than the
        full one; or than `full_above` of it, where that is more than all. The names of the `main` release's
        artefacts leave out what they lead to.
        """
        label = target.firmware.label
        manifest = self._manifest("full", target, target.wire_image, None, None, None)
        name = "full" if main else f"full-of-{label}"
        full = Artefact(name, "full", None, target.index, target.wire_image, manifest)
        whole = [full]
        if self.spec.full_codec != "none":
            name = "compressed" if main else f"compressed-of-{label}"
            compressed = self._with_codec(name, "compressed", self.spec.full_codec, None, target)
            worth_bytes = max(Fraction(1), self.spec.full_above) * full.wire_bytes
            whole += [compressed] if compressed.wire_bytes < worth_bytes else []
        prefix = "delta" if main else label
        deltas = (
            self._with_codec(f"{prefix}-from-{base.firmware.label}", "delta", self.spec.codec, base, target)
            for base in bases
        )
        instead_bytes = whole[-1].wire_bytes
        most_bytes = self.spec.full_above * instead_bytes
        worth_it = [delta for delta in deltas if delta.wire_bytes <= most_bytes]
        return (*whole, *kept(self.spec, worth_it, instead_bytes, self.populations))

    def _with_codec(self, name: str, kind: str, codec: str, base: Member | None, target: Member) -> Artefact:
        """An artefact whose blob is a patch, from `base` or from nothing, encrypted after it was made."""
        blob = create_patch(b"" if base is None else base.image, target.image, codec)
        wrapped_key = None
        if self.decryption_key is not None:
            secret = content_key_for(self.spec, "patch", blob)
            blob = ctr_crypt(secret.key, blob)
            wrapped_key = wrap_key(secret.key, self.decryption_key.public(), secret.ephemeral)
        base_sha256 = None if base is None else sha256(base.image).digest()
        manifest = self._manifest(kind, target, blob, codec, base_sha256, wrapped_key)
        return Artefact(name, kind, None if base is None else base.index, target.index, blob, manifest)

    def _manifest(
        self,
        kind: str,
        target: Member,
        blob: bytes,
        codec: str | None,
        base_sha256: bytes | None,
        wrapped_key: bytes | None,
    ) -> bytes:
        facts = Manifest(
            kind=kind,
            codec=codec,
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
