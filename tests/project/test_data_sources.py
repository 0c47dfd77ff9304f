"""Every number in ``data/`` says how it is known and where it is from, and a number without is found."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simlib.errors import InputError
from simlib.scenario import data_path
from simlib.scenario.calibration import COLUMNS, Label, read_figures
from simlib.scenario.sources import matching, numbers, parse_source, unsourced
from simlib.scenario.units import ExpectedError

ROOT = data_path("presets").parent
FILES = sorted(path for path in ROOT.rglob("*") if path.is_file())
SORTS = {
    "calibration": ".csv",
    "corpus": ".json",
    "measurements": ".csv",  # README.md beside it says where they are from
    "presets": ".toml",
    "strategies": ".toml",
}


def of_sort(folder: str) -> list[Any]:
    return [pytest.param(p, id=p.stem) for p in FILES if p.parent == ROOT / folder]


def preset(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The document as written, before any schema, and its table of sources."""
    document = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    return document, document.get("sources", {})


def test_there_is_no_file_that_these_tests_do_not_read() -> None:
    pages = {ROOT / "measurements" / "README.md"}
    unread = [p for p in FILES if p.parent.parent != ROOT or SORTS.get(p.parent.name) != p.suffix]
    assert pages <= set(unread)
    unread = [p for p in unread if p not in pages]
    assert unread == []
    assert {p.parent.name for p in FILES} == set(SORTS)


@pytest.mark.parametrize("path", of_sort("calibration"))
def test_every_figure_has_a_label_and_a_source(path: Path) -> None:
    figures = read_figures(path)  # refuses a row without
    assert figures
    assert all(figure.label in Label and figure.source for figure in figures)


@pytest.mark.parametrize("path", of_sort("corpus"))
def test_every_corpus_says_where_its_pins_are_from(path: Path) -> None:
    facts = json.loads(path.read_text(encoding="utf-8"))
    parse_source(facts["source"])
    # The numbers are sizes of pinned bytes: each has the hash by which anyone can check it.
    for image in facts["images"]:
        assert set(dict(numbers(image))) <= {"archive_size_bytes", "member_size_bytes", "size_bytes"}
        assert len(image["archive_sha256"]) == len(image["sha256"]) == 64
    assert set(dict(numbers({k: v for k, v in facts.items() if k != "images"}))) == set()


@pytest.mark.parametrize("path", of_sort("presets"))
def test_every_number_of_a_preset_has_a_source(path: Path) -> None:
    document, sources = preset(path)
    assert unsourced(document, sources) == ()


@pytest.mark.parametrize("path", of_sort("presets"))
def test_every_source_of_a_preset_has_a_label_and_speaks_for_a_number(path: Path) -> None:
    document, sources = preset(path)
    for text in sources.values():
        label, source = parse_source(text)
        assert "assumption" not in source or label == "recalled", text
    assert set(sources) == {matching(key, sources) for key, _ in numbers(document)}


def test_a_figure_without_a_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "core.csv"
    path.write_text(f"{','.join(COLUMNS)}\na,clock,64,MHz,cited,\n", encoding="utf-8")
    with pytest.raises(InputError, match="source"):
        read_figures(path)


def test_a_number_of_a_preset_without_a_source_is_found() -> None:
    document, sources = preset(ROOT / "presets" / "smoke.toml")
    document["faults"]["another"] = Decimal("0.1")
    document["another"] = {"wait": "2 h", "name": "2 h"}
    assert unsourced(document, sources) == ("another.wait",)
    del sources["faults.*"]
    assert "faults.another" in unsourced(document, sources)
    with pytest.raises(ExpectedError):
        parse_source("somebody said so")
