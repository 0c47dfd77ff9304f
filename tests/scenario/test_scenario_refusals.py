"""A wrong scenario is refused in one line: file, key, found, expected."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.scenario import Scenario, load, preset_names, preset_path
from tests.amounts import examples

START = 'schema = 1\nname = "x"\n'
COHORT = '[[cohorts]]\nname = "a"\n'


def refusal(path: Path, text: str | bytes) -> str:
    """The one line that refuses `text` as a scenario; it begins with the file."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as raised:
        load(path)
    message = str(raised.value)
    assert len(message.splitlines()) == 1, message
    assert message.startswith(f"{path}: "), message
    return message.removeprefix(f"{path}: ")


CASES = {
    "unknown key": ("wibble = 1\n" + START, ["wibble", "unknown key"]),
    "unknown key, nearest": (
        START + "[[rollout.groups]]\nerror_treshold = 0.1\n",
        ["rollout.groups.0.error_treshold", "error_threshold"],
    ),
    "unknown table": (START + "[precheks]\nstorage = true\n", ["precheks", "precheck"]),
    "bad unit": (START + '[release]\nsize = "480 parsecs"\n', ["release.size", "parsecs", "KiB"]),
    "bad duration": (START + 'horizon = "2 fortnights"\n', ["horizon", "fortnights"]),
    "negative size": (START + "[release]\nsize = -4096\n", ["release.size", "-4096"]),
    "cohort shares": (START + COHORT + "share = 0.9\n", ["cohorts", "share", "0.9", "exactly 1"]),
    "cohort shares, too fine for floats": (
        START + COHORT + 'share = 0.9999999999999999999\n[[cohorts]]\nname = "b"\nshare = 0\n',
        ["cohorts", "0.9999999999999999999"],
    ),
    "group shares": (
        START + "[[rollout.groups]]\nshare = 0.1\n[[rollout.groups]]\nshare = 0.8\n",
        ["rollout.groups", "share", "0.9"],
    ),
    "group shares beside the rest": (
        START + "[[rollout.groups]]\nshare = 0.6\n[[rollout.groups]]\nshare = 0.6\n[[rollout.groups]]\n",
        ["rollout.groups", "share", "1.2"],
    ),
    "rest in the middle": (
        START + '[[rollout.groups]]\nshare = "rest"\n[[rollout.groups]]\nshare = 0.5\n',
        ["rollout.groups.0.share", "rest"],
    ),
    "base mix sum": (START + COHORT + "base_mix = [0.5]\n", ["cohorts.0.base_mix", "0.5"]),
    "base mix longer than the chain": (
        START + COHORT + "base_mix = [0.5, 0.5]\n",
        ["cohorts.0.base_mix", "2 shares", "at most 1"],
    ),
    "empty file": ("", ["empty"]),
    "blank file": (" \n\n", ["empty"]),
    "binary file": (random.Random(1).randbytes(500), ["offset", "UTF-8"]),
    "binary that is text": (b"\x00\x01\x02", ["TOML", "line 1"]),
    "not TOML": (START + "a = = 3", ["TOML", "line 3"]),
    "truncated": (START + "seed = ", ["TOML", "line 3"]),
    "cut in a string": (START + 'title = "half', ["TOML", "line 3"]),
    "key twice": (START + "seed = 1\nseed = 2\n", ["TOML", "line 4"]),
    "nested too deeply": (START + "title = " + "[" * 100_000, ["nested"]),
    "far too large": (START + "#" * (1 << 20), ["1048576 bytes"]),
    "schema number": ('schema = 2\nname = "x"\n', ["schema", "2", "1"]),
    "schema missing": ('name = "x"\n', ["schema", "found no such key"]),
    "name missing": ("schema = 1\n", ["name", "found no such key"]),
    "name is a path": ('schema = 1\nname = "../x"\n', ["name", "../x"]),
    "wrong type": (START + 'devices = "many"\n', ["devices", "many", "whole number"]),
    "text for a table": (START + 'release = "synthetic"\n', ["release", "a table"]),
    "table for a list": (START + '[cohorts]\nname = "a"\n', ["cohorts", "a list"]),
    "text for a flag": (
        START + '[precheck]\nstorage = "yes"\n',
        ["precheck.storage", "yes", "true or false"],
    ),
    "number for a flag": (START + "[precheck]\nstorage = 1\n", ["precheck.storage", "true or false"]),
    "flag for a number": (START + "seed = true\n", ["seed", "true", "whole number"]),
    "no devices": (START + "devices = 0\n", ["devices", "0"]),
    "negative devices": (START + "devices = -5\n", ["devices", "-5"]),
    "negative seed": (START + "seed = -1\n", ["seed", "-1"]),
    "seed no integer": (START + "seed = 1.5\n", ["seed", "1.5", "whole number"]),
    "seed too large": (START + f"seed = {1 << 64}\n", ["seed"]),
    "horizon zero": (START + "horizon = 0\n", ["horizon", "1 ms"]),
    "horizon overflow": (START + 'horizon = "9000 d"\n', ["horizon", "9000 d", "3650 d"]),
    "horizon overflow at the rate": (
        START + 'horizon = "3000 d"\n[[links]]\nname = "backend"\ncapacity = "1 GB/s"\n',
        ["horizon", "3000 d", "overflow"],
    ),
    "too many samples": (START + "timeline = 1\n", ["timeline", "100000"]),
    "unknown link": (
        START + COHORT + 'link = "bakend"\n',
        ["cohorts.0.link", "bakend", "nearest is backend"],
    ),
    "unknown flash": (START + COHORT + 'flash = "nrf5284"\n', ["cohorts.0.flash", "nearest is nrf52840"]),
    "unknown core": (START + COHORT + 'core = "cortex-m4"\n', ["cohorts.0.core", "cortex-m4-64mhz"]),
    "unknown radio": (START + COHORT + 'radio = "ble-3m-nrf52840"\n', ["cohorts.0.radio", "nearest is ble-"]),
    "cohort twice": (START + 2 * (COHORT + "share = 0.5\n"), ["cohorts.1.name", "second time"]),
    "link twice": (START + 2 * '[[links]]\nname = "backend"\n', ["links.1.name", "second time"]),
    "33 rates": (START + COHORT + f"rates = {list(range(1, 34))}\n", ["33 distinct rates", "at most 32"]),
    "33 rates over cohorts": (
        START + COHORT + f"share = 0.5\nrates = {list(range(1, 20))}\n"
        f'[[cohorts]]\nname = "b"\nshare = 0.5\nrates = {list(range(20, 34))}\n',
        ["33 distinct rates"],
    ),
    "no rates": (START + COHORT + "rates = []\n", ["cohorts.0.rates", "empty"]),
    "no cohorts": ("cohorts = []\n" + START, ["cohorts", "empty"]),
    "slot between sectors": (START + COHORT + "slot_size = 5000\n", ["cohorts.0.slot_size", "4 KiB"]),
    "download between sectors": (
        START + COHORT + "download_size = 5000\n",
        ["cohorts.0.download_size", "4 KiB"],
    ),
    "write size": (START + COHORT + "write_size = 3\n", ["cohorts.0.write_size", "3"]),
    "erased value": (START + COHORT + "erased_value = 7\n", ["cohorts.0.erased_value", "7"]),
    "battery upside down": (START + COHORT + "battery = [0.9, 0.1]\n", ["cohorts.0.battery", "0.9"]),
    "battery of one": (START + COHORT + "battery = [0.9]\n", ["cohorts.0.battery", "0.9"]),
    "unknown step": (
        START + '[release]\nsteps = ["minr"]\n',
        ["release.steps.0", "minr", "nearest is minor"],
    ),
    "unknown policy": (
        START + '[rollout]\npolicy = "stagd"\n',
        ["rollout.policy", "stagd", "nearest is staged"],
    ),
    "unknown layout": (
        START + COHORT + 'layout = "swap-mov"\n',
        ["cohorts.0.layout", "nearest is swap-move"],
    ),
    "unknown signature": (
        START + '[release]\nsignature = "ed25591"\n',
        ["release.signature", "nearest is ed25519"],
    ),
    "unknown source": (START + '[release]\nsource = "corpus:"\n', ["release.source", "corpus:"]),
    "too small": (START + '[release]\nsize = "63 KiB"\n', ["release.size", "63 KiB", "64 KiB to 1 MiB"]),
    "too large": (START + "[release]\nsize = 1048577\n", ["release.size", "1048577", "64 KiB to 1 MiB"]),
    "base too small": (START + "[release]\nbase_size = 5\n", ["release.base_size", "64 KiB to 1 MiB"]),
    "unknown codec": (
        START + '[release]\ncodec = "detools-hs"\n',
        ["release.codec", "detools-hs", "nearest is detools-"],
    ),
    "a codec of whole images for patches": (
        START + '[release]\ncodec = "full-lzma"\n',
        ["release.codec", "full-lzma"],
    ),
    "a codec of patches for whole images": (
        START + '[release]\nfull_codec = "bsdiff4"\n',
        ["release.full_codec", "bsdiff4", "full-heatshrink"],
    ),
    "unknown choice of patches": (
        START + '[release]\npatches = "largest"\n',
        ["release.patches", "largest", "newest"],
    ),
    "negative limit of patches": (
        START + "[release]\npatch_limit = -1\n",
        ["release.patch_limit", "-1"],
    ),
    "unknown variation": (
        START + '[release]\nvariation = "corpora"\n',
        ["release.variation", "corpora", "corpus"],
    ),
    "weight of an unknown kind of step": (
        START + "[release.step_weights]\nany = 1\n",
        ["release.step_weights.any", "unknown key"],
    ),
    "a weight that is no share": (
        START + "[release.step_weights]\npatch = -0.5\n",
        ["release.step_weights.patch", "-0.5"],
    ),
    "every weight 0": (
        START + "[release.step_weights]\nrebuild = 0\npatch = 0\nminor = 0\nmajor = 0\ntoolchain = 0\n",
        ["release.step_weights", "every weight 0", "at least one above 0"],
    ),
    "no steps": (START + "[release]\nsteps = []\n", ["release.steps", "0 steps"]),
    "missing firmware": (
        START + '[release]\nsource = "files"\nfiles = ["a.bin", "b.bin"]\n',
        ["release.files.0", "a.bin", "no such file"],
    ),
    "one firmware": (
        START + '[release]\nsource = "files"\nfiles = ["a.bin"]\n',
        ["release.files", "two or more"],
    ),
    "files unused": (START + '[release]\nfiles = ["a.bin"]\n', ["release.files", "synthetic"]),
    "probability above 1": (START + "[faults]\ndrop = 1.5\n", ["faults.drop", "1.5", "0 to 1"]),
    "probability not finite": (START + "[faults]\ndrop = inf\n", ["faults.drop", "inf"]),
    "probability endless": (START + "[faults]\ndrop = 1e-999999999\n", ["faults.drop"]),
    "defect nowhere": (
        START + '[faults]\ndefect_hardware = ["rev-b"]\n',
        ["faults.defect_hardware.0", "nearest is rev-a"],
    ),
    "release for nobody": (START + '[release]\nhardware = ["rev-b"]\n', ["release.hardware.0", "rev-b"]),
    "window": (START + '[rollout]\nwindow = "25:00-26:00"\n', ["rollout.window", "25:00"]),
    "empty window": (START + '[rollout]\nwindow = "05:00-05:00"\n', ["rollout.window", "not equal"]),
    "back-off": (START + '[transfer]\nbackoff = "2 h"\n', ["transfer.backoff_max", "2 h"]),
    "line break in a value": (START + '[rollout]\npolicy = "a\\nb"\n', ["rollout.policy", "a\\nb"]),
    "line break in a key": (START + '"a\\nb" = 1\n', ["a\\nb", "unknown key"]),
    "control character in a name": (START + '[[links]]\nname = "a\\u0000b"\n', ["links.0.name"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_scenario_names_file_key_found_and_expected(case: str, tmp_path: Path) -> None:
    text, names = CASES[case]
    message = refusal(tmp_path / "wrong.toml", text)
    assert [name for name in names if name not in message] == [], message
    assert "found" in message
    assert "expected" in message


def test_an_unknown_key_is_told_before_what_follows_from_it(tmp_path: Path) -> None:
    message = refusal(tmp_path / "x.toml", 'schema = 1\nnaem = "x"\ndevices = -5\n')
    assert message.startswith("naem: found an unknown key, expected name")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for name, told in (
        (tmp_path / "absent.toml", "no such file"),
        (tmp_path, "folder"),
        (Path("a\0b.toml"), "no file can have"),
    ):
        with pytest.raises(InputError, match=told):
            load(name)
        with pytest.raises(InputError, match=told):
            load(str(name))


def test_an_unknown_preset_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no-such-preset.*expected one of .*smoke"):
        load("no-such-preset")
    with pytest.raises(InputError, match="nearest is smoke"):
        load("smoek")


def test_a_preset_and_a_file_without_suffix_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text(START)
    Path("smoke").write_text(START)
    assert load("mine").name == "x"
    assert load("smoke").name == "smoke"
    assert load(Path("smoke")).name == "x"


GOOD = load("smoke").to_toml()


@settings(
    deadline=None, max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_loads_or_is_refused_in_one_line(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(GOOD.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        cut = data.draw(st.integers(0, 12))
        content[at : at + cut] = data.draw(st.binary(max_size=6))
    path = tmp_path / "damaged.toml"
    path.write_bytes(content)
    try:
        load(path)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        assert str(path) in str(error)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_loads_and_says_in_a_comment_and_a_title_what_it_shows(name: str) -> None:
    scenario = Scenario.load(name)
    assert scenario.name == name
    assert scenario.spec.title
    assert preset_path(name).read_text().startswith("# What it shows: ")


def test_the_presets_of_the_main_story_have_the_shape_the_story_needs() -> None:
    alone, canary = load("storage-120k").spec, load("storage-120k-canary").spec
    assert canary.cohorts == alone.cohorts
    assert canary.release == alone.release
    (small,) = (c for c in alone.cohorts if c.layout == "single-slot")
    assert small.share * alone.devices == 3600
    assert alone.release.base_size_bytes < small.slot_size_bytes < alone.release.size_bytes
    assert alone.release.size_bytes * 85 // 100 < small.slot_size_bytes
    assert not alone.precheck.storage
    assert len(alone.rollout.groups) == 1
    assert canary.rollout.groups[0].soak_ms >= canary.rollout.deadline_ms
