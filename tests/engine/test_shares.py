"""The links on columns are the fair link of `simlib.engine.link`, call by call, in Python and compiled.

A schedule is a list of changes, each a tuple: (t, "join", link, device, bytes), (t, "abort", device),
(t, "resume", device), which aborts and joins at once with what is missing, (t, "again", device), which joins
with what the last abort missed, (t, "capacity", link, byte/s) or (t, "look"). `play` has a `FairLink` beside
the columns and compares at every step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.engine import native, shares
from simlib.engine.compiler import Program
from simlib.engine.link import CLASSES_MAX, INF, FairLink
from simlib.engine.shares import NEVER, NO_TRANSFER, Shares
from simlib.simulation.program import SHARES
from simlib.simulation.shared_links import LinkView, SharesMemory
from tests.amounts import examples

CALLS = {
    "advance_to": 3,
    "join_link": 6,
    "abort_transfer": 6,
    "set_link_capacity": 4,
    "settle_link": 2,
    "finished_device": 3,
    "delivered": 3,
    "has_room": 2,
}


class Columns(Protocol):
    """The functions of `simlib.engine.shares` on columns somewhere; `column` reads one of them."""

    first_class: list[int]

    def call(self, name: str, *arguments: int) -> int: ...

    def column(self, name: str) -> Sequence[int]: ...

    def make_room(self) -> None: ...


class OnLists:
    """Columns that are Python lists, each class with a heap of exactly `room` entries."""

    def __init__(self, links: Sequence[FairLink], devices: int, room: int = 64) -> None:
        classes = [len(link.caps) for link in links]
        self.first_class = [sum(classes[:k]) for k in range(len(links))]
        of_links = Shares._fields[: Shares._fields.index("cap")]
        columns: dict[str, list[int]] = {name: [0] * len(links) for name in of_links}
        for name in Shares._fields[Shares._fields.index("cap") : Shares._fields.index("ends")]:
            columns[name] = [0] * sum(classes)
        columns["classes_from"] = list(self.first_class)
        columns["classes_to"] = columns["first_shared"] = [
            first + count for first, count in zip(self.first_class, classes, strict=True)
        ]
        columns["first_shared"] = list(columns["classes_to"])
        columns["capacity"] = [link.capacity for link in links]
        columns["carry_of"] = [1] * len(links)
        columns["due_ms"] = [NEVER] * len(links)
        columns["cap"] = [cap for link in links for cap in link.caps]
        columns["heap_room"] = [room] * sum(classes)
        columns["heap_at"] = [room * row for row in range(sum(classes))]
        for name in ("ends", "devices", "sizes"):
            columns[name] = [0] * (room * sum(classes))
        columns["end"] = [NO_TRANSFER] * devices
        columns["rules"] = [links[0].unit, len(links)]
        self._shares = Shares(**columns)

    def call(self, name: str, *arguments: int) -> int:
        return getattr(shares, name)(self._shares, *arguments) or 0

    def column(self, name: str) -> Sequence[int]:
        return getattr(self._shares, name)

    def make_room(self) -> None:
        raise AssertionError("found a full heap, expected room for every transfer")


class Compiled:
    """The columns of a compiled run, and machine code."""

    def __init__(self, code: dict[str, Any], links: Sequence[FairLink], devices: int) -> None:
        self.memory = SharesMemory(links, devices)
        self.first_class = self.memory.first_class
        self.grown = 0
        self._code = code

    def call(self, name: str, *arguments: int) -> int:
        return self._code[name](self.memory.directory.address, *arguments)

    def column(self, name: str) -> Sequence[int]:
        return self.memory.columns[name].tolist()

    def make_room(self) -> None:
        self.grown += 1
        self.memory.grow()


@pytest.fixture(scope="module")
def code() -> dict[str, Any]:
    program = Program({"Shares": SHARES})
    for name in CALLS:
        program.export(name, getattr(shares, name))
    library = native.Library(native.compiled(str(program.module)))
    return {name: library.function(name, arguments) for name, arguments in CALLS.items()}


def play(
    links: Sequence[FairLink],
    columns: Columns,
    changes: Sequence[tuple[Any, ...]],
    class_of: Sequence[int],
    look: Callable[[], None] = lambda: None,
) -> list[tuple[int, ...]]:
    """Play `changes` on both, compare at every step, and tell what ended: (t, device, missing bytes).

    `class_of` is each device's class, of whatever link it is on; `look` is called at the end of each instant.
    """
    ended: list[tuple[int, ...]] = []
    on: dict[int, tuple[int, int]] = {}  # link and size of each device's transfer
    missed: dict[int, tuple[int, int]] = {}  # link and bytes that its last abort left
    stops = sorted(changes, key=lambda change: change[0])

    def row(link: int, device: int) -> int:
        return columns.first_class[link] + class_of[device] % len(links[link].caps)

    def join(t: int, link: int, device: int, size: int) -> None:
        where = row(link, device)
        if not columns.call("has_room", where):
            columns.make_room()
        assert columns.call("has_room", where)
        links[link].join(t, device, where - columns.first_class[link], size)
        columns.call("join_link", t, device, link, where, size)
        on[device] = link, size

    def abort(t: int, device: int) -> None:
        link, size = on.pop(device)
        missing = links[link].abort(t, device)
        assert columns.call("abort_transfer", t, device, link, row(link, device), size) == missing
        ended.append((t, device, missing))
        missed[device] = link, missing

    while True:
        following = INF
        for k, link in enumerate(links):
            columns.call("settle_link", k)
            due, expected = columns.column("due_ms")[k], link.next_finish()
            assert due == (NEVER if expected == INF else expected), f"next finish of link {k}"
            assert columns.column("active")[k] == link.active
            following = min(following, expected)
        t = min(following, stops[0][0] if stops else INF)
        if t == INF:
            return ended
        for k, link in enumerate(links):
            finished = []
            if link.next_finish() == t:
                while (device := columns.call("finished_device", t, k)) != NO_TRANSFER:
                    finished.append(device)
            assert sorted(finished) == link.pop_finished(t), f"who ends at {t} on link {k}"
            for device in sorted(finished):
                del on[device]
                ended.append((t, device, 0))
        while stops and stops[0][0] == t:
            _, kind, *rest = stops.pop(0)
            if kind == "join" and rest[1] not in on:
                join(t, *rest)
            elif kind == "capacity":
                link, capacity_bps = rest
                links[link].set_capacity(t, capacity_bps)
                columns.call("set_link_capacity", t, link, links[link].rate(capacity_bps))
            elif kind in ("abort", "resume") and rest[0] in on:
                abort(t, rest[0])
                if kind == "resume":
                    join(t, missed[rest[0]][0], rest[0], missed[rest[0]][1])
            elif kind == "again" and rest[0] in missed and rest[0] not in on:
                link, missing = missed.pop(rest[0])
                join(t, link, rest[0], missing)
        for k, link in enumerate(links):
            assert columns.call("delivered", t, k) == link.delivered_bytes(t), f"bytes of link {k} at {t}"
        look()


Case = tuple[list[list[int]], list[int], int, list[int], list[tuple[Any, ...]]]
"""Caps and capacity [byte/s] of each link, unit bits, class of each device, changes."""


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Rates of a few bytes a second, where a share is a few units a millisecond, or of whole bytes in it;
    crowded instants, outages, and devices that come back with what they miss."""
    count = draw(st.integers(1, 3))
    whole = draw(st.booleans())
    rates = st.integers(1, 5).map(lambda n: 1000 * n) if whole else st.integers(1, 60)
    some_capacity = st.integers(0, 8).map(lambda n: 1000 * n) if whole else st.integers(0, 150)
    caps = [sorted(draw(st.sets(rates, min_size=1, max_size=6))) for _ in range(count)]
    capacities = [draw(some_capacity) for _ in range(count)]
    devices = draw(st.integers(1, 10))
    class_of = draw(st.lists(st.integers(0, 5), min_size=devices, max_size=devices))
    times = st.integers(0, 400) | st.sampled_from([0, 10, 11])
    device, link = st.integers(0, devices - 1), st.integers(0, count - 1)
    size = st.integers(1, 200 if whole else 8)
    change = st.one_of(
        st.tuples(times, st.just("join"), link, device, size),
        st.tuples(times, st.just("join"), link, device, size),
        st.tuples(times, st.sampled_from(["abort", "resume", "again"]), device),
        st.tuples(times, st.just("capacity"), link, some_capacity),
        st.tuples(times, st.just("look")),
    )
    changes = draw(st.lists(change, min_size=1, max_size=40))
    changes += [(2_000, "capacity", k, 100_000) for k in range(count)]  # so that everything ends
    return caps, capacities, draw(st.sampled_from([0, 3, 8])), class_of, changes


