"""How much RAM an install takes, by layout and artefact; a device with less refuses it beforehand."""

from __future__ import annotations

import pytest

from simlib.delta import codec_names, codec_ram_bytes
from simlib.device import Device
from simlib.device.bootloader import boot
from simlib.device.fitness import has_room
from simlib.device.ram import boot_ram, install_ram, ram_needed
from simlib.errors import Reason
from simlib.release import Manifest, open_manifest
from tests.device_boot.rigs import LAYOUTS, RELEASER, Rig, runs

COPYING = 2048 + 1024
"""Stack and contexts, and MCUboot's copy buffer."""
CASES = [
    (layout, kind)
    for layout in LAYOUTS
    for kind in ("full", "delta")
    if (layout, kind) != ("single-slot", "delta")
]


def case(layout: str, kind: str, ram: int = 0) -> tuple[Rig, Device, bytes, bytes, Manifest]:
    rig = Rig.of(layout, sectors=24, sector=512, ram_bytes=ram)
    old, new = rig.image("1.1.0", 4_000), rig.image("1.2.0", 5_000)
    device = rig.device(old)
    facts = open_manifest(rig.offer(device, new, kind)[0], (RELEASER.public(),))
    return rig, device, old, new, facts


@pytest.mark.parametrize(("layout", "kind"), CASES)
def test_what_is_needed_is_the_buffers_the_codec_and_what_the_layout_adds(layout: str, kind: str) -> None:
    rig, _, _, new, facts = case(layout, kind)
    codec = codec_ram_bytes("bsdiff4", facts.blob_size, len(new)) if kind == "delta" else 0
    assert install_ram(facts) == COPYING + codec
    by_boot = {"ram-load": len(new), "in-place-journal": (512 + codec) if kind == "delta" else 0}
    assert boot_ram(rig.config, facts) == COPYING + by_boot.get(layout, 0)
    assert ram_needed(rig.config, facts) == max(install_ram(facts), boot_ram(rig.config, facts))


@pytest.mark.parametrize(("layout", "kind"), [c for c in CASES if c[0] not in ("single-slot", "ram-load")])
def test_a_device_with_a_byte_less_refuses_before_it_writes_and_one_with_enough_installs(
    layout: str, kind: str
) -> None:
    *_, facts = case(layout, kind)
    needed = ram_needed(case(layout, kind)[0].config, facts)
    for ram, reason in ((needed - 1, Reason.MEMORY_SHORT), (needed, Reason.NONE), (0, Reason.NONE)):
        rig, device, old, new, facts = case(layout, kind, ram)
        assert has_room(rig.config, facts, encrypted=False) is (reason is Reason.NONE)
        assert rig.take(device, new, kind) is reason
        if reason is not Reason.NONE:
            assert device.flash.ops == 0
        assert runs(boot(device), rig, old if reason is not Reason.NONE else new)


@pytest.mark.parametrize("kind", ["full", "delta"])
def test_a_device_that_runs_images_from_ram_needs_room_for_them_beside_the_buffers(kind: str) -> None:
    *_, facts = case("ram-load", kind)
    needed = ram_needed(case("ram-load", kind)[0].config, facts)
    assert needed >= COPYING + 5_000
    for ram in (needed - 1, needed):
        rig, device, _, new, facts = case("ram-load", kind, ram)
        enough = ram == needed
        assert has_room(rig.config, facts, encrypted=False) is enough
        assert rig.take(device, new, kind) is (Reason.NONE if enough else Reason.MEMORY_SHORT)


@pytest.mark.parametrize("codec", codec_names())
def test_every_codec_says_what_it_takes_and_never_less_for_a_larger_result(codec: str) -> None:
    small, large = codec_ram_bytes(codec, 500, 10_000), codec_ram_bytes(codec, 50_000, 1_000_000)
    assert 0 < small <= large


def test_a_single_slot_is_not_asked_for_more_than_it_copies_through() -> None:
    rig, *_, facts = case("single-slot", "full")
    assert ram_needed(rig.config, facts) == COPYING
    assert has_room(rig.with_config(ram_bytes=COPYING).config, facts, encrypted=False)
    assert not has_room(rig.with_config(ram_bytes=COPYING - 1).config, facts, encrypted=False)
