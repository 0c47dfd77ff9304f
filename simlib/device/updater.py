"""The updater: the part of the running firmware that takes an artefact and prepares the next boot.

Where the new image does not overwrite the one that runs, in this order:

1. the manifest's signature; nothing in it is believed before;
2. what it says against what the device is: hardware, security counter, no trial under way, another image
   than the one that is there byte for byte (already installed: nothing to do), a higher version where the
   boot loader chooses by it, room in slot, download partition and RAM, the blob's length, for a patch the
   hash of the image that runs;
3. the bytes go to the slot of the next image (a full artefact) or to the download partition (a patch), each
   sector erased just ahead of its first write;
4. the stored blob's hash; a patch is then deciphered, applied to the image that runs, its result compared
   with the manifest and written to the slot, encrypted anew if the image is an encrypted one;
5. the boot loader's own check on the slot, and what it found against the manifest: version, counter, size,
   and the hash of an image that travels in the clear;
6. the request: only now does anything count.

Of the layout `in-place-journal` both kinds wait in the download partition, and what a patch makes is checked
without being written: that is left to the boot loader.

A refusal at any point leaves everything but the place of the next image and the download partition as it was.
It is charged for what was done until then.

With a single slot there is no place to put the bytes but over the running image: the updater, which then
runs from RAM, erases and overwrites that slot while the bytes arrive, each piece deciphered just before it is
written. It makes the same checks of the manifest, but its driver is what tells it that the slot has
ended: by then the old image is gone.

A patch stays encrypted under a key of its own while it is stored; patches are made of plain images and
encrypted afterwards (a patch between ciphertexts would be as large as the image).

Leaves to others: when to start and whether to start at all (`precheck` and the fleet), the swap
(`bootloader`), how the bytes travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from simlib.device.bootloader import boot_loader
from simlib.device.bootloader.check import check_candidate, check_running, image_limit
from simlib.device.bootloader.in_place import DELTA, InPlace, check_patch, request_made
from simlib.device.flash import LARGEST_WRITE_BYTES, FlashError, FlashErrorKind
from simlib.device.metered_key import metered
from simlib.device.payload_cipher import PayloadCipher
from simlib.device.places import Place, occupied
from simlib.device.ram import ram_needed
from simlib.device.rebuild import rebuilt, running_image, unpacked
from simlib.errors import Reason, Refused
from simlib.firmware.header import Header
from simlib.firmware.image import parse_header, parse_image
from simlib.release import Manifest, open_manifest
from simlib.security.encryption import content_key_of, unwrap_key

if TYPE_CHECKING:
    from simlib.device.device import Device
    from simlib.security.keys import VerifyKey
    from simlib.security.verification import VerifiedImage

_AS_IT_IS: Final = PayloadCipher(None, None)


def install(device: Device, release_keys: Sequence[VerifyKey], manifest: bytes, blob: bytes) -> Reason:
    """Take an artefact as it arrived; NONE when the next boot will run or try the new image.

    `release_keys` sign manifests. What was done and refused stands in the device's journal. Any other reason
    is why nothing was requested.

    Raises:
        PowerCut: power failed on the way.
    """
    try:
        facts = _opened(device, release_keys, manifest)
        with device.step("check", "the manifest against the device"):
            _check_facts(device, facts, blob)
        if device.layout.in_place:
            _overwrite(device, facts, blob)
        elif facts.kind == "full":
            _store_image(device, facts, blob)
            boot_loader(device).request(device)
        elif isinstance(boot_loader(device), InPlace):
            request_made(device, DELTA, len(blob), _store_patch(device, facts, blob))
        else:
            _rebuild_image(device, facts, blob)
            boot_loader(device).request(device)
    except Refused as refusal:
        device.note("install", f"refused, {refusal}")
        return refusal.reason
    except FlashError as error:
        if error.kind not in (FlashErrorKind.OUT_OF_PARTITION, FlashErrorKind.WRITE_FAILED):
            raise  # a rule of the flash was broken, and that is this module's fault
        device.note("install", f"the driver refused, {error}")
        return Reason.WRITE_REFUSED
    device.note("install", f"ready, {facts.version}")
    return Reason.NONE


def confirm_update(device: Device) -> None:
    """After a passed self-test: the image on trial stays, and the security counter follows it.

    In this order: were the counter first, a cut between the two would leave the old image refused at the
    revert. Without a trial under way there is nothing to do: the counter follows such an image at a boot, and
    what lies in an only slot need not be what runs. Raises `PowerCut` where power fails on the way.
    """
    loader = boot_loader(device)
    if not loader.in_trial(device):
        return
    loader.confirm(device)
    counter = parse_image(occupied(loader.running(device))).security_counter or 0
    device.raise_security_counter(counter, "confirm")


def _opened(device: Device, keys: Sequence[VerifyKey], manifest: bytes) -> Manifest:
    with device.step("manifest", "signature") as note:
        device.meter.sha256(len(manifest))
        facts = open_manifest(manifest, metered(keys, device.meter))
        note.detail = f"{facts.kind} artefact of {facts.version}"
        return facts


def _check_facts(device: Device, facts: Manifest, blob: bytes) -> None:
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
    if facts.kind != "full" and not device.layout.patches:
        raise Refused(Reason.NO_ARTEFACT, "artefact: found a patch, expected a full one (one slot)")
    if boot_loader(device).in_trial(device):
        # The other slot holds the image that a failed trial reverts to.
        raise Refused(Reason.TRIAL_PENDING, "trial: found one under way, expected it confirmed or reverted")
    _check_new(device, facts)
    if device.layout.in_place:
        return  # how much fits, its driver will say
    _check_room(device, facts)
    if facts.kind != "full":
        _check_base(device, facts)


def _check_room(device: Device, facts: Manifest) -> None:
    limit = image_limit(device)
    if facts.image_size > limit:
        raise Refused(Reason.STORAGE_SHORT, f"image: {facts.image_size} bytes, expected at most {limit}")
    if facts.kind != "full" or isinstance(boot_loader(device), InPlace):
        room = device.area("download").size if device.has("download") else 0
        if facts.blob_size > room:
            what = "patch" if facts.kind != "full" else "image to wait"
            raise Refused(Reason.STORAGE_SHORT, f"{what}: {facts.blob_size} bytes, expected at most {room}")
    ram, needed = device.config.ram_bytes, ram_needed(device.config, facts)
    if ram and needed > ram:
        raise Refused(Reason.MEMORY_SHORT, f"RAM: found {ram} bytes, expected {needed} for this artefact")


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


def _store_image(device: Device, facts: Manifest, blob: bytes) -> None:
    """A full artefact: its blob is the image, byte for byte as the slot shall hold it."""
    loader = boot_loader(device)
    loader.prepare(device)
    place = loader.target(device)
    with device.step("write", f"{len(blob)} bytes to {_named(place)}"):
        _stream(place, blob)
    _check_stored(device, place, facts)
    image = check_candidate(device, place)
    _check_promise(image, facts)
    _check_one_hash(image.header, facts)


def _store_patch(device: Device, facts: Manifest, blob: bytes) -> bytes | None:
    """A patch that the boot loader will apply; its content key, if it has one."""
    boot_loader(device).prepare(device)
    _receive_patch(device, facts, blob)
    with device.step("decrypt", "the patch"):
        patch = unpacked(device, facts)
    _check_promise(check_patch(device, patch), facts)
    if facts.wrapped_key is None or device.decryption_key is None:
        return None
    return unwrap_key(facts.wrapped_key, device.decryption_key)


def _rebuild_image(device: Device, facts: Manifest, blob: bytes) -> None:
    """A patch: stored, checked, applied to the running image, the result written to the slot."""
    _receive_patch(device, facts, blob)
    meter = device.meter
    with device.step("patch", f"for an image of {facts.image_size} bytes"):
        image = rebuilt(device, unpacked(device, facts))
    with device.step("encrypt", "the rebuilt image under its own content key") as note:
        header = parse_header(image)
        if not header.encrypted:
            note.detail = "not an encrypted image"
        elif device.decryption_key is None:
            raise _no_key()
        else:
            meter.unwrap(device.decryption_key.algorithm)
            key = content_key_of(image, device.decryption_key)
            image = PayloadCipher.of(header, key).turn(0, image, meter)
    loader = boot_loader(device)
    loader.prepare(device)
    place = loader.target(device)
    with device.step("write", f"{len(image)} bytes to {_named(place)}"):
        _stream(place, image)
    _check_promise(check_candidate(device, place), facts)


def _receive_patch(device: Device, facts: Manifest, blob: bytes) -> None:
    place = Place(device.area("download"))
    with device.step("write", f"{len(blob)} bytes to {_named(place)}"):
        _stream(place, blob)
    _check_stored(device, place, facts)


def _named(place: Place) -> str:
    return f"the {place.name} {'partition' if place.name == 'download' else 'slot'}"


def _overwrite(device: Device, facts: Manifest, blob: bytes) -> None:
    """No second slot: over the running image while the bytes arrive, without a way back."""
    header = parse_header(blob)
    _check_one_hash(header, facts)
    cipher = _AS_IT_IS
    if header.encrypted:
        with device.step("decrypt", "the content key; the TLVs are fetched ahead of the payload"):
            if device.decryption_key is None:
                raise _no_key()
            device.meter.unwrap(device.decryption_key.algorithm)
            cipher = PayloadCipher.of(header, content_key_of(blob, device.decryption_key))
    what = f"{len(blob)} bytes over the only slot{', deciphered on the way' if header.encrypted else ''}"
    with device.step("write", what) as note:
        try:
            _stream(Place(device.area("primary")), blob, cipher)
        except FlashError as error:
            note.detail = f"{what}, stopped: {error}"
            raise
    _check_promise(check_running(device, Place(device.area("primary")))[0], facts)


def _stream(place: Place, data: bytes, cipher: PayloadCipher = _AS_IT_IS) -> None:
    """Write `data` from `place` on, each sector erased just ahead of its first write.

    `cipher` turns each piece just before it is written.
    """
    area, sector = place.area, place.area.sector
    erased = 0
    for at in range(0, len(data), LARGEST_WRITE_BYTES):
        chunk = data[at : at + LARGEST_WRITE_BYTES]
        while erased < at + len(chunk):
            area.erase(place.offset + erased)
            erased += sector
        area.write_bytes(place.offset + at, cipher.turn(at, chunk, area.flash.meter))


def _check_stored(device: Device, place: Place, facts: Manifest) -> None:
    """The blob as it now lies in flash against the manifest's hash."""
    with device.step("hash", f"the blob in {place.name}") as note:
        device.meter.sha256(facts.blob_size)
        found = sha256(place.read(0, facts.blob_size)).digest()
        if found != facts.blob_sha256:
            note.detail = f"the blob in {place.name} is not the manifest's"
            raise Refused(
                Reason.ARTEFACT_MISMATCH,
                f"blob: found SHA-256 {found.hex()}, expected {facts.blob_sha256.hex()}",
            )


def _check_promise(image: VerifiedImage, facts: Manifest) -> None:
    """The image that passed the boot loader's check against what the manifest said it would be."""
    found = (image.version, image.security_counter or 0, image.image_size)
    expected = (facts.version, facts.security_counter, facts.image_size)
    if found != expected:
        raise Refused(
            Reason.ARTEFACT_MISMATCH,
            f"image: found version, security counter and size {'{} {} {}'.format(*found)}, "
            f"expected {'{} {} {}'.format(*expected)}",
        )


def _check_one_hash(header: Header, facts: Manifest) -> None:
    """An image that travels in the clear is the blob: a manifest that gives them two hashes names no image.

    What an encrypted one's would be is not computed: the image's own hash has been, over the same payload.
    """
    if not header.encrypted and facts.image_sha256 != facts.blob_sha256:
        raise Refused(
            Reason.ARTEFACT_MISMATCH,
            f"image: found SHA-256 {facts.blob_sha256.hex()}, expected {facts.image_sha256.hex()}",
        )


def _no_key() -> Refused:
    return Refused(
        Reason.DECRYPTION_FAILED, "image: found an encrypted one, expected one in the clear (no key)"
    )
