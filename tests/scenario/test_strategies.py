"""Named rollouts: what they replace in a scenario, what they leave, and where their numbers are from."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from simlib.errors import InputError
from simlib.rollout.registry import dictated, make_policy
from simlib.scenario import Scenario
from simlib.scenario.datafiles import data_path
from simlib.scenario.sources import matching, numbers, parse_source, unsourced
from simlib.scenario.strategies import apply, load_strategy, strategy_names

FILES = sorted(data_path("strategies").glob("*.toml"))
HOUR = 3_600_000


@pytest.fixture
def fleet() -> Scenario:
    """A fleet with a window, a deadline and transfers of its own, and sources that name its groups."""
    return Scenario.load("smoke").with_(
        {
            "rollout.window": "01:00-05:00",
            "rollout.window_clock": "local",
            "rollout.deadline": "3 d",
            "transfer.attempts": 7,
        }
    )


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_file_is_a_strategy_by_its_name_and_has_a_title() -> None:
    assert strategy_names() == tuple(path.stem for path in FILES)
    assert {"all-at-once", "canary-1", "staged-5", "staged-10", "cautious"} <= set(strategy_names())
    assert all(load_strategy(name).title for name in strategy_names())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_number_of_a_strategy_has_a_source_and_every_source_a_number(path: Path) -> None:
    document = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    sources = document.pop("sources")
    assert unsourced(document, sources) == ()
    for text in sources.values():
        parse_source(text)
    spoken_for = {matching(key, sources) for key, _ in numbers(document)}
    if "config" in document["rollout"]:  # numbers inside a service's own document
        spoken_for.add("rollout.config")
        assert "rollout.config" in sources
    assert set(sources) == spoken_for


@pytest.mark.parametrize("name", strategy_names())
@pytest.mark.parametrize("preset", ["smoke", "escooter-120k", "storage-120k-canary"])
def test_a_strategy_can_be_laid_over_any_fleet_and_written_out(name: str, preset: str) -> None:
    scenario = Scenario.load(preset)
    laid = apply(scenario, name)
    assert laid.name == scenario.name
    assert Scenario.from_toml(laid.to_toml()).spec == laid.spec
    strip = {"rollout", "sources", "transfer"}
    same = [{k: v for k, v in s.document.items() if k not in strip} for s in (scenario, laid)]
    assert same[0] == same[1]


@pytest.mark.parametrize("name", strategy_names())
@pytest.mark.parametrize("preset", ["smoke", "escooter-120k"])
def test_its_configuration_is_one_that_the_service_takes(name: str, preset: str) -> None:
    laid = apply(Scenario.load(preset), name).spec
    shares = [group.share for group in dictated(laid).rollout.groups]
    rest = 1 - sum(share for share in shares if share is not None)
    assert rest > 0 if shares[-1] is None else rest == 0
    make_policy(laid, (1,) * len(shares))


def test_what_is_the_fleet_s_own_stays(fleet: Scenario) -> None:
    laid = apply(fleet, "staged-5").spec
    assert [group.share for group in laid.rollout.groups[:4]] == [Fraction(n, 100) for n in (1, 9, 20, 30)]
    assert laid.rollout.groups[4].share is None
    assert (laid.rollout.window, laid.rollout.window_clock) == ((HOUR, 5 * HOUR), "local")
    assert laid.rollout.deadline_ms == 72 * HOUR
    assert laid.transfer == fleet.spec.transfer
    assert laid.faults == fleet.spec.faults


def test_the_scenario_s_policy_and_its_configuration_are_replaced_even_by_the_defaults(
    fleet: Scenario, tmp_path: Path
) -> None:
    path = written(tmp_path, 'title = "bare"\n[rollout]\n')
    before = fleet.with_({"rollout.policy": "hawkbit", "rollout.config": "{}", "rollout.interval": "7 s"})
    after = apply(before, path).spec.rollout
    assert (after.policy, after.config, len(after.groups)) == ("staged", "", 1)
    assert after.interval_ms == 7_000  # the file does not say


def test_a_strategy_may_set_a_deadline_and_how_devices_come(fleet: Scenario, tmp_path: Path) -> None:
    text = 'title = "x"\n[rollout]\ndeadline = "1 d"\n[transfer]\nhold_off = "2 h"\njitter = "full"\n'
    after = apply(fleet, written(tmp_path, text)).spec
    assert after.rollout.deadline_ms == 24 * HOUR
    assert (after.transfer.hold_off_ms, after.transfer.jitter) == (2 * HOUR, "full")
    assert after.transfer.attempts == 7


def test_a_configuration_may_lie_beside_the_strategy(fleet: Scenario, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"a": [1, 2]}', encoding="utf-8")
    text = 'title = "x"\n[rollout]\npolicy = "aws-iot"\nconfig = "job.json"\n'
    config = apply(fleet, written(tmp_path, text)).spec.rollout.config
    assert json.loads(config) == {"a": [1, 2]}


def test_the_sources_are_those_of_what_is_there(fleet: Scenario, tmp_path: Path) -> None:
    mine = fleet.with_({"sources": {"rollout.groups.0.share": "recalled: old", "faults.*": "recalled: kept"}})
    sources = dict(apply(mine, "canary-1").spec.sources)
    assert sources["faults.*"] == "recalled: kept"
    assert sources["rollout.groups.*.*"].startswith("chosen:")
    assert "rollout.groups.0.share" not in sources


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[rollout]\n", "title: found no such key"),
        ('title = "x"\n', "rollout: found no such key"),
        (
            'title = "x"\n[rollout]\npolcy = "staged"\n',
            "rollout.polcy: found an unknown key, expected policy",
        ),
        ('title = "x"\n[rolout]\n', "rolout: found an unknown key, expected rollout"),
        ('title = "x"\n[rollout]\npolicy = "none"\n', 'rollout.policy: found "none"'),
        ('title = "x"\n[rollout]\n[[rollout.groups]]\nshare = 2\n', "rollout.groups.0.share: found 2"),
        ('title = "x"\n[rollout]\n[faults]\ndrop = 0.5\n', "faults: found an unknown key"),
    ],
)
def test_a_wrong_file_is_named_with_the_key(text: str, complaint: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as raised:
        load_strategy(path)
    assert str(raised.value).startswith(f"{path}: {complaint}")
    assert "\n" not in str(raised.value)


def test_shares_that_do_not_sum_up_are_refused_where_the_strategy_is_laid(
    fleet: Scenario, tmp_path: Path
) -> None:
    text = 'title = "x"\n[rollout]\n[[rollout.groups]]\nshare = 0.7\n[[rollout.groups]]\nshare = 0.7\n'
    with pytest.raises(InputError, match=r"^smoke under mine: rollout\.groups"):
        apply(fleet, written(tmp_path, text))


def test_an_unknown_name_tells_the_nearest() -> None:
    with pytest.raises(InputError, match=r"stagd-5.*nearest is staged-5"):
        load_strategy("stagd-5")


def test_a_file_that_is_not_there_is_told_as_a_file() -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml: found no such file"):
        load_strategy("nowhere.toml")


def test_the_canary_of_cautious_sees_one_failure_in_two_hundred(fleet: Scenario) -> None:
    """Of so many devices, one in which 0.5 % fail shows at least one with a chance of 95 %."""
    first = apply(fleet, "cautious").spec.rollout.groups[0]
    devices = 120_000 * (first.share or 0)
    assert 1 - (1 - 0.005) ** int(devices) >= 0.95
    assert first.gate == "sprt" and first.error_threshold < first.gate_bad


def test_a_services_name_is_the_scenarios_own_groups_under_that_service():
    scenario = Scenario.load("escooter-120k")
    laid = apply(scenario, "hawkbit")
    assert laid.spec.rollout.policy == "hawkbit" and laid.spec.rollout.config == ""
    assert laid.spec.rollout.groups == scenario.spec.rollout.groups
    assert laid.spec.sources == scenario.spec.sources
