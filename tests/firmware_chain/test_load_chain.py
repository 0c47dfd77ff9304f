"""A release's chain, from each source a scenario can name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from simlib.errors import InputError
from simlib.firmware.chain import Firmware, load_chain
from simlib.firmware.version import Version
from simlib.scenario.model import ReleaseSpec


def spec(source: str, *files: str, steps: tuple[str, ...] = ()) -> ReleaseSpec:
    return ReleaseSpec(
        source=source,
        files=files,
        seed=3,
        size_bytes=100_000,
        base_size_bytes=90_000,
        steps=steps,
        payload="full",
        codec="bsdiff4",
        full_above=Fraction(4, 5),
        encrypted=False,
        signature="ecdsa-p256",
        hardware=(),
        published_ms=(0,),
        stepping_stones=(),
        security_counters="raise",
    )


def test_a_synthetic_chain_ends_with_the_newest_at_its_own_size() -> None:
    chain = load_chain(spec("synthetic", steps=("patch", "minor")))
    assert [len(each.payload) for each in chain] == [90_000, 90_000, 100_000]
    assert [each.label for each in chain] == ["1.0.0", "1.0.1", "1.1.0"]
    for each in chain:
        assert f"simlib synthetic {each.version}\0".encode() in each.payload


def test_files_are_read_as_they_are_oldest_first(tmp_path: Path) -> None:
    for name, content in (("old.bin", b"\0\1"), ("new.bin", b"x" * 300)):
        (tmp_path / name).write_bytes(content)
    assert load_chain(spec("files", str(tmp_path / "old.bin"), str(tmp_path / "new.bin"))) == (
        Firmware("old", Version(1, 0, 0), b"\0\1"),
        Firmware("new", Version(1, 1, 0), b"x" * 300),
    )


def test_files_of_one_name_get_labels_apart(tmp_path: Path) -> None:
    files = ("a/zephyr.bin", "b/zephyr.bin", "a/zephyr-0.bin")
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    chain = load_chain(spec("files", *(str(tmp_path / name) for name in files)))
    assert [each.label for each in chain] == ["zephyr-0", "zephyr-1", "zephyr-0-2"]


def test_a_file_that_is_missing_empty_or_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.bin").touch()
    for name, found in (
        ("missing.bin", "No such file"),
        ("empty.bin", "empty file"),
        ("", "found no readable"),
    ):
        path = tmp_path / name
        with pytest.raises(InputError, match=found) as caught:
            load_chain(spec("files", str(path)))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("files", "found 0 files"),
        ("corpus:greatfet", "nearest is greatfet_usb"),
        ("sythetic", "found 'sythetic'"),
    ],
)
def test_a_source_that_gives_nothing_is_bad_input(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_chain(spec(source))
