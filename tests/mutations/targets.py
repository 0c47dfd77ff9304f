"""Small devices that run an old image, ready to be brought something."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from simlib.device import Device, DeviceConfig, DeviceState, layouts, new_device
from simlib.device.bootloader import Boot, boot
from simlib.device.updater import install
from simlib.errors import Reason
from tests.mutations.dice import Dice
from tests.mutations.manifests import full_facts, sign_facts
from tests.mutations.subjects import (
    CLASS_ID,
    FORMS,
    VENDOR_ID,
    Form,
    Genuine,
    device_key,
    genuine,
    release_key,
    signing_key,
)

SLOT_BYTES, SECTOR_BYTES, DOWNLOAD_BYTES = 8_192, 512, 4_096
HARDWARE = "rev-b"
USUAL = "swap-move"
WITH_SLOTS = tuple(name for name in layouts.names() if "secondary" in layouts.get(name).slots)
SPECIAL_FOR_IMAGES = ("of a vendor", "revoked key")
SPECIAL = (
    *("single slot", "no download", "in trial", "of a revision", "little memory"),
    *SPECIAL_FOR_IMAGES,
)
"""Devices of the usual layout, but for the first, that have a reason of their own to refuse something."""


@dataclass(frozen=True)
class Target:
    """A device with the state it starts each case from, and what it boots when nothing is done to it."""

    form: Form
    encrypted: bool
    layout: str
    special: str  # "", or one of `SPECIAL`
    device: Device
    fresh: DeviceState
    undisturbed: Boot

    @property
    def running(self) -> Genuine:
        """The image that runs, which patches start from."""
        role = "new" if self.special == "in trial" else _old_of(self.layout, self.special)
        return genuine(role, self.form, self.encrypted)

    @property
    def good_role(self) -> str:
        """The role of an image that this device would take."""
        if self.special == "of a vendor":
            return "identified"
        return "new in RAM" if self.layout == "ram-load" else "new"

    @property
    def may_change(self) -> tuple[str, ...]:
        """The partitions that an update may write before anything is requested."""
        return ("scratch" if self.layout == "in-place-journal" else "secondary", "download")

    def start(self) -> Device:
        """The device as it is at the start."""
        self.device.restore(self.fresh)
        self.device.running_slot = "primary"
        return self.device

    def spared(self) -> tuple[bytes, int]:
        """All that no refused update may change."""
        content = self.device.flash.content()
        kept = [p for p in self.device.partitions if p.name not in self.may_change]
        return b"".join(content[p.offset : p.offset + p.size] for p in kept), self.device.security_counter


def _old_of(layout: str, special: str) -> str:
    if special == "of a vendor":
        return "old identified"
    return "old in RAM" if layout == "ram-load" else "old"


@lru_cache(maxsize=256)
def target(form: Form, encrypted: bool, layout: str = USUAL, special: str = "") -> Target:
    """The device of that kind, made once."""
    config = DeviceConfig(
        layout="single-slot" if special == "single slot" else layout,
        slot_size_bytes=SLOT_BYTES,
        download_size_bytes=0 if special in ("single slot", "no download") else DOWNLOAD_BYTES,
        sector_size_bytes=SECTOR_BYTES,
        hardware=HARDWARE if special == "of a revision" else "",
        ram_bytes=1 << 16 if special == "little memory" else 0,
    )
    keys = (signing_key(form.algorithm).public(),)
    old = genuine(_old_of(layout, special), form, encrypted)
    device = new_device(config, keys, device_key(form.wrap) if encrypted else None, old.clear, 2)
    if special == "revoked key":
        device.revoked = frozenset({keys[0].keyhash})
    if special == "of a vendor":
        device.vendor_id, device.class_id = VENDOR_ID, CLASS_ID
    if special == "in trial":
        new = genuine("new", form, encrypted)
        manifest = sign_facts(full_facts(new))
        assert install(device, (release_key().public(),), manifest, new.image) is Reason.NONE
        assert boot(device).trial
    fresh = device.snapshot()
    undisturbed = boot(device)
    assert undisturbed.reason is Reason.NONE, (form, encrypted, layout, special)
    return Target(form, encrypted, layout, special, device, fresh, undisturbed)


def one_of(dice: Dice, names: tuple[str, ...], special: tuple[str, ...]) -> Target:
    """Half of the time a device of the usual layout, else of one of `names`; one in 16 is special."""
    form, encrypted = dice.one(FORMS), dice.chance(1, 2)
    if dice.chance(1, 16):
        return target(form, encrypted, USUAL, dice.one(special))
    layout = USUAL if dice.chance(1, 2) else dice.one(names)
    return target(form, encrypted and layouts.get(layout).encrypts, layout)
