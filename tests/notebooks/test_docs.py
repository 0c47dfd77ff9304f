"""docs/ says of names and columns what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import simlib
from simlib.errors import Reason
from simlib.outcomes import Outcome
from simlib.results import DEVICE_COLUMNS, Run
from simlib.scenario import Scenario, reference

DOCS = Path(__file__).parents[2] / "docs"
NOMENCLATURE = (DOCS / "nomenclature.md").read_text(encoding="utf-8")
TEN_OUTCOMES = "and the ten outcomes"


def rows(header: str) -> list[list[str]]:
    """The cells of the table under a header."""
    _, _, rest = NOMENCLATURE.partition(f"| {header} |\n")
    assert rest, header
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in rest.split("\n\n")[0].splitlines()[1:]
    ]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(scope="module")
def run() -> Run:
    return simlib.run(Scenario.load("smoke").with_({"devices": 100}))


def test_the_device_columns_are_those_of_the_digest_in_its_order():
    assert [names(first)[0] for first, _ in rows("column | holds")] == list(DEVICE_COLUMNS)


def test_the_device_table_has_the_documented_columns_and_no_others(run):
    further = [names(first)[0] for first, _ in rows("further column | holds")]
    assert list(run.devices.columns) == [*DEVICE_COLUMNS, *further]


def test_the_other_tables_have_the_documented_columns(run):
    documented = {}
    for first, columns in rows("table | columns"):
        outcomes = [o.value for o in Outcome] if TEN_OUTCOMES in columns else []
        documented[names(first)[0].removesuffix(".parquet")] = names(columns) + outcomes
    names_of_tables = ("groups", "timeline", "alerts", "grants", "beliefs", "errors")
    made = {name: list(getattr(run, name).columns) for name in names_of_tables}
    assert documented == made


def test_the_outcomes_are_all_there_are():
    assert [names(first)[0] for first, _ in rows("outcome | meaning")] == [o.value for o in Outcome]


def test_the_reasons_are_all_there_are():
    listed = [name for _, cell in rows("about | reasons") for name in names(cell)]
    assert sorted(listed) == sorted(reason.value for reason in Reason)


def test_a_column_with_a_unit_ends_as_the_table_of_units_says(run):
    endings = tuple(name for first, _ in rows("ending | unit") for name in names(first))
    for table in (run.devices, run.groups, run.timeline, run.alerts, run.grants):
        for column in table.columns:
            if any(word in column for word in ("time", "energy", "bytes")):
                assert column.endswith(endings) or column == "bytes_on_links", column


def test_decisions_are_numbered_without_gaps_and_say_what_why_and_at_what_cost():
    records = sorted((DOCS / "decisions").glob("*.md"))
    assert [path.name[:4] for path in records] == [f"{n:04d}" for n in range(1, len(records) + 1)]
    for number, path in enumerate(records, 1):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Decision", "Why", "Cost"]


def test_the_design_lists_the_packages_in_the_order_that_is_checked():
    project = (DOCS.parent / "pyproject.toml").read_text(encoding="utf-8")
    layers = project.partition("layers = [")[2].partition("]")[0]
    order = [name.strip("()") for name in re.findall(r'"(\(?\w+\)?)"', layers)][::-1]
    existing = [name for name in order if (DOCS.parent / "simlib" / name).is_dir()]
    design = (DOCS / "design.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", design, re.MULTILINE)
    assert listed == existing


def test_the_page_of_keys_is_the_one_the_code_makes():
    # After a change of the schema: python -m simlib.scenario.reference > docs/scenario.md
    assert (DOCS / "scenario.md").read_text(encoding="utf-8") == reference.page()


def test_every_key_but_a_name_says_what_it_means():
    lines = [line for line in reference.page().splitlines() if line.startswith("| `")]
    assert len(lines) > 150
    assert [line for line in lines if line.endswith("|  |") and "| `name` |" not in line] == []
