"""Long lives of one device, drawn from a seed: updates of any size and kind, power cuts, trials, refusals.

A `Life` does what is drawn to its device and keeps a book of what may run next. `Broken` says that the device
did something else. Nothing of the book is read from the device but what each event tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TypeVar

from simlib.device import new_device
from simlib.device.bootloader import boot, boot_loader
from simlib.device.flash import PowerCut
from simlib.device.layouts import max_image_bytes
from simlib.device.places import Place, occupied
from simlib.device.running import running_digest, signed_digest, slot_of
from simlib.device.tears import TEARS, erase_variants, write_variants
from simlib.device.trailer import Trailer, TrailerMap
from simlib.device.updater import confirm_update, install
from simlib.errors import Reason
from simlib.firmware.trailer import FLAG_SET
from tests.device_boot.random_rigs import SMALLEST_IMAGE, Known, random_rig
from tests.device_boot.rigs import (
    DEVICE_KEY,
    RELEASER,
    SELECTING,
    SIGNER,
    STRANGER,
    SWAPPING,
    TRYING,
)

Result = TypeVar("Result")
BADNESSES = ("a stranger's", "flipped", "another's bytes", "oversize")


class Broken(AssertionError):
    """The device did what it must not; the message ends with all that had happened to it."""


class Life:
    """One device from the factory on."""

    def __init__(self, random: Random, layout: str) -> None:
        self.random = random
        self.rig = random_rig(random, layout)
        self.limit = max_image_bytes(self.rig.config, encrypted=self.rig.encrypted)
        self.log = [f"{self.rig.config}, encrypted: {self.rig.encrypted}"]
        self.number = 0
        self.known: dict[bytes, Known] = {}
        self.stays = self.new_image(counter=1)  # what runs and is no trial
        self.on_trial: Known | None = None
        self.requested: set[bytes] = set()  # new images that a boot may try
        self.may_run = {self.stays.sha256}
        self.may_be_confirmed = False  # power failed in the confirmation
        self.may_be_dead = False  # an only slot was being overwritten
        key = DEVICE_KEY if self.rig.encrypted else None
        self.device = new_device(self.rig.config, [SIGNER.public()], key, self.stays.clear, 1)
        self.counter = 1
        if layout in (*SWAPPING, "overwrite-only") and random.random() < 0.3:
            self._pad_the_primary()

    def live(self, events: int) -> None:
        """So many events with boots between them; at the end the device takes a further update."""
        random = self.random
        alive = self.boot()
        for _ in range(events):
            if not alive:
                return
            drawn = random.random()
            goes_on = self.install() if drawn < 0.5 else self.confirm() if drawn < 0.75 else False
            if not goes_on or random.random() < 0.6:
                alive = self.boot()
        for _ in range(3):
            alive = alive and self.boot(cuts=False)
        if alive:
            self.install(further=True)
            self.boot(cuts=False)

    def boot(self, *, cuts: bool = True) -> bool:
        """Until one is not cut; whether anything runs."""
        for _ in range(4 if cuts else 0):
            struck, booted = self._struck(lambda: boot(self.device), 0.35)
            if not struck:
                break
            if self.rig.config.layout in TRYING and self.may_run & self.requested:
                self.may_run.add(self.stays.sha256)  # the trial may have begun, and be over
        else:
            booted = boot(self.device)
        assert booted is not None
        slot, counter = self.device.running_slot, self.device.security_counter
        self.log.append(
            f"boot: {booted.version}, trial {booted.trial}, {booted.swap}, {booted.reason}, {slot}"
        )
        if booted.image_sha256 is None and self.may_be_dead:
            return False
        if booted.image_sha256 not in self.may_run:
            self.broken(f"runs another image than {[self.known[each].version for each in self.may_run]}")
        image = self.known[booted.image_sha256]
        self._expect_found(image, booted.slot)
        if counter < self.counter or counter > max(image.counter, self.counter):
            self.broken(f"security counter: {counter} after {self.counter}")
        if booted.trial is not boot_loader(self.device).in_trial(self.device):
            self.broken("the boot and the trailer do not agree on the trial")
        if booted.trial and (image.sha256 not in self.requested or counter > self.stays.counter):
            self.broken("the old image is on trial, or there is no way back")
        if not booted.trial and self.rig.config.layout in TRYING:
            tried = image.sha256 in self.requested and image.sha256 != self.stays.sha256
            if tried and not self.may_be_confirmed:
                self.broken("the new image stays, and nobody confirmed it")
        self.counter, self.on_trial = counter, image if booted.trial else None
        self.may_run = {self.stays.sha256 if booted.trial else image.sha256}
        if not booted.trial:
            self.stays, self.requested = image, set()
        self.may_be_confirmed = self.may_be_dead = False
        return True

    def confirm(self) -> bool:
        """Without a trial it must change nothing; whether power held."""
        struck, _ = self._struck(lambda: confirm_update(self.device), 0.3)
        self.log.append(f"confirm{', cut' if struck else ''}")
        if self.on_trial is None:
            return not struck
        if struck:
            self.may_run, self.may_be_confirmed = {self.stays.sha256, self.on_trial.sha256}, True
        else:
            self.stays, self.on_trial, self.requested = self.on_trial, None, set()
            self.may_run = {self.stays.sha256}
        return not struck

    def install(self, *, further: bool = False) -> bool:
        """Of a new or an older image, or of one that is to be refused; whether power held."""
        random, layout = self.random, self.rig.config.layout
        bad = None
        if not further and layout != "single-slot" and random.random() < 0.3:
            bad = random.choice(BADNESSES)
        image = self._image_to_install(bad)
        whole = further or bad in BADNESSES[1:] or not self.device.layout.patches or random.random() < 0.6
        kind = "full" if whole else "delta"
        manifest, blob = self._offer(image, kind)
        if kind == "delta" and len(blob) > self.rig.config.download_size_bytes:
            kind, (manifest, blob) = "full", self._offer(image, "full")
        if bad == "flipped":
            at = random.choice((random.randrange(len(blob)), random.randrange(32)))
            blob = blob[:at] + bytes([blob[at] ^ 1 << random.randrange(8)]) + blob[at + 1 :]
        elif bad == "another's bytes":
            blob = self.new_image(size=len(image.blob)).blob
        keys = (RELEASER.public(),)
        struck, reason = self._struck(
            lambda: install(self.device, keys, manifest, blob), 0 if further else 0.3
        )
        told = "cut" if struck else reason
        self.log.append(f"install {image.version}, {kind}, {len(image.blob)} bytes, bad: {bad}: {told}")
        if self.on_trial is not None:
            if reason is Reason.NONE:
                self.broken("an update was taken in a trial")
            return not struck
        no_room = layout == "in-place-journal" and kind == "delta" and reason is Reason.STORAGE_SHORT
        if bad is not None or no_room:
            if reason is Reason.NONE:
                self.broken("a bad artefact was taken")
            self.may_run.add(self.stays.sha256)  # an earlier request may be gone
        elif struck:
            self.requested.add(image.sha256)
            self.may_run |= {image.sha256, self.stays.sha256}
            self.may_be_dead = layout == "single-slot"
        elif reason is Reason.NONE:
            self.requested, self.may_run = {image.sha256}, {image.sha256}
            if not further and layout != "single-slot" and random.random() < 0.15:
                self._spoil(len(blob) if layout == "in-place-journal" else len(image.blob))
        else:
            self.broken("a good artefact was refused")
        return not struck

    def broken(self, why: str) -> None:
        raise Broken("\n  ".join((why, *self.log)))

    def new_image(
        self, *, size: int = 0, counter: int = 0, oversize: bool = False, genuine: bool = True
    ) -> Known:
        """Of the next version; of any size up to the limit, more often of one where something ends."""
        random, limit = self.random, self.limit
        self.number += 1
        encrypted = self.rig.encrypted and random.random() < 0.8
        rig = replace(self.rig, encrypted=encrypted)
        sector = rig.config.sector_size_bytes
        if oversize:
            size = limit + random.randint(17, 200)
        elif not size:
            at_an_end = random.randint(1, max(1, limit // sector)) * sector + random.randint(-2, 2)
            size = random.choice(
                (limit, limit - random.randint(0, 40), at_an_end, random.randint(400, limit))
            )
            size = max(SMALLEST_IMAGE, min(size, limit))
        counter = counter or self.device.security_counter + (random.random() < 0.3)
        signer = SIGNER if genuine else STRANGER
        blob = rig.image(f"1.{self.number}.0", size, counter=counter, signer=signer)
        image = Known(f"1.{self.number}.0", blob, rig.clear(blob), counter, encrypted)
        if genuine and not oversize:
            self.known[image.sha256] = image
        return image

    def _image_to_install(self, bad: str | None) -> Known:
        """A new one, or, where a lower version may run, now and then one that the device has had."""
        config = self.rig.config
        if bad is None and config.layout not in SELECTING and not config.downgrade_prevention:
            older = self.random.choice(list(self.known.values()))
            there = self.may_run | {self.stays.sha256}
            fits = older.counter >= self.device.security_counter and older.sha256 not in there
            if fits and self.random.random() < 0.3:
                return older
        return self.new_image(oversize=bad == "oversize", genuine=bad != "a stranger's")

    def _offer(self, image: Known, kind: str) -> tuple[bytes, bytes]:
        rig = replace(self.rig, encrypted=image.encrypted)
        return rig.offer(self.device, image.blob, kind, security_counter=image.counter)

    def _expect_found(self, image: Known, slot: str | None) -> None:
        """The image lies where the boot says, and where a bench would look for it."""
        device = self.device
        digest = signed_digest(image.clear)
        if running_digest(device) != digest or slot != device.running_slot or slot_of(device, digest) != slot:
            self.broken(f"{slot} is not where the image is looked for")
        as_shipped = self.rig.config.layout == "ram-load"
        if occupied(Place(device.area(device.running_slot))) != (image.blob if as_shipped else image.clear):
            self.broken("the slot holds other bytes")

    def _spoil(self, n_bytes: int) -> None:
        """A bit flips in what waits to be installed, so that the boot has to refuse it."""
        place = boot_loader(self.device).target(self.device)
        at = self.random.randrange(n_bytes)
        bit = place.read(at, 1)[0] ^ 1 << self.random.randrange(8)
        place.area.flash.damage(place.address + at, bytes([bit]))
        self.log.append(f"the byte at {at} of what waits in {place.name} is spoilt")
        self.requested, self.may_run = set(), {self.stays.sha256}

    def _struck(self, work: Callable[[], Result], probability: float) -> tuple[bool, Result | None]:
        """Do `work`, with a power cut at a drawn operation perhaps; whether it struck, and the result."""
        device, random = self.device, self.random
        if random.random() >= probability:
            return False, work()
        before, slot, ops = device.snapshot(), device.running_slot, device.flash.ops
        work()  # to know how many operations there are
        ops = device.flash.ops - ops
        device.restore(before)
        device.running_slot = slot
        return self._cut(work, random.randint(1, ops)) if ops else (False, work())

    def _cut(self, work: Callable[[], Result], number: int) -> tuple[bool, Result | None]:
        """Power fails in this operation; half of the time it leaves a tear of those that a sweep tries."""
        flash, random = self.device.flash, self.random
        torn: list[tuple[int, bytes | None, bytes]] = []

        def note(offset: int, data: bytes | None) -> None:
            n = flash.erase_size(offset) if data is None else len(data)
            torn[:] = [(offset, data, flash.content()[offset : offset + n])]

        tear, malicious, seed = random.choice(TEARS), random.random() < 0.5, random.getrandbits(30)
        flash.on_operation = note
        flash.arm_cut(number, "none" if malicious else tear, seed)
        try:
            result = work()
        except PowerCut:
            self.log.append(f"cut in operation {number}, {tear}, malicious {malicious}, at {torn[0][0]}")
        else:
            return False, result
        finally:
            flash.on_operation = None
            flash.power_on()
        offset, data, before = torn[0]
        if malicious:
            config = self.rig.config
            unit, erased = config.write_size_bytes, bytes([config.erased_value]) * len(before)
            ways = (
                erase_variants(tear, before, erased, seed=seed, offset=offset)
                if data is None
                else write_variants(tear, before, data, unit=unit, seed=seed, offset=offset)
            )
            if ways:
                flash.damage(offset, random.choice(ways))
        if self.device.security_counter < self.counter:
            self.broken("the security counter is lost")
        return True, None

    def _pad_the_primary(self) -> None:
        """As a factory does that programs a padded file: with the magic, and confirmed or not."""
        area = self.device.area("primary")
        fields = TrailerMap.of(self.rig.config, encrypted=self.rig.encrypted)
        if len(self.stays.clear) > fields.fields:
            return
        trailer = Trailer(area, fields)
        area.flash.damage(area.partition.offset + fields.magic, fields.magic_value)
        if self.random.random() < 0.5:
            area.flash.damage(area.partition.offset + fields.image_ok, bytes([FLAG_SET]))
        self.log.append(f"padded in the factory: {trailer.state()}")
