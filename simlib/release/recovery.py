"""What is offered after a halt, and the chain that it needs.

- ``forward-fix``: a release newer than the main one;
- ``rollback``: the release before the main one, its image as it was signed then. Whether a device takes it
  is the device's decision: its security counter may say no;
- ``rollback-resigned``: the firmware before the main one, signed anew under a version above the main one's
  and, where counters count up, under a counter above it as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from simlib.errors import InputError
from simlib.firmware.chain import Firmware, load_chain, load_chain_and_fix
from simlib.scenario.model import ReleaseSpec

RECOVERIES: Final = ("forward-fix", "rollback", "rollback-resigned")
_AGAIN: Final = "-again"


@dataclass(frozen=True, slots=True)
class Recovery:
    """A way out after a halt. `InputError` for an unknown kind."""

    kind: str  # one of RECOVERIES
    step: str  # of a forward fix: how far it is from the release, as in a synthetic chain

    def __post_init__(self) -> None:
        if self.kind not in RECOVERIES:
            raise InputError(f"recovery.kind: found {self.kind!r}, expected one of {', '.join(RECOVERIES)}")


@dataclass(frozen=True, slots=True)
class Chain:
    """Firmwares, oldest first; `primary` is the index of the main release, `recovery` of the way out."""

    firmwares: tuple[Firmware, ...]
    primary: int
    recovery: int | None


def plan_chain(spec: ReleaseSpec, recovery: Recovery | None) -> Chain:
    """The chain of `spec`, with what `recovery` adds behind it.

    Raises:
        InputError: the chain cannot be loaded, or has nothing to go back to or forward to.
    """
    if recovery is not None and recovery.kind == "forward-fix":
        firmwares = load_chain_and_fix(spec, recovery.step)
        return Chain(firmwares, len(firmwares) - 2, len(firmwares) - 1)
    firmwares = load_chain(spec)
    primary = len(firmwares) - 1
    if recovery is None:
        return Chain(firmwares, primary, None)
    if primary == 0:
        raise InputError(f"recovery: found {recovery.kind} in a chain of one, expected a release before it")
    if recovery.kind == "rollback":
        return Chain(firmwares, primary, primary - 1)
    return Chain((*firmwares, _again(firmwares)), primary, primary + 1)


def _again(firmwares: tuple[Firmware, ...]) -> Firmware:
    """The firmware before the newest, under a version above the newest's."""
    old, version = firmwares[-2], firmwares[-1].version
    label, labels = old.label + _AGAIN, {firmware.label for firmware in firmwares}
    while label in labels:
        label += _AGAIN
    return Firmware(label, replace(version, build=version.build + 1), old.payload)
