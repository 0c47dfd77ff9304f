"""Small devices and genuine images, drawn at random, for long lives of one device (`histories`)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any

from simlib.device.layouts import check_geometry, max_image_bytes
from simlib.errors import InputError
from tests.device_boot.rigs import ENCRYPTING, SWAPPING, Rig

SMALLEST_IMAGE = 480


@dataclass(frozen=True)
class Known:
    """A genuine image: as shipped, and with its payload in the clear."""

    version: str
    blob: bytes
    clear: bytes
    counter: int
    encrypted: bool

    @property
    def sha256(self) -> bytes:
        return sha256(self.clear).digest()


def random_rig(random: Random, layout: str) -> Rig:
    """A small device of this layout: of any sectors, write size, slots, scratch area and encryption."""
    while True:
        rig = _any_rig(random, layout)
        try:
            check_geometry(rig.config)
        except InputError:
            continue
        if max_image_bytes(rig.config, encrypted=rig.encrypted) > SMALLEST_IMAGE + 100:
            return rig


def _any_rig(random: Random, layout: str) -> Rig:
    sector, write = random.choice((512, 512, 1024)), random.choice((1, 2, 4, 8, 16, 32))
    facts: dict[str, Any] = {
        "write_size_bytes": write,
        "erased_value": random.choice((255, 255, 0)),
        "counter_store": random.choice(("fuses", "flash")),
    }
    trailer = -(-(128 * 3 * write + 200) // sector)
    sectors = trailer + random.randint(3, 9) if layout in SWAPPING else random.randint(4, 10)
    slot, large = sectors * sector, random.random() < 0.4
    match layout:
        case "swap-move":
            facts["secondary_size_bytes"] = slot - sector if large else 0
        case "swap-offset":
            facts["secondary_size_bytes"] = slot if large else 0
        case "swap-scratch" if large:
            sectors += sectors % 2
            facts["secondary_sector_bytes"] = 2 * sector
            facts["scratch_size_bytes"] = 2 * sector * random.randint(1, 3)
        case "swap-scratch":
            facts["scratch_size_bytes"] = sector * random.randint(1, 5)
        case "overwrite-only" | "direct-xip" | "direct-xip-revert" | "ram-load":
            facts["downgrade_prevention"] = layout == "overwrite-only" and random.random() < 0.3
            if large:
                unit = facts["secondary_sector_bytes"] = sector * random.randint(1, 2)
                facts["secondary_size_bytes"] = (slot + random.randint(-2, 2) * sector) // unit * unit
        case "in-place-journal" if random.random() < 0.3:
            sectors += 40  # more steps than a sector of the journal has room for
        case "in-place-journal" if large:
            facts["scratch_size_bytes"] = (trailer + 1 + random.randint(1, 12)) * sector
    encrypted = layout in ENCRYPTING and random.random() < 0.5
    facts["download_size_bytes"] = (sectors + 1) * sector
    return Rig.of(layout, sectors=sectors, sector=sector, encrypted=encrypted, **facts)
