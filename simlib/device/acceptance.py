"""An artefact's manifest against what the device is: all that can be refused before a byte is written.

Its signature first, nothing in it is believed before; then hardware, security counter, no trial under way,
another image than the one that runs, a higher version where the boot loader chooses by it, room in slot,
download partition and RAM, the blob's length, for a patch the hash of the image that runs.

Leaves to others: what is done with the blob (`updater`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from simlib.device.bootloader import boot_loader
from simlib.device.fitness import arrival, check_codec, check_image, check_memory
from simlib.device.metered_key import metered
from simlib.device.rebuild import running_image
from simlib.errors import Reason, Refused
from simlib.firmware.image import parse_header
from simlib.release import Manifest, open_manifest

if TYPE_CHECKING:
    from simlib.device.device import Device
    from simlib.security.keys import VerifyKey


def opened(device: Device, keys: Sequence[VerifyKey], manifest: bytes) -> Manifest:
    """The facts of a manifest that one of `keys` has signed; raises `Refused` as `open_manifest` does."""
    with device.step("manifest", "signature") as note:
        device.meter.sha256(len(manifest))
        facts = open_manifest(manifest, metered(keys, device.meter))
        note.detail = f"{facts.kind} artefact of {facts.version}"
        return facts


def check_facts(device: Device, facts: Manifest, blob: bytes) -> None:
    """What can be told from the manifest alone, before a byte is written."""
    hardware = device.config.hardware
    if hardware and facts.hardware and hardware not in facts.hardware:
        raise Refused(
            Reason.HARDWARE_MISMATCH, f"hardware: found {', '.join(facts.hardware)}, expected {hardware}"
        )
    if facts.security_counter < device.security_counter:
        raise Refused(
            Reason.SECURITY_COUNTER_LOW,
            f"security counter: found {facts.security_counter}, expected {device.security_counter} or more",
        )
    if facts.kind == "full" and facts.blob_size != facts.image_size:
        raise Refused(
            Reason.ARTEFACT_MISMATCH,
            f"manifest: found a blob of {facts.blob_size} bytes, expected {facts.image_size}",
        )
    if len(blob) != facts.blob_size:
        # The length is known before the body (as by HTTP's Content-Length), so an endless one is never begun.
        raise Refused(Reason.ARTEFACT_MISMATCH, f"blob: found {len(blob)} bytes, expected {facts.blob_size}")
    check_codec(device.config, facts)
    if boot_loader(device).in_trial(device):
        # The other slot holds the image that a failed trial reverts to.
        raise Refused(Reason.TRIAL_PENDING, "trial: found one under way, expected it confirmed or reverted")
    _check_new(device, facts)
    check_memory(device.config, facts)
    if device.layout.in_place:
        return  # how much fits, its driver will say
    check_image(device.config, facts, encrypted=device.decryption_key is not None)
    arrival(device.config, facts)
    if facts.base_sha256 is not None:
        _check_base(device, facts)


def _check_new(device: Device, facts: Manifest) -> None:
    """Not the image that is there already; that one is hashed only if size and version are the manifest's."""
    try:
        image = running_image(device)
    except Refused:
        return  # an only slot, broken by an earlier install
    version = parse_header(image).version
    if (version, len(image)) == (facts.version, facts.image_size):
        device.meter.sha256(len(image))
        if sha256(image).digest() == facts.image_sha256:
            raise Refused(
                Reason.ALREADY_INSTALLED,
                f"running image: found {facts.version}, byte for byte the manifest's, expected another one",
            )
    if device.layout.runs_from_both and facts.version <= version:
        raise Refused(
            Reason.VERSION_LOW,
            f"version: found {facts.version}, expected more than {version}: the highest one runs",
        )


def _check_base(device: Device, facts: Manifest) -> None:
    base = running_image(device)
    device.meter.sha256(len(base))
    found = sha256(base).digest()
    if found != facts.base_sha256:
        raise Refused(Reason.WRONG_BASE, f"running image: found SHA-256 {found.hex()}, expected the base")
