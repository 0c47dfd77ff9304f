"""What compiled functions compute is what Python computes, whatever the program."""

from __future__ import annotations

import ast
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from llvmlite import ir

from simlib import draws
from simlib.engine.columns import Column
from tests.amounts import examples
from tests.engine.compiling import Memory, compiled, module_of
from tests.engine.drawn_programs import OTHER, SMALL, programs

TABLE = {"a": Column(0), "b": Column(1, 4, 4), "c": Column(2), "log": Column(3)}
FUNCTIONS = 2


def arguments(rng: random.Random) -> list[int]:
    edge = 1 << SMALL
    return [rng.choice([0, 1, -1, rng.randrange(-9, 9), rng.randrange(-edge, edge)]) for _ in range(3)]


@given(source=programs(functions=FUNCTIONS))
@settings(max_examples=examples(30), phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_drawn_programs_give_what_python_gives_and_leave_the_same_columns(tmp_path, source):
    module = module_of(tmp_path, source, other=module_of(tmp_path, OTHER))
    functions = {f"f{n}": getattr(module, f"f{n}") for n in range(FUNCTIONS)}
    code = compiled(functions, {"Table": TABLE})
    rng = random.Random(1)
    for name, function in functions.items():
        for _ in range(6):
            given_arguments = arguments(rng)
            lists = [[rng.randrange(-(1 << SMALL), 1 << SMALL) for _ in range(8)] for _ in range(3)]
            lists.append([0, 0])
            arrays = [
                np.array(each, dtype=np.int32 if at == 1 else np.int64) for at, each in enumerate(lists)
            ]
            expected = int(function(module.Table(*lists), *given_arguments))
            memory = Memory(dict(enumerate(arrays)))
            assert code[name](memory.address, *given_arguments) == expected, (name, given_arguments)
            assert [each.tolist() for each in arrays] == lists, (name, given_arguments)


SOURCE = '''
from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    LOW = -3
    HIGH = 5


class Table(NamedTuple):
    a: list
    b: list
    c: list
    log: list


CHOICES = (Kind.LOW, 0, Kind.HIGH)
FLAG = True


def mark(t: Table, value: int) -> int:
    t.log[0] += 1
    t.log[1] = t.log[1] * 31 + value
    return value


def quotients_are_rounded_down(t: Table, x: int, y: int) -> int:
    return x // (y or 7)


def remainders_have_the_sign_of_the_divisor(t: Table, x: int, y: int) -> int:
    return x % (y or -7)


def divmod_gives_both(t: Table, x: int, y: int) -> int:
    quotient, remainder = divmod(x, y or 3)
    return quotient * 1000 + remainder


def shifts_to_the_right_keep_the_sign(t: Table, x: int, y: int) -> int:
    return (x >> (y & 63)) + (x << 3)


def signs(t: Table, x: int, y: int) -> int:
    return -x + ~y - (-5) + +x * (not y)


def a_chain_is_evaluated_only_while_it_holds(t: Table, x: int, y: int) -> int:
    return mark(t, x) < mark(t, y) <= mark(t, 3) != mark(t, 2)


def a_chain_evaluates_its_middle_once(t: Table, x: int, y: int) -> int:
    return -5 < mark(t, x) < 5


def membership_of_constants(t: Table, x: int, y: int) -> int:
    return (x in CHOICES) + 2 * (y not in (1, Kind.LOW, x)) + 4 * (0 <= x in (1, 2))


def and_gives_the_part_that_decides(t: Table, x: int, y: int) -> int:
    return mark(t, x) and mark(t, y) and mark(t, 9)


def or_gives_the_part_that_decides(t: Table, x: int, y: int) -> int:
    return mark(t, x) or mark(t, y) or mark(t, 0)


def and_binds_before_or(t: Table, x: int, y: int) -> int:
    return x and mark(t, 1) or y and mark(t, 2)


def only_the_chosen_part_is_evaluated(t: Table, x: int, y: int) -> int:
    return mark(t, x) if y > 0 else mark(t, y) if x else 4


def the_least_and_the_greatest(t: Table, x: int, y: int) -> int:
    return min(x, y, 4) * 100 + max(x, y) * 10 + abs(x) + int(y > x) + bool(y)


def loops_leave_and_go_on(t: Table, x: int, y: int) -> int:
    total = 0
    for i in range(10):
        if i == y:
            break
        if i % 2 == x % 2:
            continue
        for j in range(i, -3, -2):
            if j == x:
                break
            total += 10 * i + j
        else_free = total
        total = else_free + 1
    while total > 100:
        total -= 37
        if total % 5 == 0:
            continue
        if total < y:
            break
    return total


def a_range_is_fixed_when_it_begins(t: Table, x: int, y: int) -> int:
    last = -1
    most = y & 7
    for i in range(x & 3, most, 2):
        most += 1
        last = i
        i += 5
        mark(t, i)
    return last


def a_loop_variable_keeps_its_last_value(t: Table, x: int, y: int) -> int:
    i = x
    for i in range(y & 3):
        pass
    return i


def an_early_return_ends_all_loops(t: Table, x: int, y: int) -> int:
    for i in range(5):
        while True:
            if i == (x & 7):
                return mark(t, i)
            break
    return -1


def what_follows_a_return_is_never_reached(t: Table, x: int, y: int) -> int:
    if x > y:
        return 1
        mark(t, 1)
    else:
        return mark(t, 2)
    return mark(t, 3)


def ordered(x: int, y: int) -> tuple[int, int, int]:
    if x > y:
        return y, x, 1
    return (x, y, 0) if x else turned(x, y)


def turned(x: int, y: int) -> tuple[int, int, int]:
    return y, x, 2


def results_are_unpacked_into_names_and_columns(t: Table, x: int, y: int) -> int:
    t.a[0], low, t.b[y & 3] = ordered(x, y)
    return low


def values_come_before_targets_and_targets_from_left_to_right(t: Table, x: int, y: int) -> int:
    i = x & 3
    i, t.a[i], t.c[i] = y & 3, i, 50
    t.a[mark(t, 1)], t.a[mark(t, 2)] = mark(t, 3), mark(t, 4)
    x, y = y, x
    return x - y


def an_augmented_index_is_evaluated_once_and_first(t: Table, x: int, y: int) -> int:
    t.a[mark(t, x & 3)] += mark(t, y)
    t.a[1] -= x
    t.a[2] *= y
    t.a[3] <<= 2
    t.a[4] |= x
    t.a[5] ^= y
    t.b[6] >>= 1
    t.b[7] //= 3
    t.c[0] %= 5
    t.c[1] &= 6
    x += mark(t, x)
    t.log[0] += mark(t, 5)
    return x


def an_alias_is_the_column_itself(t: Table, x: int, y: int) -> int:
    a, b = t.a, t.b
    c: list = t.c
    if x > 0:
        a = t.c
    a[1] += x
    b[2] = y & 255
    c[3] -= 1
    return a[1] + b[2] * c[1]


def constants_of_modules_and_enumerations(t: Table, x: int, y: int) -> int:
    value: int = other.STEP + Kind.HIGH
    unused: int
    return value * x + FLAG * y + other.folded(x & 15, y & 15)


def a_statement_without_value_returns_early(t: Table, x: int, y: int) -> int:
    nothing(t, x)
    return t.log[0]


def nothing(t: Table, x: int) -> None:
    """Marks, sometimes."""
    if x > 0:
        return
    mark(t, x)
    ...


def functions_call_themselves(t: Table, x: int, y: int) -> int:
    if x <= 0:
        return mark(t, y)
    return functions_call_themselves(t, min(x, 6) - 1, y + x) + 1


def _arrays(words: Words, start: int) -> int:
    return words[start] * 2 + words[start + 1]


def columns_are_handed_on_as_arrays(t: Table, x: int, y: int) -> int:
    a = t.a
    return _arrays(t.c, x & 3) - _arrays(a, y & 3)
'''
HELPERS = ("mark", "ordered", "turned", "nothing", "_arrays")
VALUES = (-1000, -8, -7, -3, -2, -1, 0, 1, 2, 3, 4, 5, 7, 64, 1000)


def names_in(source: str) -> list[str]:
    names = [n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)]
    return [name for name in names if name not in HELPERS]


