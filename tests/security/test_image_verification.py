"""The threat list of a signed image: each thing an attacker or a bad link may do to it, and the refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.dependency import Dependency
from simlib.firmware.header import Flag, Header
from simlib.firmware.image import HASH_TLVS, Tlv, TlvType, build_area, pad_to_slot, parse_image
from simlib.firmware.version import Version
from simlib.security.encryption import decrypt_image
from simlib.security.hashes import Hash
from simlib.security.keyring import KeyRing
from simlib.security.keys import (
    SIGNATURE_ALGORITHMS,
    DecryptionKey,
    SigningKey,
    VerifyKey,
    derive_private,
)
from simlib.security.signing import sign_image
from simlib.security.verification import CALLERS, VerifiedImage, verify_image
from tests.amounts import examples

KEY_NAMES = {TlvType.KEYHASH, TlvType.PUBKEY}


class Signed(Protocol):
    """The shared fixture's shape."""

    kind: Any
    data: bytes
    key: SigningKey
    decryption: DecryptionKey | None
    wrap_tlv: TlvType | None

    def verify(self, data: bytes | None = None, **options: Any) -> VerifiedImage: ...


Records = list[Tlv]


def rebuilt(data: bytes, change: Callable[[Records], Records]) -> bytes:
    """`data` with its unprotected records changed and their area's heading made to agree."""
    parsed = parse_image(data)
    records = change([tlv for tlv in parsed.tlvs if not tlv.protected])
    return data[: parsed.hashed_end] + build_area(records, protected=False)


def refused_as(signed: Signed, data: bytes, **options: Any) -> Reason:
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
    assert (verified.pure, verified.load_address, verified.rom_address) == (signed.kind.pure, None, None)
    assert verified.digest == hashlib.new(verified.hash, signed_parts(signed)).digest()
    if signed.kind.facts:
        assert [str(each) for each in verified.dependencies] == ["image 1 >= 1.2.3", "image 2 >= 0.1.0+7"]
        assert (verified.vendor_id, verified.class_id) == (bytes(range(16)), bytes(range(16, 32)))
    else:
        assert (verified.dependencies, verified.vendor_id, verified.class_id) == ((), None, None)


def signed_parts(signed: Signed) -> bytes:
    """Header, payload in the clear and protected records: what an image's hash is over."""
    parsed = parse_image(signed.data)
    clear = decrypt_image(signed.data, signed.decryption) if signed.decryption else signed.data
    return clear[: parsed.hashed_end]


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


@settings(max_examples=examples(60))
@given(offset=st.integers(0, 10_000), more=st.binary(min_size=1, max_size=60))
def test_bytes_put_in_anywhere_are_refused(signed: Signed, offset: int, more: bytes) -> None:
    at = offset % (len(signed.data) + 1)
    data = signed.data[:at] + more + signed.data[at:]
    # the one thing that may follow an image is erased flash
    assume(not (data.startswith(signed.data) and set(data[len(signed.data) :]) == {0xFF}))
    refused_as(signed, data)


@settings(max_examples=examples(60))
@given(first=st.integers(0, 10_000), last=st.integers(0, 10_000))
def test_bytes_taken_out_anywhere_are_refused(signed: Signed, first: int, last: int) -> None:
    first, last = sorted((first % len(signed.data), last % len(signed.data)))
    refused_as(signed, signed.data[:first] + signed.data[last + 1 :])


def test_an_unprotected_record_stripped_is_refused(signed: Signed) -> None:
    expected = {
        TlvType.KEYHASH: Reason.KEY_UNKNOWN,
        TlvType.PUBKEY: Reason.KEY_UNKNOWN,
        TlvType.SIG_PURE: Reason.SIGNATURE_INVALID,
        signed.key.public().signature_tlv: Reason.SIGNATURE_MISSING,
        signed.wrap_tlv: Reason.TLV_INVALID,
    } | dict.fromkeys(HASH_TLVS, Reason.HASH_MISSING)
    kinds = [tlv.type for tlv in parse_image(signed.data).tlvs if not tlv.protected]
    assert len(kinds) == 3 + signed.kind.pure + (signed.decryption is not None)
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
    for index in range(3 + signed.kind.pure + (signed.decryption is not None)):
        for change in (lambda value: value + b"\0", lambda value: value[:-1], lambda value: b""):
            data = rebuilt(
                signed.data,
                lambda records, i=index, change=change: [
                    replace(record, value=change(record.value)) if n == i else record
                    for n, record in enumerate(records)
                ],
            )
            longer_key = {Reason.KEY_UNKNOWN} if signed.kind.public_key else set()
            assert refused_as(signed, data) in {Reason.TLV_INVALID, Reason.SIGNATURE_INVALID} | longer_key


