"""A run as a person works with it: frames, summary, digest, plots, and one device explained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from simlib.errors import InputError
from simlib.results import store
from simlib.results.device_table import DeviceTable, as_table

if TYPE_CHECKING:
    from simlib.results.plots import Plots
    from simlib.simulation.explain import Explanation


class Run:
    """The result of one scenario. Made by `simlib.run`, or read back with `Run.load`."""

    def __init__(
        self, scenario_toml: str, tables: Mapping[str, pd.DataFrame | DeviceTable], summary: dict[str, Any]
    ) -> None:
        self.scenario_toml = scenario_toml
        self.summary = summary
        self._tables = dict(tables)

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: whole frames."""
        return vars(self) | {"_tables": {name: self._frame(name) for name in self._tables}}

    def _frame(self, name: str) -> pd.DataFrame:
        table = self._tables[name]
        if not isinstance(table, pd.DataFrame):
            self._tables[name] = table = table.frame()
        return table

    @property
    def devices(self) -> pd.DataFrame:
        """A row a device; times in ms since the start (−1: never), energy in µJ, bytes.

        The whole frame is made when it is first asked for, and kept.
        """
        return self._frame("devices")

    @property
    def device_table(self) -> DeviceTable:
        """The same in parts, for a fleet whose frame the memory does not hold: single columns, some rows.

        ``run.device_table.chunks(1_000_000)`` gives frames of a million devices, one after the other.
        """
        return as_table(self._tables["devices"])

    @property
    def groups(self) -> pd.DataFrame:
        """A row a rollout group."""
        return self._frame("groups")

    @property
    def timeline(self) -> pd.DataFrame:
        """State counts and bytes on the links over time, a row a sample."""
        return self._frame("timeline")

    @property
    def alerts(self) -> pd.DataFrame:
        """What the service reported as it happened."""
        return self._frame("alerts")

    @property
    def grants(self) -> pd.DataFrame:
        """When each transfer ended and how many bytes it was short: what `explain` replays a device with."""
        return self._frame("grants")

    @property
    def beliefs(self) -> pd.DataFrame:
        """How many devices of each group the server believes ended so, and how they did."""
        return self._frame("beliefs")

    @property
    def errors(self) -> pd.DataFrame:
        """A row a step that failed, in order."""
        return self._frame("errors")

    @property
    def digest(self) -> str:
        """The digest of the device table; see `simlib.results.digest`."""
        return str(self.summary["digest"])

    @property
    def plot(self) -> Plots:
        """The plots of this run: ``run.plot.progress()`` and others, each taking and giving Axes."""
        from simlib.results.plots import Plots

        return Plots(self)

    def explain(self, device: int) -> Explanation:
        """One device of this run replayed on the bench. InputError if there is no such device."""
        from simlib.scenario import Scenario
        from simlib.simulation.explain import History, explain  # reading a saved run needs no simulation

        table = self.device_table
        if not 0 <= device < len(table):
            raise InputError(f"device: found {device}, expected 0 to {len(table) - 1}")
        scenario = Scenario.from_toml(self.scenario_toml)
        row = table.frame(device, device + 1).iloc[0]
        mine = self.grants[self.grants["device"] == device]
        history = History(
            released_ms=int(row["released_ms"] if "released_ms" in row else self._opened_ms(row["group"])),
            stops=self._stops(),
            end_ms=self.summary.get("interrupted_at_ms", scenario.spec.horizon_ms),
            interrupted="interrupted_at_ms" in self.summary,
            transfers=tuple(zip(mine["ended_ms"].tolist(), mine["missing_bytes"].tolist(), strict=True)),
            row=row.to_dict(),
            devices=len(table),
        )
        return explain(scenario, device, history)

    def _opened_ms(self, group: int) -> int:
        """When a group opened: in runs saved before devices were released one by one."""
        return int(self.groups["opened_ms"].iloc[group - 1])

    def _stops(self) -> tuple[tuple[int, bool, bool, int | None], ...]:
        """When the rollout stopped, whether it cancelled and was planned, and when the stop was lifted."""
        halted_ms = self.summary["halted_at_ms"]
        if "stops" not in self.summary:  # saved before a service could do anything else
            return () if halted_ms is None else ((halted_ms, True, False, None),)
        return tuple(
            (stop["at_ms"], stop["decision"] == "cancel", stop["planned"], stop["resumed_at_ms"])
            for stop in self.summary["stops"]
        )

    def default_folder(self) -> Path:
        """Where the command line keeps this run unless told otherwise."""
        return Path("runs") / f"{self.summary['scenario']}-{self.summary['seed']}-{self.digest[:12]}"

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the run's folder, whole or not at all. InputError if it holds something else."""
        target = Path(folder) if folder is not None else self.default_folder()
        began = time.perf_counter()
        store.write(target, self.scenario_toml, self._tables, self.summary)
        seconds = round(time.perf_counter() - began, 3)
        made_s = self.summary["total_s"] - self.summary["write_s"]
        self.summary |= {"write_s": seconds, "total_s": round(made_s + seconds, 3)}
        store.write_summary(target, self.summary)
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Read a saved run. InputError if `folder` is not one."""
        return cls(*store.read(Path(folder)))
