"""Where a scenario's own numbers come from: its table ``[sources]``.

A key of the table is a dotted key of the scenario, as ``--set`` takes it, in which ``*`` stands for any one
part: ``cohorts.*.wake_period``, ``cohorts.0.rates``, ``faults.*``. Its value is ``label: source``. Beside the
labels of a calibration figure there is *chosen*: a decision of the scenario's author, what the scenario is
about, not a fact about the world. Where several keys fit, the one with the fewest stars says it, then the
longest.

A number is a TOML number or text that states one: an amount with a unit, a share, a time of day, a varying
duration; a list of them is one entry. Names, words, true and false need no source, nor do ``schema``,
``name`` and ``title``. Whether the key exists and its value fits is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Final

from simlib.scenario.distributions import KINDS
from simlib.scenario.toml_text import shown
from simlib.scenario.units import DURATION_UNITS, RATE_UNITS, SIZE_UNITS, ExpectedError


class SourceLabel(StrEnum):
    """How a scenario's number is known."""

    MEASURED = "measured"
    CITED = "cited"
    DERIVED = "derived"
    RECALLED = "recalled"
    CHOSEN = "chosen"


ANY: Final = "*"
_EXEMPT: Final = ("schema", "name", "title")
# A unit that simlib does not know counts behind a space only: "1M" is the name of a modulation.
_AMOUNT: Final = re.compile(r"[-+]?(?:0x[0-9A-Fa-f]+|[0-9]+(?:\.[0-9]+)?)(?: *([A-Za-z%][A-Za-z/%]*))?")
_RATIO: Final = re.compile(r"[0-9]+/[0-9]+")
_CLOCK: Final = re.compile(r"[-+]?[0-9]{2}:[0-9]{2}(?:-[0-9]{2}:[0-9]{2})?")
_CALL: Final = re.compile(rf"(?:{'|'.join(KINDS)}) *\(.*\)")
_UNITS: Final = {"%", "us", *SIZE_UNITS, *DURATION_UNITS, *RATE_UNITS}


def parse_source(text: str) -> tuple[SourceLabel, str]:
    """``label: source`` as the two. Raises `ExpectedError` for another label, or none, or no source."""
    label, colon, source = (part.strip() for part in text.partition(":"))
    if not colon or not source or label not in list(SourceLabel):
        raise ExpectedError(f'"label: where the number is from", the label one of {", ".join(SourceLabel)}')
    return SourceLabel(label), source


def numbers(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Each dotted key of `document` that holds a number or a list of them, with its value, in order."""
    for key, value in document.items():
        if key not in (*_EXEMPT, "sources"):
            yield from _numbers(key, value)


def unsourced(document: Mapping[str, object], sources: Mapping[str, str]) -> tuple[str, ...]:
    """The dotted keys of all numbers in `document` that no key of `sources` covers."""
    return tuple(key for key, _ in numbers(document) if matching(key, sources) is None)


def matching(key: str, sources: Mapping[str, str]) -> str | None:
    """The key of `sources` that speaks for dotted `key`: fewest stars, then longest; None if none does."""
    parts = key.split(".")
    fitting = [pattern for pattern in sources if _fits(pattern.split("."), parts)]
    return min(fitting, key=lambda p: (p.split(".").count(ANY), -len(p), p), default=None)


def recalled_keys(
    document: Mapping[str, object], sources: Mapping[str, str]
) -> tuple[tuple[str, str, str], ...]:
    """The numbers of `document` that are assumptions: dotted key, value as a message shows it, source.

    Raises `ExpectedError` for an entry of `sources` that `parse_source` refuses.
    """
    found = []
    for key, value in numbers(document):
        pattern = matching(key, sources)
        if pattern is not None:
            label, source = parse_source(sources[pattern])
            if label is SourceLabel.RECALLED:
                found.append((key, shown(value), source))
    return tuple(found)


def _numbers(key: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for part, inner in value.items():
            if part not in _EXEMPT:
                yield from _numbers(f"{key}.{part}", inner)
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping) for inner in value):
        for index, inner in enumerate(value):
            yield from _numbers(f"{key}.{index}", inner)
    elif _is_number(value):
        yield key, value


def _is_number(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_number, value))
    if isinstance(value, str):
        return _states_number(value.strip())
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _states_number(text: str) -> bool:
    if amount := _AMOUNT.fullmatch(text):
        return amount[1] is None or amount[1] in _UNITS or " " in text
    return any(form.fullmatch(text) for form in (_RATIO, _CLOCK, _CALL))


def _fits(pattern: list[str], parts: list[str]) -> bool:
    return len(pattern) == len(parts) and all(
        p in (ANY, part) for p, part in zip(pattern, parts, strict=True)
    )
