"""One device: its flash behind partitions, the keys it was born with, its meter and its journal.

The journal is what `explain` prints: each step with what it cost. Steps are leaves, they do not nest, so
their costs add up to the meter's. Leaves to others: everything a device does (`bootloader`, the updater).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simlib.device import layouts
from simlib.device.config import DeviceConfig
from simlib.device.flash import Flash, FlashState, Geometry, Region
from simlib.device.meter import Meter
from simlib.device.partitions import Area
from simlib.device.payload_cipher import turned
from simlib.device.ram import wrong_load_address
from simlib.device.security_counter import FlashCounter, SecurityCounter, record
from simlib.device.trailer import MIN_ALIGN, TrailerMap
from simlib.errors import InputError, Refused
from simlib.firmware.header import parse_header
from simlib.firmware.tlv import TlvType
from simlib.firmware.trailer import FLAG_SET
from simlib.scenario.calibration import core_profile, flash_profile

if TYPE_CHECKING:
    from simlib.security.keys import DecryptionKey, VerifyKey


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a device did and what it cost; `bytes` are those written to flash."""

    phase: str
    detail: str
    time_ns: int
    ops: int
    bytes: int
    energy_nj: int


@dataclass(slots=True)
class StepNote:
    """What the running step will be journalled as; the code inside may change the detail.

    Beside it, what the device had spent, done and written when the step began.
    """

    phase: str
    detail: str
    time_ns: int
    energy_nj: int
    ops: int
    bytes_written: int


@dataclass(frozen=True, slots=True)
class DeviceState:
    """All of a device at one moment, for `Device.restore`, but for where its image runs from."""

    flash: FlashState
    security_counter: int  # the register
    time_ns: int
    flash_nj: int
    compute_nj: int
    journal: tuple[Step, ...]


class Device:
    """A device with real bytes; it begins with `security_counter`."""

    def __init__(
        self,
        config: DeviceConfig,
        verify_keys: Sequence[VerifyKey],
        decryption_key: DecryptionKey | None,
        flash: Flash,
        security_counter: int = 0,
        offset: int = 0,
    ) -> None:
        """`offset` [byte] is where its partitions begin, for a flash that holds more than this device's."""
        self.config = config
        self.verify_keys = tuple(verify_keys)
        self.decryption_key = decryption_key
        self.revoked: frozenset[bytes] = frozenset()
        """Hashes of keys that sign no image any more, as the device has been told."""
        self.vendor_id: bytes | None = None
        self.class_id: bytes | None = None
        """Whose device it is and of which class, 16 bytes each; None: images that name one are refused."""
        self.evaluates: frozenset[TlvType] = frozenset()
        """Records of images that somebody beside the check acts on (`bootloader.several`)."""
        self.flash = flash
        self.counter_register = security_counter
        """The security counter where the hardware has a register for it (`security_counter`)."""
        self.counter_chip: SecurityCounter | None = None
        """A part beside the device that keeps the security counter in the register's place, as a TPM does."""
        self.running_slot = "primary"
        """Where the image that runs lies; the boot says."""
        self.journal: list[Step] = []
        self.open_step: StepNote | None = None  # the one that the device is in
        self.on_checkpoint: Callable[[tuple[Hashable, ...]], None] | None = None
        """Told where in its work the device is (`checkpoint`)."""
        self.layout = layouts.get(config.layout)
        self.partitions = tuple(
            replace(partition, offset=partition.offset + offset)
            for partition in self.layout.partitions(config)
        )
        self._areas = {partition.name: Area(flash, partition) for partition in self.partitions}

    @property
    def security_counter(self) -> int:
        """The least that an image's security counter must be."""
        if self.counter_chip is not None:
            return self.counter_chip.read()
        if self.has("counter"):
            return self._flash_counter().read()
        return self.counter_register

    def raise_security_counter(self, value: int, phase: str) -> None:
        """Let the security counter follow an image's; it never goes down. Journalled under `phase`."""
        if value <= self.security_counter:
            return
        if self.counter_chip is not None:
            self.counter_chip.raise_to(value)
            self.note(phase, f"security counter raised to {value}")
            return
        if self.has("counter"):
            with self.step(phase, f"security counter raised to {value}"):
                self._flash_counter().raise_to(value)
            return
        self.counter_register = value
        self.note(phase, f"security counter raised to {value}")

    def _flash_counter(self) -> FlashCounter:
        return FlashCounter(self.area("counter"), max(MIN_ALIGN, self.config.write_size_bytes))

    @property
    def meter(self) -> Meter:
        """Time and energy spent so far."""
        return self.flash.meter

    def has(self, name: str) -> bool:
        """Whether there is a partition of this name."""
        return name in self._areas

    def area(self, name: str) -> Area:
        """The partition of this name; `InputError` where the layout has none."""
        area = self._areas.get(name)
        if area is None:
            known = ", ".join(self._areas)
            raise InputError(f"partition of {self.config.layout}: found {name!r}, expected one of {known}")
        return area

    @contextmanager
    def step(self, phase: str, detail: str = "") -> Iterator[StepNote]:
        """Journal what happens inside as one step, with its cost, also when an exception leaves it.

        A refusal is named behind the detail, unless the code inside has said more.
        """
        meter, flash = self.flash.meter, self.flash
        energy_nj = meter.flash_nj + meter.compute_nj
        note = StepNote(phase, detail, meter.time_ns, energy_nj, flash.ops, flash.bytes_written)
        self.open_step = note
        try:
            yield note
        except Refused as refusal:
            if note.detail == detail:
                note.detail = f"{detail}: refused, {refusal}"
            raise
        finally:
            self.close_step(note)

    def close_step(self, note: StepNote) -> None:
        """Journal the step that began with `note` as ending now."""
        self.open_step = None
        meter, flash = self.flash.meter, self.flash
        self.journal.append(
            Step(
                note.phase,
                note.detail,
                meter.time_ns - note.time_ns,
                flash.ops - note.ops,
                flash.bytes_written - note.bytes_written,
                meter.flash_nj + meter.compute_nj - note.energy_nj,
            )
        )

    def checkpoint(self, *where: Hashable) -> None:
        """Say that what follows in this boot or install depends on nothing but `where` and the flash.

        Two devices with the same content that say the same go on in the same way, whatever came before. So
        `where` names all that the code has taken out of the flash by then and will use again.
        """
        if self.on_checkpoint is not None:
            self.on_checkpoint(where)

    def note(self, phase: str, detail: str) -> None:
        """Journal a verdict that cost nothing."""
        self.journal.append(Step(phase, detail, 0, 0, 0, 0))

    def state_id(self) -> str:
        """SHA-256 over the partitions' content and the security counter, in hex. Wear does not count."""
        digest = hashlib.sha256()
        content = memoryview(self.flash.content())
        for partition in self.partitions:
            digest.update(f"{partition.name}\0{partition.size}\0".encode())
            digest.update(content[partition.offset : partition.offset + partition.size])
        digest.update(f"security-counter\0{self.counter_register}".encode())
        return digest.hexdigest()

    def snapshot(self) -> DeviceState:
        """Everything that can change, as it is now."""
        meter = self.meter
        return DeviceState(
            self.flash.snapshot(),
            self.counter_register,
            meter.time_ns,
            meter.flash_nj,
            meter.compute_nj,
            tuple(self.journal),
        )

    def restore(self, state: DeviceState) -> None:
        """Go back to `state`, powered, with no cut armed."""
        self.flash.restore(state.flash)
        self.counter_register = state.security_counter
        meter = self.meter
        meter.time_ns, meter.flash_nj, meter.compute_nj = state.time_ns, state.flash_nj, state.compute_nj
        self.journal = list(state.journal)
        self.open_step = None


