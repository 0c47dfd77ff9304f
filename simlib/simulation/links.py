"""The shared links of a scenario, and which rate class of which link a device uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simlib.engine.link import FairLink, unit_bits
from simlib.fleet import Population
from simlib.scenario.model import ScenarioSpec


@dataclass(frozen=True)
class Attachment:
    """Links by number, and for each device its link and its rate class on it."""

    links: tuple[FairLink, ...]
    link: list[int]
    rate_class: list[int]


def attach(spec: ScenarioSpec, population: Population, largest_bytes: int) -> Attachment:
    """Build the links. The rate classes of a link are the distinct rates of the cohorts on it."""
    numbers = {link.name: n for n, link in enumerate(spec.links)}
    caps = [
        sorted({rate for c in spec.cohorts if c.link == link.name for rate in c.rates_bps}) or [1]
        for link in spec.links
    ]
    bits = unit_bits(spec.devices, largest_bytes, max(max(c) for c in caps), spec.horizon_ms)
    links = tuple(
        FairLink(classes, link.capacity_bps, bits) for link, classes in zip(spec.links, caps, strict=True)
    )
    link_of = np.empty(spec.devices, dtype=np.int64)
    class_of = np.empty(spec.devices, dtype=np.int64)
    for number, cohort in enumerate(spec.cohorts):
        members = population.cohort == number
        link = numbers[cohort.link]
        classes = np.array([caps[link].index(rate) for rate in cohort.rates_bps], dtype=np.int64)
        link_of[members] = link
        class_of[members] = classes[population.rate[members]]
    return Attachment(links, link_of.tolist(), class_of.tolist())
