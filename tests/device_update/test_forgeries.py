"""Every forgery of an image, by every signature, plain and encrypted, is refused with its reason.

Each is brought twice: under a manifest that vouches for it, as a publisher's stolen manifest key could sign,
so that the image's own check has to refuse it; and under the manifest of the good artefact.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from struct import pack

import pytest

from simlib.device import Device, DeviceConfig, new_device
from simlib.device.bootloader import boot
from simlib.device.updater import install
from simlib.errors import Reason
from simlib.firmware.image import ParsedImage, TlvType, parse_image
from simlib.release import Release, open_manifest, sign_manifest
from simlib.security.keys import SigningKey, derive_private
from simlib.security.signing import sign_image

SIGNATURES = ("ecdsa-p256", "ed25519", "rsa-3072")
UNPROTECTED_MAGIC = 0x6907
SIGNATURE_TLVS = (TlvType.ECDSASIG, TlvType.ED25519, TlvType.RSA3072)
OF_A_FLIP = {
    TlvType.SHA256: Reason.HASH_MISMATCH,
    TlvType.KEYHASH: Reason.KEY_UNKNOWN,
    TlvType.ENCEC256: Reason.DECRYPTION_FAILED,
    TlvType.SEC_CNT: Reason.HASH_MISMATCH,
} | dict.fromkeys(SIGNATURE_TLVS, Reason.SIGNATURE_INVALID)
OF_A_STRIP = {
    TlvType.SHA256: Reason.HASH_MISSING,
    TlvType.KEYHASH: Reason.KEY_UNKNOWN,
    TlvType.ENCEC256: Reason.TLV_INVALID,
} | dict.fromkeys(SIGNATURE_TLVS, Reason.SIGNATURE_MISSING)
SHAPE = {
    Reason.NOT_AN_IMAGE,
    Reason.HEADER_INVALID,
    Reason.TRUNCATED,
    Reason.TLV_INVALID,
    Reason.TLV_UNKNOWN,
    Reason.TLV_DUPLICATE,
    Reason.OVERSIZE,
}


@dataclass(frozen=True)
class Forgery:
    name: str
    image: bytes
    reasons: set[Reason]  # one of which the image's own check gives


def with_records(image: bytes, parsed: ParsedImage, records: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(pack("<HH", kind, len(value)) + value for kind, value in records)
    return image[: parsed.hashed_end] + pack("<HH", UNPROTECTED_MAGIC, 4 + len(body)) + body


def forgeries(release: Release, rng: random.Random) -> Iterator[Forgery]:
    image = release.wire_image
    parsed = parse_image(image)
    records = [(int(tlv.type), tlv.value) for tlv in parsed.tlvs if not tlv.protected]
    yield from changed_bits(image, parsed, rng)
    yield from changed_records(image, parsed, records)
    for n in (1, 31, 32, parsed.payload_end - 1, parsed.payload_end, parsed.payload_end + 9):
        yield Forgery(f"first {n} bytes", image[:n], SHAPE)
    # What erased flash reads as stands in for the last byte.
    of_the_end = {OF_A_FLIP[parsed.tlvs[-1].type], Reason.ARTEFACT_MISMATCH}
    yield Forgery("all but a byte", image[:-1], of_the_end)
    for more in (b"\0", b"\xff" * 7, rng.randbytes(300)):
        yield Forgery(f"{len(more)} bytes behind", image + more, {Reason.ARTEFACT_MISMATCH})
    stranger = SigningKey.of(derive_private("ed25519", 9, "test key of a stranger"))
    yield Forgery("stranger", signed(release, stranger, 2), {Reason.KEY_UNKNOWN})
    yield Forgery("counter", signed(release, release.signing_key, 0), {Reason.SECURITY_COUNTER_LOW})
    yield Forgery("no counter", signed(release, release.signing_key, None), {Reason.SECURITY_COUNTER_MISSING})


def changed_bits(image: bytes, parsed: ParsedImage, rng: random.Random) -> Iterator[Forgery]:
    header = parsed.header.header_size
    ranges = [
        ("header", 0, 32, SHAPE | {Reason.HASH_MISMATCH}),
        ("header padding", 32, header, {Reason.HASH_MISMATCH}),
        ("payload", header, parsed.payload_end, {Reason.HASH_MISMATCH}),
    ]
    for tlv in parsed.tlvs:
        ranges.append((f"{tlv.type.name} heading", tlv.offset, tlv.offset + 4, set(Reason) - {Reason.NONE}))
        start = tlv.offset + 4
        ranges.append((tlv.type.name, start, start + len(tlv.value), {OF_A_FLIP[tlv.type]}))
    for name, start, end, reasons in ranges:
        for _ in range(6 if name == "header" else 3):
            bit = rng.randrange(8 * start, 8 * end)
            flipped = bytearray(image)
            flipped[bit // 8] ^= 1 << bit % 8
            yield Forgery(f"bit {bit}, {name}", bytes(flipped), reasons)


def changed_records(image: bytes, parsed: ParsedImage, records: list[tuple[int, bytes]]) -> Iterator[Forgery]:
    for n, (kind, value) in enumerate(records):
        others, name = records[:n] + records[n + 1 :], TlvType(kind).name
        yield Forgery(f"no {name}", with_records(image, parsed, others), {OF_A_STRIP[TlvType(kind)]})
        twice = with_records(image, parsed, [*records, (kind, value)])
        yield Forgery(f"{name} twice", twice, {Reason.TLV_DUPLICATE, Reason.TLV_INVALID})
        for other in (0x02, 0x10, 0x22, 0x24, 0x32, 0x40, 0xA0, 0xFFFE):
            if other != kind:
                renamed = with_records(image, parsed, [*records[:n], (other, value), *records[n + 1 :]])
                refusals = SHAPE | {OF_A_STRIP[TlvType(kind)], Reason.SIGNATURE_INVALID}
                yield Forgery(f"{name} as 0x{other:x}", renamed, refusals)
        for what, length in ((value + b"\0", "longer"), (value[:-1], "shorter")):
            resized = with_records(image, parsed, [*records[:n], (kind, what), *records[n + 1 :]])
            yield Forgery(f"{name} {length}", resized, SHAPE | {OF_A_FLIP[TlvType(kind)]})
    yield Forgery("one more", with_records(image, parsed, [*records, (0xA0, b"x")]), {Reason.TLV_UNKNOWN})


def signed(release: Release, key: SigningKey, counter: int | None) -> bytes:
    device_key = release.decryption_key
    return sign_image(
        release.firmwares[1].payload,
        release.firmwares[1].version,
        key,
        security_counter=counter,
        encrypt_to=None if device_key is None else device_key.public(),
    )


def device_of(release: Release, config: DeviceConfig) -> Device:
    return new_device(
        config,
        (release.verify_key,),
        release.decryption_key,
        release.images[0],
        release.security_counters[0],
    )


def spared(device: Device) -> tuple[bytes, int]:
    content = device.flash.content()
    parts = [p for p in device.partitions if p.name not in ("secondary", "download")]
    return b"".join(content[p.offset : p.offset + p.size] for p in parts), device.security_counter


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("signature", SIGNATURES)
def test_every_forgery_is_refused_for_its_reason_and_a_good_update_follows(
    make_release, two_slots, signature, encrypted
) -> None:
    release = make_release((1_500, 1_700), signature=signature, encrypted=encrypted)
    config = replace(two_slots, slot_size_bytes=8_192)
    full, keys = release.artefacts[0], (release.verify_key,)
    facts = open_manifest(full.manifest, keys)
    device = device_of(release, config)
    before, fresh = spared(device), device.snapshot()
    followed: set[str] = set()
    found: set[Reason] = set()
    for forgery in forgeries(release, random.Random(signature)):
        vouched = replace(
            facts,
            blob_sha256=sha256(forgery.image).digest(),
            blob_size=len(forgery.image),
            image_size=len(forgery.image),
            image_sha256=sha256(forgery.image).digest(),
        )
        cases = (
            (sign_manifest(vouched, release.signing_key), forgery.reasons),
            (full.manifest, {Reason.ARTEFACT_MISMATCH}),
        )
        for manifest, reasons in cases:
            device.restore(fresh)
            reason = install(device, keys, manifest, forgery.image)
            assert reason in reasons, f"{forgery.name}: {device.journal[-1].detail}"
            assert spared(device) == before, forgery.name
            found.add(reason)
            if device.state_id() in followed:
                continue
            followed.add(device.state_id())
            back = boot(device)
            assert (back.image_sha256, back.reason) == (sha256(release.images[0]).digest(), Reason.NONE)
            assert install(device, keys, full.manifest, full.blob) is Reason.NONE, forgery.name
            assert boot(device).image_sha256 == sha256(release.images[1]).digest(), forgery.name
    assert len(followed) > 40
    assert len(found) >= 12


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("signature", SIGNATURES)
def test_no_changed_bit_of_a_primary_boots(make_release, two_slots, signature, encrypted) -> None:
    release = make_release((1_500, 1_700), signature=signature, encrypted=encrypted)
    image = release.images[0]
    config = replace(two_slots, slot_size_bytes=8_192)
    rng = random.Random(signature)
    tail = parse_image(image).payload_end
    bits = [rng.randrange(8 * tail) for _ in range(10)]
    bits += [rng.randrange(8 * tail, 8 * len(image)) for _ in range(60)]
    for bit in bits:
        flipped = bytearray(image)
        flipped[bit // 8] ^= 1 << bit % 8
        device = new_device(config, (release.verify_key,), release.decryption_key, bytes(flipped), 1)
        assert boot(device).reason is Reason.NO_VALID_IMAGE, bit
