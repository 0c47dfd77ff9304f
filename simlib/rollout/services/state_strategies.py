"""What balena's update strategies take of a device: storage, memory, and time without the service.

The steps of a strategy are those of balena's documentation ("Controlling the update strategy"):

- ``download-then-kill``: download, kill the old container, start the new one, delete the old image;
- ``kill-then-download``: kill, download, start, delete the old image;
- ``delete-then-download``: kill, delete the old image, download, start;
- ``hand-over``: download, start the new container beside the old one, kill the old one once it handed over.

Each peak below is the largest sum over these steps. Images are counted whole: layers that two images share
would make both peaks smaller by as much.
"""

from __future__ import annotations

from enum import StrEnum

from simlib.scenario.model import CohortSpec

_ONE_SLOT = ("in-place-journal", "single-slot")


class Strategy(StrEnum):
    """The order in which a device does the steps of an update."""

    DOWNLOAD_THEN_KILL = "download-then-kill"
    KILL_THEN_DOWNLOAD = "kill-then-download"
    DELETE_THEN_DOWNLOAD = "delete-then-download"
    HAND_OVER = "hand-over"


DOWN_WHILE_DOWNLOADING = (Strategy.KILL_THEN_DOWNLOAD, Strategy.DELETE_THEN_DOWNLOAD)
"""The strategies whose service is down while the new image comes."""


def uses_delta(strategy: Strategy) -> bool:
    """Whether a delta can be applied: not where its base is deleted first."""
    return strategy is not Strategy.DELETE_THEN_DOWNLOAD


def peak_storage(strategy: Strategy, old_bytes: int, new_bytes: int, delta_bytes: int | None = None) -> int:
    """The most storage an update takes at a time [byte].

    The old image is kept until the new one runs, so both are there at once: old + new. A delta is there as
    well until the new image is made from it: old + new + delta. ``delete-then-download`` has either the old
    image or the new one: max(old, new); a delta is of no use to it. When a container is killed changes
    nothing.
    """
    if not uses_delta(strategy):
        return max(old_bytes, new_bytes)
    return old_bytes + new_bytes + (delta_bytes or 0)


def processes(strategy: Strategy) -> int:
    """How many versions of the service run at once, at most."""
    return 2 if strategy is Strategy.HAND_OVER else 1


def peak_ram(strategy: Strategy, old_bytes: int, new_bytes: int, download_bytes: int) -> int:
    """The most memory taken at a time [byte], of services that take `old_bytes` and `new_bytes` when they run
    and a download that takes `download_bytes`.

    A service that is killed first leaves its memory to the download: max(old, download, new). Otherwise the
    old one runs beside the download, and in a hand-over beside the new one too.
    """
    if strategy in DOWN_WHILE_DOWNLOADING:
        return max(old_bytes, download_bytes, new_bytes)
    beside = old_bytes + new_bytes if processes(strategy) == 2 else new_bytes
    return max(old_bytes + download_bytes, beside)


def downtime_ms(strategy: Strategy, download_ms: int, switch_ms: int) -> int:
    """How long no version of the service runs [ms], where the kill and the start take `switch_ms`."""
    if strategy is Strategy.HAND_OVER:
        return 0
    return switch_ms + (download_ms if strategy in DOWN_WHILE_DOWNLOADING else 0)


def storage_bytes(cohort: CohortSpec) -> int:
    """What a device of `cohort` has for images: its slots, and the download partition [byte]."""
    second = 0 if cohort.layout in _ONE_SLOT else cohort.secondary_size_bytes or cohort.slot_size_bytes
    return cohort.slot_size_bytes + second + cohort.download_size_bytes


def fits(
    strategy: Strategy, cohort: CohortSpec, old_bytes: int, new_bytes: int, delta_bytes: int | None = None
) -> bool:
    """Whether the update's peak fits into what a device of `cohort` has, taken as one pool."""
    return peak_storage(strategy, old_bytes, new_bytes, delta_bytes) <= storage_bytes(cohort)
