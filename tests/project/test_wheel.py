"""What an installed simlib holds, looked at in a wheel built from the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def below(folder: str) -> dict[str, bytes]:
    paths = (
        path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    return {path.relative_to(ROOT / folder).as_posix(): path.read_bytes() for path in paths}


def test_it_carries_every_module_and_every_data_file_unchanged(wheel: dict[str, bytes]) -> None:
    assert below("data"), "no data to look for"
    expected = {f"simlib/{name}": content for name, content in below("simlib").items()}
    expected |= {f"simlib/_data/{name}": content for name, content in below("data").items()}
    assert {name: content for name, content in wheel.items() if ".dist-info/" not in name} == expected


def test_it_has_the_command_and_says_that_it_is_typed(wheel: dict[str, bytes]) -> None:
    (entry_points,) = (content for name, content in wheel.items() if name.endswith("entry_points.txt"))
    assert b"simlib = simlib.cli:main" in entry_points
    assert "simlib/py.typed" in wheel
