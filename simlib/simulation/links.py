"""The shared links of a scenario, and which rate class of which link a device uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simlib.engine.link import CLASSES_MAX, FairLink, unit_bits
from simlib.errors import InputError
from simlib.fleet import Population, Route
from simlib.scenario.model import ScenarioSpec


@dataclass(frozen=True)
class Attachment:
    """Links by number, and for each device its link and its rate class on it."""

    links: tuple[FairLink, ...]
    link: list[int]
    rate_class: list[int]
    capacities: tuple[tuple[tuple[int, int], ...], ...]  # of each link: from when [ms] it has which [byte/s]


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
    class_of = np.empty(spec.devices, dtype=np.int64)
    for number, route in enumerate(routes):
        for at, classes in enumerate(caps):
            members = (population.cohort == number) & (population.link == at)
            if members.any():
                known = np.array([classes.index(rate) for rate in route.rates_bps], dtype=np.int64)
                class_of[members] = known[population.rate[members]]
    return Attachment(links, population.link.tolist(), class_of.tolist(), _capacities(spec))


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
