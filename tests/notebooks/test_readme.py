"""What README.md tells people to type works, and what it says of the code is so."""

from __future__ import annotations

import re
import shlex
import signal
import sys
import tomllib
from pathlib import Path

import matplotlib as mpl
import pytest

from simlib.cli import main
from simlib.errors import InputError, MissingPartError, Refused
from simlib.scenario import preset_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
CONSOLE = [
    [line.removeprefix("$ ") for line in text.splitlines()] for kind, text in BLOCKS if kind == "console"
]
FLEET = "300"


def of_kind(kind: str) -> list[str]:
    return [text for name, text in BLOCKS if name == kind]


def table(header: str) -> list[str]:
    """The first cells of the rows under a table's header."""
    _, _, rest = README.partition(f"| {header} |")
    assert rest, header
    rows = rest.split("\n\n", 1)[0].splitlines()[2:]
    return [row.split("|")[1].strip() for row in rows]


def needs_network(line: str) -> bool:
    return "firmware fetch" in line or "corpus:" in line


def small(words: list[str]) -> list[str]:
    """The same run on a small fleet: of an option given twice the last one counts."""
    return [*words, "--devices", FLEET] if words[0] == "run" else words


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A place with two builds of a firmware in it."""
    old = bytes(range(256)) * 200
    (tmp_path / "old.bin").write_bytes(old)
    (tmp_path / "new.bin").write_bytes(old[:20_000] + b"changed" + old[20_000:])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("lines", CONSOLE, ids=lambda lines: " ".join(lines[0].split()[1:3]))
def test_the_lines_of_a_console_block_work_one_after_another(lines, folder, capsys):
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "simlib"
        if needs_network(line):
            continue
        assert main(small(words)) == 0, f"{line}: {capsys.readouterr().err}"
        assert capsys.readouterr().out, line


@pytest.mark.parametrize("line", [line for lines in CONSOLE for line in lines])
def test_every_option_of_a_line_is_one_its_command_knows(line, capsys):
    words = shlex.split(line)[1:]
    commands = words[
        : 2 if words[0] in ("keys", "image", "delta", "device", "firmware", "policy", "gate") else 1
    ]
    assert main([*commands, "--help"]) == 0
    usage = capsys.readouterr().out
    assert all(word in usage for word in words if word.startswith("--")), usage


def test_the_blocks_leave_the_files_they_speak_of(folder):
    (lines,) = (lines for lines in CONSOLE if "delta create" in "".join(lines))
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0
    assert (folder / "rebuilt.bin").read_bytes() == (folder / "new.bin").read_bytes()
    assert (folder / "new.patch").stat().st_size < 1000
    assert b"changed" in (folder / "clear.img").read_bytes()
    assert b"changed" not in (folder / "secret.img").read_bytes()


def test_every_command_of_the_table_exists_and_none_is_missing(capsys):
    named = set()
    for cell in table("command | does"):
        first, *others = re.findall(r"`([^`]+)`", cell)
        words = first.split()[1:]
        named |= {tuple(words), *((words[0], other) for other in others)}
    for words in named:
        assert main([*words, "--help"]) == 0, words
    capsys.readouterr()
    main(["--help"])
    listed = re.findall(r"^  ([a-z-]+) ", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE)
    assert {words[0] for words in named} == set(listed)
    for group in {words[0] for words in named if len(words) == 2}:
        main([group, "--help"])
        below = re.findall(r"^  ([a-z-]+) ", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE)
        assert {words[1] for words in named if words[0] == group} == set(below)


def test_the_presets_are_those_that_come_with_simlib():
    assert sorted(cell.strip("`") for cell in table("preset | shows")) == sorted(preset_names())


def test_the_summary_shown_is_the_one_that_is_printed(folder, capsys):
    assert main(["run", "escooter-120k", "--devices", FLEET]) == 0
    labels = {re.split(r"  +", line.strip())[0] for line in capsys.readouterr().out.splitlines()}
    (shown,) = of_kind("text")
    for line in shown.splitlines():
        label = re.split(r"  +", line.strip())[0]
        if not re.match(r"[\d.]|reverted|pending", label):  # whether these occur depends on the fleet
            assert label in labels, line


@pytest.mark.slow
def test_the_python_example_runs(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["example"])
    mpl.use("Agg")
    (example,) = of_kind("python")
    assert "5_000" in example
    exec(compile(example.replace("5_000", FLEET), "README.md", "exec"), {"__name__": "example"})
    assert "'updated': " in capsys.readouterr().out
    assert (folder / "progress.png").stat().st_size > 10_000
    assert (folder / "runs" / "shorter-soak" / "devices.parquet").is_file()


def test_the_exit_statuses_are_the_codes_own():
    stated = [int(cell) for cell in table("exit status | meaning")]
    assert stated == [
        0,
        Refused.exit_status,
        InputError.exit_status,
        MissingPartError.exit_status,
        128 + signal.SIGINT,  # as a shell reports it
    ]


def test_every_package_has_its_line():
    packages = {path.parent.name for path in (ROOT / "simlib").glob("*/__init__.py")}
    cells = [name for cell in table("folder | holds") for name in re.findall(r"`([^`]+)`", cell)]
    assert {name.partition("/")[2] for name in cells if "/" in name} == packages
    assert all((ROOT / name).is_dir() for name in cells)


def test_the_tasks_it_names_exist():
    tasks = (ROOT / "tasks.py").read_text(encoding="utf-8")
    named = set(re.findall(r"python3 tasks\.py (\w+)", README))
    assert named == {"run", "test", "lab"}
    assert all(f'"{name}": {name}' in tasks for name in named)


def test_the_ways_to_install_exist():
    assert 'pip install -e ".[dev]"' in README and "conda env create -f environment.yml" in README
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "dev" in project["optional-dependencies"] and "simlib" in project["scripts"]
    assert (ROOT / "environment.yml").is_file()
    assert project["requires-python"] == ">=3.11" and "Python 3.11 or newer" in README


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p}" for p in ("design.md", "nomenclature.md"))])
def test_every_link_of_a_page_leads_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []
