"""How each cohort's devices are reached: a channel of the scenario, or a plain radio with stated rates."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from simlib.channel import Channel, resolve
from simlib.channel.multicast import Multicast
from simlib.errors import InputError
from simlib.scenario.calibration import (
    cell_profile,
    core_profile,
    flash_profile,
    radio_profile,
    usable_uj,
)
from simlib.scenario.model import CohortSpec, ScenarioSpec

_CORE_MILLIVOLT: Final = 3_000
"""The supply that a core's power is a current at; every core of data/calibration runs from 3.0 V."""


@dataclass(frozen=True, slots=True)
class Route:
    """One cohort's way: a device is of one of the classes, by their weights."""

    rates_bps: tuple[int, ...]  # of each class [byte/s]
    rx_pj_per_byte: tuple[int, ...]
    tx_pj_per_byte: tuple[int, ...]
    weights: tuple[int, ...]
    connect_ms: int
    connect_nj: int
    checkin_nj: int  # a poll that finds nothing
    report_nj: int
    sleep_nw: int
    peak_ua: int  # the radio's largest current; 0: not known
    reach: Fraction  # share of devices in range
    multicast: Multicast | None
    profile: tuple[str, str]  # calibration table and profile


def routes_of(spec: ScenarioSpec) -> tuple[Route, ...]:
    """The way of each cohort, in the scenario's order. Raises `InputError` for a channel that cannot be."""
    channels: dict[str, Channel] = {}
    for number, channel in enumerate(spec.channels):
        try:
            channels[channel.name] = resolve(channel)
        except InputError as error:
            raise InputError(f"{spec.name}: channels.{number}.{error}") from None
    return tuple(_plain(c) if not c.channel else _by(channels[c.channel]) for c in spec.cohorts)


def usable_cell_uj(cohort: CohortSpec, route: Route) -> int:
    """What of the cohort's full battery an update can draw [µJ]; 0 without one.

    Its pulses are the radio's, or those of the flash being written while the core runs [µA].
    """
    if not cohort.cell:
        return 0
    core_ua = ceil(Fraction(core_profile(cohort.core).active_nw, _CORE_MILLIVOLT))
    peak_ua = max(route.peak_ua, flash_profile(cohort.flash).current_ua + core_ua)
    return usable_uj(cell_profile(cohort.cell), peak_ua)


def _by(channel: Channel) -> Route:
    return Route(
        rates_bps=tuple(c.rate_bps for c in channel.classes),
        rx_pj_per_byte=tuple(c.rx_pj_per_byte for c in channel.classes),
        tx_pj_per_byte=tuple(c.tx_pj_per_byte for c in channel.classes),
        weights=channel.weights,
        connect_ms=channel.connect_ms,
        connect_nj=channel.connect_nj,
        checkin_nj=channel.checkin_nj,
        report_nj=channel.report_nj,
        sleep_nw=channel.sleep_nw,
        peak_ua=channel.peak_ua,
        reach=channel.reach,
        multicast=channel.multicast,
        profile=channel.profile,
    )


def _plain(cohort: CohortSpec) -> Route:
    """What a radio profile knows: energy for each byte received, and for a poll."""
    radio = radio_profile(cohort.radio)
    classes = len(cohort.rates_bps)
    return Route(
        rates_bps=cohort.rates_bps,
        rx_pj_per_byte=(radio.rx_pj_per_byte,) * classes,
        tx_pj_per_byte=(0,) * classes,
        weights=(1,) * classes,
        connect_ms=0,
        connect_nj=0,
        checkin_nj=radio.checkin_nj,
        report_nj=0,
        sleep_nw=0,
        peak_ua=0,
        reach=Fraction(1),
        multicast=None,
        profile=("radio", cohort.radio),
    )
