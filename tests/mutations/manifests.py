"""Manifests by whoever holds the release key: of any facts, or of any document at all."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from struct import pack, unpack_from
from typing import Any

from simlib.errors import InputError
from simlib.firmware.version import Version
from simlib.release import Manifest, sign_manifest
from simlib.release.manifest import CONTEXT, MAGIC
from tests.mutations.anatomy import COUNTER
from tests.mutations.dice import Dice
from tests.mutations.subjects import Genuine, release_key

_DOCUMENT_AT = len(MAGIC) + 2
_TEXTS = ("", "x" * 64, "x" * 65, "two\nlines", "\ud800", "\0", "1.1.0\n", "01.1.0", "9" * 40, "ü", "rev-c")
_ODD = (
    None,
    True,
    False,
    -1,
    0.5,
    1e308,
    float("nan"),
    [],
    {},
    [[]],
    [1],
    ["rev-c"],
    "full",
    "delta",
    1 << 64,
)


def full_facts(image: Genuine) -> Manifest:
    """What the manifest of an image that is shipped in full says."""
    counter = image.anatomy.protected.find(COUNTER)
    return Manifest(
        kind="full",
        codec=None,
        hardware=(),
        version=Version.unpack(image.anatomy.version),
        security_counter=0 if counter is None else int.from_bytes(counter.value, "little"),
        blob_sha256=sha256(image.image).digest(),
        blob_size=len(image.image),
        base_sha256=None,
        image_sha256=sha256(image.clear).digest(),
        image_size=len(image.clear),
        wrapped_key=None,
    )


def patch_facts(base: bytes, image: Genuine, blob: bytes, wrapped_key: bytes | None) -> Manifest:
    """What the manifest of a patch from `base` to `image` says."""
    return replace(
        full_facts(image),
        kind="delta",
        codec="bsdiff4",
        blob_sha256=sha256(blob).digest(),
        blob_size=len(blob),
        base_sha256=sha256(base).digest(),
        wrapped_key=wrapped_key,
    )


def sign_facts(facts: Manifest) -> bytes:
    """The manifest of these facts, by the release key."""
    return sign_manifest(facts, release_key())


def sign_promises(facts: Manifest) -> bytes:
    """The manifest of these facts, also of facts that `sign_manifest` does not put its name to."""
    try:
        return sign_facts(facts)
    except InputError:
        values = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
        values |= {"version": str(facts.version), "hardware": list(facts.hardware)}
        shown = {name: v.hex() if isinstance(v, bytes) else v for name, v in values.items()}
        return sign_document(_written(shown))


def sign_document(document: bytes) -> bytes:
    """A manifest of any bytes, by the release key: its holder is not bound to `sign_manifest`."""
    key = release_key()
    keyhash = key.public().keyhash
    signature = key.sign(sha256(CONTEXT + keyhash + document).digest(), deterministic=True)
    return MAGIC + pack("<H", len(document)) + document + keyhash + pack("<H", len(signature)) + signature


def document_of(manifest: bytes) -> bytes:
    """The document in a manifest."""
    (size,) = unpack_from("<H", manifest, len(MAGIC))
    return manifest[_DOCUMENT_AT : _DOCUMENT_AT + size]


def change_a_fact(dice: Dice, manifest: bytes) -> bytes:
    """One or two facts are others, or of another type; the rest is in order, and so is the signature."""
    facts = json.loads(document_of(manifest))
    for _ in range(dice.few(2)):
        name = dice.one(sorted(facts))
        facts[name] = _other_value(dice, name, facts[name])
    return sign_document(_written(facts))


def _other_value(dice: Dice, name: str, value: Any) -> Any:
    if dice.chance(1, 4):
        return dice.one(_ODD)
    if name == "hardware":
        return [dice.one(("rev-a", "rev-b", *_TEXTS)) for _ in range(dice.below(4))]
    if isinstance(value, int):
        return dice.integer(33, value)
    if name.endswith(("sha256", "key")) and isinstance(value, str):
        at = dice.below(len(value))
        changed = value[:at] + dice.one("0f Fg") + value[at + 1 :]
        return dice.one((changed, value[:-2], value + "00", value.upper(), f" {value}", ""))
    return dice.one(
        (*_TEXTS, "1.1.0", "1.1.1", "0.0.0", "255.255.65535+4294967295", "256.0.0", "bsdiff4", "raw")
    )


def disturb_the_document(dice: Dice, manifest: bytes) -> bytes:
    """A document that is signed, and not one in the only form there is."""
    document = document_of(manifest)
    facts = json.loads(document)
    match dice.below(9):
        case 0:
            document = json.dumps(facts).encode()
        case 1:
            del facts[dice.one(sorted(facts))]
            document = _written(facts)
        case 2:
            document = _written(facts | {dice.one(("x", "Kind", "kind ", "\n", "\ud800")): 1})
        case 3:
            document = document[:-1] + b"," + document[1:]  # every fact twice
        case 4:
            document = b"[" * dice.below(3_900)
        case 5:
            document = document.replace(b":2", b":" + b"2" * (1 + dice.below(900)), 1)
        case 6:
            at = dice.below(len(document))
            document = document[:at] + dice.octets(1) + document[at + 1 :]
        case 7:
            document = document[: dice.below(len(document))]
        case _:
            document = dice.one(
                (b"", b"null", b"1", b'"full"', b"NaN", b"{}", document + b" ", b"\xef\xbb\xbf{}")
            )
    return sign_document(document)


def _written(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode("ascii")
