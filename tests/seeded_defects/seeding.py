"""How a defect is put into the code that is swept: a function is edited, and the rest stays as it is.

An edit exchanges pieces of a function's source for others, so that a defect is what it says and no copy of
the function that grows old. Where a piece no longer stands in the source, once, the defect has to be thought
through again: `seeded` raises.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from simlib.device.bootloader import in_place
from simlib.device.powercut import SweepOptions

SMALL = {"image_size_bytes": 700, "sector_size_bytes": 512}
"""Images of three or four sectors, trailers of several."""


class Edit:
    """`function` with pieces of its source exchanged: each key of `changes`, as it stands in the file."""

    def __init__(self, function: Callable[..., Any], changes: Mapping[str, str]) -> None:
        self.function = function
        self.changes = changes

    def code(self) -> CodeType:
        """The edited function, compiled. Raises `ValueError` unless each piece stands in the source once."""
        name = self.function.__qualname__
        source = inspect.getsource(self.function)
        for old, new in self.changes.items():
            if source.count(old) != 1:
                raise ValueError(f"{name}: found {source.count(old)} times {old!r}, expected it once")
            source = source.replace(old, new)
        opening = "if True:\n" if source[0].isspace() else ""
        made: dict[str, Any] = {}
        program = compile(
            f"from __future__ import annotations\n{opening}{source}", f"<{name}, edited>", "exec"
        )
        exec(program, self.function.__globals__, made)
        return made[self.function.__name__].__code__


@dataclass(frozen=True)
class Defect:
    """Something that is wrong in a boot loader or an updater and that only a power cut shows."""

    name: str
    what: str  # in a sentence
    options: SweepOptions  # the device and the update on which it shows
    edits: tuple[Edit, ...] = field(repr=False)

    @property
    def layout(self) -> str:
        """Of the device."""
        return self.options.layout


def defect(name: str, layout: str, what: str, *edits: Edit, **options: Any) -> Defect:
    """A defect that shows on small images, with `options` of the sweep besides."""
    return Defect(name, what, SweepOptions(**{"layout": layout, **SMALL, **options}), edits)


@contextmanager
def seeded(*edits: Edit) -> Iterator[None]:
    """The code is as the edits make it; afterwards it is as it was."""
    with ExitStack() as stack:
        _forget_plans()
        stack.callback(_forget_plans)
        for edit in edits:
            function, sound = edit.function, edit.function.__code__
            stack.callback(setattr, function, "__code__", sound)
            function.__code__ = edit.code()
        yield


def _forget_plans() -> None:
    """What a boot loader of a patch remembers between devices follows from the code."""
    in_place._plan_of.cache_clear()
    in_place._recipe_of.cache_clear()