def test_a_changed_payload_with_its_own_hash_fails_on_the_signature(signed: Signed) -> None:
    parsed = parse_image(signed.data)
    changed = bytearray(signed.data)
    changed[parsed.header.header_size] ^= 1
    hashed = bytearray(changed[: parsed.hashed_end])
    if signed.decryption is not None:
        # the fixture's payload is known, so the attacker is granted its plaintext
        start = parsed.header.header_size
        hashed[start : start + 64] = bytes([1, *range(1, 64)])
    data = rebuilt(bytes(changed), lambda records: rehashed(records, hashed))
    assert refused_as(signed, data) is Reason.SIGNATURE_INVALID


def test_a_protected_area_taken_out_with_header_and_hash_made_to_agree_fails_on_the_signature(
    signed: Signed,
) -> None:
    parsed = parse_image(signed.data)
    header = replace(parsed.header, protected_size=0)
    start = header.pack().ljust(header.header_size, b"\xff")
    records = rehashed([r for r in parsed.tlvs if not r.protected], start + bytes(range(64)))
    data = start + bytes(parsed.payload) + build_area(records, protected=False)
    assert refused_as(signed, data) is Reason.SIGNATURE_INVALID


def rehashed(records: Records, hashed: bytes) -> Records:
    """The records with the hash of other bytes in the place of the image's."""
    return [replace(r, value=Hash.of(r.type).digest(hashed)) if r.type in HASH_TLVS else r for r in records]


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
        verify_image(signed.data, others, decrypt_with=signed.decryption, evaluates=CALLERS)
    assert refusal.value.reason is Reason.KEY_UNKNOWN
    every = [SigningKey(name, derive_private(name, 2, "another")).public() for name in SIGNATURE_ALGORITHMS]
    verify_image(
        signed.data, [*every, signed.key.public()], decrypt_with=signed.decryption, evaluates=CALLERS
    )


def test_a_keyhash_put_in_for_another_known_key_is_refused(signed: Signed) -> None:
    for name in ("ecdsa-p256", "ed25519"):
        other = SigningKey(name, derive_private(name, 2, "another")).public()
        data = rebuilt(
            signed.data,
            lambda records, other=other: [
                replace(r, value=name_of(other, r, records)) if r.type in KEY_NAMES else r for r in records
            ],
        )
        with pytest.raises(Refused) as refusal:
            verify_image(
                data,
                [signed.key.public(), other],
                decrypt_with=signed.decryption,
                evaluates=CALLERS,
            )
        # a key of another algorithm may not sign images by this hash at all
        assert refusal.value.reason in {Reason.SIGNATURE_INVALID, Reason.HASH_MISSING}
        if signed.key.algorithm in {name, "rsa-2048", "rsa-3072"}:
            assert refusal.value.reason is Reason.SIGNATURE_INVALID


def name_of(key: VerifyKey, record: Tlv, records: Records) -> bytes:
    """What a record that names a key holds for this one, in an image with these records."""
    if record.type is TlvType.PUBKEY:
        return key.der
    return key.keyhash_by(next(Hash.of(r.type) for r in records if r.type in HASH_TLVS))


def test_a_second_signature_of_another_type_is_refused(signed: Signed) -> None:
    other = TlvType.ED25519 if signed.key.algorithm != "ed25519" else TlvType.ECDSASIG
    data = rebuilt(signed.data, lambda records: [*records, Tlv(other, bytes(64))])
    assert refused_as(signed, data) is Reason.TLV_DUPLICATE


@pytest.mark.parametrize("kind", [TlvType.KEYHASH, TlvType.PUBKEY])
def test_a_second_name_of_a_key_is_refused(signed: Signed, kind: TlvType) -> None:
    data = rebuilt(signed.data, lambda records: [*records, Tlv(kind, signed.key.public().keyhash * 2)])
    assert refused_as(signed, data) is Reason.TLV_DUPLICATE


