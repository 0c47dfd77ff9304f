"""The shared links of a scenario, and which rate class of which link a device uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simlib.engine.link import CLASSES_MAX, FairLink, unit_bits
from simlib.errors import InputError
from simlib.fleet import Population, Route
from simlib.fleet.population import Column, looked_up
from simlib.scenario.model import ScenarioSpec


@dataclass(frozen=True)
class Attachment:
    """Links by number, and for each device its link and its rate class on it, as columns and as lists."""

    links: tuple[FairLink, ...]
    link_column: Column
    class_column: Column
    capacities: tuple[tuple[tuple[int, int], ...], ...]  # of each link: from when [ms] it has which [byte/s]

    @cached_property
    def link(self) -> list[int]:
        """`link_column` in Python's integers."""
        numbers: list[int] = self.link_column.tolist()
        return numbers

    @cached_property
    def rate_class(self) -> list[int]:
        """`class_column` in Python's integers."""
        numbers: list[int] = self.class_column.tolist()
        return numbers


def attach(
    spec: ScenarioSpec, population: Population, routes: Sequence[Route], largest_bytes: int
) -> Attachment:
    """Build the links. The rate classes of a link are the distinct rates of the cohorts on it.

    Raises `InputError` for more of them than a link keeps apart.
    """
    caps = [
        sorted(
            {
                rate
                for c, route in zip(spec.cohorts, routes, strict=True)
                if link.name in c.link
                for rate in route.rates_bps
            }
        )
        or [1]
        for link in spec.links
    ]
    for link, classes in zip(spec.links, caps, strict=True):
        if len(classes) > CLASSES_MAX:
            raise InputError(
                f"{spec.name}: links: found {len(classes)} distinct rates on {link.name}, "
                f"expected at most {CLASSES_MAX}"
            )
    bits = unit_bits(spec.devices, largest_bytes, max(max(c) for c in caps), spec.horizon_ms)
    links = tuple(
        FairLink(classes, link.capacity_bps, bits) for link, classes in zip(spec.links, caps, strict=True)
    )
    # The class of each rate of each cohort on each link; a rate that is not a link's own has none there.
    table = np.full((len(routes), len(caps), max(len(route.rates_bps) for route in routes)), -1)
    for number, route in enumerate(routes):
        for at, classes in enumerate(caps):
            for rate, bps in enumerate(route.rates_bps):
                if bps in classes:
                    table[number, at, rate] = classes.index(bps)
    class_column = looked_up(table, population.cohort, population.link, population.rate)
    return Attachment(links, population.link, class_column, _capacities(spec))


def _capacities(spec: ScenarioSpec) -> tuple[tuple[tuple[int, int], ...], ...]:
    """The changes of each link's capacity that its outages make."""
    return tuple(
        tuple(
            change
            for outage in link.outages
            for change in (
                (outage.from_ms, outage.capacity_bps),
                (outage.from_ms + outage.length_ms, link.capacity_bps),
            )
        )
        for link in spec.links
    )
