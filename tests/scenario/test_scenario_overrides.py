"""Single keys changed before the scenario is checked: by text on a command line, by values in code."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.scenario import load
from simlib.scenario.distributions import Distribution
from simlib.scenario.leaves import HOUR
from simlib.scenario.overrides import parse_assignment

SMOKE = load("smoke")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("seed=7", "seed", 7),
        ("release.size=0x20000", "release.size", 0x20000),
        ('release.size="480 KiB"', "release.size", "480 KiB"),
        ("release.size=480 KiB", "release.size", "480 KiB"),
        ("release.size=512KiB", "release.size", "512KiB"),
        ("release.source=corpus:greatfet_usb", "release.source", "corpus:greatfet_usb"),
        ("faults.drop=0.1", "faults.drop", Decimal("0.1")),
        ("precheck.storage=true", "precheck.storage", True),
        ("rollout.window=01:00-05:00", "rollout.window", "01:00-05:00"),
        ("title=01:00:00", "title", "01:00:00"),
        ("title=", "title", ""),
        ("title=a=b", "title", "a=b"),
        ("release.steps=['patch', \"minor\"]", "release.steps", ["patch", "minor"]),
        (" seed = 7 ", "seed", 7),
        ("rollout.groups.0.share=1e-2", "rollout.groups.0.share", Decimal("0.01")),
    ],
)
def test_an_assignment_is_a_toml_value_or_a_bare_word(text: str, key: str, value: object) -> None:
    assert parse_assignment(text) == (key, value)


@pytest.mark.parametrize(
    "text", ["seed", "=7", "a..b=1", "a b=1", "release.steps=[1,", 'title="half', "title=1\nseed=2"]
)
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--set: ") as refusal:
        parse_assignment(text)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("rollout.polisy=staged", ["rollout.polisy", "policy"]),
        ("seed=minus", ["seed", "minus"]),
        ("rollout.policy=nonesuch", ["rollout.policy", "nonesuch"]),
        ("devices=-5", ["devices", "-5"]),
        ('release.size="480 parsecs"', ["release.size", "parsecs"]),
        ("release.size=-4096", ["release.size", "-4096"]),
        ("rollout.groups.0.share=7", ["rollout.groups.0.share", "7"]),
        ("rollout.groups.0.share=0.8", ["rollout.groups", "share", "1.05"]),
        ("rollout.groups.3.soak=1", ["rollout.groups.3.soak", "0 to 2"]),
        ("rollout.groups.x.soak=1", ["rollout.groups.x.soak", "0 to 2"]),
        ("seed.x=1", ["seed.x", "inside seed"]),
        ("release.steps.0.x=1", ["release.steps.0.x"]),
        ("rolout.policy=staged", ["rolout", "rollout"]),
        ("links.0.outages.0.from=1 h", ["links.0.outages.0.from", "the list is empty"]),
        ("zones.0.utc_offset=05:30", ["zones.0.utc_offset", "+05:30"]),
        ("report.late_by=uniform(3 h, 1 h)", ["report.late_by", "the least not above the most"]),
        ("habits=[{name='h', gap='6 h'}]", ["habits.0.gap", "gaps"]),
    ],
)
def test_an_override_that_is_wrong_names_its_key(text: str, names: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        SMOKE.with_(dict([parse_assignment(text)]), source="--set")
    message = str(refusal.value)
    assert message.startswith("--set: ")
    assert [name for name in names if name not in message] == []
    assert len(message.splitlines()) == 1


def test_python_values_are_taken_exactly() -> None:
    changed = SMOKE.with_(
        {
            "seed": np.int64(7),
            "faults.drop": 0.1,
            "faults.defect": np.float64(0.3),
            "rollout.groups.0.share": Fraction(1, 3),
            "precheck.storage": False,
            "release.steps": ("minor", "minor"),
            "horizon": "5 d",
        }
    ).spec
    assert (changed.seed, changed.horizon_ms) == (7, 5 * 86_400_000)
    assert (changed.faults.drop, changed.faults.defect) == (Fraction(1, 10), Fraction(3, 10))
    assert changed.rollout.groups[0].share == Fraction(1, 3)
    assert changed.release.steps == ("minor", "minor")
    assert not changed.precheck.storage


def test_what_has_a_form_of_its_own_can_be_typed_without_quotes() -> None:
    habit = {"name": "daily", "gaps": "6 h", "charge_from": "21:00"}
    scenario = SMOKE.with_({"habits": [habit], "links.0.outages": [{"from": "1 h", "length": "1 h"}]})
    typed = (
        "habits.0.gaps=lognormal(5 h, 0.8)",
        "habits.0.charge_from=22:30",
        "links.0.outages.0.from=2 d",
        "zones.0.utc_offset=-03:30",
        "disclosure.reported=-3 d",
        "harm.per_delivery=0.35",
        "weekday=sunday",
        "cohorts.0.link=['backend']",
        "sources.seed=chosen: any",
    )
    spec = scenario.with_(dict(map(parse_assignment, typed))).spec
    assert spec.habits[0].gaps == Distribution("lognormal", 5 * HOUR, Fraction(4, 5))
    assert spec.habits[0].charge_from_ms == 22 * HOUR + HOUR // 2
    assert spec.links[0].outages[0].from_ms == 48 * HOUR
    assert spec.zones[0].offset_ms == -(3 * HOUR + HOUR // 2)
    assert spec.disclosure.reported_ms == -72 * HOUR
    assert spec.harm.per_delivery == Fraction(7, 20)
    assert spec.weekday == 6
    assert spec.cohorts[0].link == ("backend",)


def test_a_value_no_document_can_hold_is_refused() -> None:
    for value in (None, object(), 1j, float("nan")):
        with pytest.raises(InputError, match=r"faults\.drop"):
            SMOKE.with_({"faults.drop": value})


@given(st.fractions(0, Fraction(3, 4)))
def test_earlier_shares_vary_freely_while_the_last_group_takes_the_rest(share: Fraction) -> None:
    assert SMOKE.with_({"rollout.groups.0.share": share}).spec.rollout.groups[0].share == share


def test_changes_are_checked_together_and_leave_the_original_alone() -> None:
    before = SMOKE.spec
    changed = SMOKE.with_({"rollout.groups.0.share": 0.6, "rollout.groups.1.share": 0.4})
    assert [g.share for g in changed.spec.rollout.groups] == [Fraction(3, 5), Fraction(2, 5), None]
    assert SMOKE.spec is before
    assert SMOKE.spec.rollout.groups[0].share == Fraction(1, 20)
    assert SMOKE.with_({}) == SMOKE


def test_a_key_that_is_set_stays_when_another_is_overridden() -> None:
    assert SMOKE.with_({"release.size": "256 KiB"}).spec.release.base_size_bytes == 112 << 10


def test_defaults_can_be_picked_apart_and_follow_what_they_follow(tmp_path: Path) -> None:
    path = tmp_path / "least.toml"
    path.write_text('schema = 1\nname = "least"\n')
    least = load(path)
    changed = least.with_(
        {"rollout.groups.0.soak": "3 h", "cohorts.0.hardware": "rev-z", "release.size": "64 KiB"}
    ).spec
    assert changed.rollout.groups[0].soak_ms == 3 * 3_600_000
    assert changed.cohorts[0].hardware == "rev-z"
    assert changed.release.base_size_bytes == 64 << 10
