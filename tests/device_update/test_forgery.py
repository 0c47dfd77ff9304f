"""What a hostile phone hands on is refused by the device's own code, and costs at most a second download."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simlib.device import DeviceConfig, new_device
from simlib.device.bench import Bench
from simlib.device.bootloader import boot
from simlib.device.events import Boot, Confirm, Cut, Install
from simlib.device.forgery import FORGERIES, attackers_key, forge
from simlib.device.layouts import get
from simlib.device.updater import install
from simlib.errors import InputError, Reason
from simlib.firmware.image import parse_image
from simlib.release import Artefact, Release, open_manifest

SIZES = (9_000, 9_400)
VERDICTS = {
    "resigned": (Reason.MANIFEST_INVALID, "manifest key"),
    "altered": (Reason.ARTEFACT_MISMATCH, "blob: found SHA-256"),
    "truncated": (Reason.ARTEFACT_MISMATCH, "blob: found"),
}

release_kinds = pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
payload_kinds = pytest.mark.parametrize("kind", ["full", "delta"])


def artefact_of(release: Release, kind: str) -> Artefact:
    return next(a for a in release.artefacts if a.kind == kind)


def forged(release: Release, artefact: Artefact, forgery: str) -> tuple[bytes, bytes]:
    base = None if artefact.base is None else release.images[artefact.base]
    return forge(forgery, artefact, base, release.verify_key)


def spared(content: bytes, config: DeviceConfig) -> bytes:
    """Everything but what an update may write before it is requested."""
    kept = [p for p in get(config.layout).partitions(config) if p.name not in ("secondary", "download")]
    return b"".join(content[p.offset : p.offset + p.size] for p in kept)


@release_kinds
@payload_kinds
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_refused_leaves_the_device_as_it_was_and_a_good_update_follows(
    make_release, two_slots, forgery, kind, encrypted
) -> None:
    release = make_release(SIZES, encrypted=encrypted)
    artefact, bench = artefact_of(release, kind), Bench(release)
    start = bench.start(two_slots, 0)
    refused = bench.run(start, Install(artefact.name, forged=forgery))
    reason, detail = VERDICTS[forgery]
    assert (refused.verdict, refused.running) == (reason, 0)
    assert detail in refused.steps[-1].detail
    assert spared(bench.content(refused.state), two_slots) == spared(bench.content(start), two_slots)
    assert (refused.ops > 0) == (forgery == "altered"), "only what has the right key and length is stored"
    assert bench.run(refused.state, Boot()).running == 0
    state = refused.state
    for event in (Install(artefact.name), Boot(), Confirm(), Boot()):
        found = bench.run(state, event)
        state = found.state
    assert (found.running, found.trial) == (1, False)


@release_kinds
@payload_kinds
@pytest.mark.parametrize("signature", ["ecdsa-p256", "ed25519", "rsa-3072"])
def test_only_the_key_is_wrong_with_a_resigned_artefact(
    make_release, two_slots, kind, encrypted, signature
) -> None:
    """A device that trusts the attacker's key installs and boots it: a refusal is about nothing else."""
    release = make_release(SIZES, encrypted=encrypted, signature=signature)
    artefact = artefact_of(release, kind)
    theirs = attackers_key(signature).public()
    assert theirs.algorithm == release.verify_key.algorithm
    assert theirs.keyhash != release.verify_key.keyhash
    manifest, blob = forged(release, artefact, "resigned")
    keys = (release.verify_key, theirs)
    roomy = replace(two_slots, slot_size_bytes=32_768, download_size_bytes=16_384)
    device = new_device(roomy, keys, release.decryption_key, release.images[0], 1)
    assert install(device, keys, manifest, blob) is Reason.NONE
    facts = open_manifest(manifest, (theirs,))
    assert boot(device).image_sha256 == facts.image_sha256
    assert facts.image_sha256.hex() not in {image.hex() for image in release.images}


@release_kinds
def test_a_resigned_manifest_does_not_help_where_the_boot_loader_alone_knows_the_key(
    make_release, two_slots, encrypted
) -> None:
    """Were the manifest's check missing, the image's own signature would still be a stranger's."""
    release = make_release(SIZES, encrypted=encrypted)
    manifest, blob = forged(release, release.artefacts[0], "resigned")
    theirs = attackers_key("ecdsa-p256").public()
    device = new_device(two_slots, (release.verify_key,), release.decryption_key, release.images[0], 1)
    assert install(device, (theirs,), manifest, blob) is Reason.KEY_UNKNOWN


@release_kinds
@payload_kinds
def test_a_forgery_looks_like_what_it_stands_for(make_release, kind, encrypted) -> None:
    release = make_release(SIZES, encrypted=encrypted)
    artefact = artefact_of(release, kind)
    genuine = open_manifest(artefact.manifest, (release.verify_key,))
    manifest, blob = forged(release, artefact, "resigned")
    facts = open_manifest(manifest, (attackers_key("ecdsa-p256").public(),))
    same = ("kind", "codec", "hardware", "version", "security_counter", "base_sha256")
    assert [getattr(facts, name) for name in same] == [getattr(genuine, name) for name in same]
    if kind == "full":
        assert len(parse_image(blob).payload) == len(parse_image(artefact.blob).payload)
    manifest, blob = forged(release, artefact, "altered")
    changed = [n for n, (a, b) in enumerate(zip(blob, artefact.blob, strict=True)) if a != b]
    assert manifest == artefact.manifest
    assert changed
    assert len(artefact.blob) * 3 // 4 <= changed[0]
    manifest, blob = forged(release, artefact, "truncated")
    assert manifest == artefact.manifest
    assert artefact.blob.startswith(blob)
    assert len(artefact.blob) - len(blob) == min(1_024, len(artefact.blob) // 2)


def test_the_same_forgery_has_the_same_bytes(make_release) -> None:
    release = make_release(SIZES)
    for artefact in release.artefacts:
        for forgery in FORGERIES:
            assert forged(release, artefact, forgery) == forged(release, artefact, forgery)


def test_an_only_slot_is_lost_to_an_altered_blob_and_safe_from_the_others(make_release, one_slot) -> None:
    """The bytes go over the running image as they come; what they are is known when they have."""
    bench = Bench(make_release(SIZES, payload="full"))
    running = {}
    for forgery in FORGERIES:
        refused = bench.run(bench.start(one_slot, 0), Install("full", forged=forgery))
        assert refused.verdict is not Reason.NONE
        running[forgery] = bench.run(refused.state, Boot()).running
    assert running == {"resigned": 0, "altered": None, "truncated": 0}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_may_be_damaged_or_cut_as_well(make_release, two_slots, forgery) -> None:
    bench = Bench(make_release(SIZES))
    start = bench.start(two_slots, 0)
    refused = bench.run(start, Install("full", flip_bit=10**9 + 7, forged=forgery))
    assert refused.verdict is VERDICTS[forgery][0]
    cut = bench.run(start, Install("full", cut=Cut(3, "garbage"), forged=forgery))
    assert cut.verdict is Reason.POWER_CUT
    assert bench.run(cut.state, Boot()).running == 0


def test_an_unknown_forgery_is_bad_input(make_release) -> None:
    release = make_release(SIZES)
    with pytest.raises(InputError, match="forged: found 'replayed', expected one of resigned"):
        Install("full", forged="replayed")
    with pytest.raises(InputError, match="forged: found 'replayed'"):
        forge("replayed", release.artefacts[0], None, release.verify_key)
    with pytest.raises(InputError, match="without the image it starts from"):
        forge("resigned", artefact_of(release, "delta"), None, release.verify_key)
