"""The threat list of a signed image: each thing an attacker or a bad link may do to it, and the refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Protocol

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.header import Flag
from simlib.firmware.image import Tlv, TlvType, build_area, pad_to_slot, parse_image
from simlib.firmware.version import Version
from simlib.security.keys import DecryptionKey, SigningKey, derive_private
from simlib.security.signing import sign_image
from simlib.security.verification import VerifiedImage, verify_image


class Signed(Protocol):
    """The shared fixture's shape."""

    data: bytes
    key: SigningKey
    decryption: DecryptionKey | None

    def verify(self, data: bytes | None = None, **options: int) -> VerifiedImage: ...


Records = list[Tlv]


def rebuilt(data: bytes, change: Callable[[Records], Records]) -> bytes:
    """`data` with its unprotected records changed and their area's heading made to agree."""
    parsed = parse_image(data)
    records = change([tlv for tlv in parsed.tlvs if not tlv.protected])
    return data[: parsed.hashed_end] + build_area(records, protected=False)


def refused_as(signed: Signed, data: bytes, **options: int) -> Reason:
    with pytest.raises(Refused, match=r"found .*, expected ") as refusal:
        signed.verify(data, **options)
    assert "\n" not in str(refusal.value)
    return refusal.value.reason


def test_a_whole_image_verifies_and_says_what_it_is(signed: Signed) -> None:
    verified = signed.verify()
    assert verified.version == Version(1, 2, 3, 4)
    assert verified.security_counter == 7
    assert verified.image_size == len(signed.data)
    assert verified.key == signed.key.public()
    assert verified.encrypted == (signed.decryption is not None)


