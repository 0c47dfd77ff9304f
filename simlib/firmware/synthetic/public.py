"""What patches between public releases weigh, for synthetic ones to be held against.

Of the measured chains ten count, with 80 steps. Left out are further boards of an image that is there already
for the same architecture, processors outside the class of Cortex-M and small RISC-V, an image of 13 KiB and
one that hardly compresses. Other choices are possible; five of the ten are still parts of one project, so
their steps depend on each other.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from simlib.firmware.measurements import delta_pairs

DISTINCT_CHAINS: Final = (
    "cynthion_moondancer",
    "greatfet_usb",
    "particle_boron_bootloader",
    "particle_boron_part1",
    "particle_electron_part1",
    "particle_electron_part2",
    "particle_electron_part3",
    "pxt_mb_v1_a",
    "pybricks_cityhub",
    "pybricks_primehub",
)


@cache
def public_ratios(algorithm: str, steps: int = 1) -> tuple[float, ...]:
    """Size of each patch by `algorithm` across `steps` releases over that of the newer image, ascending.

    `algorithm` is named as in ``data/measurements``; with 0 steps it is a compression of whole images.
    """
    return tuple(
        sorted(
            update.update_bytes / update.target_size_bytes
            for update in delta_pairs()
            if update.chain in DISTINCT_CHAINS and (update.algorithm, update.steps) == (algorithm, steps)
        )
    )
