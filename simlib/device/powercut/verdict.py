"""What becomes of a device whose power failed: which image runs first, and whether it can be updated again.

Power returns and the device boots. It is *bricked* if nothing runs, or something that is not byte for byte
the old or the new signed image. Then it is let settle. An image on trial is confirmed, and in another life it
is not, so that it is reverted; both must end in an image that stays, lies in a slot byte for byte, and takes
a complete further update to a third, newer image. A device that boots and fails in any of this is *stuck*;
but for a boot before the further update in which nothing, or another image, runs: that is a brick as well.

Leaves to others: how events are worked out (`runner`, `replay`), and where power fails (`sweep`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import StrEnum
from typing import Final, NamedTuple

from simlib.device.powercut.case import SweepCase
from simlib.device.powercut.cells import Situation
from simlib.device.powercut.event import BOOT, CONFIRM, Booted, Event, Failed
from simlib.errors import Reason

BOOTS_TO_SETTLE: Final = 3
"""After so many boots without a cut a device runs what it will go on running."""
REMEMBERED: Final = 4096
"""For how many devices that have booted it is remembered what befell them."""

Perform = Callable[[Event, Situation], tuple[Hashable, Situation]]
"""What an event tells, and what it leaves."""


class First(StrEnum):
    """What first ran after power returned."""

    NEW = "new"
    OLD = "old"
    BRICKED = "bricked"


class Harm(StrEnum):
    """What a cut has done to a device."""

    NONE = "none"
    # bricked
    NO_VALID_IMAGE = "no-valid-image"
    OTHER_IMAGE = "other-image"  # something runs that was not signed
    BOOT_FAILED = "boot-failed"  # the boot loader did not come to its end
    # stuck
    UNSETTLED = "unsettled"  # what runs does not stay
    CONFIRM_FAILED = "confirm-failed"
    NOT_IN_A_SLOT = "not-in-a-slot"  # no slot holds what runs, byte for byte
    UPDATE_REFUSED = "update-refused"
    UPDATE_NOT_RUN = "update-not-run"
    NOT_REVERTED = "not-reverted"  # the new image stays, and nobody confirmed it


BRICKS: Final = frozenset({Harm.NO_VALID_IMAGE, Harm.OTHER_IMAGE, Harm.BOOT_FAILED})


class Fate(NamedTuple):
    """What became of a device; `detail` says more of a harm, for people."""

    first: First
    harm: Harm = Harm.NONE
    detail: str = ""

    @property
    def bricked(self) -> bool:
        """Whether nothing, or something that was not signed, runs."""
        return self.first is First.BRICKED

    @property
    def stuck(self) -> bool:
        """Whether the device boots but cannot update again."""
        return not self.bricked and self.harm is not Harm.NONE

    @property
    def badness(self) -> tuple[bool, bool, bool]:
        """Larger is worse: bricked, then stuck, then the old image before the new one."""
        return self.bricked, self.stuck, self.first is First.OLD


class _Harmed(Exception):
    def __init__(self, harm: Harm, detail: str) -> None:
        super().__init__(harm)
        self.harm = harm
        self.detail = detail


class Judge:
    """Follows devices of one case; `perform` works out what an event does.

    What befell so many devices that had booted is `remembered`, for those that are left the same.
    """

    def __init__(self, case: SweepCase, perform: Perform, remembered: int = REMEMBERED) -> None:
        self._case = case
        self._perform = perform
        self._remembered = remembered
        self._settled: OrderedDict[tuple[Situation, str, bool, bool], tuple[Harm, str]] = OrderedDict()

    def fate(self, situation: Situation, *, may_stay: bool = True) -> Fate:
        """What becomes of a device in `situation` when its power returns.

        `may_stay`: the new image may stay though nobody confirms it after the cut: there is no trial, or
        the power failed in its confirmation.
        """
        try:
            first, trial, after = self._boot(situation, "the boot after the cut")
        except _Harmed as harmed:
            return Fate(First.BRICKED, harmed.harm, harmed.detail)
        harm, detail = self._later(after, first, trial, may_stay)
        if harm in BRICKS:
            return Fate(First.BRICKED, harm, detail)
        return Fate(First(first), harm, detail)

    def _later(self, situation: Situation, running: str, trial: bool, may_stay: bool) -> tuple[Harm, str]:
        """What befalls a device that has booted."""
        key = situation, running, trial, may_stay
        known = self._settled.get(key)
        if known is None:
            known = Harm.NONE, ""
            try:
                if trial and running == First.OLD:
                    raise _Harmed(Harm.NOT_REVERTED, "the old image runs on trial")
                if trial:
                    self._confirmed(situation, running)
                stays = self._left_alone(situation)
                if stays != First.OLD and (trial or not may_stay):
                    raise _Harmed(Harm.NOT_REVERTED, "the new image was not confirmed, and stays")
            except _Harmed as harmed:
                known = harmed.harm, harmed.detail
            self._settled[key] = known
            if len(self._settled) > self._remembered:
                self._settled.popitem(last=False)
        return known

    def _confirmed(self, situation: Situation, running: str) -> None:
        told, situation = self._perform(CONFIRM, situation)
        if isinstance(told, Failed):
            raise _Harmed(Harm.CONFIRM_FAILED, told.why)
        found, _, situation = self._boot(situation, "the boot after the confirmation")
        if found != running:
            raise _Harmed(Harm.UNSETTLED, f"the {running} image was confirmed, and the {found} one runs")
        self._left_alone(situation)

    def _left_alone(self, situation: Situation) -> str:
        """Boots until the same image runs twice without trial, and then takes a further update."""
        before = None
        for _ in range(BOOTS_TO_SETTLE):
            running, trial, situation = self._boot(situation, "a later boot")
            if running == before and not trial:
                break
            before = None if trial else running
        else:
            raise _Harmed(Harm.UNSETTLED, f"still not the same image after {BOOTS_TO_SETTLE} boots")
        slot, _ = self._perform(self._case.search[running], situation)
        if slot is None:
            raise _Harmed(Harm.NOT_IN_A_SLOT, f"the {running} image runs, and no slot holds it")
        self._updated(situation, running)
        return running

    def _updated(self, situation: Situation, running: str) -> None:
        told, situation = self._perform(self._case.further[running], situation)
        if told != Reason.NONE:
            why = told.why if isinstance(told, Failed) else str(told)
            raise _Harmed(Harm.UPDATE_REFUSED, f"the further update from the {running} image: {why}")
        trial, situation = self._third_boots(situation, "further update")
        if trial:
            told, situation = self._perform(CONFIRM, situation)
            if isinstance(told, Failed):
                raise _Harmed(Harm.UPDATE_NOT_RUN, f"the further update's confirmation: {told.why}")
        trial, _ = self._third_boots(situation, "further update's confirmation")
        if trial:
            raise _Harmed(Harm.UPDATE_NOT_RUN, "the further update was confirmed, and is still on trial")

    def _third_boots(self, situation: Situation, after: str) -> tuple[bool, Situation]:
        told, situation = self._perform(BOOT, situation)
        if not isinstance(told, Booted) or self._case.name_of(told.image_sha256) != "third":
            why = told.why if isinstance(told, Failed) else "another image runs, or none"
            raise _Harmed(Harm.UPDATE_NOT_RUN, f"the boot after the {after}: {why}")
        return told.trial, situation

    def _boot(self, situation: Situation, which: str) -> tuple[str, bool, Situation]:
        told, situation = self._perform(BOOT, situation)
        if not isinstance(told, Booted):
            why = told.why if isinstance(told, Failed) else str(told)
            raise _Harmed(Harm.BOOT_FAILED, f"{which}: {why}")
        if told.image_sha256 is None:
            raise _Harmed(Harm.NO_VALID_IMAGE, f"{which}: nothing runs")
        name = self._case.name_of(told.image_sha256)
        if name not in (First.OLD, First.NEW):
            raise _Harmed(Harm.OTHER_IMAGE, f"{which}: runs {told.image_sha256.hex()[:16]}")
        return name, told.trial, situation
