"""All clocks give the same run: every preset, and scenarios drawn over the whole schema, cell by cell."""

from __future__ import annotations

import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from simlib.device.memo import Memo
from simlib.firmware import chain as firmware_chain
from simlib.rollout.policy import Decision, Policy, View, Wake
from simlib.rollout.registry import make_policy
from simlib.scenario import Scenario, preset_names
from simlib.scenario import schema as keys
from simlib.scenario import schema_field as field_keys
from simlib.scenario.leaves import Table
from simlib.simulation import Simulated, simulate
from simlib.simulation import run as simulation_run
from simlib.simulation.run import ENGINES
from tests.simulation.clock_comparison import first_difference, reduced
from tests.simulation.random_scenarios import Document, as_text, features, scenario_of, scenarios

REFERENCE = "simpy"
OTHERS = [engine for engine in ENGINES if engine not in ("auto", REFERENCE)]
BATCHES, BATCH = 10, 20
ALWAYS = 2  # batches that run without being asked for
MOST_DEVICES = 2_000
FIELD = Path(__file__).with_name("field.toml")
UNSEEN = {
    # What no clock sees: where bytes come from, what things are called, prices.
    *("schema", "title", "sources", "release.source", "release.files", "release.keys"),
    *("inventory.columns", "inventory.format", "inventory.zones", "inventory.versions"),
    *("harm.currency", "harm.recall_per_brick", "harm.per_gigabyte", "harm.per_delivery"),
    "harm.per_exposed_device_day",
}
CHOICES = {
    "backup.to": field_keys.BACKUPS[1:],
    "channels.kind": field_keys.KINDS,
    "channels.relay": field_keys.RELAYS[1:],
    "channels.relay_mode": field_keys.RELAY_MODES,
    "cohorts.layout": keys.LAYOUTS,
    "defects.effect": field_keys.EFFECTS,
    "faults.forgery": keys.FORGERIES,
    "faults.tear": keys.TEARS,
    "owners.then": field_keys.AFTERWARDS,
    "precheck.battery_gate": keys.GATES,
    "recovery.on_halt": field_keys.ON_HALT,
    "release.cipher": keys.CIPHERS,
    "release.codec": keys.CODECS,
    "release.full_codec": keys.FULL_CODECS,
    "release.key_wrap": keys.KEY_WRAPS,
    "release.patches": keys.PATCH_CHOICES,
    "release.payload": keys.PAYLOADS,
    "release.security_counters": keys.COUNTERS,
    "release.signature": keys.SIGNATURES,
    "release.variation": keys.VARIATIONS,
    "rollout.groups.gate": keys.GROUP_GATES[1:],
    "rollout.policy": keys.POLICIES[1:],
    "rollout.verdicts": ("first", "last"),
    "rollout.window_clock": ("utc", "local"),
    "rollout.window_ends": ("finish", "cut"),
    "transfer.jitter": keys.JITTERS,
}
FOLDER = tempfile.TemporaryDirectory(prefix="simlib-clocks-")
MEMO = Memo(Path(FOLDER.name, "bench.sqlite3"))


