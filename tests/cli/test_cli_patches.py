"""`simlib delta`: a patch gives the new file back, or a refusal and no file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simlib.cli.delta import CODECS
from simlib.delta import codec_names, codec_ram_bytes, codec_traits

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


@pytest.mark.parametrize("codec", codec_names())
def test_a_patch_of_any_codec_gives_the_new_file(simlib: Call, here: Path, codec: str) -> None:
    assert simlib(f"delta create old.bin new.bin some.patch --codec {codec}").status == 0
    assert simlib("delta apply old.bin some.patch out.bin").status == 0
    assert (here / "out.bin").read_bytes() == (here / "new.bin").read_bytes()


def test_the_help_of_create_names_every_codec_and_nothing_else() -> None:
    named = re.split(r", | or |; the whole image: ", CODECS)
    assert named == list(codec_names())


def test_a_comparison_says_the_same_in_lines_and_in_json(simlib: Call, here: Path) -> None:
    rows = simlib("delta compare old.bin new.bin --json").json["codecs"]
    assert [row["codec"] for row in rows] == list(codec_names())
    assert rows[0]["patch_bytes"] == (here / "good.patch").stat().st_size
    assert all(row["full_raw_bytes"] == 22_000 and row["applied"] for row in rows)
    patches, full = simlib("delta compare old.bin new.bin").out.split("\n\n")
    lines = [*patches.splitlines()[1:], *full.splitlines()[1:]]
    assert lines[-3].split()[:2] == ["raw", "22,000"]
    for row, line in zip(sorted(rows, key=lambda row: not row["takes_base"]), lines, strict=False):
        assert line.split()[:2] == [row["codec"], f"{row['patch_bytes']:,}"]
        assert f"{row['ratio_best_full']:.1%}" in line
        assert f"{row['ram_bytes']:,}" in line
        assert line.split()[-2:] == [row["decoder"], f"{row['effort_percent']}%"]


def test_the_codecs_are_listed_with_what_they_ask_of_a_device(simlib: Call) -> None:
    rows = simlib("delta codecs --json").json["codecs"]
    assert [row["codec"] for row in rows] == list(codec_names())
    header, *lines = simlib("delta codecs").out.splitlines()
    assert header.split()[:2] == ["codec", "makes"]
    for row, line in zip(rows, lines, strict=True):
        traits = codec_traits(row["codec"])
        assert row["source"] == traits.source
        assert row["ram_bytes"] == codec_ram_bytes(row["codec"], 16 << 10, 256 << 10)
        assert line.split() == [
            row["codec"],
            "patch" if traits.takes_base else "full",
            f"{row['ram_bytes']:,}",
            "yes" if traits.streams else "no",
            "yes" if traits.in_place else "no",
            traits.decoder,
            f"{traits.effort_percent}%",
        ]