def test_a_second_hash_is_refused_even_if_it_is_right(signed: Signed) -> None:
    for algorithm in Hash:
        second = Tlv(algorithm.record, algorithm.digest(signed_parts(signed)))
        data = rebuilt(signed.data, lambda records, second=second: [*records, second])
        assert refused_as(signed, data) is Reason.TLV_DUPLICATE


def test_an_image_named_by_a_hash_its_key_does_not_sign_is_refused(signed: Signed) -> None:
    known = (Hash.SHA512,) if signed.kind.pure else signed.key.public().hashes
    for algorithm in set(Hash) - set(known):

        def renamed(records: Records, algorithm: Hash = algorithm) -> Records:
            record = Tlv(algorithm.record, algorithm.digest(signed_parts(signed)))
            key = signed.key.public()
            name = Tlv(TlvType.PUBKEY, key.der)
            if not signed.kind.public_key:
                name = Tlv(TlvType.KEYHASH, key.keyhash_by(algorithm))
            kept = [r for r in records if r.type not in HASH_TLVS | KEY_NAMES]
            return [record, name, *kept]

        assert refused_as(signed, rebuilt(signed.data, renamed)) is Reason.HASH_MISSING


def test_a_signature_over_the_hash_is_not_taken_for_a_pure_one(signed: Signed) -> None:
    if signed.kind.pure:
        data = rebuilt(signed.data, lambda rs: [r for r in rs if r.type is not TlvType.SIG_PURE])
        assert refused_as(signed, data) is Reason.SIGNATURE_INVALID
    else:
        data = rebuilt(signed.data, lambda records: [*records, Tlv(TlvType.SIG_PURE, b"\x01")])
        # a pure signature goes with SHA-512, so that of Ed25519 over a SHA-256 fails on the hash already
        hash_first = signed.key.algorithm == "ed25519" and signed.kind.hash_name is None
        assert refused_as(signed, data) is (Reason.HASH_MISSING if hash_first else Reason.SIGNATURE_INVALID)
        no = rebuilt(signed.data, lambda records: [*records, Tlv(TlvType.SIG_PURE, b"\0")])
        assert refused_as(signed, no) is Reason.TLV_INVALID


@pytest.mark.parametrize(("algorithm", "payload"), [("ecdsa-p384", bytes(16)), ("ecdsa-p256", b"\0")])
def test_an_image_as_short_as_a_digest_is_not_signed_in_the_place_of_one(
    signing_key: Callable[[str], SigningKey], algorithm: str, payload: bytes
) -> None:
    key = signing_key(algorithm)
    public, hash_of = key.public(), key.public().hashes[0]
    start = Header(32, 0, len(payload), Flag(0), Version(1, 0, 0)).pack() + payload
    message = start[: hash_of.size]  # for P-384 the whole image has a SHA-384's length
    records = [
        Tlv(hash_of.record, hash_of.digest(start)),
        Tlv(TlvType.SIG_PURE, b"\1"),
        Tlv(TlvType.KEYHASH, public.keyhash_by(hash_of)),
        Tlv(public.signature_tlv, key.sign(message)),
    ]
    with pytest.raises(Refused) as refusal:
        verify_image(start + build_area(records, protected=False), [public])
    assert refusal.value.reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("kind", [TlvType.BOOT_RECORD, TlvType.DECOMP_SIZE, TlvType.COMP_DEC_SIZE])
def test_a_record_of_the_format_that_nobody_evaluates_is_refused(
    signing_key: Callable[[str], SigningKey], kind: TlvType
) -> None:
    key = signing_key("ed25519")
    data = resigned(key, [Tlv(kind, bytes(4), protected=True)])
    for evaluates in ((), CALLERS):
        with pytest.raises(Refused, match=kind.name) as refusal:
            verify_image(data, [key.public()], evaluates=evaluates)
        assert refusal.value.reason is Reason.TLV_UNKNOWN


