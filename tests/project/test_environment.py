"""What pyproject.toml, environment.yml and the two locks ask for is the same thing."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.lock", "requirements-dev.lock")
HARDWARE_LOCK = "requirements-hardware.lock"
REQUIRED = ("jupyterlab", "simpy", "pandas", "matplotlib", "cryptography", "bsdiff4")
# A conda package that carries what the registry of Python packages calls by another name.
CONDA_NAMES = {"matplotlib-base": "matplotlib"}

PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9a-z.+!]+)( ; (?P<marker>[^\\]+))? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?P<more> \\)?")

SYSTEMS = {
    "Linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macOS": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "Windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}
TARGETS = [
    {
        **system,
        "python_version": python,
        "python_full_version": f"{python}.9",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for system in SYSTEMS.values()
    for python in ("3.11", "3.12", "3.13")
]


def asked(*, dev: bool) -> list[Requirement]:
    """What pyproject.toml asks for, to build and to run, and with `dev` to develop."""
    project = PYPROJECT["project"]
    extra = project["optional-dependencies"]["dev"] if dev else []
    return [
        Requirement(r) for r in [*PYPROJECT["build-system"]["requires"], *project["dependencies"], *extra]
    ]


def conda_bounds() -> dict[str, SpecifierSet]:
    """What environment.yml asks conda for, under the names pyproject.toml uses."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    bounds = {}
    for entry in content["dependencies"]:
        if isinstance(entry, str):
            name, _, specifier = entry.partition(" ")
            bounds[CONDA_NAMES.get(name, name)] = SpecifierSet(specifier)
    return bounds


def pins(lock: str, target: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(name, version) of what `lock` installs on `target`."""
    for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
        if match := PIN.fullmatch(line):
            marker = match["marker"]
            if marker is None or Marker(marker).evaluate({**target, "extra": ""}):
                yield match["name"], match["version"]


def test_the_six_required_packages_are_asked_for_by_name() -> None:
    assert set(REQUIRED) <= {Requirement(r).name for r in PYPROJECT["project"]["dependencies"]}


def test_bsdiff4_is_never_one_that_a_crafted_patch_can_overflow() -> None:
    (bsdiff4,) = (r for r in asked(dev=False) if r.name == "bsdiff4")
    assert "1.3.2" in bsdiff4.specifier
    assert not any(old in bsdiff4.specifier for old in ("1.1.5", "1.2.0", "1.3.1"))


def test_conda_is_asked_for_the_same_bounds_as_pip() -> None:
    bounds = conda_bounds()
    project = PYPROJECT["project"]
    assert bounds.pop("python") == SpecifierSet(project["requires-python"])
    assert bounds.pop("pip") == SpecifierSet()
    asked_of_pip = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    assert bounds == {name: asked_of_pip[name] for name in REQUIRED}


def test_conda_installs_the_project_from_the_checkout_and_uses_no_default_channel() -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert content["channels"] == ["conda-forge", "nodefaults"]
    (pip,) = (entry for entry in content["dependencies"] if isinstance(entry, dict))
    ((option, what),) = map(shlex.split, pip["pip"])  # as pip reads the line
    assert (option, what) == ("-e", ".[dev]")


@pytest.mark.parametrize("lock", [*LOCKS, HARDWARE_LOCK])
def test_a_lock_holds_versions_and_hashes_and_nothing_else(lock: str) -> None:
    """So no address, no path, no comment, and no package without a hash."""
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    expected = PIN
    for number, line in enumerate(lines, 1):
        match = expected.fullmatch(line)
        assert match, f"{lock}:{number}: found {line!r}, expected {expected.pattern}"
        expected = HASH if line.endswith("\\") else PIN
    assert expected is PIN
    assert not any("://" in line for line in lines)


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t['platform_system']}-{t['python_version']}")
def test_a_lock_satisfies_every_bound_on_every_system(lock: str, target: dict[str, str]) -> None:
    pinned = list(pins(lock, target))
    versions = dict(pinned)
    assert len(versions) == len(pinned), "a package is pinned twice"
    for requirement in asked(dev="dev" in lock):
        if requirement.marker is None or requirement.marker.evaluate({**target, "extra": ""}):
            version = versions.get(canonicalize_name(requirement.name))
            assert version and requirement.specifier.contains(version), f"{requirement}: found {version}"
    for name, specifier in conda_bounds().items():
        if name in REQUIRED:
            assert specifier.contains(versions[name])


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t['platform_system']}-{t['python_version']}")
def test_the_development_lock_holds_all_of_the_other_in_the_same_versions(target: dict[str, str]) -> None:
    assert set(pins("requirements.lock", target)) <= set(pins("requirements-dev.lock", target))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t['platform_system']}-{t['python_version']}")
def test_the_hardware_lock_holds_what_the_extra_asks_for_and_changes_nothing_of_the_others(
    target: dict[str, str],
) -> None:
    held, others = dict(pins(HARDWARE_LOCK, target)), dict(pins("requirements-dev.lock", target))
    for asked_for in map(Requirement, PYPROJECT["project"]["optional-dependencies"]["hardware"]):
        assert asked_for.specifier.contains(held[canonicalize_name(asked_for.name)])
    shared = set(held) & set(others)
    assert {"cffi", "cryptography"} <= shared
    assert {name: held[name] for name in shared} == {name: others[name] for name in shared}


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_holds_a_peer_that_benchmarks_measure_against(lock: str) -> None:
    peers = {
        canonicalize_name(Requirement(r).name) for r in PYPROJECT["project"]["optional-dependencies"]["bench"]
    }
    held = {
        match["name"]
        for line in (ROOT / lock).read_text(encoding="utf-8").splitlines()
        if (match := PIN.fullmatch(line))
    }
    assert {"cimba", "salabim"} <= peers
    assert peers & held == set()


CONDA = next((path for path in map(shutil.which, ("mamba", "conda", "micromamba")) if path), None)


@pytest.mark.conda
@pytest.mark.skipif(CONDA is None, reason="no conda, mamba or micromamba on this machine")
def test_conda_finds_a_solution(tmp_path: Path) -> None:
    assert CONDA is not None
    verb = ["create"] if Path(CONDA).stem == "micromamba" else ["env", "create"]
    command = [CONDA, *verb, "--dry-run", "--yes", "-p", str(tmp_path / "solved"), "-f", "environment.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:] or done.stdout[-2000:]
