"""Clocks for many devices on shared links: the order of events, the exact fair link, the SimPy clock."""

from __future__ import annotations

from simlib.engine.environment import FleetEnvironment
from simlib.engine.link import INF, FairLink, unit_bits
from simlib.engine.order import Rank
from simlib.engine.simpy_clock import SimpyClock

__all__ = ["INF", "FairLink", "FleetEnvironment", "Rank", "SimpyClock", "unit_bits"]
