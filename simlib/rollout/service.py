"""What an update service is to simlib: how its configuration is read, and what it makes of a rollout.

Each module of a service in `simlib.rollout.services` makes one `Service`. Its configuration is the service's
own JSON, read into an object of its own that has been checked as the service would check it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from simlib.errors import InputError
from simlib.rollout.policy import Policy, Told
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.toml_text import Document

KNOCK: Final = Told(0)
"""The word of a device that asks whether there is anything for it, where `Policy.pull` holds."""

SILENT: Final = Told(32)
"""No message, but a service's own word for a device whose time ran out: it counts as silent."""

WITHDRAWN: Final = Told(64)
"""No message either: the service took the release back from a device, of which nothing more is awaited."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A scenario's rollout in a service's words: its configuration, and what cannot be said in it.

    `lost` is for people: a sentence each, the scenario's key first.
    """

    document: Document  # without the key ``service``
    lost: tuple[str, ...] = ()


def as_it_is(config: Any, spec: ScenarioSpec) -> ScenarioSpec:
    """The fleet of a service that dictates nothing to it."""
    del config
    return spec


@dataclass(frozen=True, slots=True)
class Service:
    """One update service. `Config` below is a type of its own, frozen.

    - `read(document, source)`: the configuration (without the key ``service``), or an `InputError` that
      begins with `source` and names the field, what was found, and the service's limit;
    - `sizes(config, devices)`: devices in each of the groups (phases, steps, rings) of a fleet, which sum to
      `devices`; raises `InputError` where the service would refuse it (`sizes_of` names the source);
    - `policy(config, sizes)`: a fresh policy for one run;
    - `translate(spec)`: a scenario's rollout in the service's words;
    - `dictate(config, spec)`: the scenario as the service has its devices behave (retries, windows, …);
      groups are not its affair;
    - `statuses`: the service's words for what a device reports, as `policy trace` reads them;
    - `words(config)`: the same for one configuration, where the words' meaning hangs on it.
    """

    name: str
    read: Callable[[Mapping[str, object], str], Any]
    sizes: Callable[[Any, int], tuple[int, ...]]
    policy: Callable[[Any, tuple[int, ...]], Policy]
    translate: Callable[[ScenarioSpec], Translation]
    statuses: Mapping[str, Told]
    dictate: Callable[[Any, ScenarioSpec], ScenarioSpec] = as_it_is
    words: Callable[[Any], Mapping[str, Told]] | None = None

    def words_of(self, config: Any) -> Mapping[str, Told]:
        """What the statuses mean to a rollout of this configuration."""
        return self.statuses if self.words is None else self.words(config)

    def sizes_of(self, config: Any, devices: int, source: str) -> tuple[int, ...]:
        """`sizes`, whose `InputError` begins with `source`, which is where the configuration stands."""
        try:
            return self.sizes(config, devices)
        except InputError as error:
            told = str(error)
            begun = told.startswith(f"{source}: ")
            raise InputError(told if begun else f"{source}: {told}") from None
