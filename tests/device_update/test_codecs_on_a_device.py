"""Every codec on a layout of each sort: the device runs the new image, or refuses and says why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simlib.delta import codec_names
from simlib.device.layouts import get
from simlib.device.ram import ram_needed
from simlib.errors import Reason
from tests.device_update.taking import MakeRelease, coded, expect_to_run, facts_of, fitting, shipped, take

NOT_OVER_THE_BASE = {"zstd-patch-from", "full-heatshrink", "full-lzma", "full-zstd"}
CASES = [
    (layout, encrypted)
    for layout in ("swap-move", "overwrite-only", "direct-xip-revert", "in-place-journal", "single-slot")
    for encrypted in (False, True)
    if get(layout).encrypts or not encrypted
]


@pytest.mark.parametrize(("layout", "encrypted"), CASES)
@pytest.mark.parametrize("codec", codec_names())
def test_a_device_takes_the_update_and_confirms_it_or_keeps_every_byte(
    release_with: MakeRelease, codec: str, layout: str, encrypted: bool
) -> None:
    release = release_with(codec, encrypted=encrypted)
    artefact = coded(release, 0)
    assert facts_of(release, artefact).codec == codec
    device = shipped(release, fitting(release, artefact, layout))
    before, ops = device.flash.content(), device.flash.ops
    found = take(release, device, artefact)
    if layout == "single-slot" or (layout == "in-place-journal" and codec in NOT_OVER_THE_BASE):
        assert found is Reason.NO_ARTEFACT
        assert (device.flash.content(), device.flash.ops) == (before, ops)
        assert take(release, device, release.full_for()) is (
            Reason.NONE if layout == "single-slot" else Reason.STORAGE_SHORT
        ), "the image waits where the patch would"
        return
    assert found is Reason.NONE
    expect_to_run(release, device, 2)


@pytest.mark.parametrize("codec", codec_names())
def test_a_byte_of_ram_decides(release_with: MakeRelease, codec: str) -> None:
    """What an update takes is told from its manifest, and with a byte less it is refused untouched."""
    release = release_with(codec)
    artefact = coded(release, 0)
    config = fitting(release, artefact, "swap-move")
    needed = ram_needed(config, facts_of(release, artefact))
    assert needed > ram_needed(config, facts_of(release, release.full_for()))
    for ram, expected in ((needed, Reason.NONE), (needed - 1, Reason.MEMORY_SHORT)):
        device = shipped(release, replace(config, ram_bytes=ram))
        before = device.flash.content()
        assert take(release, device, artefact) is expected
        assert (device.flash.content() == before) == (expected is Reason.MEMORY_SHORT)