def resigned(key: SigningKey, protected: Records) -> bytes:
    """An image with these protected records, whole and signed, as a publisher could make it."""
    area = build_area(protected, protected=True)
    start = Header(32, len(area), 7, Flag(0), Version(1, 0, 0)).pack() + b"payload" + area
    digest = hashlib.sha256(start).digest()
    public = key.public()
    records = [
        Tlv(TlvType.SHA256, digest),
        Tlv(TlvType.KEYHASH, public.keyhash),
        Tlv(public.signature_tlv, key.sign(digest)),
    ]
    return start + build_area(records, protected=False)


def test_a_dependency_is_refused_by_a_caller_that_does_not_evaluate_it(
    signing_key: Callable[[str], SigningKey],
) -> None:
    key = signing_key("ed25519")
    wanted = [Dependency(0, Version(2, 0, 0)), Dependency(255, Version(255, 255, 65535, 2**32 - 1))]
    data = sign_image(b"payload", Version(1, 0, 0), key, dependencies=wanted)
    with pytest.raises(Refused, match="DEPENDENCY") as refusal:
        verify_image(data, [key.public()])
    assert refusal.value.reason is Reason.TLV_UNKNOWN
    found = verify_image(data, [key.public()], evaluates={TlvType.DEPENDENCY})
    assert list(found.dependencies) == wanted
    slot = resigned(key, [Tlv(TlvType.DEPENDENCY, b"\0\1\0\0" + bytes(8), protected=True)])
    with pytest.raises(Refused, match="zeros") as refusal:
        verify_image(slot, [key.public()], evaluates={TlvType.DEPENDENCY})
    assert refusal.value.reason is Reason.TLV_INVALID
    with pytest.raises(InputError, match="SEC_CNT, expected DEPENDENCY, UUID_VID, UUID_CID"):
        verify_image(data, [key.public()], evaluates={TlvType.SEC_CNT})


@pytest.mark.parametrize(
    ("which", "mismatch"),
    [("vendor_id", Reason.VENDOR_MISMATCH), ("class_id", Reason.CLASS_MISMATCH)],
)
def test_an_identifier_must_be_the_devices_own(
    signing_key: Callable[[str], SigningKey], which: str, mismatch: Reason
) -> None:
    key = signing_key("ed25519")
    mine, other = bytes(range(16)), bytes(16)
    data = sign_image(b"payload", Version(1, 0, 0), key, **{which: mine})
    without = sign_image(b"payload", Version(1, 0, 0), key)

    def verdict(image: bytes, **options: Any) -> Reason:
        try:
            verify_image(image, [key.public()], **options)
        except Refused as refusal:
            return refusal.reason
        return Reason.NONE

    record = TlvType.UUID_VID if which == "vendor_id" else TlvType.UUID_CID
    assert verdict(data, **{which: mine}) is Reason.NONE
    assert verdict(data, **{which: other}) is mismatch
    assert verdict(without, **{which: mine}) is mismatch  # as MCUboot built with an identifier
    assert verdict(without) is Reason.NONE
    assert verdict(data) is Reason.TLV_UNKNOWN
    assert verdict(data, evaluates={record}) is Reason.NONE
    assert verdict(data, **{which: other}, evaluates={record}) is mismatch
    for call in (lambda: verdict(data, **{which: bytes(15)}), lambda: verdict(data, **{which: b""})):
        with pytest.raises(InputError, match=r"(vendor|class) id: found (15|0) bytes, expected 16"):
            call()


def test_a_compressed_image_is_refused_before_any_hash(signed: Signed) -> None:
    data = bytearray(signed.data)
    flags = parse_image(signed.data).header.flags | Flag.COMPRESSED_LZMA2
    data[16:20] = int(flags).to_bytes(4, "little")
    assert refused_as(signed, bytes(data)) is Reason.HEADER_INVALID


def test_a_cipher_that_the_wrapped_key_is_not_for_is_refused(signed: Signed) -> None:
    data = bytearray(signed.data)
    swapped = parse_image(signed.data).header.flags ^ (Flag.ENCRYPTED_AES128 | Flag.ENCRYPTED_AES256)
    data[16:20] = int(swapped).to_bytes(4, "little")
    expected = Reason.HEADER_INVALID if signed.decryption is None else Reason.DECRYPTION_FAILED
    assert refused_as(signed, bytes(data)) is expected


