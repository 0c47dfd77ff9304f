"""The boot loader of the `in-place-journal` layout: the new image is made over the old one, safely.

There is one slot, a download partition in which the artefact waits, and a scratch area with spare sectors and
a journal: a trailer like a slot's, which says what is to be done and which steps are complete. The updater
has written it after its checks; the boot loader checks once more before the first step, on what the patch
will make, so that nothing refused costs the old image. Then the steps are taken (`journal_plan`), each
recorded when it is complete, and any may be repeated after a power cut. From the first on there is no way
back, and so no trial: the device goes on until the new image is whole.

A full image is copied over the old one from the download partition. An encrypted one is deciphered on the
way; an encrypted patch is deciphered by its content key, which the journal keeps.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from simlib.delta import Envelope, Recipe, codec_traits, patch_recipe
from simlib.device.bootloader import loader, swap
from simlib.device.bootloader.check import check_bytes, check_candidate
from simlib.device.bootloader.journal_plan import Make, Plan, Save, plan_for
from simlib.device.bootloader.outcome import Boot, Swap
from simlib.device.payload_cipher import cipher_of
from simlib.device.places import Place, occupied
from simlib.device.rebuild import rebuilt
from simlib.device.trailer import Magic, Trailer
from simlib.errors import Reason, Refused
from simlib.security.encryption import ctr_crypt

if TYPE_CHECKING:
    from simlib.device.device import Device
    from simlib.security.verification import VerifiedImage

FULL: Final = 1
DELTA: Final = 2
_KIND: Final = struct.Struct("<B")


class InPlace(loader.WithoutTrial):
    """The layout's boot loader."""

    def boot(self, device: Device) -> Boot:
        """Boot once."""
        done, refused = Swap.NONE, Reason.NONE
        journal = _journal(device)
        state = journal.state()
        if state.magic is Magic.GOOD and not state.copy_done:
            try:
                if journal.status_units() == 0:
                    _check_waiting(device, journal)
            except Refused as refusal:
                refused = refusal.reason
                with device.step("boot", "take back the refused request"):
                    _clear(journal)
            else:
                done, refused = _carried_out(device, journal)
        return self.run(device, done, refused)

    def target(self, device: Device) -> Place:
        """The download partition: what is there is no image yet, but what one is made from."""
        return Place(device.area("download"))

    def prepare(self, device: Device) -> None:
        """Erase the journal's trailer before anything else."""
        with device.step("erase", "the journal's trailer"):
            _clear(_journal(device))

    def request(self, device: Device) -> None:
        """Ask for the full image in the download partition; `request_made` asks for others too."""
        image = occupied(self.target(device))
        request_made(device, FULL, len(image), None)


def request_made(device: Device, kind: int, size: int, content_key: bytes | None) -> None:
    """Ask for what waits in the download partition, `size` bytes: FULL or DELTA.

    `content_key` is an encrypted patch's. Raises `Refused` WRITE_REFUSED where the journal is worn.
    """
    journal = _journal(device)
    with device.step("request", "in place"):
        if not journal.is_clean():
            _clear(journal)
        if journal.status_units():
            raise Refused(Reason.WRITE_REFUSED, "journal: found a status after its erase, as in worn cells")
        journal.area.write_bytes(journal.map.swap_info, _KIND.pack(kind))
        journal.write_swap_size(size)
        if content_key is not None:
            journal.write_content_key(0, content_key)
        journal.write_magic()


def check_patch(device: Device, patch: bytes) -> VerifiedImage:
    """What `patch` makes of the image in the slot, checked like any image.

    Raises `Refused` as `simlib.device.rebuild` and the check do; STORAGE_SHORT for too few spare sectors.
    """
    with device.step("patch", "what it makes, without writing it"):
        image = rebuilt(device, patch)
    plan = _plan_of(patch, device.area("primary").sector)
    spares = _spare_sectors(device)
    if plan.spares > spares:
        raise Refused(
            Reason.STORAGE_SHORT,
            f"scratch: found {spares} spare sectors, expected {plan.spares} for this patch",
        )
    with device.step("check", "the image that the patch makes"):
        return check_bytes(device, image, Place(device.area("primary")), in_the_clear=True)


def _journal(device: Device) -> Trailer:
    return swap.trailer_of(device, "scratch")


def _clear(journal: Trailer) -> None:
    """Erase the journal; one that still asks says first that it is done.

    Its status is erased before its magic, and a torn erase may leave units that were never written.
    """
    state = journal.state()
    if state.magic is Magic.GOOD and not state.copy_done:
        journal.write_copy_done()
    journal.erase()


