"""Chains of public firmware, pinned by hash and fetched on request; none of it is part of simlib.

A corpus is a file of pins in ``data/corpus``: for each version the package that carries it, the archive's
and the firmware's SHA-256. `fetch` has pip download each package (never install it, never build it), checks
the archive before it is opened and the firmware before it is kept, and keeps only the firmware. pip's own
configuration says where packages come from. What a fetched firmware may be used for is between its licence
and the person who fetched it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.cache import cache_dir
from simlib.firmware.files import write_whole
from simlib.firmware.firmware import Firmware
from simlib.firmware.version import Version
from simlib.scenario.datafiles import data_path

Runner = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
"""Runs a command to its end and returns its status and output."""
Progress = Callable[[int, int, str], None]
"""Told firmwares done, firmwares in all, and the version just done."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One firmware: the package and archive it is in, and what it must hash to."""

    version: str
    package_version: str
    archive: str
    archive_size_bytes: int
    archive_sha256: str
    member: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """A pinned chain, oldest first. `licence` is what the package says of itself; mind `licence_note`."""

    name: str
    title: str
    package: str
    architecture: str
    licence: str
    licence_note: str
    pins: tuple[Pin, ...]
    source: str = ""  # of the pins: how it is known and from what, as a calibration figure says it

    def cached_path(self, pin: Pin) -> Path:
        """Where the firmware is once it is fetched."""
        return cache_dir() / "corpus" / self.name / f"{pin.version}.bin"

    def is_cached(self) -> bool:
        """Whether every firmware has been fetched; `load_corpus` checks that none has changed."""
        return all(self.cached_path(pin).is_file() for pin in self.pins)


def corpora() -> tuple[Corpus, ...]:
    """The corpora there are pins for, by name."""
    return tuple(_read_pins(path) for path in sorted(data_path("corpus").glob("*.json")))


def corpus(name: str) -> Corpus:
    """The corpus `name`. Raises InputError for a name that is none."""
    known = {each.name: each for each in corpora()}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"; nearest is {near[0]}" if near else ""
    raise InputError(f"corpus {name!r}: found no such corpus, expected one of {', '.join(known)}{hint}")


def load_corpus(name: str) -> tuple[Firmware, ...]:
    """The firmwares of a fetched corpus, oldest first.

    Raises InputError if the corpus is unknown or not fetched, Refused if a firmware has changed since.
    """
    chain = corpus(name)
    return tuple(
        Firmware(pin.version, mcuboot_version(pin.version), _cached(chain, pin)) for pin in chain.pins
    )


def fetch(name: str, *, runner: Runner | None = None, progress: Progress | None = None) -> tuple[Path, ...]:
    """Downloads what is missing of a corpus into the cache, and returns where each firmware is, oldest first.

    A firmware already there is checked and not downloaded again. Each is written whole, so an interrupted
    fetch goes on where it stopped. Raises InputError if the corpus is unknown or a package cannot be had,
    Refused if an archive or the firmware in it is not the pinned one.
    """
    chain = corpus(name)
    for done, pin in enumerate(chain.pins, start=1):
        path = chain.cached_path(pin)
        if not path.is_file() or _digest(path.read_bytes()) != pin.sha256:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, _download(chain.package, pin, runner or _run))
        if progress is not None:
            progress(done, len(chain.pins), pin.version)
    return tuple(chain.cached_path(pin) for pin in chain.pins)


def mcuboot_version(text: str) -> Version:
    """A publisher's version as MCUboot's header can hold it.

    The header's major is 8 bits (MCUboot design, image format), so a calendar year counts from 2000.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", text):
        raise InputError(f"version {text!r}: found another form, expected MAJOR.MINOR.REVISION")
    major, minor, revision = (int(part) for part in text.split("."))
    return Version(major - 2000 if major >= 2000 else major, minor, revision, 0)


def _read_pins(path: Path) -> Corpus:
    facts = json.loads(path.read_text(encoding="utf-8"))
    pins = tuple(Pin(**image) for image in facts.pop("images"))
    return Corpus(**facts, pins=pins)


def _cached(chain: Corpus, pin: Pin) -> bytes:
    path = chain.cached_path(pin)
    remedy = f"simlib firmware fetch {chain.name}"
    if not path.is_file():
        raise InputError(
            f"corpus {chain.name}: found no {pin.version} in the cache, expected it after: {remedy}"
        )
    content = path.read_bytes()
    _check(f"{path} (replace it with: {remedy})", content, pin.sha256)
    return content


def _download(package: str, pin: Pin, runner: Runner) -> bytes:
    """The pinned firmware out of its package."""
    wanted = f"{package}=={pin.package_version}"
    with tempfile.TemporaryDirectory(prefix="simlib-") as folder:
        finished = runner(_pip_download(wanted, folder))
        archives = list(Path(folder).iterdir())
        if finished.returncode or len(archives) != 1:
            raise InputError(
                f"package {wanted}: found no download ({_why(finished.stderr)}), expected pip to reach it; "
                "what was fetched before is kept"
            )
        return _extract(archives[0], pin)


def _extract(archive: Path, pin: Pin) -> bytes:
    _check(archive.name, archive.read_bytes(), pin.archive_sha256)
    try:
        with zipfile.ZipFile(archive) as opened:
            content = opened.read(pin.member)
    except (zipfile.BadZipFile, KeyError):
        message = f"{archive.name}: found no member {pin.member}, expected a wheel with it"
        raise Refused(Reason.ARTEFACT_MISMATCH, message) from None
    _check(f"{archive.name}: {pin.member}", content, pin.sha256)
    return content


def _pip_download(wanted: str, folder: str) -> tuple[str, ...]:
    # wheels only: pip would run code of a source archive to read its metadata
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir")
    wheels = ("download", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python")
    return (*pip, "--quiet", "--retries", "2", *wheels, "--dest", folder, wanted)


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def _why(output: str) -> str:
    """What pip's error output says went wrong, in a few words."""
    if "connection broken" in output:  # its last line would only say that no such package was found
        return "the package index is out of reach"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1]


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _check(where: str, content: bytes, expected: str) -> None:
    if (found := _digest(content)) != expected:
        raise Refused(Reason.HASH_MISMATCH, f"{where}: found SHA-256 {found}, expected {expected}")
