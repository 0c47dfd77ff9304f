"""What the compiler does not take is refused with file, line and function, never made into something else."""

from __future__ import annotations

import re

import pytest

from simlib.engine.columns import CannotCompile, Column
from simlib.engine.compiler import Program
from tests.engine.compiling import module_of

TABLE = {
    "whole": Column(0),
    "half": Column(1, 4, 4),
    "row": Column(2, 4, 32, 8),
    "key": Column(3, derived=len),
    "grid": Column(4, grid=3),
}
HEAD = """
import functools
import math
from enum import Enum
from typing import NamedTuple


class Table(NamedTuple):
    whole: list
    half: list
    row: list
    key: list
    grid: list


class Colour(Enum):
    RED = 1


NAMES = ("a", "b")
NUMBERS = {1: 2}
RATE = 0.5
PARTS = 3
WRONG_PARTS = 4


def one(x: int) -> int:
    return x


def two(x: int, y: int) -> tuple[int, int]:
    return x, y


def words(array: Words, at: int) -> int:
    return array[at]


def same(function):
    @functools.wraps(function)
    def inner(x):
        return 2 * function(x)

    return inner


@same
def decorated(x: int) -> int:
    return x


def by_default(x: int, y: int = 2) -> int:
    return x + y


def of_a_kind(x: int, *, y: int) -> int:
    return x + y


def any_number(*several: int) -> int:
    return 1


def by_position(x: int, /) -> int:
    return x


def enclosing(inner_name):
    def enclosed(x: int) -> int:
        return x + inner_name

    return enclosed


PARTS_OF = enclosing(3)
LAMBDA = lambda x: x + 1  # noqa
"""
REFUSED = {
    # Values that are no integers.
    "a float": "x = 1.5",
    "a string": "x = 'abc'",
    "nothing": "x = None",
    "a float constant": "x = RATE",
    "a true division": "x = y / 2",
    "a power": "x = y ** 2",
    "a matrix product": "x = y @ y",
    "a true division in place": "x /= 2",
    "a list": "x = [1, 2][y]",
    "a dictionary": "x = {1: 2}[y]",
    "a tuple as a value": "x = (1, 2)",
    "a tuple in an expression": "x = two(1, 2) + 1",
    "a formatted string": "x = f'{y}'",
    "a comprehension": "x = sum(n for n in (1, 2))",
    "a lambda": "x = (lambda: 1)()",
    "an assignment in an expression": "x = (y := 3)",
    "a starred argument": "x = min(*NUMBERS)",
    "a module": "x = math",
    "an enumeration of no integers": "x = Colour.RED",
    "a name that nobody knows": "x = nowhere",
    "an attribute of a value": "x = y.real",
    # Comparisons.
    "identity": "x = y is x",
    "no identity": "x = y is not x",
    "identity with nothing": "x = y is None",
    "membership of a column": "x = y in t.whole",
    "membership of names": "x = y in NAMES",
    "membership of a dictionary": "x = y in NUMBERS",
    "membership of a number": "x = y in PARTS",
    # Statements.
    "several targets": "x = y = 3",
    "a loop over a tuple": "for x in (1, 2): pass",
    "a loop over a column": "for x in t.whole: pass",
    "a loop with two variables": "for x, y in range(3): pass",
    "an else of a loop": "for x in range(3): pass\n    else: x = 1",
    "an else of a while": "while x: x -= 1\n    else: x = 1",
    "a step that varies": "for x in range(0, 3, y): pass",
    "a step of 0": "for x in range(0, 3, 0): pass",
    "a range without bounds": "for x in range(): pass",
    "an assertion": "assert x",
    "an exception": "raise ValueError",
    "a try": "try: x = 1\n    except ValueError: x = 2",
    "a with": "with x: pass",
    "an import": "import os",
    "a global": "global PARTS",
    "a function inside": "def inner(): pass",
    "a deletion": "del x",
    "a match": "match x:\n        case 1: pass",
    "a starred target": "x, *y = two(1, 2)",
    "a target of an object": "t.whole = 3",
    "an object added to": "t.whole += 3",
    "too few values": "x, y = 1, 2, 3",
    "too many targets": "x, y, z = two(1, 2)",
    "one value for two targets": "x, y = 3",
    "tuples of two lengths": "x, y = (1, 2) if x else (1, 2, 3)",
    "a yield": "yield x",
    # Results.
    "one result and two": "if x: return 1, 2\n    return 1",
    "no result and two": "if x: return 1, 2\n    return",
    # Calls.
    "a named argument": "x = one(x=3)",
    "an order of another kind": "x = min(1, 2, key=abs)",
    "a missing argument": "x = two(1)",
    "an argument too many": "x = one(1, 2)",
    "an argument left to its default": "x = by_default(1)",
    "a method": "x = y.bit_length()",
    "a class": "x = Table(1)",
    "another builtin": "x = sum(1, 2)",
    "a function of the standard library": "x = math.gcd(4, 6)",
    "the least of one": "x = min(x)",
    "the greatest of nothing": "x = max()",
    "two numbers made absolute": "x = abs(1, 2)",
    "an integer of a base": "x = int(1, 2)",
    # Columns.
    "a column that is not there": "x = t.nowhere[0]",
    "a slice": "x = t.whole[1:2]",
    "a part of a row by itself": "x = t.row",
    "an alias of a part of a row": "a = t.row\n    x = a[0]",
    "a grid with a flat index": "x = t.grid[y]",
    "a grid with other parts": "x = t.grid[x * WRONG_PARTS + y]",
    "a grid with the row second": "x = t.grid[PARTS * x + y]",
    "a grid with a part that varies": "x = t.grid[x * y + 1]",
    "a store to a derived column": "t.key[0] = 1",
    "a derived column added to": "t.key[0] += 1",
    "an index of an index": "x = t.whole[0][1]",
    "an index of an integer": "x = y[0]",
    "an alias of two widths": "if x: a = t.whole\n    else: a = t.half",
    "a narrow column handed on": "x = words(t.half, 0)",
    "a narrow alias handed on": "a = t.half\n    x = words(a, 0)",
}
"""Bodies by what is in them; the last line with something wrong is the one that the message names."""
ELSEWHERE = {
    "a decorated function": "x = decorated(3)",
    "a default": "x = by_default(1, 2)",
    "an argument by name only": "x = of_a_kind(1)",
    "any number of arguments": "x = any_number()",
    "an argument by position only": "x = by_position(1)",
    "a function of a function": "x = PARTS_OF(1)",
    "a lambda with a name": "x = LAMBDA(1)",
}
"""Calls of functions that are refused where they stand."""