def _spare_sectors(device: Device) -> int:
    area = device.area("scratch")
    return area.sectors - _journal(device).map.sectors


def _check_waiting(device: Device, journal: Trailer) -> None:
    """Once more before the old image is touched: nothing else vouches for what lies in the flash."""
    if not 0 < journal.swap_size() <= device.area("download").size:
        raise Refused(Reason.ARTEFACT_MISMATCH, f"journal: found a size of {journal.swap_size()} bytes")
    if _kind(journal) == FULL:
        check_candidate(device, Place(device.area("download")))
    else:
        with device.step("in place", "read the patch"):
            patch = _patch(device, journal)
        check_patch(device, patch)


def _kind(journal: Trailer) -> int:
    (kind,) = _KIND.unpack(journal.area.read(journal.map.swap_info, _KIND.size))
    return int(kind)


def _patch(device: Device, journal: Trailer) -> bytes:
    blob = device.area("download").read(0, journal.swap_size())
    key = journal.content_key(0) if journal.map.encrypted else None
    if key is None:
        return blob
    device.meter.aes_ctr(len(blob), len(key))
    return ctr_crypt(key, blob)


def _carried_out(device: Device, journal: Trailer) -> tuple[Swap, Reason]:
    """What waits may have been spoilt since the work began: then the check says whether anything may run."""
    try:
        _carry_out(device, journal)
    except Refused as refusal:
        device.note("in place", f"stopped, {refusal}")
        return Swap.NONE, refusal.reason
    return Swap.COPIED, Reason.NONE


def _carry_out(device: Device, journal: Trailer) -> None:
    """Take the steps that are not recorded; unit 0 records that the work has begun."""
    if journal.status_units() == 0:
        with device.step("in place", "begin"):
            journal.write_status_unit(0)
    if _kind(journal) == FULL:
        _copy(device, journal)
    else:
        _make(device, journal)
    with device.step("in place", "complete"):
        journal.write_copy_done()


def _copy(device: Device, journal: Trailer) -> None:
    source, primary = Place(device.area("download")), device.area("primary")
    image = occupied(source)
    cipher = cipher_of(image, device.decryption_key, device.meter)
    done = max(0, journal.status_units() - 1)
    n, sector = len(image), primary.sector
    with device.step("in place", f"copy {n} bytes over the slot, {done} sectors done"):
        for step in range(done, -(-n // sector)):
            device.checkpoint("copy", step, n, cipher)
            data = source.read(step * sector, min(sector, n - step * sector))
            swap.put(primary, step * sector, cipher.turn(step * sector, data, device.meter))
            journal.write_status_unit(step + 1)


def _make(device: Device, journal: Trailer) -> None:
    with device.step("in place", "read the patch"):
        patch = _patch(device, journal)
    sector = device.area("primary").sector
    envelope, recipe = _recipe_of(patch)
    steps = _plan_of(patch, sector).steps
    done = max(0, journal.status_units() - 1)
    with device.step("in place", f"make {envelope.result_size} bytes in {len(steps)} steps, {done} done"):
        for number in range(done, len(steps)):
            device.checkpoint("make", number, envelope)
            match steps[number]:
                case Save(old, spare):
                    data = device.area("primary").read(old * sector, sector)
                    swap.put(device.area("scratch"), spare * sector, data)
                case Make(made, saved):
                    data = _made(device, recipe, made, dict(saved))
                    device.meter.patch(len(data), codec_traits(envelope.codec).effort_percent)
                    swap.put(device.area("primary"), made * sector, data)
            journal.write_status_unit(number + 1)


def _made(device: Device, recipe: Recipe, number: int, saved: dict[int, int]) -> bytes:
    """A sector of the result, from what is left of the base and what was saved of it."""
    primary, scratch = device.area("primary"), device.area("scratch")
    sector = primary.sector
    part = slice(number * sector, (number + 1) * sector)
    sources, made = recipe.sources[part], recipe.values[part].copy()
    of_sector = sources // sector
    for old in np.unique(of_sector[sources >= 0]).tolist():
        area, at = (scratch, saved[old]) if old in saved else (primary, old)
        base = np.frombuffer(area.read(at * sector, sector), dtype=np.uint8)
        chosen = (sources >= 0) & (of_sector == old)
        made[chosen] += base[sources[chosen] - old * sector]
    return made.tobytes()


@lru_cache(maxsize=8)
def _recipe_of(patch: bytes) -> tuple[Envelope, Recipe]:
    """The recipe, remembered: many devices of a bench resume the same patch."""
    return patch_recipe(patch)


@lru_cache(maxsize=8)
def _plan_of(patch: bytes, sector: int) -> Plan:
    return plan_for(_recipe_of(patch)[1], sector)
