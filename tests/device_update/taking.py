"""One device and one update, by hand: what is shipped, what is sent, and what must run afterwards."""

from __future__ import annotations

from collections.abc import Callable

from simlib.device import Device, new_device
from simlib.device.bootloader import boot, boot_loader
from simlib.device.config import DeviceConfig
from simlib.device.update_case import FlashShape, config_for
from simlib.device.updater import confirm_update, install
from simlib.errors import Reason
from simlib.release import Artefact, Manifest, Release, open_manifest, unpack_blob

MakeRelease = Callable[..., Release]


def facts_of(release: Release, artefact: Artefact) -> Manifest:
    return open_manifest(artefact.manifest, (release.verify_key,))


def coded(release: Release, base: int, target: int | None = None) -> Artefact:
    """What leads there with the release's codec."""
    return next(each for each in release.artefacts_for(base, target) if each.kind != "full")


def fitting(release: Release, artefact: Artefact, layout: str, **changes: int) -> DeviceConfig:
    """The least device that runs the release's images and has a place for the artefact to wait."""
    patch = unpack_blob(facts_of(release, artefact), artefact.blob, release.decryption_key)
    return config_for(
        FlashShape(layout, 512, None, 4, 0xFF, **changes),
        sorted(map(len, release.images), reverse=True),
        len(artefact.blob),
        encrypted=release.decryption_key is not None,
        patches=[patch],
    )


def shipped(release: Release, config: DeviceConfig, base: int = 0) -> Device:
    """A device fresh from the factory, booted."""
    device = new_device(
        config,
        (release.verify_key,),
        release.decryption_key,
        release.images[base],
        release.security_counters[base],
    )
    assert str(boot(device).version) == str(release.firmwares[base].version)
    return device


def take(release: Release, device: Device, artefact: Artefact) -> Reason:
    return install(device, (release.verify_key,), artefact.manifest, artefact.blob)


def expect_to_run(release: Release, device: Device, number: int) -> None:
    """The next boot runs the chain's image of this number, which then confirms itself and stays."""
    for trial in (device.layout.has_trial, False):
        booted = boot(device)
        assert (booted.trial, str(booted.version)) == (trial, str(release.firmwares[number].version))
        image = release.images[number]
        assert device.area(device.running_slot).read(0, len(image)) == image
        confirm_update(device)
    assert device.security_counter == release.security_counters[number]
    assert not boot_loader(device).in_trial(device)
