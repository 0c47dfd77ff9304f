"""One case of a family, from its number to what became of it.

===============  =============================================================================================
way              what is done with the mutant
===============  =============================================================================================
verified         `verify_image`, asked in different ways; `parse_image` and `describe_image` read it as well
applied          `apply_patch`, to a patch that nobody has signed
installed        the whole updater: the mutant under a manifest by the real release key, so that the decoder,
                 the result's hash and the image's signature are all that stands between; then a boot
delivered        a full image under such a manifest, through the updater; then a boot
in the slot      the image written to the secondary slot behind the updater's back, with a request; a boot
===============  =============================================================================================

A defect is: any exception but `Refused`; a refusal without a reason or of more than one line; an accepted
image that the oracle does not take for a genuine one (`oracles`); a device that does not boot, or boots
something else than it should, or that a refused update has changed; more memory or time than is allowed.
"""

from __future__ import annotations

from tests.mutations import oracles
from tests.mutations.device_cases import in_a_device
from tests.mutations.dice import Dice, Family
from tests.mutations.image_cases import verified
from tests.mutations.judging import Outcome
from tests.mutations.patch_cases import applied, installed

TRACED_EVERY = 16


def run_case(seed: int, family: Family, case: int) -> Outcome:
    """Make the case's mutant, bring it to the code under test, and judge what that does."""
    oracles.by_signed_part()  # once in a process, and of no case's memory
    dice = Dice(seed, family, case)
    traced = dice.chance(1, TRACED_EVERY)
    if family is Family.IMAGES:
        return verified(dice, traced)
    if family is Family.SLOTS:
        return in_a_device(dice, traced)
    return installed(dice, traced) if case % 2 else applied(dice, traced)