def test_every_flipped_bit_is_refused(signed: Signed) -> None:
    accepted = []
    for bit in range(8 * len(signed.data)):
        data = bytearray(signed.data)
        data[bit // 8] ^= 1 << bit % 8
        try:
            signed.verify(bytes(data))
        except Refused as refusal:
            assert refusal.reason is not Reason.NONE
        else:
            accepted.append(bit)
    assert accepted == []


def test_every_truncation_is_refused(signed: Signed) -> None:
    reasons = {refused_as(signed, signed.data[:size]) for size in range(len(signed.data))}
    assert reasons == {Reason.TRUNCATED}


@settings(max_examples=60)
@given(offset=st.integers(0, 10_000), more=st.binary(min_size=1, max_size=60))
def test_bytes_put_in_anywhere_are_refused(signed: Signed, offset: int, more: bytes) -> None:
    at = offset % (len(signed.data) + 1)
    data = signed.data[:at] + more + signed.data[at:]
    # the one thing that may follow an image is erased flash
    assume(not (data.startswith(signed.data) and set(data[len(signed.data) :]) == {0xFF}))
    refused_as(signed, data)


@settings(max_examples=60)
@given(first=st.integers(0, 10_000), last=st.integers(0, 10_000))
def test_bytes_taken_out_anywhere_are_refused(signed: Signed, first: int, last: int) -> None:
    first, last = sorted((first % len(signed.data), last % len(signed.data)))
    refused_as(signed, signed.data[:first] + signed.data[last + 1 :])


def test_an_unprotected_record_stripped_is_refused(signed: Signed) -> None:
    expected = {
        TlvType.SHA256: Reason.HASH_MISSING,
        TlvType.KEYHASH: Reason.KEY_UNKNOWN,
        signed.key.public().signature_tlv: Reason.SIGNATURE_MISSING,
        TlvType.ENCEC256: Reason.TLV_INVALID,
    }
    kinds = [tlv.type for tlv in parse_image(signed.data).tlvs if not tlv.protected]
    assert len(kinds) == 3 + (signed.decryption is not None)
    for kind in kinds:
        data = rebuilt(signed.data, lambda records, kind=kind: [r for r in records if r.type is not kind])
        assert refused_as(signed, data) is expected[kind]


def test_an_unprotected_record_given_twice_is_refused(signed: Signed) -> None:
    for tlv in parse_image(signed.data).tlvs:
        if not tlv.protected:
            data = rebuilt(signed.data, lambda records, tlv=tlv: [*records, tlv])
            assert refused_as(signed, data) is Reason.TLV_DUPLICATE


def test_a_record_under_any_other_type_is_refused(signed: Signed) -> None:
    for tlv in parse_image(signed.data).tlvs:
        for kind in range(0x100):
            if kind != tlv.type:
                data = bytearray(signed.data)
                data[tlv.offset] = kind
                refused_as(signed, bytes(data))


def test_a_record_longer_or_shorter_than_signed_is_refused(signed: Signed) -> None:
    for index in range(3 + (signed.decryption is not None)):
        for change in (lambda value: value + b"\0", lambda value: value[:-1], lambda value: b""):
            data = rebuilt(
                signed.data,
                lambda records, i=index, change=change: [
                    replace(record, value=change(record.value)) if n == i else record
                    for n, record in enumerate(records)
                ],
            )
            assert refused_as(signed, data) in {Reason.TLV_INVALID, Reason.SIGNATURE_INVALID}


def test_a_changed_payload_with_its_own_hash_fails_on_the_signature(signed: Signed) -> None:
    parsed = parse_image(signed.data)
    changed = bytearray(signed.data)
    changed[parsed.header.header_size] ^= 1
    hashed = bytearray(changed[: parsed.hashed_end])
    if signed.decryption is not None:
        # the fixture's payload is known, so the attacker is granted its plaintext
        start = parsed.header.header_size
        hashed[start : start + 64] = bytes([1, *range(1, 64)])
    digest = sha256(hashed).digest()
    data = rebuilt(
        bytes(changed),
        lambda records: [replace(r, value=digest) if r.type is TlvType.SHA256 else r for r in records],
    )
    assert refused_as(signed, data) is Reason.SIGNATURE_INVALID


def test_a_protected_area_taken_out_with_header_and_hash_made_to_agree_fails_on_the_signature(
    signed: Signed,
) -> None:
    parsed = parse_image(signed.data)
    header = replace(parsed.header, protected_size=0)
    start = header.pack().ljust(header.header_size, b"\xff")
    digest = sha256(start + bytes(range(64))).digest()
    records = [
        replace(r, value=digest) if r.type is TlvType.SHA256 else r for r in parsed.tlvs if not r.protected
    ]
    data = start + bytes(parsed.payload) + build_area(records, protected=False)
    assert refused_as(signed, data) is Reason.SIGNATURE_INVALID


def test_the_security_counter_has_a_least_value(signed: Signed) -> None:
    assert signed.verify(min_security_counter=7).security_counter == 7
    assert refused_as(signed, signed.data, min_security_counter=8) is Reason.SECURITY_COUNTER_LOW


def test_a_least_counter_needs_a_counter(signing_key: Callable[[str], SigningKey]) -> None:
    key = signing_key("ed25519")
    data = sign_image(b"payload", Version(1, 0, 0), key)
    assert verify_image(data, [key.public()]).security_counter is None
    with pytest.raises(Refused) as refusal:
        verify_image(data, [key.public()], min_security_counter=0)
    assert refusal.value.reason is Reason.SECURITY_COUNTER_MISSING


def test_another_key_is_refused_and_any_of_several_will_do(signed: Signed) -> None:
    others = [
        SigningKey(name, derive_private(name, 2, "another")).public() for name in ("ecdsa-p256", "ed25519")
    ]
    with pytest.raises(Refused) as refusal:
        verify_image(signed.data, others, decrypt_with=signed.decryption)
    assert refusal.value.reason is Reason.KEY_UNKNOWN
    verify_image(signed.data, [*others, signed.key.public()], decrypt_with=signed.decryption)


def test_a_keyhash_put_in_for_another_known_key_is_refused(signed: Signed) -> None:
    for name in ("ecdsa-p256", "ed25519"):
        other = SigningKey(name, derive_private(name, 2, "another")).public()
        data = rebuilt(
            signed.data,
            lambda records, other=other: [
                replace(r, value=other.keyhash) if r.type is TlvType.KEYHASH else r for r in records
            ],
        )
        with pytest.raises(Refused) as refusal:
            verify_image(data, [signed.key.public(), other], decrypt_with=signed.decryption)
        assert refusal.value.reason is Reason.SIGNATURE_INVALID


def test_a_second_signature_of_another_type_is_refused(signed: Signed) -> None:
    other = TlvType.ED25519 if signed.key.algorithm != "ed25519" else TlvType.ECDSASIG
    data = rebuilt(signed.data, lambda records: [*records, Tlv(other, bytes(64))])
    assert refused_as(signed, data) is Reason.TLV_DUPLICATE


@pytest.mark.parametrize("kind", [TlvType.PUBKEY, TlvType.SHA512, TlvType.RSA2048, TlvType.SIG_PURE])
def test_a_record_of_the_format_that_is_not_evaluated_is_refused(signed: Signed, kind: TlvType) -> None:
    length = {TlvType.PUBKEY: 91, TlvType.SHA512: 64, TlvType.RSA2048: 256, TlvType.SIG_PURE: 1}[kind]
    data = rebuilt(signed.data, lambda records: [*records, Tlv(kind, bytes(length))])
    assert refused_as(signed, data) is Reason.TLV_UNKNOWN


@pytest.mark.parametrize("flag", [Flag.COMPRESSED_LZMA2, Flag.ENCRYPTED_AES128])
def test_a_flag_that_is_not_supported_is_refused_before_any_hash(signed: Signed, flag: Flag) -> None:
    data = bytearray(signed.data)
    flags = parse_image(signed.data).header.flags & ~Flag.ENCRYPTED_AES256 | flag
    data[16:20] = int(flags).to_bytes(4, "little")
    assert refused_as(signed, bytes(data)) in {Reason.HEADER_INVALID, Reason.TLV_INVALID}


def test_a_padded_image_verifies_and_every_flip_in_it_is_refused(
    signing_key: Callable[[str], SigningKey],
) -> None:
    key = signing_key("ed25519")
    data = pad_to_slot(sign_image(b"payload", Version(1, 0, 0), key), 720, write_size=1, confirm=True)
    assert verify_image(data, [key.public()]).image_size < len(data)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            verify_image(bytes(changed), [key.public()])


def test_no_keys_at_all_is_bad_input(signed: Signed) -> None:
    with pytest.raises(InputError, match="keys: found none"):
        verify_image(signed.data, [])


@settings(max_examples=40)
@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_with_a_reason(signed: Signed, data: bytes) -> None:
    refused_as(signed, data)
    changed = signed.data[: len(signed.data) - len(data)] + data
    assume(changed != signed.data)
    refused_as(signed, changed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"security_counter": -1}, "security counter"),
        ({"security_counter": 2**32}, "security counter"),
        ({"header_size": 31}, "header size"),
        ({"header_size": 65536}, "header size"),
        ({"erased_value": 256}, "erased value"),
        ({"load_address": 2**32}, "load address"),
        ({"content_key": bytes(32)}, "content key"),
    ],
)
def test_what_no_image_can_hold_is_bad_input(
    signing_key: Callable[[str], SigningKey], options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        sign_image(b"payload", Version(1, 0, 0), signing_key("ed25519"), **options)


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_empty_payload_is_bad_input(
    signing_key: Callable[[str], SigningKey], decryption_key: DecryptionKey, encrypted: bool
) -> None:
    to = decryption_key.public() if encrypted else None
    with pytest.raises(InputError, match="payload"):
        sign_image(b"", Version(1, 0, 0), signing_key("ed25519"), encrypt_to=to)


def test_an_image_for_ram_carries_its_address(signing_key: Callable[[str], SigningKey]) -> None:
    key = signing_key("ed25519")
    data = sign_image(b"payload", Version(1, 0, 0), key, load_address=0x20000000)
    header = verify_image(data, [key.public()]).header
    assert (header.flags, header.load_address) == (Flag.RAM_LOAD, 0x20000000)


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ed25519"])
def test_signing_can_be_made_to_give_the_same_bytes_each_time(
    signing_key: Callable[[str], SigningKey], decryption_key: DecryptionKey, algorithm: str
) -> None:
    ephemeral = DecryptionKey.of(derive_private("ecies-p256", 3, "ephemeral"))
    images = {
        sign_image(
            b"payload",
            Version(1, 0, 0),
            signing_key(algorithm),
            encrypt_to=decryption_key.public(),
            content_key=bytes(range(32)),
            ephemeral=ephemeral,
            deterministic=True,
        )
        for _ in range(3)
    }
    assert len(images) == 1