def links_of(case: Case) -> list[FairLink]:
    caps, capacities, bits, _, _ = case
    return [FairLink(each, capacity, bits) for each, capacity in zip(caps, capacities, strict=True)]


@settings(max_examples=examples(150))
@given(cases())
def test_on_lists_every_step_is_the_fair_links(case):
    play(links_of(case), OnLists(links_of(case), len(case[3])), case[4], case[3])


@settings(max_examples=examples(200))
@given(case=cases())
def test_compiled_every_step_is_the_fair_links(code, case):
    play(links_of(case), Compiled(code, links_of(case), len(case[3])), case[4], case[3])


def slow_case(seed: int) -> Case:
    """Few bytes on a slow link: a share is a unit a millisecond or less, so that a unit too many or too few
    shows. Slow classes cross the level as others come and go."""
    rng = random.Random(seed)
    caps = sorted(rng.sample(range(1, 10), rng.randint(2, 4)))
    devices = rng.randint(2, 9)
    changes: list[tuple[Any, ...]] = [
        (rng.randrange(3000), "join", 0, d, rng.randint(1, 4)) for d in range(devices)
    ]
    changes += [
        (rng.randrange(5000), rng.choice(["abort", "resume", "again"]), rng.randrange(devices))
        for _ in range(rng.randint(0, devices))
    ]
    changes += [
        (t, "capacity", 0, rng.choice([0, rng.randint(1, 30)]))
        for t in rng.sample(range(3000), rng.randint(0, 6))
    ]
    changes += [(t, "look") for t in rng.sample(range(6000), 5)]
    changes += [(8000, "capacity", 0, 15)]
    return [caps], [15], 0, [rng.randrange(len(caps)) for _ in range(devices)], changes


