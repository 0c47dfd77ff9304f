"""Programs drawn over all that the compiler takes, whose numbers stay small enough that nothing wraps.

An expression is a text and the bits it may need: its value lies in [−2**bits, 2**bits). Variables and columns
hold `SMALL` bits, and no expression needs more than `LARGE`. `mark` and `pair` are functions of the program's
module; `mark` notes in column `log` with what it was called and in which order, so that a call too many,
too few or too early shows.
"""

from __future__ import annotations

from hypothesis import strategies as st

SMALL, LARGE = 20, 40
HEAD = """
class Kind(IntEnum):
    ONE = 1
    TWO = 2
    SEVEN = -7


class Table(NamedTuple):
    a: list
    b: list
    c: list
    log: list


LIMIT = 37
NOTHING = False
CHOICES = (1, -4, LIMIT, Kind.TWO)
KINDS = frozenset((0, 3))


def mark(t: Table, value: int) -> int:
    t.log[0] += 1
    t.log[1] = (t.log[1] * 31 + value) % 1000003
    return value


def pair(t: Table, x: int, y: int) -> tuple[int, int]:
    if x > y:
        return y, mark(t, x)
    return (x, x) if x & 1 else turned(y, x)


def turned(x: int, y: int) -> tuple[int, int]:
    return x, y
"""
OTHER = """
STEP = -13

def folded(x: int, y: int) -> int:
    while y:
        x, y = y, x % y
    return x
"""
NAMES = ("x", "y", "z", "u", "v", "w")
Expression = tuple[str, int]


