"""Source texts as modules in files, and their functions compiled and called on columns in memory."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from simlib.engine import native
from simlib.engine.columns import Layout
from simlib.engine.compiler import Program

_number = iter(range(1 << 62))


def module_of(folder: Path, source: str, **known: Any) -> ModuleType:
    """`source` in a file of its own, which the compiler reads again, run with the names `known`."""
    path = folder / f"source_{next(_number)}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(known)
    spec.loader.exec_module(module)
    return module


def compiled(
    functions: Mapping[str, FunctionType], layouts: Mapping[str, Layout], **options: Any
) -> dict[str, Callable[..., int]]:
    """Machine code of `functions` by the names they are exported under; `options` are `Program`'s."""
    program = Program(layouts, **options)
    for name, function in functions.items():
        program.export(name, function)
    library = native.Library(native.compiled(str(program.module)))
    return {
        name: library.function(name, function.__code__.co_argcount) for name, function in functions.items()
    }


class Memory:
    """A table in memory: the arrays and numbers of its directory's entries."""

    def __init__(self, entries: Mapping[int, np.ndarray | int]) -> None:
        self._held = dict(entries)
        self._slots = np.zeros(max(entries) + 1, dtype=np.int64)
        for slot, entry in entries.items():
            self._slots[slot] = entry if isinstance(entry, int) else entry.ctypes.data

    @property
    def address(self) -> int:
        """What compiled code is given."""
        return int(self._slots.ctypes.data)
