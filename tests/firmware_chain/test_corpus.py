"""Fetching a pinned corpus, against a folder of made-up wheels that pip itself downloads from."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from simlib.errors import InputError, Reason, Refused
from simlib.firmware import corpus as module
from simlib.firmware.cache import cache_dir
from simlib.firmware.corpus import corpora, corpus, fetch, load_corpus, mcuboot_version
from simlib.firmware.version import Version

MEMBER = "madeup/firmware.bin"
FIRMWARE = {"2023.4.1": b"first" * 100, "2024.0.0": b"second" * 100, "2025.11.2": b"third" * 100}


def wheel(folder: Path, version: str, content: bytes, member: str = MEMBER) -> Path:
    """A wheel that asks for a Python nobody has, so that nothing but downloading it can work."""
    path = folder / f"madeup-{version}-py3-none-any.whl"
    about = f"madeup-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(
            f"{about}/METADATA",
            f"Metadata-Version: 2.1\nName: madeup\nVersion: {version}\nRequires-Python: >=99\n",
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


class Registry:
    """A folder of wheels, the pins of what is in it, and how often pip was run."""

    def __init__(self, folder: Path, pins_folder: Path) -> None:
        self.folder = folder
        self.pins_path = pins_folder / "madeup.json"
        self.runs = 0
        self.pins: list[dict[str, Any]] = []
        for version, content in FIRMWARE.items():
            archive = wheel(folder, version, content)
            self.pins.append(
                {
                    "version": version,
                    "package_version": version,
                    "archive": archive.name,
                    "archive_size_bytes": archive.stat().st_size,
                    "archive_sha256": sha256(archive.read_bytes()).hexdigest(),
                    "member": MEMBER,
                    "size_bytes": len(content),
                    "sha256": sha256(content).hexdigest(),
                }
            )
        self.write_pins()

    def write_pins(self) -> None:
        about = ("title", "package", "architecture", "licence", "licence_note")
        facts = {"name": "madeup", **dict.fromkeys(about, "madeup"), "images": self.pins}
        self.pins_path.write_text(json.dumps(facts), encoding="utf-8")

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.runs += 1
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name in ("wheels", "data/corpus", "cache"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setattr(module, "data_path", lambda *parts: tmp_path.joinpath("data", *parts))
    return Registry(tmp_path / "wheels", tmp_path / "data" / "corpus")


def cached_files() -> list[str]:
    return sorted(path.name for path in cache_dir().rglob("*") if path.is_file())


def test_a_fetched_corpus_loads_oldest_first_and_is_not_fetched_again(registry: Registry) -> None:
    assert not corpus("madeup").is_cached()
    told: list[tuple[int, int, str]] = []
    paths = fetch("madeup", runner=registry.run, progress=lambda *news: told.append(news))
    assert [path.read_bytes() for path in paths] == list(FIRMWARE.values())
    assert told == [(1, 3, "2023.4.1"), (2, 3, "2024.0.0"), (3, 3, "2025.11.2")]
    chain = load_corpus("madeup")
    assert [(each.label, each.payload) for each in chain] == list(FIRMWARE.items())
    assert [each.version for each in chain] == [Version(23, 4, 1), Version(24, 0, 0), Version(25, 11, 2)]
    assert corpus("madeup").is_cached()
    assert fetch("madeup", runner=registry.run) == paths
    assert registry.runs == 3
    assert cached_files() == [f"{version}.bin" for version in FIRMWARE]


def test_a_firmware_that_changed_in_the_cache_is_refused_and_fetched_again(registry: Registry) -> None:
    paths = fetch("madeup", runner=registry.run)
    paths[1].write_bytes(b"other")
    with pytest.raises(Refused, match="simlib firmware fetch madeup") as caught:
        load_corpus("madeup")
    assert caught.value.reason is Reason.HASH_MISMATCH
    fetch("madeup", runner=registry.run)
    assert registry.runs == 4
    assert load_corpus("madeup")[1].payload == FIRMWARE["2024.0.0"]


def test_a_corpus_that_is_not_fetched_says_how_to_fetch_it(registry: Registry) -> None:
    with pytest.raises(InputError, match="simlib firmware fetch madeup"):
        load_corpus("madeup")


def test_a_damaged_archive_is_refused_before_it_is_opened(registry: Registry) -> None:
    archive = wheel(registry.folder, "2024.0.0", FIRMWARE["2024.0.0"])
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("madeup/added.py", "the pinned firmware, but not the pinned archive")
    with pytest.raises(Refused, match=f"{archive.name}: found SHA-256") as caught:
        fetch("madeup", runner=registry.run)
    assert caught.value.reason is Reason.HASH_MISMATCH
    assert cached_files() == ["2023.4.1.bin"]


def test_a_firmware_other_than_the_pinned_one_is_refused(registry: Registry) -> None:
    registry.pins[0]["sha256"] = "0" * 64
    registry.write_pins()
    with pytest.raises(Refused, match=MEMBER) as caught:
        fetch("madeup", runner=registry.run)
    assert caught.value.reason is Reason.HASH_MISMATCH
    assert cached_files() == []


def test_an_archive_without_the_firmware_is_refused(registry: Registry) -> None:
    registry.pins[0]["member"] = "madeup/elsewhere.bin"
    registry.write_pins()
    with pytest.raises(Refused, match=r"found no member madeup/elsewhere\.bin") as caught:
        fetch("madeup", runner=registry.run)
    assert caught.value.reason is Reason.ARTEFACT_MISMATCH


def test_a_package_that_is_gone_is_bad_input_in_one_line(registry: Registry) -> None:
    (registry.folder / registry.pins[2]["archive"]).unlink()
    with pytest.raises(InputError, match=r"package madeup==2025\.11\.2") as caught:
        fetch("madeup", runner=registry.run)
    assert "\n" not in str(caught.value)
    assert cached_files() == ["2023.4.1.bin", "2024.0.0.bin"]


def test_a_registry_out_of_reach_is_said_so_and_nothing_is_written(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nobody listens
    with pytest.raises(InputError, match="out of reach"):
        fetch("madeup", runner=registry.run)
    assert cached_files() == []


def test_a_python_without_pip_is_said_so(registry: Registry) -> None:
    def no_pip(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", f"{sys.executable}: No module named pip\n")

    with pytest.raises(InputError, match="No module named pip"):
        fetch("madeup", runner=no_pip)


def test_an_unknown_corpus_names_the_nearest(registry: Registry) -> None:
    with pytest.raises(InputError, match="nearest is madeup"):
        fetch("made-up", runner=registry.run)


@pytest.mark.parametrize(
    ("text", "version"),
    [("2019.9.1", Version(19, 9, 1)), ("1.2.3", Version(1, 2, 3)), ("2255.0.65535", Version(255, 0, 65535))],
)
def test_a_calendar_year_counts_from_2000(text: str, version: Version) -> None:
    assert mcuboot_version(text) == version


@pytest.mark.parametrize("text", ["1.2", "1.2.3-rc1", "300.0.0", "2256.0.0"])
def test_a_version_that_no_header_can_hold_is_bad_input(text: str) -> None:
    with pytest.raises(InputError, match="version"):
        mcuboot_version(text)


def test_the_pins_in_the_project_are_complete() -> None:
    chains = corpora()
    assert [chain.name for chain in chains] == ["greatfet_usb"]
    for pin in chains[0].pins:
        assert len(bytes.fromhex(pin.sha256)) == len(bytes.fromhex(pin.archive_sha256)) == 32
    versions = [mcuboot_version(pin.version) for pin in chains[0].pins]
    assert len(versions) == 11
    assert versions == sorted(set(versions))


@pytest.mark.network
def test_the_greatfet_chain_can_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    fetch("greatfet_usb")
    chain = load_corpus("greatfet_usb")
    assert [len(each.payload) for each in chain] == [pin.size_bytes for pin in corpus("greatfet_usb").pins]
