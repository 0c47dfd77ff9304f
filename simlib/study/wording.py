"""Differences between contenders as sentences that someone who decides can read.

"staged-5 brings 37 fewer bricks (95 % 31 to 44) and takes 2.1 days longer (95 % 2.0 to 2.2)": the time is
that until 95 % of the fleet run the new version. What was not seen to differ is said too, with how large a
difference may have been there. A time that was not always reached is no number to subtract: how often it
was reached comes first, and the rest is about replications in which both did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from simlib.study.differences import MEAN

TIME: Final = "time_to_95_ms"
WORDED: Final = ("bricked", "lost", TIME, "bytes_down", "exposure_offered", "halted")
"""The measures there are words for, in the order in which they are told."""

_Units = tuple[tuple[str, int, int], ...]
"""Units, the largest first: name, how many base units it is, from how many base units on it is used."""
_PLAIN: Final[_Units] = (("", 1, 0),)
_TIMES: Final[_Units] = (
    ("days", 86_400_000, 2 * 86_400_000),
    ("hours", 3_600_000, 2 * 3_600_000),
    ("minutes", 60_000, 2 * 60_000),
    ("s", 1_000, 0),
)
_BYTES: Final[_Units] = (("GB", 10**9, 10**8), ("MB", 10**6, 10**5), ("kB", 10**3, 0))
_MOST_DECIMALS: Final = 6
_MINUS: Final = "−"


@dataclass(frozen=True, slots=True)
class _Words:
    """How a difference of one measure reads, `{}` its size with its unit; `noun` where none was seen."""

    more: str
    less: str
    noun: str
    units: _Units = _PLAIN


_WORDS: Final = {
    "bricked": _Words("brings {} more bricks", "brings {} fewer bricks", "bricks"),
    "lost": _Words("loses {} more devices", "loses {} fewer devices", "lost devices"),
    TIME: _Words("takes {} longer", "takes {} less", "the time to 95 %", _TIMES),
    "bytes_down": _Words("downloads {} more", "downloads {} less", "bytes downloaded", _BYTES),
    "exposure_offered": _Words(
        "has been offered to {} more devices when it stops",
        "has been offered to {} fewer devices when it stops",
        "devices offered it when it stops",
    ),
}


def sentences(differences: pd.DataFrame, *, level: float = 0.95) -> list[str]:
    """One for each contender, in the table's order, from what `simlib.study.differences` gives.

    `level` is the one the intervals were found at. Measures that are not in `WORDED` are passed over.
    """
    several = "scenario" in differences.columns and differences["scenario"].nunique() > 1
    outer = ["scenario"] if several else []
    return [
        f"{': '.join(map(str, names))}{_told(list(rows.itertuples()), level)}"
        for names, rows in differences.groupby([*outer, "other"], sort=False)
    ]


def _told(rows: Sequence[Any], level: float) -> str:
    """Everything there is to say of one contender, to stand behind its name."""
    means = {row.measure: row for row in rows if row.statistic == MEAN}
    seen: list[str] = []
    unseen: list[str] = []
    never: list[str] = []
    for name in (name for name in WORDED if name in means):
        row = means[name]
        if name == "halted":
            seen += _halts(row)
            continue
        if name == TIME:
            seen += _reached(row)
        if row.n and row.value_baseline == row.value_other == 0 and not _differs(row):
            never.append(_WORDS[name].noun)
        elif _speaks(row):
            (seen if _differs(row) else unseen).append(_clause(row, level))
    seen += [_tail(row, level) for row in rows if row.statistic != MEAN and _differs(row)]
    parts = [f"no difference seen in {_listed(unseen)}"] if unseen else []
    if never:
        parts.append(f"no {' or '.join(never)} in either")
    if any(row.of < 2 for row in rows):
        parts.append("one replication each, so no intervals")
    if not seen:
        return f": {'; '.join(parts) or 'no difference in anything that there are words for'}"
    return f" {'; '.join([_listed(seen), *parts])}"


def _speaks(row: Any) -> bool:
    """Whether the mean difference says something: from enough pairs, and not of chosen replications only.

    A stop's exposure is compared where both always stop: those where both happen to are no fair sample.
    """
    if row.measure == "exposure_offered" and row.n < row.of:
        return False
    return bool(row.n >= min(2, row.of))


def _differs(row: Any) -> bool:
    """Whether zero lies outside the interval; of single replications, whether they are not equal."""
    if math.isnan(row.low):
        return row.of < 2 and row.statistic == MEAN and bool(row.difference)
    return bool(row.low > 0 or row.high < 0)


def _clause(row: Any, level: float) -> str:
    words = _WORDS[row.measure]
    where = " where both do" if row.n < row.of else ""
    if not _differs(row):
        return f"{words.noun}{where}{_interval(row, level, words.units)}"
    size = _size(row, words.units)
    return (
        (words.more if row.difference > 0 else words.less).format(size)
        + where
        + _interval(row, level, words.units)
    )


def _tail(row: Any, level: float) -> str:
    """Of a high quantile: how bad it can get."""
    kind = "higher" if row.difference > 0 else "lower"
    rank = f"{row.statistic.removeprefix('p')}th percentile of {_WORDS[row.measure].noun}"
    return f"has a {rank} {_size(row, _PLAIN)} {kind}{_interval(row, level, _PLAIN)}"


def _halts(row: Any) -> list[str]:
    """How often each stopped, unless both did equally often."""
    ours, theirs = round(row.value_other * row.n), round(row.value_baseline * row.n)
    return [] if ours == theirs else [f"stops in {ours} of {row.n}, the baseline in {_share(theirs, row.n)}"]


def _reached(row: Any) -> list[str]:
    """How often each came to 95 %, unless both always did."""
    if row.n_other == row.n_baseline == row.of:
        return []
    if row.n_other == row.n_baseline == 0:
        return ["never reaches 95 %, nor does the baseline"]
    ours = f"reaches 95 % in {row.n_other} of {row.of} replications"
    return [f"{ours}, the baseline in {_share(row.n_baseline, row.of)}"]


def _share(count: int, of: int) -> str:
    return "all" if count == of else str(count) if count else "none"


def _interval(row: Any, level: float, units: _Units) -> str:
    """`` (95 % 31 to 44)``: of a difference the size, else with signs, for it may go either way."""
    if math.isnan(row.low):
        return ""
    if row.low == row.high:
        return " in every replication" if row.difference else " (the same in every replication)"
    unit, by, decimals = _scale(row, units)
    ends = (row.low / by, row.high / by) if row.high >= 0 else (-row.high / by, -row.low / by)
    low, high = (_number(end, decimals) for end in ends)
    return f" ({100 * level:g} % {low} to {high}{f' {unit}' if unit and not _differs(row) else ''})"


def _size(row: Any, units: _Units) -> str:
    unit, by, decimals = _scale(row, units)
    return f"{_number(abs(row.difference) / by, decimals)}{f' {unit}' if unit else ''}"


def _scale(row: Any, units: _Units) -> tuple[str, int, int]:
    """The unit a difference and the ends of its interval are told in, its size, and how many decimals.

    The largest has two digits or more. An end that zero does not lie beyond is not rounded to zero.
    """
    sizes = [abs(each) for each in (row.difference, row.low, row.high) if not math.isnan(each)]
    unit, by, _ = next(each for each in units if max(sizes) >= each[2])
    largest = max(sizes) / by
    enough = 10 if units is _PLAIN else 100
    whole = units is _PLAIN and all(float(size).is_integer() for size in sizes)
    decimals = 0 if whole or largest >= enough else max(1, 1 - math.floor(math.log10(largest or 1)))
    if _differs(row):
        while decimals < _MOST_DECIMALS and not all(round(size / by, decimals) for size in sizes):
            decimals += 1
    return unit, by, min(decimals, _MOST_DECIMALS)


def _number(value: float, decimals: int) -> str:
    text = f"{abs(value):,.{decimals}f}"
    return f"{_MINUS}{text}" if value < 0 and text.strip("0.,") else text


def _listed(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
