"""How much is tried: little always, all where SIMLIB_TEST_FULL=1 asks for it."""

from __future__ import annotations

import os
from typing import Final

FULL: Final = os.environ.get("SIMLIB_TEST_FULL") == "1"
LEAST: Final = 20


def examples(number: int) -> int:
    """So many examples of a property where all is asked for, a fifth otherwise."""
    return number if FULL else max(number // 5, min(number, LEAST))
