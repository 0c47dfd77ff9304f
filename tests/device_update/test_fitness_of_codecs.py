"""For every codec: what is said of a device before a download is what the device then does, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from simlib.delta import codec_names
from simlib.device.config import DeviceConfig
from simlib.device.fitness import Arrival, arrival, check_fit, has_room, streams
from simlib.device.layouts import get, max_image_bytes
from simlib.device.ram import ram_needed
from simlib.errors import Reason, Refused
from simlib.release import Artefact, Manifest, Release, sign_manifest
from tests.device_update.taking import MakeRelease, coded, expect_to_run, facts_of, fitting, shipped, take

SECTOR = 512
LAYOUTS = (
    "swap-move",
    "swap-offset",
    "overwrite-only",
    "direct-xip-revert",
    "in-place-journal",
    "single-slot",
)
CASES = [(name, e) for name in LAYOUTS for e in (False, True) if get(name).encrypts or not e]


def sectors_for(n_bytes: int) -> int:
    return -(-n_bytes // SECTOR)


def around(config: DeviceConfig, facts: Manifest, *, encrypted: bool) -> list[DeviceConfig]:
    """Devices just large enough and just too small: the download partition, the slots, the RAM."""
    downloads = {0, SECTOR}
    for n_bytes in (facts.blob_size, facts.image_size):
        downloads |= {SECTOR * (sectors_for(n_bytes) - 1), SECTOR * sectors_for(n_bytes)}
    slot = config.slot_size_bytes
    while max_image_bytes(replace(config, slot_size_bytes=slot - SECTOR), encrypted=encrypted) >= (
        facts.image_size
    ):
        slot -= SECTOR
    needed = ram_needed(config, facts)
    shapes = [
        *((download, slot, 0) for download in sorted(downloads)),
        *product((0, max(downloads)), (slot, slot - SECTOR), (needed, needed - 1)),
    ]
    return [
        replace(config, download_size_bytes=download, slot_size_bytes=size, ram_bytes=ram)
        for download, size, ram in shapes
    ]


def said(config: DeviceConfig, facts: Manifest, *, encrypted: bool) -> Reason:
    try:
        check_fit(config, facts, encrypted=encrypted)
    except Refused as refusal:
        assert not has_room(config, facts, encrypted=encrypted)
        return refusal.reason
    assert has_room(config, facts, encrypted=encrypted)
    return Reason.NONE


def done(release: Release, config: DeviceConfig, artefact: Artefact) -> Reason:
    """What the device does; if it installs, the new image must run, and if not, nothing was written."""
    device = shipped(release, config)
    before, ops = device.flash.content(), device.flash.ops
    found = take(release, device, artefact)
    if found is Reason.NONE:
        decoded_at_once = any("while" in step.detail for step in device.journal if step.phase == "patch")
        assert decoded_at_once == streams(config, facts_of(release, artefact))
        expect_to_run(release, device, 2)
    elif not device.layout.in_place:
        assert (device.flash.content(), device.flash.ops) == (before, ops)
    return found


@pytest.mark.parametrize(("layout", "encrypted"), CASES)
@pytest.mark.parametrize("codec", codec_names())
def test_what_is_said_before_the_download_is_what_the_device_does(
    release_with: MakeRelease, codec: str, layout: str, encrypted: bool
) -> None:
    release = release_with(codec, encrypted=encrypted)
    seen = Counter[Reason]()
    for artefact in (coded(release, 0), release.full_for()):
        facts = facts_of(release, artefact)
        for config in around(fitting(release, coded(release, 0), layout), facts, encrypted=encrypted):
            expected = said(config, facts, encrypted=encrypted)
            found = done(release, config, artefact)
            if not get(layout).in_place:
                assert found is expected, config
            else:  # of an only slot, its driver says what does not fit any more
                assert (found is Reason.NONE) == (expected is Reason.NONE), config
            seen[expected] += 1
    assert seen[Reason.NONE] and len(seen) > 1, "some fit, and some do not"


@pytest.mark.parametrize("codec", codec_names())
def test_where_the_bytes_go_follows_from_the_room_for_them(release_with: MakeRelease, codec: str) -> None:
    release = release_with(codec)
    facts, full = facts_of(release, coded(release, 0)), facts_of(release, release.full_for())
    config = fitting(release, coded(release, 0), "swap-move")
    room = SECTOR * sectors_for(facts.blob_size)
    assert config.download_size_bytes == room
    assert arrival(config, facts) is Arrival.DOWNLOAD
    assert arrival(config, replace(facts, blob_size=room)) is Arrival.DOWNLOAD
    larger = replace(facts, blob_size=room + 1)
    if codec in ("bsdiff4", "hdiffpatch-lzma2"):
        with pytest.raises(Refused, match=f"expected at most {room}, as {codec} does not stream"):
            arrival(config, larger)
    else:
        assert arrival(config, larger) is Arrival.STREAM
        with pytest.raises(Refused, match="the image's key is the last to come"):
            arrival(config, replace(larger, wrapped_key=bytes(113)))
    assert arrival(config, full) is Arrival.SLOT
    waits = replace(config, layout="in-place-journal", download_size_bytes=SECTOR)
    for each in (facts, full):
        with pytest.raises(Refused) as refused:
            arrival(waits, replace(each, blob_size=SECTOR + 1))
        assert refused.value.reason is Reason.STORAGE_SHORT
    assert arrival(waits, replace(full, blob_size=SECTOR)) is Arrival.DOWNLOAD


def test_a_codec_that_is_not_known_is_refused(release_with: MakeRelease) -> None:
    release = release_with("bsdiff4")
    facts = replace(facts_of(release, coded(release, 0)), codec="bsdiff5")
    config = fitting(release, coded(release, 0), "swap-move")
    artefact = coded(release, 0)
    unknown = replace(artefact, manifest=sign_manifest(facts, release.signing_key))
    for download in (config.download_size_bytes, 0):
        config = replace(config, download_size_bytes=download)
        assert said(config, facts, encrypted=False) is Reason.CODEC_UNKNOWN
        assert done(release, config, unknown) is Reason.CODEC_UNKNOWN
        assert not streams(config, facts)
