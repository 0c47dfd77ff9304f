"""What became of a case, and what is a defect whatever the code under test was asked to do."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from simlib.errors import Reason, Refused
from tests.mutations.guard import SLOW_S, Spent, guarded

ACCEPTED = "accepted"


@dataclass(frozen=True)
class Outcome:
    """What became of a case; `verdict` is a reason or "accepted", `defect` what must not be."""

    way: str
    verdict: str
    done: tuple[str, ...]
    spent: Spent
    bound_bytes: int
    defect: str | None = None


class Defect(Exception):
    """Something that must not be, found on the way."""


def judged(
    way: str, done: tuple[str, ...], work: Callable[[], str], bound_bytes: int, *, traced: bool
) -> Outcome:
    """Run `work` under limits; it returns the verdict, or raises what is then a defect."""
    try:
        verdict, spent = guarded(work, bound_bytes, traced=traced)
    except Defect as defect:
        return Outcome(way, "defect", done, Spent(0, None), bound_bytes, str(defect))
    except Exception as error:  # whatever it is, it is no refusal
        frame = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
        return Outcome(way, "defect", done, Spent(0, None), bound_bytes, found)
    defect = None
    if spent.seconds > SLOW_S:
        defect = f"took {spent.seconds:.2f} s"
    if spent.peak_bytes is not None and spent.peak_bytes > bound_bytes:
        defect = f"took {spent.peak_bytes} bytes, expected at most {bound_bytes}"
    return Outcome(way, verdict, done, spent, bound_bytes, defect)


def refusal_of(call: Callable[[], object]) -> Reason | None:
    """The reason that `call` refuses with, None where it does not."""
    try:
        call()
    except Refused as refusal:
        check_refusal(refusal.reason, str(refusal))
        return refusal.reason
    return None


def check_refusal(reason: object, message: str) -> None:
    if not isinstance(reason, Reason) or reason is Reason.NONE:
        raise Defect(f"refused for {reason!r}, expected a reason")
    if not message.isprintable():
        raise Defect(f"refused with {message!r}, expected one line of text")


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Defect(otherwise)
