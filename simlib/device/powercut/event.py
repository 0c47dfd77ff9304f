"""What happens to a device between two losses of power: an event, and what is told of it.

What is told leaves out whatever another history of the same bytes might tell otherwise, such as whether a
swap was resumed. An exception that leaves an event, and work without end, are a result like any other: a boot
loader that stops at an assertion boots nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

from simlib.device.bootloader import boot
from simlib.device.device import Device
from simlib.device.flash import PowerCut
from simlib.device.powercut.watched import EndlessWorkError
from simlib.device.updater import confirm_update, install
from simlib.release import Artefact
from simlib.security.keys import VerifyKey


class Booted(NamedTuple):
    """What runs after a boot, by the SHA-256 over the image as it lies in its slot; None: nothing."""

    image_sha256: bytes | None
    trial: bool


class Failed(NamedTuple):
    """The event did not come to its end; why."""

    why: str


@dataclass(frozen=True, slots=True)
class Event:
    """`name` stands for all of it: two events of one name do the same."""

    name: str
    run: Callable[[Device], Hashable]
    resets: bool = False  # it begins by forgetting what only RAM held


def performed(event: Event, device: Device) -> Hashable:
    """What `event` tells when it happens to `device`, or `Failed`.

    Raises `PowerCut` where power fails in it.
    """
    try:
        return event.run(device)
    except PowerCut:
        raise
    except EndlessWorkError as endless:
        return Failed(f"no end after so many {endless}")
    except Exception as error:
        return Failed(f"{type(error).__name__}: {error}")


def _booted(device: Device) -> Booted:
    booted = boot(device)
    return Booted(None if booted.version is None else booted.image_sha256, booted.trial)


BOOT = Event("boot", _booted, resets=True)
CONFIRM = Event("confirm", confirm_update)


def install_event(artefact: Artefact, release_key: VerifyKey) -> Event:
    """The installation of an artefact; it tells the updater's reason."""
    return Event(
        f"install {artefact.name}",
        lambda device: install(device, (release_key,), artefact.manifest, artefact.blob),
    )


def search_event(forms: tuple[bytes, ...], name: str) -> Event:
    """The view of a probe on the chip: the first slot that begins with one of these, or None."""

    def search(device: Device) -> str | None:
        for slot in device.layout.slots:
            area = device.area(slot)
            for form in forms:
                if len(form) <= area.size and area.read(0, len(form)) == form:
                    return slot
        return None

    return Event(f"search {name}", search)
