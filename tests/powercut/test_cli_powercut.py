"""`simlib powercut`: the answer as JSON and for a person, and what cannot be asked."""

from __future__ import annotations

import json

import pytest

from simlib.cli.main import main

SMALL = ["powercut", "--image-size", "700", "--sector-size", "512"]
KEYS = ["layout", "ops", "cuts", "booted_new", "booted_old", "bricked", "stuck", "seconds"]


def test_json_is_one_object_with_the_sums(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--layout", "swap-move", "--tear", "garbage", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert list(found)[: len(KEYS)] == KEYS
    assert found["layout"] == "swap-move"
    assert found["cuts"] == found["ops"] > 0
    assert not any(name.startswith("second") for name in found if name != "seconds")
    assert err == ""


@pytest.mark.parametrize(("asked", "count"), [("40", 40), ("0x10", 16)])
def test_second_cuts_are_reported_when_they_are_asked_for(
    capsys: pytest.CaptureFixture[str], asked: str, count: int
) -> None:
    assert main([*SMALL, "--layout", "swap-move", "--second-cut", asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["second_cuts"] == count
    assert (found["second_bricked"], found["second_stuck"]) == (0, 0)


def test_a_person_reads_which_cuts_did_harm_and_the_sums(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--layout", "single-slot", "--image-size", "4 KiB"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("operation 1, install, erase at 0 (primary), tear partial: no-valid-image")
    facts = dict(line.rsplit(maxsplit=1) for line in lines[-12:] if len(line.split()) == 2)
    assert int(facts["bricked"]) > int(facts["cuts"]) // 2
    assert int(facts["harms.no-valid-image"]) == int(facts["bricked"])


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--layout", "swap-mvoe"], ["layout", "'swap-mvoe'", "'swap-move'"]),
        (["--layout", "single-slot", "--payload", "delta"], ["payload", "delta", "single-slot"]),
        (["--layout", "direct-xip", "--encrypted"], ["encrypted", "direct-xip"]),
        (["--layout", "swap-move", "--payload", "half"], ["payload", "'half'"]),
        (["--layout", "swap-move", "--tear", "some"], ["tear", "'some'"]),
        (["--layout", "swap-move", "--second-cut", "many"], ["--second-cut", "many"]),
        (["--layout", "swap-move", "--image-size", "3 MiB"], ["image-size", "3145728"]),
        (["--layout", "swap-move", "--image-size", "0"], ["image-size", "0"]),
        (["--layout", "swap-move", "--slot-size", "1 KiB"], ["slot-size", "1024"]),
        (["--layout", "swap-move", "--sector-size", "0"], ["sector-size", "0"]),
        (["--layout", "swap-move", "--write-size", "3"], ["write_size", "3"]),
        (["--layout", "swap-move", "--erased-value", "7"], ["erased_value", "7"]),
        ([], ["--layout"]),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], names: list[str]
) -> None:
    assert main([*SMALL, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    for name in names:
        assert name in err


def test_a_refusal_is_one_line_with_other_processes_too(capfd: pytest.CaptureFixture[str]) -> None:
    large = ["powercut", "--layout", "swap-move", "--image-size", "512 KiB", "--slot-size", "64 KiB"]
    assert main(large) == 2
    out, err = capfd.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
