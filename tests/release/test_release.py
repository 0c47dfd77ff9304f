"""A release is what its specification says, the same each time; every artefact leads to its newest image."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pytest

from simlib.delta import apply_patch, read_envelope
from simlib.errors import InputError, Reason, Refused
from simlib.firmware.image import parse_image
from simlib.release import build_release, open_manifest, sign_manifest, unpack_blob
from simlib.release.artefact import Artefact
from simlib.scenario.model import ReleaseSpec
from simlib.scenario.schema import KEY_WRAPS, SIGNATURES
from simlib.security.encryption import content_key_of, ctr_crypt, decrypt_image, unwrap_key
from simlib.security.keys import DecryptionKey, derive_private
from simlib.security.signing import verify_image

ROOT = Path(__file__).parents[2]
MARK = b"a readable sentence in the firmware, unchanged in every release "


def firmwares(folder, count=4, seed=1):
    """Raw binaries, each a little changed from the one before; oldest first."""
    source = random.Random(seed)
    payload = source.randbytes(7000) + MARK * 8
    paths = []
    for number in range(count):
        at = source.randrange(6000)
        payload = payload[:at] + source.randbytes(40 + number) + payload[at + 40 :]
        path = folder / f"fw{number}.bin"
        path.write_bytes(payload)
        paths.append(str(path))
    return tuple(paths)


def spec_of(files, **changes):
    spec = ReleaseSpec(
        source="files",
        files=files,
        seed=5,
        size_bytes=0,
        base_size_bytes=0,
        steps=(),
        payload="delta",
        codec="bsdiff4",
        full_above=Fraction(4, 5),
        encrypted=True,
        signature="ecdsa-p256",
        hardware=("rev-a",),
        published_ms=(),
        stepping_stones=(),
        security_counters="raise",
    )
    return replace(spec, **changes)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return firmwares(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="module")
def release(files):
    return build_release(spec_of(files))


@pytest.fixture(scope="module")
def plain(files):
    return build_release(spec_of(files, encrypted=False))


def opened(release, artefact):
    return open_manifest(artefact.manifest, [release.verify_key])


def install(release, artefact, base_image):
    """What a device does, in its order; the image as it will lie in the primary slot."""
    manifest = opened(release, artefact)
    if artefact.kind == "full":
        if sha256(artefact.blob).digest() != manifest.blob_sha256:
            raise Refused(Reason.ARTEFACT_MISMATCH, "blob")
        return (
            decrypt_image(artefact.blob, release.decryption_key) if release.decryption_key else artefact.blob
        )
    patch = unpack_blob(manifest, artefact.blob, release.decryption_key)
    return apply_patch(base_image, patch, max_result_bytes=1 << 20)


@pytest.mark.parametrize("key_wrap", [None, *KEY_WRAPS])
@pytest.mark.parametrize(
    ("signature", "cipher"),
    [
        *((signature, "aes-256") for signature in SIGNATURES),
        *((signature, "aes-128") for signature in ("ecdsa-p256", "ecdsa-p384")),
    ],
)
def test_every_artefact_leads_to_exactly_the_newest_image(files, signature, cipher, key_wrap):
    spec = spec_of(files, encrypted=key_wrap is not None, signature=signature)
    release = build_release(replace(spec, cipher=cipher, key_wrap=key_wrap or "ecies-p256"))
    if release.decryption_key is not None:
        assert release.decryption_key.algorithm == key_wrap
        key = content_key_of(release.wire_image, release.decryption_key)
        assert len(key) == parse_image(release.wire_image).header.content_key_bytes == int(cipher[4:]) // 8
    assert [a.name for a in release.artefacts] == [
        "full",
        "delta-from-fw0",
        "delta-from-fw1",
        "delta-from-fw2",
    ]
    assert [a.base for a in release.artefacts] == [None, 0, 1, 2]
    assert (release.targets, release.primary, release.recovery) == ((3,), 3, None)
    for artefact in release.artefacts:
        base_image = None if artefact.base is None else release.images[artefact.base]
        assert install(release, artefact, base_image) == release.images[-1]
        assert artefact.wire_bytes == len(artefact.manifest) + len(artefact.blob)


def test_every_image_verifies_as_it_lies_in_a_primary_slot(release, plain):
    for built in (release, plain):
        counters = []
        for firmware, image in zip(built.firmwares, built.images, strict=True):
            found = verify_image(image, [built.verify_key], plaintext_payload=True)
            assert found.image_size == len(image)
            assert found.version == firmware.version
            assert found.header.header_size == 0x200
            assert parse_image(image).payload[: len(firmware.payload)] == firmware.payload
            counters.append(found.security_counter)
        assert tuple(counters) == built.security_counters == (1, 2, 3, 4)


def test_the_wire_image_verifies_and_is_encrypted_if_asked(release, plain):
    assert verify_image(release.wire_image, [release.verify_key], decrypt_with=release.decryption_key)
    assert release.wire_image != release.images[-1]
    assert decrypt_image(release.wire_image, release.decryption_key) == release.images[-1]
    assert plain.wire_image == plain.images[-1]
    assert plain.decryption_key is None
    for built in (release, plain):
        assert built.artefacts[0].blob == built.wire_image


def test_an_encrypted_release_shows_no_plaintext_on_the_wire(release, plain):
    for artefact in release.artefacts:
        assert MARK not in artefact.blob
        assert (
            b"SIMDELTA" not in artefact.blob
            and b"BSDIFF40" not in artefact.blob
            and b"BZh" not in artefact.blob
        )
    assert MARK in plain.artefacts[0].blob
    assert plain.artefacts[1].blob.startswith(b"SIMDELTA")


def test_no_content_key_meets_two_plaintexts(files, release):
    keys = [content_key_of(release.wire_image, release.decryption_key)]
    for artefact in release.artefacts[1:]:
        keys.append(unwrap_key(opened(release, artefact).wrapped_key, release.decryption_key))
    # Under one seed, other firmware has other keys: CTR from zero would give both away.
    other = build_release(spec_of(files[:-1]))
    keys.append(content_key_of(other.wire_image, other.decryption_key))
    assert len(set(keys)) == len(keys)


def test_patches_are_made_between_plain_images(release):
    for artefact in release.artefacts[1:]:
        manifest = opened(release, artefact)
        envelope = read_envelope(unpack_blob(manifest, artefact.blob, release.decryption_key))
        assert envelope.base_sha256 == sha256(release.images[artefact.base]).digest() == manifest.base_sha256
        assert envelope.result_sha256 == sha256(release.images[-1]).digest() == manifest.image_sha256
        assert len(artefact.blob) < len(release.wire_image) // 5  # between ciphertexts it would be as large


def test_manifests_carry_the_artefacts_facts(release):
    for artefact in release.artefacts:
        manifest = opened(release, artefact)
        assert manifest.kind == artefact.kind
        assert manifest.hardware == ("rev-a",)
        assert manifest.version == release.firmwares[-1].version
        assert manifest.security_counter == 4
        assert (manifest.blob_sha256, manifest.blob_size) == (
            sha256(artefact.blob).digest(),
            len(artefact.blob),
        )
        assert manifest.image_sha256 == sha256(release.images[-1]).digest()
        assert manifest.image_size == len(release.images[-1])
        assert manifest.codec == ("bsdiff4" if artefact.kind == "delta" else None)
        assert (manifest.wrapped_key is not None) == (artefact.kind == "delta")


def reason_of(manifest, blob, key):
    with pytest.raises(Refused) as caught:
        unpack_blob(manifest, blob, key)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_a_blob_other_than_the_manifests_is_refused(release):
    first, second = release.artefacts[1:3]
    manifest, key = opened(release, first), release.decryption_key
    for at in range(0, len(first.blob), 7):
        flipped = bytearray(first.blob)
        flipped[at] ^= 1 << (at % 8)
        assert reason_of(manifest, bytes(flipped), key) is Reason.ARTEFACT_MISMATCH
    for resized in (first.blob[:-1], first.blob + b"\0"):
        with pytest.raises(Refused, match=f"artefact-mismatch: blob size: found {len(resized)}"):
            unpack_blob(manifest, resized, key)
    assert reason_of(manifest, second.blob, key) is Reason.ARTEFACT_MISMATCH


def test_another_releases_manifest_does_not_fit_this_blob(files, release):
    other = build_release(spec_of(files[:-1]))
    assert other.verify_key.keyhash == release.verify_key.keyhash  # one publisher, both signed well
    assert reason_of(
        opened(other, other.artefacts[1]), release.artefacts[1].blob, release.decryption_key
    ) is (Reason.ARTEFACT_MISMATCH)


@pytest.mark.parametrize("field", ["codec", "base_sha256", "image_sha256", "image_size"])
def test_a_patch_that_says_other_than_its_signed_manifest_is_refused(release, field):
    artefact = release.artefacts[1]
    values = {"codec": "other", "base_sha256": bytes(32), "image_sha256": bytes(32), "image_size": 1}
    lying = replace(opened(release, artefact), **{field: values[field]})
    manifest = open_manifest(sign_manifest(lying, release.signing_key), [release.verify_key])
    assert reason_of(manifest, artefact.blob, release.decryption_key) is Reason.ARTEFACT_MISMATCH


def test_an_attackers_manifest_for_his_patch_is_refused(files, release):
    theirs = build_release(spec_of(files, seed=6))
    with pytest.raises(Refused) as caught:
        open_manifest(theirs.artefacts[1].manifest, [release.verify_key])
    assert caught.value.reason is Reason.MANIFEST_INVALID


def test_without_the_right_key_an_encrypted_patch_stays_closed(release):
    artefact = release.artefacts[1]
    manifest = opened(release, artefact)
    assert reason_of(manifest, artefact.blob, None) is Reason.DECRYPTION_FAILED
    stranger = DecryptionKey.of(derive_private("ecies-p256", 99, "another device"))
    assert reason_of(manifest, artefact.blob, stranger) is Reason.DECRYPTION_FAILED


def test_a_patch_under_the_wrong_content_key_is_no_patch(release):
    artefact = release.artefacts[1]
    clear = unpack_blob(opened(release, artefact), artefact.blob, release.decryption_key)
    scrambled = ctr_crypt(bytes(32), clear)
    lying = replace(
        opened(release, artefact), blob_sha256=sha256(scrambled).digest(), blob_size=len(scrambled)
    )
    assert reason_of(lying, scrambled, release.decryption_key) is Reason.NOT_A_PATCH


def test_a_full_artefact_has_no_patch_to_unpack(release):
    with pytest.raises(InputError, match="found a full one, expected one with a codec"):
        unpack_blob(opened(release, release.artefacts[0]), release.wire_image, release.decryption_key)


def test_what_leads_from_a_base_comes_with_its_patch_first(release):
    full, first = release.artefacts[:2]
    assert release.artefacts_for(0) == (first, full)
    assert release.artefacts_for(None) == (full,), "of a device of which no base is known no patch fits"
    assert release.artefacts_for(3) == (full,), "the newest itself"
    for base in (-1, 4):
        with pytest.raises(InputError, match=f"base: found {base}, expected 0 to 3"):
            release.artefacts_for(base)


def test_a_release_of_full_images_has_no_patches(files):
    release = build_release(spec_of(files, payload="full"))
    assert [a.name for a in release.artefacts] == ["full"]
    assert release.artefacts_for(0) == release.artefacts


def test_a_patch_too_near_the_full_size_is_not_offered(files, release):
    full, *deltas = release.artefacts
    shares = sorted(Fraction(delta.wire_bytes, full.wire_bytes) for delta in deltas)
    assert len(set(shares)) == 3
    for number, share in enumerate(shares, start=1):
        at = build_release(spec_of(files, full_above=share))
        assert len(at.artefacts) == 1 + number
        below = build_release(spec_of(files, full_above=share - Fraction(1, 10**9)))
        assert len(below.artefacts) == number
    assert len(build_release(spec_of(files, full_above=Fraction(0))).artefacts) == 1


def test_only_the_patches_asked_for_are_made(files, release):
    some = build_release(spec_of(files), bases={2, 0})
    assert some.artefacts == (release.artefacts[0], release.artefacts[1], release.artefacts[3])
    assert build_release(spec_of(files), bases=[]).artefacts == release.artefacts[:1]
    assert some.images == release.images
    for wrong in (-1, 3):
        with pytest.raises(InputError, match=f"bases: found {wrong}, expected 0 to 2"):
            build_release(spec_of(files), bases=[0, wrong])


def test_a_chain_of_one_has_a_full_artefact_only(files):
    release = build_release(spec_of(files[:1]))
    assert [a.kind for a in release.artefacts] == ["full"]
    assert release.artefacts_for(0) == release.artefacts


def test_the_seed_decides_the_keys(files, release):
    other = build_release(spec_of(files, seed=6))
    assert other.verify_key.keyhash != release.verify_key.keyhash
    assert other.decryption_key.private.private_numbers() != release.decryption_key.private.private_numbers()


CHILD = """
import sys
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from simlib.release import build_release
from simlib.scenario.model import ReleaseSpec
from simlib.scenario.schema import KEY_WRAPS, SIGNATURES

