"""Who may import whom: the tool's settings hold, go red when they should, and cover every package."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Asked for, but not imported by name: a program, and what pandas reads and writes Parquet with.
NOT_IMPORTED = {"jupyterlab", "pyarrow"}
# Pinned to one exact version by the one named here, whose interface hands its objects out.
CARRIED = {"pydantic-core": "pydantic"}
HEAVY = {"pandas", "pyarrow", "matplotlib", "pydantic", "simpy", "typer", "rich"}

# Small stand-ins for the packages, each importing one from below it, as the real ones do.
MODEL = {
    "__init__.py": "",
    "errors.py": "",
    "draws.py": "",
    "outcomes.py": "",
    "scenario/__init__.py": "import simlib.errors",
    "device/__init__.py": "import simlib.scenario",
    "fleet/__init__.py": "import simlib.device",
    "engine/__init__.py": "import simlib.engine.clock",
    "engine/clock.py": "import simlib.errors, simlib.draws",
    "simulation/__init__.py": "import simlib.engine, simlib.fleet",
    "simulation/explain.py": "import simlib.device",
    "results/__init__.py": "import simlib.scenario",
    "results/run.py": "def explain():\n    import simlib.simulation.explain",  # the one door
    "cli/__init__.py": "import simlib.results, simlib.simulation",
}


def lint(root: Path, changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """lint-imports, with the project's settings, on the stand-ins with `changes`."""
    for name, text in {**MODEL, **changes}.items():
        path = root / "simlib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    shutil.copy(ROOT / "pyproject.toml", root)
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_imports_from_below_are_allowed_and_later_packages_may_be_missing(tmp_path: Path) -> None:
    done = lint(tmp_path, {})
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("device/boot.py", "import simlib.fleet", "simlib.device is not allowed to import simlib.fleet"),
        (
            "scenario/units.py",
            "def f():\n    import simlib.cli",
            "simlib.scenario is not allowed to import simlib.cli",
        ),
        ("draws.py", "import simlib.scenario", "simlib.draws is not allowed to import simlib.scenario"),
        (
            "engine/link.py",
            "import simlib.scenario",
            "simlib.engine is not allowed to import simlib.scenario",
        ),
        (
            "engine/link.py",
            "import simlib.outcomes",
            "simlib.engine is not allowed to import simlib.outcomes",
        ),
        (
            "results/tables.py",
            "import simlib.simulation",
            "simlib.results is not allowed to import simlib.simulation",
        ),
        ("toolbox.py", "", "toolbox"),
    ],
)
def test_an_import_against_the_order_is_found(tmp_path: Path, name: str, text: str, says: str) -> None:
    done = lint(tmp_path, {name: text})
    assert done.returncode == 1
    assert says in " ".join(done.stdout.split())


def imported(folder: str) -> Iterator[tuple[str, Path]]:
    """The top-level name of every import under `folder`, with the file it stands in."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name.split(".")[0], path
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                yield node.module.split(".")[0], path


def distributions_of(folder: str) -> dict[str, set[str]]:
    """Which third-party distributions the files under `folder` import, by canonical name, and where."""
    known = importlib.metadata.packages_distributions()
    wanted: dict[str, set[str]] = {}
    for name, path in imported(folder):
        if name not in sys.stdlib_module_names and name not in ("simlib", "tasks", "tests"):
            assert name in known, f"{path.relative_to(ROOT)}: {name} is not installed"
            for distribution in map(canonicalize_name, known[name]):
                wanted.setdefault(CARRIED.get(distribution, distribution), set()).add(path.name)
    return wanted


def declared(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(r).name) for r in requirements}


RUNTIME = declared(PYPROJECT["project"]["dependencies"])
DEVELOPMENT = declared(PYPROJECT["project"]["optional-dependencies"]["dev"])
HARDWARE = declared(PYPROJECT["project"]["optional-dependencies"]["hardware"])
OPTIONAL_NAMES = {"pkcs11": "python-pkcs11", "tpm2_pytss": "tpm2-pytss"}


def test_simlib_imports_only_what_it_declares() -> None:
    undeclared = {name: where for name, where in distributions_of("simlib").items() if name not in RUNTIME}
    assert undeclared == {}


def test_simlib_declares_only_what_it_imports() -> None:
    assert RUNTIME - set(distributions_of("simlib")) - NOT_IMPORTED == set()


def test_the_optional_parts_are_loaded_by_name_where_they_are_used_and_nowhere_else() -> None:
    """So that simlib does without them; what is loaded like this is Any to mypy, there or not."""
    loaded = {
        match[1]
        for path in (ROOT / "simlib").rglob("*.py")
        for match in re.finditer(r'import_module\("(\w+)"\)', path.read_text(encoding="utf-8"))
    }
    assert {OPTIONAL_NAMES.get(name, name) for name in loaded} == HARDWARE
    assert not {name for name, _ in imported("simlib")} & loaded


def test_the_tests_import_only_what_is_declared() -> None:
    undeclared = {
        name: where for name, where in distributions_of("tests").items() if name not in RUNTIME | DEVELOPMENT
    }
    assert undeclared == {}


@pytest.mark.parametrize("package", ["firmware", "security", "delta", "device"])
def test_the_lower_packages_load_nothing_heavy(package: str) -> None:
    """So that `simlib image verify` answers at once, and a device can be studied on its own."""
    code = f"import simlib.{package}, sys; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
