"""Binds life-cycle, rollout and clock into a run."""

from simlib.simulation.run import Simulated, simulate

__all__ = ["Simulated", "simulate"]
