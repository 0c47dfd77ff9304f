"""Many devices as columns: who has which hardware, base version, group, link rate and habit."""

from simlib.fleet.population import Population, apportion, populate

__all__ = ["Population", "apportion", "populate"]
