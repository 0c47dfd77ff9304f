"""A device looked at in the stages of an update: what its flash holds, what its trailers say, what runs.

The device and the update are those of a sweep of power cuts (`simlib.device.powercut`), its operations are
numbered likewise, and everything is done to real bytes.

Leaves to others: what the bytes of a sector are (`flash_content`), what comes of every cut (`powercut`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simlib.device.bootloader import boot_loader
from simlib.device.bootloader.swap import trailer_of
from simlib.device.device import Device
from simlib.device.flash import PowerCut
from simlib.device.flash_content import Known, SectorContent, content_of, trailer_start
from simlib.device.partitions import Partition
from simlib.device.powercut.case import NAMES, SweepCase, SweepOptions, build_case, forms_of
from simlib.device.powercut.event import BOOT, CONFIRM, Booted, Event
from simlib.errors import InputError

if TYPE_CHECKING:
    from simlib.device.trailer import TrailerState
    from simlib.release import Release

NOTHING: Final = "nothing boots"
NO_POWER: Final = "no power"


@dataclass(frozen=True, slots=True)
class Stage:
    """A device at one moment. `runs` says in words what runs then."""

    name: str
    runs: str
    layout: str
    sector_size_bytes: int
    partitions: tuple[Partition, ...]
    content: tuple[SectorContent, ...]
    trailers: dict[str, TrailerState]  # by partition, of those that have one


def update_stages(options: SweepOptions, *, share: float = 0.5) -> tuple[Stage, ...]:
    """*Before* the update, *during* it, *after* it, and *failed*: after the revert of a failed trial.

    During: power has failed, with this `share` of the boot's flash operations done, or of the install's
    where the boot has next to none. After: it has returned, and the device has booted. Layouts without a
    trial have no fourth stage.

    Raises:
        InputError: the options do not go together, or `share` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise InputError(f"share: found {share:g}, expected more than 0 and less than 1")
    case = build_case(options)
    look = _Viewer(case)
    install, boots = _operations(case)
    in_boot = boots > 1
    device = case.make()
    stages = [look.at(device, "before", look.booted(device))]
    if in_boot:
        case.update.run(device)
    cut = max(1, round(share * (boots if in_boot else install)))
    _cut(device, BOOT if in_boot else case.update, cut, "none", 0)
    stages.append(look.at(device, "during", NO_POWER))
    stages.append(look.at(device, "after", _said(case, BOOT.run(device))))
    if boot_loader(device).in_trial(device):
        stages.append(look.at(device, "failed", _said(case, BOOT.run(device))))
    return tuple(stages)


def stage_at(options: SweepOptions, number: int, tear: str = "none") -> Stage:
    """The device whose power failed in the operation of this number, before anything else happens.

    Operations are numbered as in a sweep: through install, boot, confirmation and, instead of that, revert.

    Raises:
        InputError: the options do not go together, or there is no such operation.
    """
    case = build_case(options)
    device, done = case.make(), 0
    if number < 1:
        raise InputError(f"number: found {number}, expected 1 or more")
    for phase, event in _course(case, device):
        ops = device.flash.ops
        if _cut(device, event, number - done, tear, options.seed << 32 | number):
            return _Viewer(case).at(device, f"{phase}, operation {number}, tear {tear}", NO_POWER)
        done += device.flash.ops - ops
    raise InputError(f"number: found {number}, expected 1 to {done}, the operations of this update")


def trailer_rows(stage: Stage) -> dict[str, dict[str, str]]:
    """What the trailers say, in words: by partition, the fields; what a data frame is made of."""
    return {
        partition: {
            "magic": state.magic.value,
            "copy_done": "set" if state.copy_done else "unset",
            "image_ok": "set" if state.image_ok else "unset",
        }
        for partition, state in stage.trailers.items()
    }


def known_images(release: Release) -> tuple[Known, ...]:
    """The old and the new image of a sweep's release, in the clear and encrypted, and a patch if any."""
    known = []
    for number, name in enumerate(NAMES[:2]):
        clear, *encrypted = forms_of(release, number)
        known.append(Known(name, clear))
        known += [Known(name, form, encrypted=True) for form in encrypted]
    known += [
        Known("patch", each.blob)
        for each in release.artefacts
        if each.kind == "delta" and (each.base, each.target) == (0, 1)
    ]
    return tuple(known)


class _Viewer:
    def __init__(self, case: SweepCase) -> None:
        self._case = case
        self._known = known_images(case.release)

    def at(self, device: Device, name: str, runs: str) -> Stage:
        config = device.config
        trailers = {
            partition.name: trailer_of(device, partition.name).state()
            for partition in device.partitions
            if trailer_start(device, partition.name) < partition.size
        }
        return Stage(
            name,
            runs,
            config.layout,
            config.sector_size_bytes,
            device.partitions,
            content_of(device, self._known),
            trailers,
        )

    def booted(self, device: Device) -> str:
        """What a boot says of this device, which is left as it is."""
        before = device.snapshot()
        said = _said(self._case, BOOT.run(device))
        device.restore(before)
        return said


def _course(case: SweepCase, device: Device) -> Iterator[tuple[str, Event]]:
    """The events of an update with their names; the confirmation is taken back before the revert."""
    yield "install", case.update
    yield "boot", BOOT
    if boot_loader(device).in_trial(device):
        before = device.snapshot()
        yield "confirm", CONFIRM
        device.restore(before)
        yield "revert", BOOT


def _cut(device: Device, event: Event, op: int, tear: str, seed: int) -> bool:
    """Let the event happen, and power fail in its `op`-th operation and return; whether it has that many."""
    device.flash.arm_cut(op, tear, seed)
    struck = False
    try:
        event.run(device)
    except PowerCut:
        struck = True
    device.flash.power_on()
    return struck


def _operations(case: SweepCase) -> tuple[int, int]:
    """Flash operations of the install, and of the boot after it."""
    device = case.make()
    case.update.run(device)
    install = device.flash.ops
    BOOT.run(device)
    return install, device.flash.ops - install


def _said(case: SweepCase, told: object) -> str:
    if not isinstance(told, Booted) or told.image_sha256 is None:
        return NOTHING
    name = case.name_of(told.image_sha256)
    return f"runs {name}, on trial" if told.trial else f"runs {name}"
