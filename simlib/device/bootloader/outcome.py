"""What a boot tells: which image runs, from where, whether it is on trial, and what was done to get there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from simlib.device.trailer import SwapType
from simlib.errors import Reason
from simlib.firmware.version import Version


class Swap(StrEnum):
    """What the boot loader did with the slots at this boot."""

    NONE = "none"
    TEST = "test"
    PERMANENT = "permanent"
    REVERT = "revert"
    RESUMED = "resumed"
    COPIED = "copied"


SWAP_OF: dict[SwapType, Swap] = {kind: Swap(kind.value) for kind in SwapType}


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot. `version`, `image_sha256` and `slot` are None where no image may run; the hash is over the
    whole image, header to TLVs, its payload in the clear.

    `reason`: NONE; NO_VALID_IMAGE where nothing runs; else why a candidate was refused and the image that
    was there runs on.
    """

    version: Version | None
    image_sha256: bytes | None
    trial: bool
    swap: Swap
    reason: Reason
    slot: str | None = None