class Drawn:
    """Draws one function's parts."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._loops = 0

    def pick(self, *options):
        return self._draw(st.sampled_from(options))

    def number(self, least: int, most: int) -> int:
        return self._draw(st.integers(least, most))

    def small(self, depth: int, most: int = SMALL) -> str:
        """An expression of at most so many bits."""
        text, bits = self.expression(depth)
        return text if bits <= most else f"({text}) % 65521"

    def place(self, depth: int) -> str:
        """An element of a column, or of one known by another name."""
        index = str(self.number(0, 7)) if self.number(0, 2) else f"({self.small(depth - 1)}) & 7"
        return f"{self.pick('t.a', 't.b', 't.c', 'p', 'q')}[{index}]"

    def leaf(self, depth: int) -> Expression:
        kind = self.number(0, 6)
        if kind == 0:
            return str(self.number(-100, 100)), 7
        if kind == 1:
            return self.pick("LIMIT", "NOTHING", "other.STEP", "Kind.TWO", "Kind.SEVEN", "True"), 6
        if kind == 2:
            return self.place(depth), SMALL
        return self.pick(*NAMES), SMALL

    def expression(self, depth: int) -> Expression:
        """Any expression; deeper ones are made of others."""
        if depth <= 0:
            return self.leaf(0)
        make = self.pick(
            self.leaf,
            self.arithmetic,
            self.arithmetic,
            self.division,
            self.bits,
            self.comparison,
            self.comparison,
            self.logic,
            self.logic,
            self.choice,
            self.call,
            self.sign,
        )
        text, bits = make(depth)
        return (text, bits) if bits <= LARGE else (f"({text}) % 65521", 16)

    def parts(self, depth: int, least: int, most: int) -> list[Expression]:
        return [self.expression(depth - 1) for _ in range(self.number(least, most))]

    def arithmetic(self, depth: int) -> Expression:
        (left, a), (right, b) = self.parts(depth, 2, 2)
        if self.number(0, 2):
            return f"({left}) {self.pick('+', '-')} ({right})", max(a, b) + 1
        if a + b > LARGE:
            left, right, a, b = f"({left}) % 65521", f"({right}) % -257", 16, 9
        return f"({left}) * ({right})", a + b + 1

    def divisor(self, depth: int) -> Expression:
        """Never 0, of either sign."""
        if self.number(0, 1):
            return str(self.pick(1, -1, 2, -2, 3, -3, 7, 64, -100)), 7
        text, bits = self.expression(depth - 1)
        return f"(({text}) | 1)", bits

    def division(self, depth: int) -> Expression:
        (left, a), (right, b) = self.expression(depth - 1), self.divisor(depth)
        if self.number(0, 1):
            return f"({left}) // {right}", a + 1
        return f"({left}) % {right}", b + 1

    def bits(self, depth: int) -> Expression:
        (left, a), (right, b) = self.parts(depth, 2, 2)
        kind = self.number(0, 2)
        if kind == 0:
            return f"({left}) << (({right}) & 7)", a + 7
        if kind == 1:
            return f"({left}) >> (({right}) & 31)", a
        return f"({left}) {self.pick('&', '|', '^')} ({right})", max(a, b)

    def comparison(self, depth: int) -> Expression:
        text = " ".join(
            f"{self.pick('<', '<=', '>', '>=', '==', '!=')} ({part})" for part, _ in self.parts(depth, 1, 3)
        )
        if self.number(0, 3) == 0:
            members = self.pick("CHOICES", "KINDS", "(1, 2, other.STEP)", "(u, 0)", "(LIMIT,)")
            text = f"{'' if self.number(0, 1) else text} {self.pick('in', 'not in')} {members}"
        return f"({self.expression(depth - 1)[0]}) {text}", 1

    def logic(self, depth: int) -> Expression:
        parts = self.parts(depth, 2, 3)
        return f" {self.pick('and', 'or')} ".join(f"({part})" for part, _ in parts), max(b for _, b in parts)

    def choice(self, depth: int) -> Expression:
        (yes, a), (test, _), (no, b) = self.parts(depth, 3, 3)
        return f"(({yes}) if ({test}) else ({no}))", max(a, b)

    def call(self, depth: int) -> Expression:
        kind = self.number(0, 4)
        if kind <= 1:
            text, bits = self.expression(depth - 1)
            return f"mark(t, {text})", bits
        if kind == 2:
            parts = self.parts(depth, 2, 3)
            return f"{self.pick('min', 'max')}({', '.join(t for t, _ in parts)})", max(b for _, b in parts)
        if kind == 3:
            return f"other.folded({self.small(depth - 1)}, {self.small(depth - 1)})", SMALL + 1
        text, bits = self.expression(depth - 1)
        return f"{self.pick('abs', 'int', 'bool')}({text})", bits + 1

    def sign(self, depth: int) -> Expression:
        text, bits = self.expression(depth - 1)
        return f"{self.pick('-', '~', '+', 'not ')}({text})", bits + 1

    # Statements

    def block(self, depth: int, *, looping: bool) -> list[str]:
        lines = [line for _ in range(self.number(1, 3)) for line in self.statement(depth, looping=looping)]
        return [f"    {line}" for line in lines]

    def statement(self, depth: int, *, looping: bool) -> list[str]:
        kinds = [self.assignment, self.assignment, self.several, self.augmented, self.other]
        if depth > 0:
            kinds += [self.branch, self.branch, self.loop]
        if looping:
            kinds.append(self.leave)
        return self.pick(*kinds)(depth, looping)

    def target(self) -> str:
        return self.pick(*NAMES) if self.number(0, 2) else self.place(1)

    def assignment(self, depth: int, looping: bool) -> list[str]:
        if self.number(0, 4) == 0:
            return [f"{self.pick(*NAMES)}: int = {self.small(2)}"]
        return [f"{self.target()} = {self.small(3)}"]

    def several(self, depth: int, looping: bool) -> list[str]:
        values = self.pick(
            lambda: f"{self.small(2)}, {self.small(2)}",
            lambda: f"pair(t, {self.small(2)}, {self.small(2)})",
            lambda: f"divmod({self.small(1, SMALL - 1)}, {self.divisor(1)[0]})",
            lambda: f"(({self.small(1)}), 3) if {self.small(1)} else pair(t, {self.small(1)}, 5)",
            lambda: f"{self.pick(*NAMES)}, {self.pick(*NAMES)}",
        )()
        if values.startswith("divmod"):
            first = self.pick(*NAMES)
            return [f"{first}, {self.pick(*NAMES)} = {values}", f"{first} %= 65521"]
        return [f"{self.target()}, {self.target()} = {values}"]

    def augmented(self, depth: int, looping: bool) -> list[str]:
        safe = self.pick(f"&= {self.small(2)}", f"|= {self.small(2)}", f"^= {self.small(2)}")
        safe = self.pick(safe, f">>= ({self.small(2)}) & 15", f"%= {self.pick(17, -17, 300)}")
        if self.number(0, 1):
            return [f"{self.place(1)} {safe}"]
        name = self.pick(*NAMES, "t.a[3]", "p[5]")
        op = self.pick("+=", "-=", "*=", "//=", "<<=")
        value = (
            self.divisor(1)[0] if op == "//=" else f"({self.small(2)}) & 7" if op == "<<=" else self.small(2)
        )
        return [f"{name} {op} {value}", f"{name} %= {self.pick(65521, -65521)}"]

    def other(self, depth: int, looping: bool) -> list[str]:
        return self.pick(
            lambda: ["pass"],
            lambda: [f"mark(t, {self.small(2)})"],
            lambda: [f"p = t.{self.pick('a', 'c')}"],
            lambda: ["p, u = t.c, v"],
            lambda: [f"if {self.small(2)}:", f"    return {self.small(2)}"],
        )()

    def branch(self, depth: int, looping: bool) -> list[str]:
        lines = [f"if {self.small(2)}:", *self.block(depth - 1, looping=looping)]
        if self.number(0, 2) == 0:
            lines += [f"elif {self.small(2)}:", *self.block(depth - 1, looping=looping)]
        if self.number(0, 1):
            lines += ["else:", *self.block(depth - 1, looping=looping)]
        return lines

    def loop(self, depth: int, looping: bool) -> list[str]:
        self._loops += 1
        n = f"n{self._loops}"
        if self.number(0, 1):
            most = self.number(0, 4)
            head = [f"{n} = 0", f"while {self.pick('True', self.small(2))}:"]
            return [
                *head,
                f"    {n} += 1",
                f"    if {n} > {most}:",
                "        break",
                *self.block(depth - 1, looping=True),
            ]
        bound = self.pick(str(self.number(-2, 5)), f"({self.small(1)}) & 3")
        bounds = self.pick(
            bound, f"{self.number(-2, 2)}, {bound}", f"{bound}, -2, -1", f"-1, {bound}, 2", f"9, {bound}, -4"
        )
        use = self.pick([], [f"    u ^= {n}"], [f"    {n} += 2", f"    mark(t, {n})"])
        return [f"for {n} in range({bounds}):", *use, *self.block(depth - 1, looping=True)]

    def leave(self, depth: int, looping: bool) -> list[str]:
        if self.number(0, 3) == 0:
            return [self.pick("break", "continue")]
        return [f"if {self.small(2)}:", f"    {self.pick('break', 'continue')}"]

    def function(self, name: str) -> list[str]:
        body = self.block(2, looping=False) + self.block(2, looping=False)
        return [
            f"def {name}(t: Table, x: int, y: int, z: int) -> int:",
            '    """A drawn function."""',
            "    u, v, w = 0, 1, z",
            "    p, q = t.a, t.b",
            *body,
            f"    return {self.expression(3)[0]}",
            "",
            "",
        ]


@st.composite
def programs(draw: st.DrawFn, functions: int) -> str:
    """The source of functions ``f0`` to so many, of a table and three integers."""
    lines = ["from enum import IntEnum", "from typing import NamedTuple", "", HEAD, ""]
    for number in range(functions):
        lines += Drawn(draw).function(f"f{number}")
    return "\n".join(lines)
