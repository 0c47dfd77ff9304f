"""A patch that is decoded as it arrives: installed if it is good, and otherwise refused with no harm done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import pytest

from simlib.delta import codec_names, codec_traits, create_patch, read_envelope
from simlib.delta.envelope import seal
from simlib.device import Device
from simlib.device.bootloader import boot
from simlib.device.flash import LARGEST_WRITE_BYTES, PowerCut
from simlib.device.layouts import max_image_bytes
from simlib.errors import Reason
from simlib.release import Artefact, Release, sign_manifest
from tests.device_update.taking import MakeRelease, coded, expect_to_run, facts_of, fitting, shipped, take

STORED = ("bsdiff4", "hdiffpatch-lzma2")
STREAMED = tuple(name for name in codec_names() if name not in STORED)
LAYOUTS = ("swap-scratch", "swap-move", "swap-offset", "overwrite-only", "direct-xip", "direct-xip-revert")
BOMB_BYTES = 100_000
ON_LAYOUTS = [(codec, "swap-move") for codec in STREAMED]
ON_LAYOUTS += [("detools-heatshrink", "direct-xip"), ("full-lzma", "direct-xip-revert")]


def without_download(release: Release, layout: str = "swap-move", base: int = 0) -> Device:
    artefact = coded(release, 0)
    return shipped(release, fitting(release, artefact, layout, download_size_bytes=0), base)


def resent(release: Release, artefact: Artefact, blob: bytes, **facts: object) -> Artefact:
    """The publisher's own word for another blob."""
    manifest = replace(
        facts_of(release, artefact),
        **{"blob_sha256": sha256(blob).digest(), "blob_size": len(blob), **facts},
    )
    return replace(artefact, blob=blob, manifest=sign_manifest(manifest, release.signing_key))


def expect_unharmed(release: Release, device: Device, artefact: Artefact, *reasons: Reason) -> Reason:
    """It is refused for one of these, the running image is untouched and boots, and a good update works."""
    running = device.area("primary").read(0, len(release.images[0]))
    before = device.flash.bytes_written
    found = take(release, device, artefact)
    assert found in reasons
    written = device.flash.bytes_written - before
    limit = max_image_bytes(device.config, encrypted=False)
    assert written <= limit + LARGEST_WRITE_BYTES, "nothing is written past the image"
    assert device.area("primary").read(0, len(release.images[0])) == running == release.images[0]
    booted = boot(device)
    assert (str(booted.version), booted.trial) == (str(release.firmwares[0].version), False)
    assert take(release, device, coded(release, 0)) is Reason.NONE
    expect_to_run(release, device, 2)
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("codec", STREAMED)
def test_a_good_patch_is_installed_without_a_place_to_store_it(
    release_with: MakeRelease, codec: str, layout: str
) -> None:
    release = release_with(codec)
    device = without_download(release, layout)
    assert "download" not in {partition.name for partition in device.partitions}
    before = device.flash.bytes_written
    assert take(release, device, coded(release, 0)) is Reason.NONE
    of_image = device.flash.bytes_written - before
    assert len(release.images[2]) <= of_image < len(release.images[2]) + 512, "the patch itself is not stored"
    expect_to_run(release, device, 2)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("codec", codec_names())
def test_what_must_be_stored_is_refused_where_it_cannot_be(
    release_with: MakeRelease, codec: str, encrypted: bool
) -> None:
    assert codec_traits(codec).streams == (codec in STREAMED)
    release = release_with(codec, encrypted=encrypted)
    artefact = coded(release, 0)
    device = shipped(release, fitting(release, artefact, "swap-move", download_size_bytes=0))
    before, ops = device.flash.content(), device.flash.ops
    found = take(release, device, artefact)
    if codec in STORED or encrypted:
        assert found is Reason.STORAGE_SHORT
        assert (device.flash.content(), device.flash.ops) == (before, ops)
        assert take(release, device, release.full_for()) is Reason.NONE
    else:
        assert found is Reason.NONE
    expect_to_run(release, device, 2)