for signature in ("ecdsa-p256", "ed25519", "rsa-3072", "ecdsa-p384"):
    for encrypted in (True, False):
        spec = ReleaseSpec("files", tuple(sys.argv[1:]), 5, 0, 0, (), "delta", "bsdiff4", Fraction(4, 5),
                           encrypted, signature, ("rev-a", "rev-b"), (), (), "raise")
        if signature == "ecdsa-p384":
            spec = replace(spec, cipher="aes-128", key_wrap="x25519")
        release = build_release(spec)
        parts = [*release.images, release.wire_image]
        for artefact in release.artefacts:
            parts += [artefact.name.encode(), artefact.manifest, artefact.blob]
        print(len(parts), *(sha256(part).hexdigest() for part in parts))
"""


def test_the_same_specification_gives_the_same_bytes_in_any_process(files):
    outputs = {
        subprocess.run(
            [sys.executable, "-c", CHILD, *files],
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().count("\n") == 8


def test_a_synthetic_chain_is_patched_from_every_older_release():
    spec = spec_of(
        (), source="synthetic", size_bytes=66 << 10, base_size_bytes=64 << 10, steps=("patch", "minor")
    )
    release = build_release(spec)
    assert len(release.images) == 3
    for base in (0, 1):
        artefact = release.artefacts_for(base)[0]
        assert artefact.base == base
        assert install(release, artefact, release.images[base]) == release.images[-1]


def test_an_artefact_weighs_its_manifest_and_its_blob():
    assert Artefact("full", "full", None, 1, bytes(10), bytes(3)).wire_bytes == 13


FROZEN = {
    True: "67da7ef4d963a504947d5e6072ca1aaca47a05732ad82c2eceaa19a7f72315b0",
    False: "e69f48c93f476914713a78ba7b2ad8140f4c1d151177d760a915aafd3905d042",
}


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_release_without_other_targets_is_bit_for_bit_what_it_always_was(encrypted):
    spec = spec_of(
        (),
        source="synthetic",
        size_bytes=66 << 10,
        base_size_bytes=64 << 10,
        steps=("patch", "minor"),
        encrypted=encrypted,
    )
    digest = sha256()
    for artefact in build_release(spec).artefacts:
        for part in (artefact.name.encode(), artefact.manifest, artefact.blob):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    assert digest.hexdigest() == FROZEN[encrypted]
