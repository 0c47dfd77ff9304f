"""What a boot does with the two slots, decided from their trailers.

MCUboot's table for swap modes (docs/design.md, "Swap type"); the first row that fits wins:

========= ================ ================= ============= ==================
magic     magic of the     image_ok of the   copy_done of  what the boot does
of the    secondary        slot named        the primary
primary
========= ================ ================= ============= ==================
any       good             secondary: unset  any           TEST
any       good             secondary: set    any           PERMANENT
good      not good         primary: unset    set           REVERT
otherwise                                                  NONE
========= ================ ================= ============= ==================

A swap by offset has a row before them: a good magic in the secondary, whose image_ok is unset and whose
copy_done is set, asks for a REVERT that goes the other way than an update (`decide_by_offset`).

The third row also holds with a damaged magic in the secondary slot: a cut in the middle of its write at the
start of a revert must not lose the intention (MCUboot issue 1966).
"""

from __future__ import annotations

from simlib.device.trailer import Magic, SwapType, TrailerState


def decide(primary: TrailerState, secondary: TrailerState) -> SwapType:
    """The swap that the trailers ask for, no swap being under way."""
    if secondary.magic is Magic.GOOD:
        return SwapType.PERMANENT if secondary.image_ok else SwapType.TEST
    if in_trial(primary):
        return SwapType.REVERT
    return SwapType.NONE


def decide_by_offset(primary: TrailerState, secondary: TrailerState) -> SwapType:
    """The same where the secondary's trailer can also ask for a revert."""
    if secondary.magic is Magic.GOOD and secondary.copy_done and not secondary.image_ok:
        return SwapType.REVERT
    return decide(primary, secondary)


def in_trial(primary: TrailerState) -> bool:
    """Whether the primary's image was swapped in to be tried and has not confirmed itself."""
    return primary.magic is Magic.GOOD and primary.copy_done and not primary.image_ok


def under_way(primary: TrailerState, secondary: TrailerState) -> bool:
    """Whether a swap was cut short: the primary's trailer vouches for it and the secondary's is gone."""
    return primary.magic is Magic.GOOD and not primary.copy_done and secondary.magic is not Magic.GOOD
