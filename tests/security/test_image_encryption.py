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
    key_wrap_of,
    unwrap_key,
    wrap_key,
)
from simlib.security.hashes import Hash
from simlib.security.keys import DecryptionKey, SigningKey, derive_private
from simlib.security.signing import sign_image
from simlib.security.verification import verify_image

PAYLOAD = bytes(range(256)) * 3 + b"odd"
KEYS = st.binary(min_size=32, max_size=32) | st.binary(min_size=16, max_size=16)
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


LENGTHS = {"ecies-p256": 97, "x25519": 64, "x25519-sha512": 96, "aes-kw": 8}
"""What each form adds to a content key [byte]; RSA-2048 always makes 256."""
MakeDecryption = Callable[[str], DecryptionKey]


def wrapped_for(key: DecryptionKey, wrap: str, content_key: bytes) -> bytes:
    hmac_hash = Hash.SHA512 if wrap == "x25519-sha512" else Hash.SHA256
    return wrap_key(content_key, key.public(), hmac_hash=hmac_hash)


@pytest.mark.parametrize("key_bytes", [16, 32])
@pytest.mark.parametrize("wrap", [*LENGTHS, "rsa-2048"])
def test_every_flipped_bit_of_a_wrapped_key_is_refused(
    unwrapping_key: MakeDecryption, wrap: str, key_bytes: int
) -> None:
    key = unwrapping_key(wrap)
    wrapped = wrapped_for(key, wrap, bytes(range(key_bytes)))
    assert len(wrapped) == (256 if wrap == "rsa-2048" else LENGTHS[wrap] + key_bytes)
    assert unwrap_key(wrapped, key) == bytes(range(key_bytes))
    for bit in range(0, 8 * len(wrapped), 13 if wrap == "rsa-2048" else 1):  # which takes a millisecond each
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused) as refusal:
            unwrap_key(bytes(changed), key)
        assert refusal.value.reason is Reason.DECRYPTION_FAILED


def test_the_lengths_are_those_of_the_format() -> None:
    assert (WRAPPED_BYTES, LENGTHS["ecies-p256"] + 16) == (129, 113)
    assert [LENGTHS["x25519"] + size for size in (16, 32)] == [80, 96]
    assert [LENGTHS["x25519-sha512"] + size for size in (16, 32)] == [112, 128]
    assert [LENGTHS["aes-kw"] + size for size in (16, 32)] == [24, 40]


@pytest.mark.parametrize("wrap", [*LENGTHS, "rsa-2048"])
def test_a_wrapped_key_is_for_its_holder_only(unwrapping_key: MakeDecryption, wrap: str) -> None:
    key = unwrapping_key(wrap)
    content_key = bytes(range(32))
    wrapped = wrapped_for(key, wrap, content_key)
    assert content_key not in wrapped
    if wrap == "aes-kw":
        other = DecryptionKey.of(bytes(32))
    else:
        other = DecryptionKey.of(derive_private(wrap.removesuffix("-sha512"), 2, "somebody else"))
        assert wrapped != wrapped_for(key, wrap, content_key)  # another ephemeral key or padding each time
    assert reason_of(lambda: unwrap_key(wrapped, other)) is Reason.DECRYPTION_FAILED
    for form in {*LENGTHS, "rsa-2048"} - {wrap}:  # nor for a key of another algorithm
        if unwrapping_key(form).algorithm != key.algorithm:
            assert reason_of(lambda form=form: unwrap_key(wrapped, unwrapping_key(form))) is (
                Reason.DECRYPTION_FAILED
            )


@pytest.mark.parametrize(
    "point",
    [
        *((point).to_bytes(32, "little") for point in (0, 1, 2**255 - 19 - 1)),  # of small order
        *((point).to_bytes(32, "little") for point in (2**255 - 19, 2**255 - 1, 2**255 + 9, 2**256 - 1)),
    ],
)
def test_an_x25519_point_that_gives_the_key_away_or_has_a_twin_is_refused(
    unwrapping_key: MakeDecryption, point: bytes
) -> None:
    key = unwrapping_key("x25519")
    wrapped = wrapped_for(key, "x25519", bytes(32))
    assert reason_of(lambda: unwrap_key(point + wrapped[32:], key)) is Reason.DECRYPTION_FAILED


