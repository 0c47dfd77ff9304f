"""What reaches the devices of one release: the bytes of each install, and names for what events depend on."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from simlib.device.events import Event, Install, flip_bit
from simlib.device.forgery import forge
from simlib.errors import InputError

if TYPE_CHECKING:
    from simlib.release import Artefact, Release


class Arrivals:
    """The artefacts of `release`, as they were sent or forged on the way."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._artefacts = {artefact.name: artefact for artefact in release.artefacts}
        self._names = {a.name: f"{sha256_hex(a.manifest)} {sha256_hex(a.blob)}" for a in release.artefacts}
        self.keys = _key_names(release)
        """The keys by which a device trusts and decrypts, by their public hashes."""

    def of(self, event: Install) -> tuple[bytes, bytes]:
        """The manifest and the blob that an install is given; `InputError` without such an artefact."""
        artefact = self._artefact(event.artefact)
        manifest, blob = artefact.manifest, artefact.blob
        if event.forged is not None:
            base = None if artefact.base is None else self._release.images[artefact.base]
            manifest, blob = forge(event.forged, artefact, base, self._release.verify_key)
        return manifest, blob if event.flip_bit is None else flip_bit(blob, event.flip_bit)

    def event_name(self, event: Event) -> str:
        """The event, with the hashes of the bytes it brings in place of their name; `InputError` as in `of`.

        A forgery follows from the artefact, the publisher's key, the base that the artefact names, and code.
        """
        brings = ""
        if isinstance(event, Install):
            self._artefact(event.artefact)
            bit = event.flip_bit
            if bit is not None:
                bit %= 8 * len(self.of(event)[1])
            brings = f"{self._names[event.artefact]} {event.forged} {bit}"
        return f"{type(event).__name__}|{brings}|{event.cut}"

    def _artefact(self, name: str) -> Artefact:
        artefact = self._artefacts.get(name)
        if artefact is None:
            raise InputError(f"artefact: found {name!r}, expected one of {', '.join(self._artefacts)}")
        return artefact


def sha256_hex(data: bytes) -> str:
    """SHA-256 in hex."""
    return sha256(data).hexdigest()


def _key_names(release: Release) -> str:
    names = [release.verify_key.keyhash.hex()]
    if release.decryption_key is not None:
        names.append(release.decryption_key.public().fingerprint.hex())
    return " ".join(names)
