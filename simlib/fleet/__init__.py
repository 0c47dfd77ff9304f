"""Many devices as columns: who has which hardware, base version, group, link and habit, drawn or imported."""

from simlib.fleet.inventory import STATES, Inventory, InventoryReport, read_inventory
from simlib.fleet.population import Population, apportion, by_rank, populate
from simlib.fleet.routes import Route, routes_of

__all__ = [
    "STATES",
    "Inventory",
    "InventoryReport",
    "Population",
    "Route",
    "apportion",
    "by_rank",
    "populate",
    "read_inventory",
    "routes_of",
]