@pytest.mark.parametrize("codec", [c for c in STREAMED if codec_traits(c).in_place])
def test_where_the_boot_loader_makes_the_image_nothing_streams(release_with: MakeRelease, codec: str) -> None:
    release = release_with(codec)
    device = without_download(release, "in-place-journal")
    ops = device.flash.ops
    assert take(release, device, coded(release, 0)) is Reason.STORAGE_SHORT
    assert device.flash.ops == ops


def flips(blob: bytes) -> Iterator[tuple[int, bool]]:
    """Bits to flip, and whether they are in the envelope."""
    head = read_envelope(blob).header_size
    yield from ((8 * at + at % 8, True) for at in (0, 9, head // 2, head - 1))
    payload = len(blob) - head
    yield from ((8 * (head + payload * n // 6) + n % 8, False) for n in range(6))
    yield 8 * len(blob) - 1, False


@pytest.mark.parametrize(("codec", "layout"), ON_LAYOUTS)
def test_a_bit_that_flips_on_the_way_is_found(release_with: MakeRelease, codec: str, layout: str) -> None:
    release = release_with(codec)
    artefact = coded(release, 0)
    for bit, in_envelope in flips(artefact.blob):
        blob = bytearray(artefact.blob)
        blob[bit // 8] ^= 1 << bit % 8
        reasons = (
            (Reason.NOT_A_PATCH, Reason.TRUNCATED, Reason.PATCH_DAMAGED)
            if in_envelope
            else (Reason.PATCH_DAMAGED,)
        )
        device = without_download(release, layout)
        ops = device.flash.ops
        found = take(release, device, replace(artefact, blob=bytes(blob)))
        assert found in reasons, (bit, found)
        if in_envelope:
            assert device.flash.ops == ops, "its own hash is looked at before a byte is written"
        expect_unharmed(release, device, replace(artefact, blob=bytes(blob)), *reasons)


@pytest.mark.parametrize("codec", STREAMED)
def test_a_blob_that_ends_early_is_refused(release_with: MakeRelease, codec: str) -> None:
    release = release_with(codec)
    artefact = coded(release, 0)
    envelope = read_envelope(artefact.blob)
    payload = artefact.blob[envelope.header_size :]
    base = release.images[0] if artefact.base is not None else b""
    for size in (0, 1, len(payload) // 2, len(payload) - 1):
        cut = artefact.blob[: envelope.header_size + size]
        device = without_download(release)
        ops = device.flash.ops
        # Shorter than its manifest says; as short as that, but not as its envelope; and as both say.
        assert take(release, device, replace(artefact, blob=cut)) is Reason.ARTEFACT_MISMATCH
        assert take(release, device, resent(release, artefact, cut)) is Reason.TRUNCATED
        assert device.flash.ops == ops
        sealed = seal(envelope.codec, base, release.images[2], payload[:size])
        expect_unharmed(release, device, resent(release, artefact, sealed), Reason.PATCH_DAMAGED)


@pytest.mark.parametrize("codec", [c for c in STREAMED if codec_traits(c).takes_base])
def test_a_patch_for_another_base_is_refused_before_a_byte_is_written(
    release_with: MakeRelease, codec: str
) -> None:
    release = release_with(codec)
    device = without_download(release, base=1)
    before, ops = device.flash.content(), device.flash.ops
    assert take(release, device, coded(release, 0)) is Reason.WRONG_BASE
    assert (device.flash.content(), device.flash.ops) == (before, ops)
    assert take(release, device, coded(release, 1)) is Reason.NONE
    expect_to_run(release, device, 2)


@pytest.mark.parametrize(("codec", "layout"), ON_LAYOUTS)
def test_a_signed_bomb_writes_no_more_than_an_image(
    release_with: MakeRelease, codec: str, layout: str
) -> None:
    """Its payload gives ten times the image, whatever envelope and manifest say."""
    release = release_with(codec)
    artefact = coded(release, 0)
    base = release.images[0] if artefact.base is not None else b""
    bomb = create_patch(base, bytes(BOMB_BYTES), codec)
    payload = bomb[read_envelope(bomb).header_size :]
    assert len(payload) < BOMB_BYTES
    understated = resent(release, artefact, seal(codec, base, release.images[2], payload))
    device = without_download(release, layout)
    expect_unharmed(release, device, understated, Reason.PATCH_DAMAGED)
    honest = resent(
        release, artefact, bomb, image_size=BOMB_BYTES, image_sha256=sha256(bytes(BOMB_BYTES)).digest()
    )
    half_honest = resent(release, artefact, bomb)
    for sent, reason in ((honest, Reason.STORAGE_SHORT), (half_honest, Reason.ARTEFACT_MISMATCH)):
        device = without_download(release, layout)
        ops = device.flash.ops
        assert take(release, device, sent) is reason
        assert device.flash.ops == ops
        expect_unharmed(release, device, sent, reason)


@pytest.mark.parametrize(("codec", "layout"), ON_LAYOUTS)
def test_a_well_formed_patch_to_something_else_is_refused_at_its_end(
    release_with: MakeRelease, codec: str, layout: str
) -> None:
    """The signed manifest promises the image, the payload makes another of its size."""
    release = release_with(codec)
    artefact = coded(release, 0)
    base = release.images[0] if artefact.base is not None else b""
    other = bytearray(release.images[2])
    other[3_000] ^= 0x10
    made = create_patch(base, bytes(other), codec)
    payload = made[read_envelope(made).header_size :]
    lying = resent(release, artefact, seal(codec, base, release.images[2], payload))
    expect_unharmed(release, without_download(release, layout), lying, Reason.RESULT_MISMATCH)
    # The other way round: what arrives would boot, but it is not what was promised.
    good = artefact.blob[read_envelope(artefact.blob).header_size :]
    promised = resent(
        release, artefact, seal(codec, base, bytes(other), good), image_sha256=sha256(other).digest()
    )
    expect_unharmed(release, without_download(release, layout), promised, Reason.RESULT_MISMATCH)
    # Or all is as promised, but for the blob's own hash, which is looked at last.
    strange = resent(release, artefact, artefact.blob, blob_sha256=sha256(b"another blob").digest())
    expect_unharmed(release, without_download(release, layout), strange, Reason.ARTEFACT_MISMATCH)
    # The publisher means it: the boot loader's own check has the last word.
    meant = resent(release, artefact, made, image_sha256=sha256(other).digest())
    expect_unharmed(release, without_download(release, layout), meant, Reason.HASH_MISMATCH)


@pytest.mark.parametrize("codec", STREAMED)
def test_what_a_refused_stream_costs_is_charged(release_with: MakeRelease, codec: str) -> None:
    """Later is no cheaper, and a good one, which the boot loader's check reads once more, is the dearest."""
    release = release_with(codec)
    artefact = coded(release, 0)
    costs = []
    for at in (8 * (read_envelope(artefact.blob).header_size + 1), 8 * len(artefact.blob) - 1, None):
        blob = bytearray(artefact.blob)
        if at is not None:
            blob[at // 8] ^= 1 << at % 8
        device = without_download(release)
        began_ns, ops = device.meter.time_ns, device.flash.ops
        take(release, device, replace(artefact, blob=bytes(blob)))
        costs.append((device.flash.ops - ops, device.meter.time_ns - began_ns))
    assert costs[0] <= costs[1] < costs[2]


@pytest.mark.parametrize("codec", ["detools-heatshrink", "hpatchlite-tuz", "full-lzma"])
def test_power_that_fails_while_it_arrives_leaves_the_old_image(
    release_with: MakeRelease, codec: str
) -> None:
    """By hand, on the real code alone: the sweep of power cuts says the same (`tests/powercut`)."""
    release = release_with(codec)
    artefact = coded(release, 0)
    device = without_download(release)
    ops = device.flash.ops
    assert take(release, device, artefact) is Reason.NONE
    for op in range(1, device.flash.ops - ops, 2):
        device = without_download(release)
        device.flash.arm_cut(op, "garbage", seed=op)
        with pytest.raises(PowerCut):
            take(release, device, artefact)
        device.flash.power_on()
        assert str(boot(device).version) == str(release.firmwares[0].version)
        assert take(release, device, artefact) is Reason.NONE
        expect_to_run(release, device, 2)
