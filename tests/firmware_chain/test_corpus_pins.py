"""The pins in the project, what a file of pins may not be, and publishers' versions as MCUboot's."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from simlib.errors import InputError
from simlib.firmware.corpus import START, Archive, Form, Registry, corpora, mcuboot_version, mcuboot_versions
from simlib.firmware.corpus import pins as module
from simlib.firmware.version import Version
from tests.firmware_chain.registries import chain, image

CHAINS = {each.name: each for each in corpora()}


def test_the_pins_in_the_project_are_complete() -> None:
    assert {name: len(each.pins) for name, each in CHAINS.items()} == {
        "cynthion_moondancer": 13,
        "greatfet_usb": 11,
        "particle_boron_bootloader": 8,
        "particle_boron_part1": 9,
        "particle_electron_part1": 8,
        "particle_electron_part2": 8,
        "particle_electron_part3": 8,
        "particle_tracker_part1": 6,
        "pxt_mb_v1_a": 8,
        "pybricks_cityhub": 9,
        "pybricks_primehub": 8,
    }
    for each in CHAINS.values():
        assert each.licence
        assert each.licence_note
        assert each.source.startswith("measured: ")
        for pin in each.pins:
            digests = (pin.sha256, pin.member_sha256, pin.archive.sha256)
            assert [len(bytes.fromhex(digest)) for digest in digests] == [32, 32, 32]
            assert min(pin.size_bytes, pin.member_size_bytes, pin.archive.size_bytes) > 10_000
            assert (pin.form is Form.BINARY) == (pin.sha256 == pin.member_sha256)
    assert len({pin.sha256 for each in CHAINS.values() for pin in each.pins}) == 96


def test_a_package_version_is_pinned_to_one_archive_in_every_chain() -> None:
    archives: set[Archive] = {pin.archive for each in CHAINS.values() for pin in each.pins}
    assert (
        len({(each.registry, each.package, each.package_version) for each in archives}) == len(archives) == 50
    )


def test_the_chains_to_begin_with_are_a_small_download() -> None:
    archives = {pin.archive for name in START for pin in CHAINS[name].pins}
    assert {archive.registry for archive in archives} == set(Registry)
    assert 10_000_000 < sum(archive.size_bytes for archive in archives) < 14_000_000


@pytest.mark.parametrize("name", CHAINS)
def test_every_firmware_of_a_chain_is_newer_than_the_one_before(name: str) -> None:
    versions = mcuboot_versions([pin.version for pin in CHAINS[name].pins])
    assert all(old < new for old, new in pairwise(versions))
    assert all(Version.parse(str(version)) == version for version in versions)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2019.9.1", Version(19, 9, 1)),
        ("1.2.3", Version(1, 2, 3)),
        ("2255.0.65535", Version(255, 0, 65535)),
        ("3.2.0b3", Version(3, 2, 0)),
        ("3.1.0a4", Version(3, 1, 0)),
        ("10.0.1rc12", Version(10, 0, 1)),
    ],
)
def test_a_header_takes_three_numbers_of_a_version_and_a_year_from_2000(text: str, version: Version) -> None:
    assert mcuboot_version(text) == version


@pytest.mark.parametrize(
    "text", ["1.2", "1.2.3-rc1", "300.0.0", "2256.0.0", "1.2.3c1", "1.2.3b", "v1.2.3", "1.2.x"]
)
def test_a_version_that_no_header_can_hold_is_bad_input(text: str) -> None:
    with pytest.raises(InputError, match="version"):
        mcuboot_version(text)


def test_the_build_counts_firmwares_with_the_same_three_numbers() -> None:
    texts = ("3.6.0b5", "4.0.0b4", "4.0.0b5", "4.0.0", "4.0.0", "4.0.1")
    assert [str(v) for v in mcuboot_versions(texts)] == [
        "3.6.0",
        "4.0.0",
        "4.0.0+1",
        "4.0.0+2",
        "4.0.0+3",
        "4.0.1",
    ]


@pytest.mark.parametrize("texts", [("1.1.0", "1.0.9"), ("4.0.0b1", "4.0.0", "3.9.0"), ("2024.0.0", "23.0.0")])
def test_numbers_that_go_down_are_bad_input(texts: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="expected the oldest first"):
        mcuboot_versions(texts)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ({"registry": "cargo"}, "cargo"),
        ({"form": "srecord"}, "srecord"),
        ({"form": "intel-hex"}, "member_size_bytes"),
        ({"images": []}, "found 0 versions"),
        ({"images": [{}]}, "package_version"),
        ({"images": ["1.0.0"]}, "found"),
        ({"more": 1}, "more"),
    ],
)
def test_a_file_of_pins_that_is_none_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: dict[str, Any], named: str
) -> None:
    (tmp_path / "corpus").mkdir()
    monkeypatch.setattr(module, "data_path", lambda *parts: tmp_path.joinpath(*parts))
    path = tmp_path / "corpus" / "made.json"
    pin = image("1.0.0", "1.0.0", "a.whl", b"archive", "f", b"firmware")
    good = chain("made", "pypi", "made", [pin])
    path.write_text(json.dumps(good), encoding="utf-8")
    assert [each.name for each in corpora()] == ["made"]
    for facts in (good | damage, good | {"images": [pin, pin]}):
        path.write_text(json.dumps(facts), encoding="utf-8")
        with pytest.raises(InputError, match=r"made\.json") as caught:
            corpora()
        assert named in str(caught.value) or "2 versions" in str(caught.value)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"made\.json"):
        corpora()