def test_at_shares_below_a_unit_a_millisecond_every_step_is_the_fair_links(code):
    # In the last ones who ends next is of a class that is about to share, and loses a unit to rounding by it.
    for seed in [*range(300), 494, 1320, 1865, 3176, 3241]:
        case = slow_case(seed)
        ended = play(links_of(case), Compiled(code, links_of(case), len(case[3])), case[4], case[3])
        if seed < 60:
            assert play(links_of(case), OnLists(links_of(case), len(case[3])), case[4], case[3]) == ended


@pytest.mark.parametrize("seed", range(3))
def test_classes_at_their_caps_that_end_within_a_few_milliseconds_are_told_apart(code, seed):
    rng = random.Random(seed)
    caps = sorted(rng.sample(range(20_000, 90_000), CLASSES_MAX))
    changes: list[tuple[Any, ...]] = []
    for d in range(200):
        t = 40 * (d // 8)
        changes.append((t, "join", 0, d, caps[d % CLASSES_MAX] * (8_000 + rng.randrange(12)) // 1000))
    case: Case = [caps], [1_000_000_000], 8, list(range(200)), changes
    play(links_of(case), Compiled(code, links_of(case), 200), changes, case[3])
    play(links_of(case), OnLists(links_of(case), 200), changes, case[3])


@pytest.mark.parametrize("seed", range(4))
def test_many_transfers_in_32_classes_at_realistic_rates_end_as_on_the_fair_link(code, seed):
    rng = random.Random(seed)
    devices, horizon = 400, 60_000
    caps = [sorted(rng.sample(range(5_000, 1_000_000), CLASSES_MAX)) for _ in range(2)]
    capacities = [3_000_000, 1_000_000]
    class_of = [rng.randrange(CLASSES_MAX) for _ in range(devices)]
    changes: list[tuple[Any, ...]] = [
        (rng.randrange(horizon), "join", rng.randrange(2), d, rng.randint(1, 400_000)) for d in range(devices)
    ]
    changes += [
        (rng.randrange(horizon), rng.choice(["abort", "resume", "again"]), rng.randrange(devices))
        for _ in range(3 * devices)
    ]
    changes += [
        (rng.randrange(horizon), "capacity", rng.randrange(2), rng.choice([0, 700_000, 2_000_000]))
        for _ in range(10)
    ]
    changes += [(rng.randrange(2 * horizon), "look") for _ in range(50)]
    changes += [(horizon, "capacity", k, capacity) for k, capacity in enumerate(capacities)]
    case = caps, capacities, 6, class_of, changes
    compiled = Compiled(code, links_of(case), devices)
    ended = play(links_of(case), compiled, changes, class_of)
    if seed == 0:
        assert play(links_of(case), OnLists(links_of(case), devices, devices), changes, class_of) == ended
    assert sum(missing > 0 for *_, missing in ended) > 20 and len(ended) > devices


def test_a_heap_that_is_full_grows_with_its_transfers_in_it_and_the_others_stay(code):
    devices = 1000
    case = [[100, 2_000, 50_000], [900]], [90_000, 1_000], 4, [2] * devices, []
    rng = random.Random(5)
    changes = [(rng.randrange(300), "join", 0, d, rng.randint(1, 2_000)) for d in range(devices - 60)]
    changes += [(rng.randrange(300), "join", 1, d, rng.randint(1, 200)) for d in range(devices - 60, devices)]
    compiled = Compiled(code, links_of(case), devices)
    ended = play(links_of(case), compiled, changes, case[3])
    assert sorted(d for _, d, _ in ended) == list(range(devices))
    assert compiled.grown == 4  # 64, 128, 256, 512, 1024 entries
    assert compiled.column("heap_room") == [64, 64, 1024, 64]


def test_a_transfer_resumed_where_it_was_broken_off_counts_its_own_bytes_only(code):
    # Device 0 misses 50 bytes of 100 and comes back during the outage: it ends where the broken-off transfer
    # would, whose entry is still in the heap and comes up first.
    changes = [
        (0, "join", 0, 1, 60),
        (0, "join", 0, 0, 100),
        (0, "join", 0, 2, 200),
        (50, "capacity", 0, 0),
        (60, "abort", 0),
        (70, "again", 0),
        (75, "join", 0, 3, 200),
        (80, "capacity", 0, 4_000),
    ]
    for columns in (
        OnLists([FairLink([1000], 4000, 8)], 4),
        Compiled(code, [FairLink([1000], 4000, 8)], 4),
    ):
        ended = play([FairLink([1000], 4000, 8)], columns, changes, [0] * 4)
        assert ended == [(60, 0, 50), (90, 1, 0), (130, 0, 0), (230, 2, 0), (280, 3, 0)]


def test_aborted_transfers_do_not_fill_a_heap(code):
    links = [FairLink([1000], 1000, 8)]
    changes = [(0, "join", 0, 0, 10_000)]  # ends first, so that what is aborted stays below it
    for t in range(1, 600):
        changes += [(t, "join", 0, t, 1_000_000), (t, "abort", t)]
    compiled = Compiled(code, links, 600)
    play([FairLink([1000], 1000, 8)], compiled, changes, [0] * 600)
    play([FairLink([1000], 1000, 8)], OnLists(links, 600, room=2 * 2 + 17), changes, [0] * 600)
    assert compiled.grown == 0


@settings(max_examples=examples(100))
@given(case=cases(), rates=st.lists(st.integers(1, 70) | st.just(3_000), min_size=1, max_size=4))
def test_the_monitors_view_of_a_link_is_the_fair_links(code, case, rates):
    links = links_of(case)
    compiled = Compiled(code, links, len(case[3]))
    views = [LinkView(compiled.memory, k, link) for k, link in enumerate(links_of(case))]

    def look() -> None:
        for view, link in zip(views, links, strict=True):
            assert view.active == link.active
            assert [view.fair_share(rate) for rate in rates] == [link.fair_share(rate) for rate in rates]

    look()
    play(links, compiled, case[4], case[3], look)
