"""Two hops to a device as rate classes: the one before (a phone, a gateway) and the last.

*stream*: the relay passes on what it gets, so bytes arrive at the slower hop's rate and the device's radio
works at that rate. *store*: the relay fetches the whole artefact, then passes it on at the last hop's rate;
a byte takes 1/a + 1/b, and the class's rate is 1 / (1/a + 1/b). The shared link, which is before the relay,
then sees one slow transfer instead of a fast one and a pause: exact in when the artefact has arrived, an
approximation in how the link's capacity is used meanwhile.

Each relay rate meets each rate of the last hop. Combinations that come to the same whole rate are one class;
its weight is how many they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Final

from simlib.errors import InputError

MOST_CLASSES: Final = 32
"""What the fair link takes."""
MODES: Final = ("stream", "store")

Energy = Callable[[Fraction], tuple[int, int]]
"""Receive and transmit energy of each byte [pJ] where the last hop carries so much [byte/s]."""


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """What the devices of one rate have in common."""

    rate_bps: int  # [byte/s] of application data from the shared link to the device: its cap there
    last_hop_bps: int  # [byte/s] of the last hop alone; the slowest of those merged
    rx_pj_per_byte: (
        int  # the device's receiver for each byte of application data, overhead and repeats included
    )
    tx_pj_per_byte: int  # acknowledgements and requests for each byte received


def device_classes(
    last_hops: Sequence[Fraction], relay_rates: Sequence[int], mode: str, energy: Energy
) -> tuple[tuple[DeviceClass, ...], tuple[int, ...]]:
    """The classes, by rate from the slowest, and how many combinations of hops fall into each.

    Without `relay_rates` the last hop is the only one. Rates [byte/s] are rounded down once; where
    combinations merge, a class's energies are their mean, rounded up. Raises `InputError` for a rate under
    1 byte/s and for more than 32 classes.
    """
    merged: dict[int, list[tuple[int, int, int]]] = {}
    for last_hop in last_hops:
        for relay in relay_rates or (None,):
            rate, working = _rates(last_hop, relay, mode)
            if rate < 1:
                raise InputError(
                    f"rates: found {ceil(rate * 1_000)} byte in 1000 s, expected 1 byte/s or more"
                )
            merged.setdefault(floor(rate), []).append((floor(last_hop), *energy(working)))
    if len(merged) > MOST_CLASSES:
        raise InputError(
            f"relay_rates: found {len(merged)} distinct rates of both hops, expected at most {MOST_CLASSES}"
        )
    classes = tuple(_merged(rate, merged[rate]) for rate in sorted(merged))
    return classes, tuple(len(merged[rate]) for rate in sorted(merged))


def _rates(last_hop: Fraction, relay: int | None, mode: str) -> tuple[Fraction, Fraction]:
    """The rate end to end, and the one the last hop works at."""
    if relay is None:
        return last_hop, last_hop
    if mode == "stream":
        slower = min(Fraction(relay), last_hop)
        return slower, slower
    return 1 / (Fraction(1, relay) + 1 / last_hop), last_hop


def _merged(rate_bps: int, members: list[tuple[int, int, int]]) -> DeviceClass:
    last_hops, rx, tx = zip(*members, strict=True)
    return DeviceClass(
        rate_bps=rate_bps,
        last_hop_bps=min(last_hops),
        rx_pj_per_byte=-(-sum(rx) // len(rx)),
        tx_pj_per_byte=-(-sum(tx) // len(tx)),
    )