def test_a_revoked_key_is_refused_by_that_name_and_only_it(signed: Signed) -> None:
    key = signed.key.public()
    other = SigningKey("ed25519", derive_private("ed25519", 2, "another")).public()
    ring = KeyRing((key, other))

    def verdict(keys: KeyRing, data: bytes = signed.data) -> Reason:
        try:
            verify_image(data, keys, decrypt_with=signed.decryption, evaluates=CALLERS)
        except Refused as refusal:
            return refusal.reason
        return Reason.NONE

    assert verdict(ring) is Reason.NONE
    assert verdict(ring.revoking(other)) is Reason.NONE
    assert verdict(ring.revoking(key)) is verdict(ring.after(other)) is Reason.KEY_REVOKED
    assert verdict(ring.after(key)) is Reason.NONE
    assert verdict(KeyRing((other,)).revoking(key)) is Reason.KEY_UNKNOWN
    # whether or not the signature holds, but only after the hash has
    spoilt = bytearray(signed.data)
    spoilt[parse_image(signed.data).find(key.signature_tlv).offset + 9] ^= 1
    assert verdict(ring.revoking(key), bytes(spoilt)) is Reason.KEY_REVOKED
    spoilt[50] ^= 1
    assert verdict(ring.revoking(key), bytes(spoilt)) is Reason.HASH_MISMATCH


def test_revocation_by_order_takes_the_older_keys_and_never_gives_one_back() -> None:
    keys = tuple(SigningKey("ed25519", derive_private("ed25519", n, "a ring")).public() for n in range(4))
    ring = KeyRing(keys)
    assert [ring.after(keys[2]).is_revoked(key) for key in keys] == [True, True, False, False]
    assert [ring.after(keys[2]).after(keys[1]).is_revoked(key) for key in keys] == [True, True, False, False]
    assert ring.after(keys[0]) == ring
    with pytest.raises(InputError, match="key ring"):
        KeyRing(keys[:3]).after(keys[3])


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


@settings(max_examples=examples(40))
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
        ({"rom_fixed": 2**32}, "load address"),
        ({"rom_fixed": 0, "load_address": 0}, "load address"),
        ({"hash_name": "sha384"}, "hash: found 'sha384', expected one of sha256, sha512"),
        ({"hash_name": "sha256", "pure": True}, "hash: found 'sha256', expected one of sha512"),
        ({"vendor_id": bytes(15)}, "vendor id"),
        ({"class_id": b""}, "class id"),
        ({"cipher": "aes-192"}, "cipher"),
    ],
)
def test_what_no_image_can_hold_is_bad_input(
    signing_key: Callable[[str], SigningKey], options: dict[str, Any], message: str
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
    assert verify_image(data, [key.public()]).load_address == 0x20000000
    assert verify_image(data, [key.public()]).rom_address is None


def test_an_image_for_a_fixed_place_says_where(signing_key: Callable[[str], SigningKey]) -> None:
    key = signing_key("ed25519")
    data = sign_image(b"payload", Version(1, 0, 0), key, rom_fixed=0x0C00_0000)
    found = verify_image(data, [key.public()])
    assert (found.header.flags, found.rom_address, found.load_address) == (Flag.ROM_FIXED, 0x0C00_0000, None)


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072"])
def test_only_ed25519_signs_an_image_itself(signing_key: Callable[[str], SigningKey], algorithm: str) -> None:
    with pytest.raises(InputError, match="pure signature"):
        sign_image(b"payload", Version(1, 0, 0), signing_key(algorithm), pure=True)


@pytest.mark.parametrize("wrap", ["ecies-p256", "x25519", "x25519-sha512"])
@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"])
def test_signing_can_be_made_to_give_the_same_bytes_each_time(
    signing_key: Callable[[str], SigningKey],
    unwrapping_key: Callable[[str], DecryptionKey],
    algorithm: str,
    wrap: str,
) -> None:
    to = unwrapping_key(wrap)
    name = "x25519" if to.algorithm == "x25519" else "ecies-p256"
    images = {
        sign_image(
            b"payload",
            Version(1, 0, 0),
            signing_key(algorithm),
            encrypt_to=to.public(),
            content_key=bytes(range(32)),
            ephemeral=DecryptionKey.of(derive_private(name, 3, "ephemeral")),
            hmac_hash="sha512" if wrap == "x25519-sha512" else "sha256",
            deterministic=True,
        )
        for _ in range(3)
    }
    assert len(images) == 1
