"""Encryption: only the key's holder reads the payload, and nobody changes it unseen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.image import pad_to_slot, parse_image
from simlib.firmware.version import Version
from simlib.security.encryption import (
    WRAPPED_BYTES,
    content_key_of,
    ctr_crypt,
    decrypt_image,
    unwrap_key,
    wrap_key,
)
from simlib.security.keys import DecryptionKey, SigningKey, derive_private
from simlib.security.signing import sign_image
from simlib.security.verification import verify_image

PAYLOAD = bytes(range(256)) * 3 + b"odd"
KEYS = st.binary(min_size=32, max_size=32)
MakeKey = Callable[[str], SigningKey]


@pytest.fixture(scope="module")
def key(signing_key: MakeKey) -> SigningKey:
    return signing_key("ecdsa-p256")


@pytest.fixture(scope="module")
def encrypted(key: SigningKey, decryption_key: DecryptionKey) -> bytes:
    return sign_image(PAYLOAD, Version(1, 0, 0), key, header_size=40, encrypt_to=decryption_key.public())


@pytest.fixture(scope="module")
def other_key() -> DecryptionKey:
    return DecryptionKey.of(derive_private("ecies-p256", 2, "somebody else"))


def reason_of(call: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refusal:
        call()
    return refusal.value.reason


def test_an_encrypted_image_does_not_hold_its_payload(encrypted: bytes) -> None:
    assert all(PAYLOAD[at : at + 8] not in encrypted for at in range(0, len(PAYLOAD) - 8, 8))


def test_decryption_gives_the_payload_and_leaves_the_rest(
    key: SigningKey, encrypted: bytes, decryption_key: DecryptionKey
) -> None:
    clear = decrypt_image(encrypted, decryption_key)
    before, after = parse_image(encrypted), parse_image(clear)
    assert bytes(after.payload).rstrip(b"\0") == PAYLOAD
    # filled up to a multiple of 16 counted from the image's start, the 40-byte header included
    assert (after.header.header_size + after.header.image_size) % 16 == 0
    assert (after.header, after.tlvs) == (before.header, before.tlvs)
    verify_image(clear, [key.public()], plaintext_payload=True)
    verify_image(clear, [key.public()], plaintext_payload=True, decrypt_with=decryption_key)
    content_key = content_key_of(clear, decryption_key)
    assert ctr_crypt(content_key, bytes(after.payload)) == bytes(before.payload)


def test_decryption_keeps_what_a_slot_holds_behind_the_image(
    encrypted: bytes, decryption_key: DecryptionKey
) -> None:
    padded = pad_to_slot(encrypted, 4096, write_size=4, confirm=True)
    assert decrypt_image(padded, decryption_key) == pad_to_slot(
        decrypt_image(encrypted, decryption_key), 4096, write_size=4, confirm=True
    )


def test_without_the_key_or_with_another_the_image_is_refused(
    key: SigningKey, encrypted: bytes, other_key: DecryptionKey
) -> None:
    with pytest.raises(Refused, match="--decrypt-with") as refusal:
        verify_image(encrypted, [key.public()])
    assert refusal.value.reason is Reason.DECRYPTION_FAILED
    for call in (
        lambda: verify_image(encrypted, [key.public()], decrypt_with=other_key),
        lambda: decrypt_image(encrypted, other_key),
    ):
        assert reason_of(call) is Reason.DECRYPTION_FAILED


def test_what_is_not_encrypted_is_not_decrypted(
    key: SigningKey, encrypted: bytes, decryption_key: DecryptionKey
) -> None:
    plain = sign_image(PAYLOAD, Version(1, 0, 0), key)
    assert reason_of(lambda: decrypt_image(plain, decryption_key)) is Reason.DECRYPTION_FAILED
    clear = decrypt_image(encrypted, decryption_key)
    assert reason_of(lambda: decrypt_image(clear, decryption_key)) is Reason.DECRYPTION_FAILED


def test_a_changed_ciphertext_is_not_handed_out(encrypted: bytes, decryption_key: DecryptionKey) -> None:
    changed = bytearray(encrypted)
    changed[100] ^= 1
    assert reason_of(lambda: decrypt_image(bytes(changed), decryption_key)) is Reason.HASH_MISMATCH


def test_every_flipped_bit_of_a_wrapped_key_is_refused(decryption_key: DecryptionKey) -> None:
    wrapped = wrap_key(bytes(range(32)), decryption_key.public())
    assert len(wrapped) == WRAPPED_BYTES
    for bit in range(8 * len(wrapped)):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused) as refusal:
            unwrap_key(bytes(changed), decryption_key)
        assert refusal.value.reason is Reason.DECRYPTION_FAILED


@given(KEYS)
def test_a_wrapped_key_comes_back_to_its_holder_only(
    decryption_key: DecryptionKey, other_key: DecryptionKey, content_key: bytes
) -> None:
    wrapped = wrap_key(content_key, decryption_key.public())
    assert unwrap_key(wrapped, decryption_key) == content_key
    assert content_key not in wrapped
    assert wrapped != wrap_key(content_key, decryption_key.public())  # another ephemeral key each time
    assert reason_of(lambda: unwrap_key(wrapped, other_key)) is Reason.DECRYPTION_FAILED


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_wrapped_key(decryption_key: DecryptionKey, wrapped: bytes) -> None:
    assert reason_of(lambda: unwrap_key(wrapped, decryption_key)) is Reason.DECRYPTION_FAILED


@given(KEYS, st.binary(max_size=200), st.data())
def test_any_part_of_the_stream_is_turned_as_within_the_whole(
    content_key: bytes, data: bytes, draw: st.DataObject
) -> None:
    first = draw.draw(st.integers(0, len(data)))
    last = draw.draw(st.integers(first, len(data)))
    assert ctr_crypt(content_key, data[first:last], first) == ctr_crypt(content_key, data)[first:last]
    assert ctr_crypt(content_key, ctr_crypt(content_key, data, 5), 5) == data


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_content_key_of_another_size_is_bad_input(decryption_key: DecryptionKey, size: int) -> None:
    with pytest.raises(InputError, match="content key"):
        ctr_crypt(bytes(size), b"data")
    with pytest.raises(InputError, match="content key"):
        wrap_key(bytes(size), decryption_key.public())