@pytest.fixture(scope="module", autouse=True)
def chains_made_once():
    """Many releases are of one chain of firmware, which is a function of these arguments alone."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("synthetic_chain", "corpus_like_chain"):
            made = lru_cache(maxsize=None)(getattr(firmware_chain, name))
            patch.setattr(
                firmware_chain,
                name,
                lambda seed, sizes, steps, made=made: made(seed, tuple(sizes), tuple(steps)),
            )
        yield


def drawn(number: int) -> Document:
    """A document that is always the same for this number.

    A hypothesis run of its own, since one run varies what it has drawn more than it draws anew. Its first
    example is always the least one, so the second counts.
    """
    found: list[Document] = []

    @seed(number)
    @settings(
        max_examples=2,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(document=scenarios(max_devices=150))
    def shown(document: Document) -> None:
        found.append(document)

    shown()
    return found[-1]


def batch_of(batch: int) -> list[Document]:
    """The documents of one batch."""
    return [drawn(number) for number in range(batch * BATCH, (batch + 1) * BATCH)]


@lru_cache(maxsize=2 * BATCH)
def reference(toml: str) -> Simulated:
    return simulate(Scenario.from_toml(toml), engine=REFERENCE, memo=MEMO)


def difference(scenario: Scenario, engine: str) -> str | None:
    """Where `engine` differs from the reference, be it that it breaks off."""
    wanted = reference(scenario.to_toml())
    try:
        return first_difference(wanted, simulate(scenario, engine=engine, memo=MEMO))
    except Exception:
        return traceback.format_exc()


def schema_keys(table: type[Table], path: str = "") -> Iterator[str]:
    """The dotted keys of a table of the schema, those of the tables in it included."""
    for name, field in table.model_fields.items():
        key = f"{path}{field.alias or name}"
        inside = next(
            (
                each
                for each in (field.annotation, *get_args(field.annotation))
                if isinstance(each, type) and issubclass(each, Table)
            ),
            None,
        )
        if inside is None:
            yield key
        else:
            yield from schema_keys(inside, f"{key}.")


def test_the_drawn_scenarios_are_accepted_and_set_every_key_and_choice_there_is():
    documents = [document for batch in range(BATCHES) for document in batch_of(batch)]
    assert len({as_text(document) for document in documents}) == len(documents) == 200
    assert max(scenario_of(document).spec.devices for document in documents) <= 150
    often = Counter(feature for document in documents for feature in features(document))
    wanted = set(schema_keys(keys.ScenarioTable)) - UNSEEN
    assert len(wanted) > 150
    assert {key: often[key] for key in wanted if often[key] < 5} == {}
    values = {f"{key} = {value}" for key, choices in CHOICES.items() for value in choices}
    assert sorted(value for value in values if not often[value]) == []


@pytest.fixture(scope="module")
def everything() -> Simulated:
    return simulate(Scenario.load(str(FIELD)), engine=REFERENCE, memo=MEMO)


@pytest.mark.parametrize(
    ("table", "row", "column", "place"),
    [
        ("devices", 217, "bytes_down", "device 217"),
        ("devices", 0, "outcome", "device 0"),
        ("groups", 1, "silent", "row 1"),
        ("timeline", 3, "waiting", "row 3 (time_ms 64800000)"),
        ("alerts", 0, "detail", "row 0 (time_ms 0)"),
        ("grants", 5, "ended_ms", "row 5"),
        ("beliefs", 2, "devices", "row 2"),
        ("errors", 9, "reason", "row 9 (time_ms "),
    ],
)
def test_one_changed_cell_is_told_by_its_place_and_both_values(everything, table, row, column, place):
    frame = everything.tables[table]
    changed = (frame if hasattr(frame, "iloc") else frame.frame()).copy()
    was = changed[column].iloc[row]
    value = "odd" if isinstance(was, str) else -7
    changed.loc[row, column] = value
    other = replace(everything, tables={**everything.tables, table: changed})
    told = first_difference(everything, other)
    assert told.startswith(f"{table}: {place}")
    was = was if isinstance(was, str) else int(was)
    assert f": {column} is {was!r} against {value!r}; 1 of {len(changed)} " in told
    assert first_difference(everything, everything) is None


def test_a_missing_row_a_missing_table_another_type_and_another_fact_are_differences(everything):
    def against(**changes: Any) -> str | None:
        return first_difference(everything, replace(everything, **changes))

    def with_table(name: str, change: Callable[[Any], Any]) -> dict[str, Any]:
        return {"tables": {**everything.tables, name: change(everything.tables[name])}}

    rows = len(everything.tables["grants"])
    missing = against(**with_table("grants", lambda frame: frame[:-1]))
    assert missing.startswith(
        f"grants: {rows} against {rows - 1} rows; only the longer has row {rows - 1}: device="
    )
    narrow = against(**with_table("timeline", lambda frame: frame.astype({"waiting": "int32"})))
    assert narrow == "timeline: column waiting: int64 against int32"
    renamed = against(**with_table("groups", lambda frame: frame.rename(columns={"silent": "mute"})))
    assert renamed.startswith("groups: columns [")
    assert against(tables={"devices": everything.tables["devices"]}).startswith("tables: [")
    assert against(duplicates=-1) == f"duplicates: {everything.duplicates} against -1"
    assert against(further_verdicts=-1).startswith("further_verdicts: ")
    assert against(stops=5).startswith("stops: ")
    assert against(events=0, wall_s=0.0, engine="another") is None


def test_a_failing_document_is_reduced_to_what_it_fails_by():
    both = {"faults.drop", "owners.phone"}
    documents = [document for batch in range(BATCHES) for document in batch_of(batch)]
    # Shares that must sum to 1 go together, and RAM with what runs there; reduction tries one key at a time.
    tied = {"owners.automatic", "release.load_address"}
    failing = [document for document in documents if both <= features(document) - tied == features(document)]
    assert len(failing) > 3
    for document in failing[:3]:
        smallest = reduced(document, lambda each: both <= features(each))
        left = {"schema", "name", "devices", "owners.name", *both}
        assert {feature for feature in features(smallest) if " = " not in feature} == left
        assert smallest["devices"] < 4 and len(features(document)) > 60


if OTHERS:

    @pytest.mark.parametrize("engine", OTHERS)
    @pytest.mark.parametrize(
        "batch", [pytest.param(n, marks=() if n < ALWAYS else pytest.mark.full) for n in range(BATCHES)]
    )
    def test_drawn_scenarios_run_the_same_on_every_clock(engine, batch):
        for document in batch_of(batch):
            first = difference(scenario_of(document), engine)
            if first is None:
                continue
            place = first.split(":")[0]

            def alike(each: Document, place: str = place) -> bool:
                return (difference(scenario_of(each), engine) or "").startswith(place)

            smallest = reduced(document, alike)
            pytest.fail(
                f"{REFERENCE} against {engine}: {first}\n\n"
                f"smaller: {difference(scenario_of(smallest), engine)}\n{as_text(smallest)}\n"
                f"as drawn:\n{as_text(document)}",
                pytrace=False,
            )

    @pytest.mark.parametrize("engine", OTHERS)
    @pytest.mark.parametrize("preset", preset_names())
    def test_presets_run_the_same_on_every_clock(engine, preset):
        scenario = Scenario.load(preset)
        scenario = scenario.with_({"devices": min(scenario.spec.devices, MOST_DEVICES)})
        assert difference(scenario, engine) is None

    @pytest.mark.parametrize("engine", OTHERS)
    def test_everything_at_once_runs_the_same_on_every_clock(engine):
        assert difference(Scenario.load(str(FIELD)), engine) is None


class Dense(Policy):
    """A policy that decides as the one in the scenario does, and asks for every tick of the service."""

    def __init__(self, spec: Any, sizes: tuple[int, ...]) -> None:
        self._inner = make_policy(spec, sizes)
        for name in ("interval_ms", "deadline_ms", "pull", "wants_news"):
            setattr(self, name, getattr(self._inner, name))
        Dense.asked = 0

    def decide(self, view: View) -> Decision:
        Dense.asked += 1
        decision = self._inner.decide(view)
        tick_ms = view.now_ms + self.interval_ms
        own = decision.wake
        at_ms = tick_ms if own.at_ms is None else min(tick_ms, own.at_ms)
        return Decision(decision.actions, Wake(at_ms, own.counts, own.knock))


@pytest.mark.parametrize("engine", [REFERENCE, *OTHERS])
@pytest.mark.parametrize(
    ("gate", "halts"),
    [
        ({"rollout.groups.0.soak": "6 h"}, False),
        (
            {
                "rollout.groups.0.error_threshold": 0.1,
                "recovery.on_halt": "rollback",
                "recovery.delay": "2 h",
            },
            True,
        ),
    ],
    ids=["passes", "halts"],
)
def test_a_policy_that_looks_every_two_seconds_is_as_one_asked_at_every_tick(
    monkeypatch, engine, gate, halts
):
    changes = {"devices": 150, "horizon": "2 d", "rollout.interval": "2 s", "release.published": ["0 s"]}
    scenario = Scenario.load(str(FIELD)).with_(changes | gate)
    declared = simulate(scenario, engine=engine, memo=MEMO)
    monkeypatch.setattr(simulation_run, "make_policy", Dense)
    dense = simulate(scenario, engine=engine, memo=MEMO)
    assert first_difference(declared, dense) is None
    assert Dense.asked == 2 * 86_400 // 2 + 1
    assert bool(declared.stops) == halts
    assert halts or (declared.tables["groups"]["opened_ms"] > 0).any()
