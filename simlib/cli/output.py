"""Where answers go: one JSON object, or lines for a person; progress only to a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm


def say(text: str = "") -> None:
    """A line on standard output."""
    sys.stdout.write(text + "\n")


def say_json(answer: Any) -> None:
    """The answer as one JSON object, and nothing else."""
    say(json.dumps(answer, indent=2, default=str))


def say_table(rows: Sequence[Sequence[object]], *, indent: str = "  ") -> None:
    """Rows in columns: the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))] if cells else []
    for row in cells:
        first, *others = row
        right = "  ".join(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        say(f"{indent}{first.ljust(widths[0])}  {right}".rstrip())


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A counter on standard error, where that is a terminal; call it with the count so far."""
    with tqdm(desc=what, unit="", leave=False, disable=not sys.stderr.isatty()) as bar:

        def update(count: int) -> None:
            bar.update(count - bar.n)

        yield update