@pytest.fixture(scope="module")
def subset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subset")
    module = module_of(folder, SOURCE, other=module_of(folder, OTHER), Words=list)
    functions = {name: getattr(module, name) for name in names_in(SOURCE)}
    return module, functions, compiled(functions, {"Table": TABLE}, arrays=["Words"])


@pytest.mark.parametrize("name", names_in(SOURCE))
def test_of_each_statement_and_expression(subset, name):
    module, functions, code = subset
    seen = set()
    for x in VALUES:
        for y in VALUES:
            lists = [[3, -4, 5, 60, -70, 8, 9, 1000], [5, 6, 7, 8, 9, 10, -11, -12], [2] * 8, [0, 0]]
            arrays = [
                np.array(each, dtype=np.int32 if at == 1 else np.int64) for at, each in enumerate(lists)
            ]
            expected = int(functions[name](module.Table(*lists), x, y))
            assert code[name](Memory(dict(enumerate(arrays))).address, x, y) == expected, (x, y)
            assert [each.tolist() for each in arrays] == lists, (x, y)
            seen.add(repr((expected, lists)))
    assert len(seen) > 1  # else nothing was told apart


def test_numbers_wrap_at_64_bits_where_pythons_grow(tmp_path):
    source = "def f(x: int, y: int) -> int:\n    return x * y + (1 << 63) - 0x9E3779B97F4A7C15\n"
    function = module_of(tmp_path, source).f
    code = compiled({"f": function}, {})["f"]
    for x, y in [
        (1, 1),
        (1 << 62, 5),
        (-(1 << 63), -1),
        ((1 << 63) - 1, (1 << 63) - 1),
        (12345678901, 98765432109),
    ]:
        assert (code(x, y) - function(x, y)) % (1 << 64) == 0


