"""What is said of a device before a download, and what the device does, agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simlib.device import DeviceConfig, new_device
from simlib.device.fitness import has_room
from simlib.device.updater import install
from simlib.errors import Reason
from simlib.release import open_manifest


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("layout", ["swap-move", "single-slot"])
@pytest.mark.parametrize("sectors", range(20, 32))
@pytest.mark.parametrize("sector", [512, 528])  # with 528 the content keys alone take the trailer one more
@pytest.mark.parametrize("download", [0, 1, 8])
def test_what_has_room_installs_and_what_has_none_does_not(
    make_release, layout, sector, sectors, download, encrypted
) -> None:
    release = make_release((9_000, 10_900), encrypted=encrypted)
    config = DeviceConfig(layout, sectors * sector, download * sector, sector_size_bytes=sector)
    for artefact in release.artefacts:
        manifest = open_manifest(artefact.manifest, (release.verify_key,))
        device = new_device(config, (release.verify_key,), release.decryption_key, release.images[0], 1)
        found = install(device, (release.verify_key,), artefact.manifest, artefact.blob)
        assert has_room(config, manifest, encrypted=encrypted) == (found is Reason.NONE), found


def test_a_byte_decides(make_release) -> None:
    release = make_release()
    patch = release.artefacts[1]
    manifest = open_manifest(patch.manifest, (release.verify_key,))
    config = DeviceConfig("swap-move", 16_384, 4_096, sector_size_bytes=512)
    assert has_room(config, replace(manifest, blob_size=4_096), encrypted=True)
    assert not has_room(config, replace(manifest, blob_size=4_097), encrypted=True)
    assert not has_room(config, replace(manifest, image_size=16_384), encrypted=True)
    one = DeviceConfig("single-slot", 16_384, 4_096, sector_size_bytes=512)
    full = open_manifest(release.artefacts[0].manifest, (release.verify_key,))
    assert has_room(one, replace(full, image_size=16_384), encrypted=True)
    assert not has_room(one, replace(full, image_size=16_385), encrypted=True)
    assert not has_room(one, manifest, encrypted=True)
