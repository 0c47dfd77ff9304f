"""A policy run on random reports, asked at every tick or only when one of its wake conditions holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from simlib.rollout.policy import Counter, Decision, GroupView, Policy, Verb, View, Wake

FIELDS = ("started", "succeeded", "failed", "silent", "skipped", "vanished")
Report = tuple[int, int, str]  # tick, group, what
Row = tuple[int, Verb, int | None, str]


def empty(size: int) -> GroupView:
    return GroupView(size, 0, 0, 0, 0, 0, 0)


def view(now: int, *groups: GroupView) -> View:
    return View(now, groups)


def verbs(decision: Decision) -> list[tuple[Verb, int | None]]:
    return [(action.verb, action.group) for action in decision.actions]


def reports(ticks: int, groups: int) -> st.SearchStrategy[list[Report]]:
    one = st.tuples(st.integers(1, ticks), st.integers(0, groups - 1), st.sampled_from(FIELDS))
    return st.lists(one, max_size=80)


def holds(wake: Wake, now: int, groups: Sequence[GroupView]) -> bool:
    if wake.at_ms is not None and now >= wake.at_ms:
        return True
    return any(_count(groups[number], counter) >= least for number, counter, least in wake.counts)


def _count(group: GroupView, counter: Counter) -> int:
    return getattr(group, counter.value)


def drive(
    make: Callable[[], Policy],
    sizes: Sequence[int],
    told: Sequence[Report] = (),
    *,
    step_ms: int,
    ticks: int,
    dense: bool = False,
    resumed: Sequence[int] = (),
) -> list[Row]:
    """What the policy did, (time, verb, group, detail) each. Only groups that have been opened report."""
    policy, groups, opened, done = make(), [empty(size) for size in sizes], set(), []
    by_tick: dict[int, list[Report]] = {}
    for report in told:
        by_tick.setdefault(report[0], []).append(report)
    wake: Wake = Wake(0)
    for tick in range(ticks + 1):
        now = tick * step_ms
        for _, number, field in by_tick.get(tick, ()):
            if number in opened:
                groups[number] = replace(groups[number], **{field: getattr(groups[number], field) + 1})
        answers = []
        if dense or holds(wake, now, groups):
            answers.append(policy.decide(view(now, *groups)))
        if tick in resumed:
            answers.append(policy.resume(view(now, *groups)))
        for answer in answers:
            wake = answer.wake
            opened |= {action.group for action in answer.actions if action.verb is Verb.OPEN}
            done += [(now, action.verb, action.group, action.detail) for action in answer.actions]
    return done


def asked_alike(
    make: Callable[[], Policy], sizes: Sequence[int], told: Sequence[Report], **how: object
) -> list[Row]:
    """The same whether asked at every tick or at the declared ones: what was done."""
    sparse = drive(make, sizes, told, **how)
    assert sparse == drive(make, sizes, told, dense=True, **how)
    return sparse


def log(rows: Sequence[Row]) -> list[tuple[int, Verb, int | None]]:
    return [(now, verb, group) for now, verb, group, _ in rows]


def changed(document: Mapping[str, object], **keys: object) -> dict[str, object]:
    """`document` with some keys replaced, or left out where the value is None."""
    made = {**document, **keys}
    return {key: value for key, value in made.items() if value is not None}
