"""A manifest says what its signer said, in one form, or nothing at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.version import Version
from simlib.release import MAX_MANIFEST_BYTES, Manifest, open_manifest, sign_manifest
from simlib.release.manifest import CONTEXT
from simlib.security.keys import SIGNATURE_ALGORITHMS, SigningKey, derive_private
from simlib.security.signing import sign_image, verify_image
from tests.amounts import examples

ALGORITHMS = SIGNATURE_ALGORITHMS
KEY = SigningKey.of(derive_private("ecdsa-p256", 1, "test manifest key"))
OTHER = SigningKey.of(derive_private("ecdsa-p256", 2, "test manifest key"))
FACTS = Manifest(
    kind="delta",
    codec="bsdiff4",
    hardware=("rev-a", "Prüfling b"),
    version=Version(1, 2, 3, 4),
    security_counter=7,
    blob_sha256=sha256(b"blob").digest(),
    blob_size=1234,
    base_sha256=sha256(b"base").digest(),
    image_sha256=sha256(b"image").digest(),
    image_size=4321,
    wrapped_key=bytes(range(129)),
)
FULL = replace(FACTS, kind="full", codec=None, base_sha256=None, wrapped_key=None)
SIGNED = sign_manifest(FACTS, KEY)


def refused(data, *keys):
    with pytest.raises(Refused) as caught:
        open_manifest(data, [key.public() for key in keys or (KEY,)])
    assert caught.value.reason is Reason.MANIFEST_INVALID
    assert "\n" not in str(caught.value)


def frame(document, key=KEY, context=CONTEXT, signature=None):
    """A manifest around any document, signed as the publisher would sign it."""
    keyhash = key.public().keyhash
    if signature is None:
        signature = key.sign(sha256(context + keyhash + document).digest(), deterministic=True)
    sizes = len(document).to_bytes(2, "little"), len(signature).to_bytes(2, "little")
    return b"SIMMANIF" + sizes[0] + document + keyhash + sizes[1] + signature


def document_of(data=SIGNED):
    return data[10 : 10 + int.from_bytes(data[8:10], "little")]


def canonical(facts):
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def test_the_publishers_frame_is_the_real_one():
    assert frame(document_of()) == SIGNED


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_signed_is_the_hash_of_context_key_and_document(algorithm):
    key = SigningKey.of(derive_private(algorithm, 1, "test manifest key"))
    data = sign_manifest(FACTS, key)
    size = int.from_bytes(data[8:10], "little")
    document, keyhash, signature = data[10 : 10 + size], data[10 + size :][:32], data[10 + size + 34 :]
    assert keyhash == key.public().keyhash
    name = "sha384" if algorithm == "ecdsa-p384" else "sha256"
    signed = hashlib.new(name, b"simlib update manifest v1\0" + keyhash + document).digest()
    assert key.public().accepts(signature, signed)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("facts", [FACTS, FULL, replace(FACTS, wrapped_key=None, hardware=())])
def test_what_was_signed_is_what_is_read(algorithm, facts):
    key = SigningKey.of(derive_private(algorithm, 1, "test manifest key"))
    data = sign_manifest(facts, key)
    assert open_manifest(data, [OTHER.public(), key.public()]) == facts
    assert len(data) <= 1200


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ed25519"])
def test_the_same_facts_give_the_same_bytes(algorithm):
    key = SigningKey.of(derive_private(algorithm, 1, "test manifest key"))
    assert sign_manifest(FACTS, key) == sign_manifest(FACTS, key)


def test_a_flipped_bit_anywhere_is_refused():
    for at in range(len(SIGNED)):
        damaged = bytearray(SIGNED)
        damaged[at] ^= 1 << (at % 8)
        refused(bytes(damaged))


def test_a_manifest_cut_short_anywhere_or_with_a_byte_behind_is_refused():
    for size in range(len(SIGNED)):
        refused(SIGNED[:size])
    refused(SIGNED + b"\0")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "full"),
        ("codec", "bsdiff5"),
        ("hardware", ()),
        ("version", Version(9, 9, 9)),
        ("security_counter", 8),
        ("blob_sha256", bytes(32)),
        ("blob_size", 1),
        ("base_sha256", bytes(32)),
        ("image_sha256", bytes(32)),
        ("image_size", 1),
        ("wrapped_key", None),
    ],
)
def test_no_field_can_be_changed_under_an_old_signature(field, value):
    changed = replace(FULL if field == "kind" else FACTS, **{field: value})
    signature = SIGNED[12 + len(document_of()) + 32 :]
    document = document_of(sign_manifest(changed, KEY))
    assert open_manifest(frame(document), [KEY.public()]) == changed
    refused(frame(document, signature=signature))


def test_every_field_is_covered_by_the_test_above():
    marks = test_no_field_can_be_changed_under_an_old_signature.pytestmark
    assert {row[0] for row in marks[0].args[1]} == {field.name for field in fields(Manifest)}


def test_another_key_is_refused_even_under_the_right_keys_hash():
    refused(sign_manifest(FACTS, OTHER))
    refused(SIGNED, OTHER)
    keyhash = KEY.public().keyhash
    forged = OTHER.sign(sha256(CONTEXT + keyhash + document_of()).digest(), deterministic=True)
    refused(frame(document_of(), signature=forged))
    refused(frame(document_of(), signature=b""))


def test_without_a_trusted_key_nothing_is_believed():
    with pytest.raises(Refused, match="manifest-invalid"):
        open_manifest(SIGNED, [])


def test_a_signature_made_for_an_image_is_none_for_a_manifest():
    # Without the context the two would be signatures over hashes of attacker-chosen bytes of one key.
    refused(frame(document_of(), context=b""))
    image = sign_image(b"payload", Version(1, 0, 0), KEY, deterministic=True)
    assert verify_image(image, [KEY.public()])
    assert not image.startswith(CONTEXT[:4])


BROKEN = {
    "unknown key": lambda facts: facts | {"extra": 1},
    "missing key": lambda facts: {name: facts[name] for name in facts if name != "codec"},
    "kind": lambda facts: facts | {"kind": "Full"},
    "kind of another type": lambda facts: facts | {"kind": ["full"]},
    "full with a base": lambda facts: facts | {"kind": "full"},
    "full with a codec": lambda facts: facts | {"kind": "full", "base_sha256": None, "wrapped_key": None},
    "full with a wrapped key": lambda facts: facts | {"kind": "full", "base_sha256": None, "codec": None},
    "delta without a base": lambda facts: facts | {"base_sha256": None},
    "delta without a codec": lambda facts: facts | {"codec": None},
    "empty codec": lambda facts: facts | {"codec": ""},
    "hardware no list": lambda facts: facts | {"hardware": "rev-a"},
    "hardware no text": lambda facts: facts | {"hardware": [1]},
    "hardware too long": lambda facts: facts | {"hardware": ["x" * 65]},
    "hardware of two lines": lambda facts: facts | {"hardware": ["rev-a\nrev-b"]},
    "hardware that no terminal can show": lambda facts: facts | {"hardware": ["\ud800"]},
    "codec of two lines": lambda facts: facts | {"codec": "bsdiff4\n"},
    "version": lambda facts: facts | {"version": "1.2"},
    "version too large": lambda facts: facts | {"version": "256.0.0"},
    "version no text": lambda facts: facts | {"version": 1},
    "version in another form": lambda facts: facts | {"version": "1.2.3+0"},
    "negative size": lambda facts: facts | {"blob_size": -1},
    "size of 2^32": lambda facts: facts | {"image_size": 1 << 32},
    "size no integer": lambda facts: facts | {"blob_size": 1.0},
    "size true": lambda facts: facts | {"blob_size": True},
    "short hash": lambda facts: facts | {"blob_sha256": "00" * 31},
    "hash no hexadecimal": lambda facts: facts | {"image_sha256": "zz" * 32},
    "hash no text": lambda facts: facts | {"image_sha256": 5},
    "hash in capitals": lambda facts: facts | {"image_sha256": facts["image_sha256"].upper()},
    "wrapped key of another length": lambda facts: facts | {"wrapped_key": "00" * 128},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_document_that_breaks_a_rule_is_refused_though_signed(name):
    facts = json.loads(document_of())
    assert open_manifest(frame(canonical(facts)), [KEY.public()]) == FACTS
    refused(frame(canonical(BROKEN[name](facts))))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"[" * 2000, id="deep"),
        pytest.param(b"\xff", id="not ASCII"),
        pytest.param(b" " + document_of(), id="a space in front"),
        pytest.param(document_of()[:-1] + b',"codec":"bsdiff4"}', id="a key twice"),
        pytest.param(json.dumps(json.loads(document_of())).encode(), id="spaces between"),
    ],
)
def test_the_same_facts_in_another_writing_are_refused_though_signed(document):
    refused(frame(document))


def test_an_oversized_manifest_is_refused_unread_and_never_made():
    many = replace(FACTS, hardware=("x" * 64,) * 60)
    with pytest.raises(InputError, match="bytes, expected at most"):
        sign_manifest(many, KEY)
    names = json.loads(document_of()) | {"hardware": list(many.hardware)}
    data = frame(canonical(names))
    assert len(data) > MAX_MANIFEST_BYTES
    refused(data)


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, image_size=-1),
        replace(FACTS, kind="patch"),
        replace(FACTS, blob_sha256=b""),
        replace(FULL, codec="bsdiff4"),
    ],
)
def test_facts_out_of_range_are_not_signed(facts):
    with pytest.raises(InputError):
        sign_manifest(facts, KEY)


@settings(max_examples=examples(200))
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_refused(data, framed):
    refused(b"SIMMANIF" + data if framed else data)