def body(text: str) -> str:
    return f'''{HEAD}

def refused(t: Table, x: int, y: int) -> int:
    """Does what it must not."""
    x += 1
    y += 1
    {text}
    return x
'''


def refusal(folder, text: str) -> tuple[str, str]:
    """What is said, and the name of the file."""
    module = module_of(folder, body(text), Words=list)
    program = Program({"Table": TABLE}, arrays=["Words"])
    with pytest.raises(CannotCompile) as caught:
        program.export("refused", module.refused)
    return str(caught.value), module.__file__


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in REFUSED.items()])
def test_it_is_refused_where_it_stands(tmp_path, text):
    message, path = refusal(tmp_path, text)
    found = re.fullmatch(rf"{re.escape(path)}:(\d+): refused: found .+", message)
    assert found, message
    lines = body(text).splitlines()
    first = lines.index("    y += 1") + 2
    assert first <= int(found[1]) < first + 1 + text.count("\n"), message


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in ELSEWHERE.items()])
def test_a_function_of_another_kind_is_refused_where_it_stands(tmp_path, text):
    message, path = refusal(tmp_path, text)
    name = re.search(r"x = (\w+)\(", text)[1]
    name = {"PARTS_OF": "enclosed", "LAMBDA": "<lambda>"}.get(name, name)
    assert re.fullmatch(rf"{re.escape(path)}:\d+: {name}: found .+, expected .+", message), message


def test_the_line_named_is_that_of_the_file(tmp_path):
    message, _ = refusal(tmp_path, "x = 1\n\n    # a remark\n    y = 2.5")
    line = int(message.split(": ")[0].rpartition(":")[2])
    assert body("x = 1\n\n    # a remark\n    y = 2.5").splitlines()[line - 1] == "    y = 2.5"


def test_a_function_without_a_file_is_refused():
    known: dict = {}
    exec("def nowhere(x: int) -> int:\n    return x\n", known)
    with pytest.raises(CannotCompile, match=r"^<string>:1: nowhere: found no source"):
        Program({}).export("nowhere", known["nowhere"])


def test_what_is_in_the_subset_is_not_refused(tmp_path):
    # The frame of the refused programs is a good one.
    for text in ("x = words(t.whole, 0)", "x = t.grid[x * PARTS + y]", "x = min(1, 2)", "x, y = two(1, 2)"):
        module = module_of(tmp_path, body(text), Words=list)
        Program({"Table": TABLE}, arrays=["Words"]).export("refused", module.refused)
