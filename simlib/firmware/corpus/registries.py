"""Having a registry hand out an archive, by its own client: pip or npm, as they are configured.

Which registry, which mirror and through which proxy is in the clients' own configuration. A client downloads
and does nothing else: pip takes wheels only, as it would run code of a source archive to read its metadata,
and npm runs no script. Where npm is not installed its registry is read by HTTP (`npm_http`). Whether an
archive is the pinned one is checked by whoever asked for it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from simlib.errors import InputError
from simlib.firmware.corpus.npm_http import OutOfReachError, get_archive
from simlib.firmware.corpus.pins import Archive, Registry

Runner = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
"""Runs a command to its end and returns its status and output."""

KEPT: Final = "what was fetched before is kept, and the same command goes on from there"

_NPM_CODE: Final = re.compile(r"^npm (?:error|ERR!) code (\S+)", re.MULTILINE)
_NPM_OUT_OF_REACH: Final = frozenset(
    {
        "EAI_AGAIN",
        "ECONNREFUSED",
        "ECONNRESET",
        "EHOSTUNREACH",
        "ENETUNREACH",
        "ENOTCACHED",
        "ENOTFOUND",
        "EPIPE",
        "ERR_SOCKET_TIMEOUT",
        "ETIMEDOUT",
        "FETCH_ERROR",
        "UND_ERR_CONNECT_TIMEOUT",
        "UND_ERR_SOCKET",
    }
)
_NPM_NOT_THERE: Final = frozenset({"E404", "ETARGET", "ENOVERSIONS"})


def run_command(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs `command` without a terminal."""
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def download(archive: Archive, folder: Path, runner: Runner = run_command) -> Path:
    """The archive in a file under `folder`, as its registry hands it out: not checked yet.

    Raises InputError in one line that says which registry and which package: the registry cannot be reached,
    has no such package, or there is no client for it.
    """
    if archive.registry is Registry.PYPI:
        return _by_pip(archive, folder, runner)
    if npm := shutil.which("npm"):
        return _by_npm(npm, archive, folder, runner)
    if registry := os.environ.get("NPM_CONFIG_REGISTRY"):
        try:
            return get_archive(registry, archive, folder)
        except OutOfReachError as error:
            raise _out_of_reach(archive, str(error)) from None
    raise InputError(
        f"{_package(archive)}: found neither npm nor the variable NPM_CONFIG_REGISTRY, expected one of them "
        f"to reach {archive.registry.called}; {KEPT}"
    )


def _by_pip(archive: Archive, folder: Path, runner: Runner) -> Path:
    to = folder / "archive"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir")
    wheels = ("download", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python")
    wanted = f"{archive.package}=={archive.package_version}"
    finished = runner((*pip, "--quiet", "--retries", "2", *wheels, "--dest", str(to), wanted))
    if found := _only_file(finished, to):
        return found
    if "connection broken" in finished.stderr:  # its last line would only say that no such package was found
        raise _out_of_reach(archive, "pip says that the connection broke")
    lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    raise _not_had(archive, (errors or lines or ["pip gave no reason"])[-1])


def _by_npm(npm: str, archive: Archive, folder: Path, runner: Runner) -> Path:
    to, cache = folder / "archive", folder / "npm"
    to.mkdir()
    quiet = ("--loglevel=error", "--no-update-notifier", "--no-audit", "--no-fund")
    patience = ("--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-factor=2")
    # A cache of its own, so that archive and log are gone with the folder; pip is told the same.
    places = (f"--pack-destination={to}", f"--cache={cache}")
    wanted = f"{archive.package}@{archive.package_version}"
    finished = runner((npm, "pack", "--ignore-scripts", *quiet, *patience, *places, wanted))
    if found := _only_file(finished, to):
        return found
    code = _NPM_CODE.search(finished.stderr)
    if code is None:
        raise _not_had(archive, " ".join(finished.stderr.split())[:200] or "npm gave no reason")
    if code[1] in _NPM_OUT_OF_REACH:
        raise _out_of_reach(archive, f"npm says {code[1]}")
    if code[1] in _NPM_NOT_THERE:
        raise _not_had(archive, f"npm says {code[1]}: no such package or version")
    raise _not_had(archive, f"npm says {code[1]}")


def _only_file(finished: subprocess.CompletedProcess[str], folder: Path) -> Path | None:
    """The one file that a client left in `folder`; None if it failed."""
    files = list(folder.iterdir()) if folder.is_dir() else []
    return files[0] if finished.returncode == 0 and len(files) == 1 else None


def _package(archive: Archive) -> str:
    return f"package {archive.package} {archive.package_version}"


def _out_of_reach(archive: Archive, why: str) -> InputError:
    title = archive.registry.called
    return InputError(
        f"{_package(archive)}: found {title} out of reach ({why}), expected to download it from there; {KEPT}"
    )


def _not_had(archive: Archive, why: str) -> InputError:
    title = archive.registry.called
    return InputError(f"{_package(archive)}: found no download ({why}), expected it from {title}; {KEPT}")