def new_device(
    config: DeviceConfig,
    verify_keys: Sequence[VerifyKey],
    decryption_key: DecryptionKey | None,
    image: bytes,
    security_counter: int,
) -> Device:
    """A device as the factory ships it: `image` in the primary slot, at no cost and no wear.

    `image` has its payload in the clear; where images run from RAM, an encrypted one lies there as shipped.
    A layout whose trailers tell complete images gets a trailer that says so.

    The factory's programmer is not bound by the boot loader's largest image; it is by the slot:
    `InputError` where the image is larger.
    """
    layouts.check_geometry(config)
    if layouts.get(config.layout).runs_from_ram:
        wrong = wrong_load_address(config, parse_header(image).load_address, len(image))
        if wrong is not None:
            raise InputError(f"factory image: {wrong}")
        image = turned(image, decryption_key)
    table = layouts.get(config.layout).partitions(config)
    size = table[-1].offset + table[-1].size
    primary = table[0]
    if len(image) > primary.size:
        raise InputError(f"factory image: found {len(image)} bytes, expected at most {primary.size}")
    content = bytearray(image + bytes([config.erased_value]) * (size - len(image)))
    for partition in table:
        if partition.name == "counter" and security_counter:
            unit = max(MIN_ALIGN, config.write_size_bytes)
            first = record(security_counter, unit, config.erased_value)
            content[partition.offset : partition.offset + unit] = first
    if config.layout == "direct-xip-revert":
        trailer = TrailerMap.of(config, encrypted=False)
        content[trailer.magic : trailer.slot_size] = trailer.magic_value
        content[trailer.image_ok] = FLAG_SET
    large = config.secondary_sector_bytes
    regions = tuple(
        Region(partition.offset, partition.offset + partition.size, large)
        for partition in table
        if partition.name == "secondary" and large > config.sector_size_bytes
    )
    geometry = Geometry(config.sector_size_bytes, config.write_size_bytes, config.erased_value, regions)
    meter = Meter(core_profile(config.core))
    flash = Flash(size, geometry, flash_profile(config.flash), meter, bytes(content))
    return Device(config, verify_keys, decryption_key, flash, security_counter)
