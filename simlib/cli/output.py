"""Where answers go: one JSON object, or lines for a person; progress only to a terminal.

Whoever reads may stop reading, use another encoding than UTF-8, or not be there at all: the answer was
found all the same, and the exit status says which.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Final, TextIO

LOOK_SECONDS: Final = 0.2
"""How often a progress bar that is not told looks by itself."""


def say(text: str = "") -> None:
    """A line on standard output."""
    _write(sys.stdout, text + "\n")


def complain(text: str) -> None:
    """One line on standard error, whatever the text holds."""
    _write(sys.stderr, " ".join(text.split()) + "\n")


def say_json(answer: Any) -> None:
    """The answer as one JSON object, and nothing else."""
    say(json.dumps(answer, indent=2))


def say_table(rows: Sequence[Sequence[object]], *, indent: str = "  ") -> None:
    """Rows in columns: the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))] if cells else []
    for row in cells:
        first, *others = row
        right = "  ".join(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        say(f"{indent}{first.ljust(widths[0])}  {right}".rstrip())


def finish() -> None:
    """Send off what standard output still holds. OSError where that fails; a reader gone is no failure."""
    stream: TextIO | None = sys.stdout
    if stream is not None:
        with _no_reader_is_no_failure(stream):
            stream.flush()


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A counter on standard error, where that is a terminal; call it with the count so far."""
    if not _watched():
        yield lambda _count: None
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit="", leave=False) as bar:
        yield lambda count: _move(bar, count)


@contextmanager
def advancing(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where that is a terminal; call it with the count so far and the total."""
    if not _watched():
        yield lambda _count, _total: None
        return
    from tqdm import tqdm

    with tqdm(desc=what, leave=False) as bar:

        def advance(count: int, total: int) -> None:
            bar.total = total
            _move(bar, count)

        yield advance


@contextmanager
def following(what: str, total: int) -> Iterator[Callable[[Callable[[], int]], None]]:
    """A bar up to `total` on standard error, where that is a terminal.

    Call it once with a function that says how far the work has come; it is asked from time to time, so the
    work itself need not know that somebody watches.
    """
    if not _watched():
        yield lambda _read: None
        return
    from tqdm import tqdm

    ended, watchers = Event(), []

    def watch(read: Callable[[], int]) -> None:
        def look() -> None:
            with tqdm(desc=what, total=total, leave=False, bar_format="{l_bar}{bar}| {elapsed}") as bar:
                while not ended.wait(LOOK_SECONDS):
                    _move(bar, read())

        watchers.append(Thread(target=look, daemon=True))
        watchers[-1].start()

    try:
        yield watch
    finally:
        ended.set()
        for watcher in watchers:
            watcher.join()


def _move(bar: Any, count: int) -> None:
    bar.update(count - bar.n)


def _watched() -> bool:
    stream: TextIO | None = sys.stderr
    return stream is not None and stream.isatty()


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # the process was started with it closed
        return
    encoding = stream.encoding or "utf-8"
    with _no_reader_is_no_failure(stream):
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


@contextmanager
def _no_reader_is_no_failure(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Nobody reads on, or there is no room: what is still held, now and at exit, goes nowhere.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
        if not isinstance(error, BrokenPipeError):
            raise
