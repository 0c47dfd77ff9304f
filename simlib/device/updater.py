"""The updater: the part of the running firmware that takes an artefact and prepares the next boot.

Where the new image does not overwrite the one that runs, in this order:

1. the manifest's signature, and what it says against what the device is (`acceptance`);
2. the bytes go to the slot of the next image (a full artefact) or to the download partition (a patch or a
   compressed image), each sector erased just ahead of its first write;
3. the stored blob's hash; a patch is then deciphered, applied to the image that runs, its result compared
   with the manifest and written to the slot, encrypted anew if the image is an encrypted one;
4. the boot loader's own check on the slot, and what it found against the manifest: version, counter, size,
   and the hash of an image that travels in the clear;
5. the request: only now does anything count.

A patch whose codec streams needs no download partition: where there is none for it, it is decoded as its
bytes arrive and its result written to the slot at once. Its hash and the result's are compared at the end;
until the request, what lies in that slot means nothing.

Of the layout `in-place-journal` both kinds wait in the download partition, and what a patch makes is checked
without being written: that is left to the boot loader.

A refusal at any point leaves everything but the place of the next image and the download partition as it was.
It is charged for what was done until then. Where the boot loader needs no request to run an image, the header
of one that was refused is erased.

With a single slot there is no place to put the bytes but over the running image: the updater, which then
runs from RAM, erases and overwrites that slot while the bytes arrive, each piece deciphered just before it is
written. It makes the same checks of the manifest, but its driver is what tells it that the slot has
ended: by then the old image is gone.

A patch stays encrypted under a key of its own while it is stored; patches are made of plain images and
encrypted afterwards (a patch between ciphertexts would be as large as the image).

Leaves to others: when to start and whether to start at all (`fitness` and the fleet), the swap
(`bootloader`), how the bytes travel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from simlib.device.acceptance import check_facts, opened
from simlib.device.bootloader import boot_loader
from simlib.device.bootloader.check import check_candidate, check_running
from simlib.device.bootloader.in_place import DELTA, check_patch, request_made
from simlib.device.fitness import Arrival, arrival
from simlib.device.flash import LARGEST_WRITE_BYTES, FlashError, FlashErrorKind
from simlib.device.payload_cipher import PayloadCipher, cipher_of
from simlib.device.places import Place, occupied
from simlib.device.rebuild import made_while_it_arrives, rebuilt, unpacked
from simlib.errors import Reason, Refused
from simlib.firmware.header import Header
from simlib.firmware.image import parse_header, parse_image
from simlib.release import Manifest, check_envelope
from simlib.security.encryption import unwrap_key

if TYPE_CHECKING:
    from simlib.device.device import Device, StepNote
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
        facts = opened(device, release_keys, manifest)
        with device.step("check", "the manifest against the device"):
            check_facts(device, facts, blob)
        if device.layout.in_place:
            _overwrite(device, facts, blob)
        elif facts.kind == "full":
            _store_image(device, facts, blob)
            boot_loader(device).request(device)
        elif device.layout.waits:
            request_made(device, DELTA, len(blob), _store_patch(device, facts, blob))
        else:
            if arrival(device.config, facts) is Arrival.STREAM:
                _stream_image(device, facts, blob)
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
    try:
        counter = parse_image(occupied(loader.running(device))).security_counter or 0
    except Refused as refusal:
        device.note("confirm", f"not confirmed, {refusal}")
        return
    loader.confirm(device)
    device.raise_security_counter(counter, "confirm")


def _store_image(device: Device, facts: Manifest, blob: bytes) -> None:
    """A full artefact: its blob is the image, byte for byte as the slot shall hold it."""
    loader = boot_loader(device)
    loader.prepare(device)
    place = loader.target(device)
    with device.step("write", f"{len(blob)} bytes to {_named(place)}"):
        # Where the boot loader needs no request, the header is what makes an image of the bytes.
        held = _write(place, _portions(blob), hold=not device.layout.on_request)
    _check_stored(device, place, facts, held)
    with _forgotten_if_refused(device, place):
        _write_held(device, place, held)
        image = check_candidate(device, place)
        _check_promise(image, facts)
        _check_one_hash(image.header, facts)


@contextmanager
def _forgotten_if_refused(device: Device, place: Place) -> Iterator[None]:
    """An image that this updater refuses must not run because a boot loader needs no request for it."""
    try:
        yield
    except Refused:
        if not device.layout.on_request:
            with device.step("erase", f"the header of what is in {_named(place)}"):
                place.area.erase(place.offset)
        raise


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
            image = cipher_of(image, device.decryption_key, meter).turn(0, image, meter)
    loader = boot_loader(device)
    loader.prepare(device)
    place = loader.target(device)
    with device.step("write", f"{len(image)} bytes to {_named(place)}"):
        _write(place, _portions(image))
    with _forgotten_if_refused(device, place):
        _check_promise(check_candidate(device, place), facts)


def _stream_image(device: Device, facts: Manifest, blob: bytes) -> None:
    """A patch, decoded while it arrives: its result goes to the slot, and then everything is checked."""
    check_envelope(facts, blob)
    loader = boot_loader(device)
    loader.prepare(device)
    place = loader.target(device)
    with device.step("patch", f"{facts.image_size} bytes to {_named(place)}, while {len(blob)} arrive"):
        held = _write(place, made_while_it_arrives(device, blob), hold=not device.layout.on_request)
    with device.step("hash", "the blob that arrived") as note:
        _check_blob(device, facts, blob, note)
    with _forgotten_if_refused(device, place):
        _write_held(device, place, held)
        _check_promise(check_candidate(device, place), facts)


def _receive_patch(device: Device, facts: Manifest, blob: bytes) -> None:
    place = Place(device.area("download"))
    with device.step("write", f"{len(blob)} bytes to {_named(place)}"):
        _write(place, _portions(blob))
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
            cipher = cipher_of(blob, device.decryption_key, device.meter)
    what = f"{len(blob)} bytes over the only slot{', deciphered on the way' if header.encrypted else ''}"
    with device.step("write", what) as note:
        try:
            _write(Place(device.area("primary")), _portions(blob), cipher)
        except FlashError as error:
            note.detail = f"{what}, stopped: {error}"
            raise
    _check_promise(check_running(device, Place(device.area("primary")))[0], facts)


def _portions(data: bytes) -> Iterator[bytes]:
    return (data[at : at + LARGEST_WRITE_BYTES] for at in range(0, len(data), LARGEST_WRITE_BYTES))


def _write(
    place: Place, portions: Iterable[bytes], cipher: PayloadCipher = _AS_IT_IS, *, hold: bool = False
) -> bytes:
    """Write `portions` from `place` on, each sector erased just ahead of its first write.

    `cipher` turns each just before it is written. With `hold` the first is held back, and returned.
    """
    area, sector = place.area, place.area.sector
    at = erased = 0
    held = b""
    for portion in portions:
        while erased < at + len(portion):
            area.erase(place.offset + erased)
            erased += sector
        if hold and not at:
            held = portion
        else:
            area.write_bytes(place.offset + at, cipher.turn(at, portion, area.flash.meter))
        at += len(portion)
    return held


def _write_held(device: Device, place: Place, held: bytes) -> None:
    if held:
        with device.step("write", "the header, held back until the blob was found to be the manifest's"):
            place.area.write_bytes(place.offset, held)


def _check_stored(device: Device, place: Place, facts: Manifest, held: bytes = b"") -> None:
    """The blob as it lies in flash, but for the bytes `held` back, against the manifest's hash."""
    with device.step("hash", f"the blob in {place.name}") as note:
        _check_blob(device, facts, held + place.read(len(held), facts.blob_size - len(held)), note)


def _check_blob(device: Device, facts: Manifest, blob: bytes, note: StepNote) -> None:
    device.meter.sha256(facts.blob_size)
    found = sha256(blob).digest()
    if found != facts.blob_sha256:
        note.detail = f"{note.detail} is not the manifest's"
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
