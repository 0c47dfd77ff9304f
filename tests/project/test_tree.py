"""What may stand in the repository, and what every package must have."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGEST_BYTES = 1 << 20


def repository_files() -> list[Path]:
    """What git holds or would take in; in an unpacked source archive, everything there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if not {".venv", ".git"} & set(path.parts)]
        return [path for path in paths if path.is_file()]
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


FILES = repository_files()
TEXTS = {
    path.relative_to(ROOT).as_posix(): content
    for path in FILES
    if "\0" not in (content := path.read_bytes().decode("utf-8", errors="replace"))
}

# Written so that none of them matches its own line.
MACHINE_PATHS = [
    r"/work[/]",
    r"/root[/]",
    r"/home[/][a-z]",
    r"/Users[/][A-Za-z]",
    r"[A-Z]:\\Users[\\]",
    r"/tmp/v[/]",
]
REGISTRIES = [
    r"pypi[.]org",
    r"pythonhosted[.]org",
    r"anaconda[.](org|com)",
    r"npmjs[.](org|com)",
    r"crates[.]io",
    r"golang[.]org",
    r"deb[.]debian[.]org",
]


def found(patterns: list[str]) -> list[str]:
    """Every place in the repository's texts where one of `patterns` matches."""
    pattern = re.compile("|".join(patterns))
    return [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in TEXTS.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_there_is_something_to_look_at() -> None:
    assert {"pyproject.toml", "tasks.py", "simlib/__init__.py"} <= set(TEXTS)


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    assert found(MACHINE_PATHS) == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert found(REGISTRIES) == []


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (MACHINE_PATHS, "see /" + "work/x"),
        (MACHINE_PATHS, "C:" + r"\Users\me"),
        (MACHINE_PATHS, "/" + "home/me/x"),
        (REGISTRIES, "https://pypi" + ".org/simple"),
        (REGISTRIES, "files.pythonhosted" + ".org"),
    ],
)
def test_the_patterns_find_what_they_are_for(patterns: list[str], text: str) -> None:
    assert re.search("|".join(patterns), text)


def test_every_private_key_says_that_it_is_for_tests() -> None:
    unmarked = [
        name
        for name, text in TEXTS.items()
        if re.search(r"^-----BEGIN [A-Z ]*PRIVATE KEY-----$", text, re.MULTILINE)
        and "test key" not in text.lower()
    ]
    assert unmarked == []


def test_no_file_is_large() -> None:
    assert [path.name for path in FILES if path.stat().st_size > LARGEST_BYTES] == []


def test_notebooks_carry_no_stored_output() -> None:
    for name, text in TEXTS.items():
        if name.endswith(".ipynb"):
            for number, cell in enumerate(json.loads(text)["cells"]):
                assert not cell.get("outputs"), f"{name}, cell {number}"
                assert cell.get("execution_count") is None, f"{name}, cell {number}"


@pytest.mark.parametrize("path", sorted(n for n in TEXTS if n.startswith("simlib/") and n.endswith(".py")))
def test_every_module_says_what_it_is_for(path: str) -> None:
    assert ast.get_docstring(ast.parse(TEXTS[path])), f"{path}: found no docstring"


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {Path(n).parent for n in TEXTS if n.startswith("simlib/") and n.endswith(".py")}
    assert [str(f) for f in folders if (f / "__init__.py").as_posix() not in TEXTS] == []


def test_test_files_have_names_of_their_own() -> None:
    """pytest's importlib mode allows equal names; a person who reads a failure does not want them."""
    names = [Path(n).name for n in TEXTS if n.startswith("tests/") and Path(n).name.startswith("test_")]
    assert sorted(names) == sorted(set(names))