def test_what_does_not_go_together_is_not_wrapped(unwrapping_key: MakeDecryption) -> None:
    p256, x25519, rsa, shared = map(unwrapping_key, ("ecies-p256", "x25519", "rsa-2048", "aes-kw"))
    for call, message in (
        (lambda: wrap_key(bytes(32), p256.public(), x25519), "another algorithm, expected ecies-p256"),
        (lambda: wrap_key(bytes(32), x25519.public(), p256), "another algorithm, expected x25519"),
        (lambda: wrap_key(bytes(32), rsa.public(), p256), "ephemeral key: found one with rsa-2048"),
        (lambda: wrap_key(bytes(32), shared.public(), p256), "ephemeral key: found one with aes-kw"),
        (lambda: wrap_key(bytes(32), p256.public(), hmac_hash=Hash.SHA512), "sha512 with ecies-p256"),
        (lambda: wrap_key(bytes(32), x25519.public(), hmac_hash=Hash.SHA384), "sha384 with x25519"),
    ):
        with pytest.raises(InputError, match=message):
            call()


@pytest.mark.parametrize("cipher", ["aes-128", "aes-256"])
@pytest.mark.parametrize("wrap", [*LENGTHS, "rsa-2048"])
def test_every_cipher_and_wrapping_hides_the_payload_and_gives_it_back(
    key: SigningKey, unwrapping_key: MakeDecryption, wrap: str, cipher: str
) -> None:
    device = unwrapping_key(wrap)
    image = sign_image(
        PAYLOAD,
        Version(1, 0, 0),
        key,
        encrypt_to=device.public(),
        cipher=cipher,
        hmac_hash="sha512" if wrap == "x25519-sha512" else "sha256",
    )
    parsed = parse_image(image)
    key_bytes = int(cipher.removeprefix("aes-")) // 8
    content_key = content_key_of(image, device)
    assert len(content_key) == parsed.header.content_key_bytes == key_bytes
    assert key_wrap_of(parsed) == wrap
    assert PAYLOAD[:16] not in image
    assert verify_image(image, [key.public()], decrypt_with=device).encrypted
    clear = decrypt_image(image, device)
    assert PAYLOAD in clear
    parsed_clear = parse_image(clear)
    assert ctr_crypt(content_key, bytes(parsed.payload)) == bytes(parsed_clear.payload)
    verify_image(clear, [key.public()], decrypt_with=device, plaintext_payload=True)
    for form in {*LENGTHS, "rsa-2048"} - {wrap}:
        if unwrapping_key(form).algorithm != device.algorithm:
            assert reason_of(lambda form=form: content_key_of(image, unwrapping_key(form))) is (
                Reason.DECRYPTION_FAILED
            )


@pytest.mark.parametrize(("cipher", "size"), [("aes-128", 32), ("aes-256", 16)])
def test_a_content_key_of_the_other_ciphers_length_is_bad_input(
    key: SigningKey, decryption_key: DecryptionKey, cipher: str, size: int
) -> None:
    with pytest.raises(InputError, match=f"content key: found {size} bytes"):
        sign_image(
            PAYLOAD,
            Version(1, 0, 0),
            key,
            encrypt_to=decryption_key.public(),
            content_key=bytes(size),
            cipher=cipher,
        )


@given(KEYS)
def test_a_wrapped_key_comes_back_to_its_holder_only(
    decryption_key: DecryptionKey, other_key: DecryptionKey, content_key: bytes
) -> None:
    wrapped = wrap_key(content_key, decryption_key.public())
    assert unwrap_key(wrapped, decryption_key) == content_key
    assert content_key not in wrapped
    assert wrapped != wrap_key(content_key, decryption_key.public())  # another ephemeral key each time
    assert reason_of(lambda: unwrap_key(wrapped, other_key)) is Reason.DECRYPTION_FAILED


@pytest.mark.parametrize("wrap", [*LENGTHS, "rsa-2048"])
@given(wrapped=st.binary(max_size=300))
def test_arbitrary_bytes_are_no_wrapped_key(
    unwrapping_key: MakeDecryption, wrap: str, wrapped: bytes
) -> None:
    key = unwrapping_key(wrap)
    assert reason_of(lambda: unwrap_key(wrapped, key)) is Reason.DECRYPTION_FAILED


@given(KEYS, st.binary(max_size=200), st.data())
def test_any_part_of_the_stream_is_turned_as_within_the_whole(
    content_key: bytes, data: bytes, draw: st.DataObject
) -> None:
    first = draw.draw(st.integers(0, len(data)))
    last = draw.draw(st.integers(first, len(data)))
    assert ctr_crypt(content_key, data[first:last], first) == ctr_crypt(content_key, data)[first:last]
    assert ctr_crypt(content_key, ctr_crypt(content_key, data, 5), 5) == data


@pytest.mark.parametrize("size", [0, 15, 24, 31, 33])
def test_a_content_key_of_another_size_is_bad_input(decryption_key: DecryptionKey, size: int) -> None:
    with pytest.raises(InputError, match="content key"):
        ctr_crypt(bytes(size), b"data")
    with pytest.raises(InputError, match="content key"):
        wrap_key(bytes(size), decryption_key.public())
