"""`simlib delta`: a patch gives the new file back, or a refusal and no file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


def test_a_patch_gives_the_new_file(simlib: Call, here: Path) -> None:
    assert simlib("delta apply old.bin good.patch out.bin").status == 0
    assert (here / "out.bin").read_bytes() == (here / "new.bin").read_bytes()
    assert (here / "good.patch").stat().st_size < (here / "new.bin").stat().st_size


def test_empty_files_make_a_patch_too(simlib: Call, here: Path) -> None:
    assert simlib("delta create empty empty e.patch").status == 0
    assert simlib("delta apply empty e.patch out.bin").status == 0
    assert (here / "out.bin").read_bytes() == b""


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("new.bin good.patch x", ["wrong-base", "new.bin", "good.patch"]),
        ("old.bin damaged.patch x", ["patch-damaged", "damaged.patch"]),
        ("old.bin cut.patch x", ["truncated", "cut.patch"]),
        ("old.bin noise x", ["not-a-patch", "noise"]),
        ("old.bin empty x", ["not-a-patch", "empty"]),
        ("old.bin good.patch x --max-size 0x10", ["oversize", "good.patch", "16"]),
    ],
)
def test_a_patch_that_does_not_hold_is_refused_and_nothing_written(
    refuses: Call, arguments: str, names: list[str]
) -> None:
    refuses(1, f"delta apply {arguments}", *names)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("apply old.bin good.patch new.bin", "new.bin"),
        ("apply old.bin good.patch folder --force", "folder"),
        ("apply old.bin good.patch absent/x", "absent"),
        ("apply absent good.patch x", "absent"),
        ("apply old.bin folder x", "folder"),
        ("apply old.bin good.patch x --max-size -1", "--max-size"),
        ("create absent new.bin x", "absent"),
        ("create old.bin folder x", "folder"),
        ("create old.bin new.bin good.patch", "good.patch"),
        ("create old.bin new.bin x --codec bsdif4", "bsdiff4"),
        ("create old.bin new.bin", "PATCH"),
        ("compare old.bin absent", "absent"),
        ("compare folder new.bin", "folder"),
    ],
)
def test_files_that_cannot_be_used_are_bad_input(refuses: Call, arguments: str, name: str) -> None:
    refuses(2, f"delta {arguments}", name)


def test_a_comparison_says_the_same_in_lines_and_in_json(simlib: Call, here: Path) -> None:
    (row,) = simlib("delta compare old.bin new.bin --json").json["codecs"]
    assert row["patch_bytes"] == (here / "good.patch").stat().st_size
    assert row["full_raw_bytes"] == 22_000
    header, line = simlib("delta compare old.bin new.bin").out.splitlines()
    assert header.startswith("codec")
    assert line.split()[:3] == [row["codec"], f"{row['patch_bytes']:,}", "22,000"]
