"""Running scenarios: one at a time."""

from simlib.study.single import run

__all__ = ["run"]
