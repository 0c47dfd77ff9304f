"""The storage pre-check: whether an artefact has room on a device, told before anything is sent.

It asks the layout, not the free space of the moment: the largest image the slots can carry, and the
partition a patch is kept in. Battery and link are the fleet's to check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.layouts import get, max_image_bytes

if TYPE_CHECKING:
    from simlib.device.config import DeviceConfig
    from simlib.release import Artefact


def has_room(config: DeviceConfig, artefact: Artefact) -> bool:
    """Whether a device of this kind can hold what `artefact` makes of it.

    A layout without a second slot never can: the old image would have to go before the new one is there,
    which is what the pre-check is to prevent.
    """
