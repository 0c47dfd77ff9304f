"""Small devices that run the old image, ready to be brought something."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from simlib.device import Device, DeviceConfig, DeviceState, new_device
from simlib.device.bootloader import Boot, boot
from simlib.device.updater import install
from simlib.errors import Reason
from tests.mutations.manifests import full_facts, sign_facts
from tests.mutations.subjects import Form, Genuine, device_key, genuine, release_key, signing_key

SLOT_BYTES, SECTOR_BYTES, DOWNLOAD_BYTES = 8_192, 512, 4_096
HARDWARE = "rev-b"
SPECIAL = ("one slot", "no download", "in trial", "of a revision")
MAY_CHANGE = ("secondary", "download")
"""The partitions that an update may write before anything is requested."""


@dataclass(frozen=True)
class Target:
    """A device with the state it starts each case from, and what it boots when nothing is done to it."""

    form: Form
    encrypted: bool
    kind: str  # "usual", or how it is special
    device: Device
    fresh: DeviceState
    undisturbed: Boot

    @property
    def running(self) -> Genuine:
        """The image in its primary slot, which patches start from."""
        return genuine("new" if self.kind == "in trial" else "old", self.form, self.encrypted)

    def start(self) -> Device:
        """The device as it is at the start."""
        self.device.restore(self.fresh)
        return self.device

    def spared(self) -> tuple[bytes, int]:
        """All that no refused update may change."""
        content = self.device.flash.content()
        kept = [p for p in self.device.partitions if p.name not in MAY_CHANGE]
        return b"".join(content[p.offset : p.offset + p.size] for p in kept), self.device.security_counter


@lru_cache
def target(form: Form, encrypted: bool, kind: str = "usual") -> Target:
    """The device of that kind, made once."""
    config = DeviceConfig(
        layout="single-slot" if kind == "one slot" else "swap-move",
        slot_size_bytes=SLOT_BYTES,
        download_size_bytes=0 if kind in ("one slot", "no download") else DOWNLOAD_BYTES,
        sector_size_bytes=SECTOR_BYTES,
        hardware=HARDWARE if kind == "of a revision" else "",
    )
    keys = (signing_key(form.algorithm).public(),)
    old = genuine("old", form, encrypted)
    device = new_device(config, keys, device_key(form.wrap) if encrypted else None, old.clear, 2)
    if kind == "in trial":
        new = genuine("new", form, encrypted)
        manifest = sign_facts(full_facts(new))
        assert install(device, (release_key().public(),), manifest, new.image) is Reason.NONE
        assert boot(device).trial
    fresh = device.snapshot()
    undisturbed = boot(device)
    assert undisturbed.reason is Reason.NONE
    return Target(form, encrypted, kind, device, fresh, undisturbed)
