"""`simlib delta plan`: the bases, what keeping the last of them is worth, and what the budgets leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simlib.study.skew.field import skew_fleet

Call = Callable[..., Any]


@pytest.fixture
def fleet(here) -> str:
    """A scenario file in the working folder."""
    (here / "fleet.toml").write_text(skew_fleet(100).to_toml(), encoding="utf-8")
    return "fleet.toml"


def test_the_plan_has_every_base_and_every_number_of_kept_ones(fleet: str, simlib: Call) -> None:
    answer = simlib("delta plan", fleet, "--json").json
    assert (answer["codec"], answer["full_codec"]) == ("bsdiff4", "full-lzma")
    assert [base["lag"] for base in answer["bases"]] == [1, 2, 3, 4, 5, 6]
    assert sum(base["share"] for base in answer["bases"]) == pytest.approx(1)
    assert [keep["k"] for keep in answer["keep"]] == list(range(7))
    assert answer["keep"][0]["relative_bytes"] == 1
    assert answer["keep"][0]["storage_bytes"] == answer["raw_bytes"] + answer["whole_bytes"]
    for k, keep in enumerate(answer["keep"]):
        kept = answer["bases"][:k]
        assert keep["patches_bytes"] == sum(base["patch_bytes"] for base in kept)
        saved = sum(base["share"] * (1 - base["of_whole"]) for base in kept)
        assert keep["relative_bytes"] == pytest.approx(1 - saved)
    assert answer["chosen"] == [1, 2, 3, 4, 5, 6]  # no budget: all are worth it
    assert [choice["rule"] for choice in answer["choices"]] == ["newest", "population", "saving", "best set"]


def test_budgets_leave_what_saves_most(fleet: str, simlib: Call) -> None:
    free = simlib("delta plan", fleet, "--json").json
    storage = sum(base["patch_bytes"] for base in free["bases"][:3])
    tight = simlib("delta plan", fleet, "--storage", storage, "--json").json
    assert tight["budgets"] == {"storage_bytes": storage, "cpu_ms": None, "limit": None}
    assert tight["chosen"] == [1, 2, 3]
    assert [base["why_not"] for base in tight["bases"]] == ["", "", "", "budget", "budget", "budget"]
    assert simlib("delta plan", fleet, "--limit", 1, "--json").json["chosen"] == [1]
    each_ms = free["bases"][0]["build_ms"]
    quick = simlib("delta plan", fleet, "--cpu", f"{2 * each_ms} ms", "--json").json
    assert quick["chosen"] == [1, 2]
    assert quick["choices"][2]["lags"] == []  # "saving" would have to build all six first


def test_a_person_is_told_the_same(fleet: str, simlib: Call) -> None:
    answer = simlib("delta plan", fleet, "--limit", 2, "--json").json
    lines = simlib("delta plan", fleet, "--limit", 2).out.splitlines()
    assert lines[0] == f"skew-fleet: bsdiff4 to 2.1.1; else {answer['whole_bytes']:,} bytes, full-lzma"
    for base in answer["bases"]:
        line = next(line for line in lines if line.startswith(base["version"]))
        assert f"{base['patch_bytes']:,}" in line
        assert line.endswith("yes" if base["chosen"] else "no: beyond the budget")
    for keep in answer["keep"]:
        assert any(
            line.startswith(str(keep["k"])) and f"{keep['relative_bytes']:.1%}" in line for line in lines
        )
    assert any(line.startswith("best set") and line.endswith("1 2") for line in lines)


def test_a_change_of_the_scenario_counts(fleet: str, simlib: Call) -> None:
    changed = simlib(
        "delta plan", fleet, "--json", "--set", "release.full_codec=none", "--set", "release.full_above=0.1"
    ).json
    assert changed["whole_bytes"] == changed["raw_bytes"]
    assert changed["keep"][0]["storage_bytes"] == changed["raw_bytes"]
    large = [base["lag"] for base in changed["bases"] if base["why_not"] == "too large"]
    assert large
    assert all(base["of_whole"] > 0.1 for base in changed["bases"] if base["lag"] in large)
    assert set(changed["chosen"]).isdisjoint(large)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["nothing-like-it"], ["nothing-like-it"]),
        (["fleet.toml", "--storage", "much"], ["--storage: found"]),
        (["fleet.toml", "--cpu", "-1 s"], ["--cpu: found"]),
        (["fleet.toml", "--limit", "few"], ["--limit: found"]),
        (["fleet.toml", "--set", "release.codec=guess"], ["release.codec"]),
    ],
)
def test_bad_input_is_one_line(fleet: str, refuses: Call, arguments: list[str], names: list[str]) -> None:
    refuses(2, ["delta plan", *arguments], *names)
