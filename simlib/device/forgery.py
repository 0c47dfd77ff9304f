"""What a hostile phone hands on in place of an artefact that it was given to relay.

It has the artefact, which is no secret, and no key of the publisher's or the device's:

- ``resigned``: firmware of its own, in a manifest of its own. Everything about it is in order but that
  nobody trusts the key that signed it. Version, counter, hardware and base are copied from the genuine
  manifest, which anyone can read; the payload is as long as the genuine one (for a patch: as the patch);
- ``altered``: the genuine manifest, and a blob changed in its last quarter, past where a hasty check looks;
- ``truncated``: the genuine manifest, and a blob that is 1 KiB short.

A patch for a base that the phone has never seen is easily made: one that takes nothing from the base. What a
device makes of all this is for its own code to find out. Leaves to others: how often it happens (the fleet).
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from simlib.delta.envelope import seal
from simlib.delta.registry import CODECS
from simlib.errors import InputError
from simlib.firmware.header import parse_header
from simlib.release import Manifest, open_manifest, sign_manifest
from simlib.release.build import HEADER_SIZE
from simlib.security.keys import SigningKey, derive_private
from simlib.security.signing import sign_image

if TYPE_CHECKING:
    from simlib.release import Artefact
    from simlib.security.keys import VerifyKey

FORGERIES: Final = ("resigned", "altered", "truncated")
ATTACKER_SEED: Final = 0xBAD
SHORT_BYTES: Final = 1 << 10
"""What a truncated blob lacks, or half of it where there is less than twice as much."""
ALTERED_BYTES: Final = 16
_INVERTED: Final = bytes(255 - value for value in range(256))


def attackers_key(algorithm: str) -> SigningKey:
    """The key that a forged manifest and image are signed with."""
    return SigningKey.of(derive_private(algorithm, ATTACKER_SEED, "attacker's key"))


def forge(kind: str, artefact: Artefact, base_image: bytes | None, key: VerifyKey) -> tuple[bytes, bytes]:
    """The manifest and the blob that arrive in place of `artefact`'s, of a publisher known by `key`.

    `base_image` is what a patch starts from; its length and hash are used, nothing else of it.

    Raises:
        InputError: an unknown kind, or a patch without its base.
    """
    blob = artefact.blob
    match kind:
        case "resigned":
            return _resigned(open_manifest(artefact.manifest, (key,)), blob, base_image, key.algorithm)
        case "altered":
            at = len(blob) * 7 // 8
            piece = blob[at : at + ALTERED_BYTES]
            return artefact.manifest, blob[:at] + piece.translate(_INVERTED) + blob[at + len(piece) :]
        case "truncated":
            return artefact.manifest, blob[: len(blob) - min(SHORT_BYTES, len(blob) // 2)]
    raise InputError(f"forged: found {kind!r}, expected one of {', '.join(FORGERIES)}")


def _resigned(facts: Manifest, blob: bytes, base_image: bytes | None, algorithm: str) -> tuple[bytes, bytes]:
    """An artefact of the same kind, well-formed, in the clear: the attacker has no device's public key."""
    payload = blob
    if facts.kind == "full":
        header = parse_header(blob)
        payload = blob[header.header_size : header.header_size + header.image_size]
    key = attackers_key(algorithm)
    image = sign_image(
        payload.translate(_INVERTED),
        facts.version,
        key,
        security_counter=facts.security_counter,
        header_size=HEADER_SIZE,
        deterministic=True,
    )
    mine = image
    if facts.codec is not None:
        base = base_image if facts.kind == "delta" else b""
        if base is None:
            raise InputError("forged: found a patch without the image it starts from, expected both")
        mine = seal(facts.codec, base, image, CODECS[facts.codec].diff(b"", image))
    forged = replace(
        facts,
        blob_sha256=sha256(mine).digest(),
        blob_size=len(mine),
        image_sha256=sha256(image).digest(),
        image_size=len(image),
        wrapped_key=None,
    )
    return sign_manifest(forged, key), mine
