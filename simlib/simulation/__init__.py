"""Binds life-cycle, rollout and clock into a run."""

from simlib.simulation.run import run

__all__ = ["run"]