def test_a_native_is_written_by_hand_and_does_nothing_in_python(tmp_path):
    source = (
        "def hint(x: int) -> None:\n    pass\n\n\ndef f(x: int) -> int:\n    hint(x * 2)\n    return x + 1\n"
    )
    module, given_values = module_of(tmp_path, source), []

    def written(builder, arguments):
        given_values.append(len(arguments))
        place = builder.inttoptr(ir.Constant(ir.IntType(64), target.ctypes.data), ir.IntType(64).as_pointer())
        builder.store(arguments[0], place)

    target = np.zeros(1, dtype=np.int64)
    code = compiled({"f": module.f}, {}, natives={module.hint: written})["f"]
    assert code(20) == module.f(20) == 21 and target[0] == 40 and given_values == [1]


def signed(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


@pytest.fixture(scope="module")
def drawing():
    functions = {each.__name__: each for each in (draws.draw32, draws.below, draws.sampled, draws.keyed)}
    return compiled(
        functions,
        {},
        arrays=["Sequence[int] | NDArray[np.int64]"],
        unsigned=[draws.mix64, draws.draw32],
    )


def test_compiled_draws_are_frozen(drawing):
    start = signed(draws.mix64((7 * draws.GOLDEN) & draws.MASK64))
    keys = [drawing["keyed"](start, device) for device in (-1, 0, 119_999)]
    assert keys[1] == 0x6A9216023FD7DC5D
    drawn = [drawing["draw32"](key, draws.Purpose.DROP, 3) for key in keys]
    assert drawn == [3609159049, 1829484447, 3783034271]


@given(
    st.integers(0, draws.MASK64),
    st.sampled_from(draws.Purpose),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 31),
    st.integers(-1, (1 << 24) - 1),
)
@settings(max_examples=examples(300))
def test_compiled_draws_are_pythons(drawing, key, purpose, occurrence, span, device):
    assert drawing["keyed"](signed(key), device) == signed(draws.keyed(key, device))
    assert drawing["draw32"](signed(key), purpose, occurrence) == draws.draw32(key, purpose, occurrence)
    below = drawing["below"](signed(key), purpose, occurrence, span)
    assert below == draws.below(key, purpose, occurrence, span)


@given(
    st.integers(0, 2**32 - 1) | st.sampled_from([0, (1023 << 22) - 1, 1023 << 22, 2**32 - 1]),
    st.integers(0, 100),
    st.integers(0, 1 << 38),
)
@settings(max_examples=examples(200))
def test_a_compiled_sample_is_pythons(drawing, draw, start, step):
    rng = random.Random(step)
    table = [0] * start + sorted(rng.randrange(step + 1) for _ in range(draws.QUANTILES))
    array = np.array(table, dtype=np.int64)
    assert drawing["sampled"](array.ctypes.data, start, draw) == draws.sampled(table, start, draw)
