"""Mutated patches are refused, each for a typed reason, also when a malicious publisher has signed them.

A part of the campaign that `python -m tests.mutations.campaign` runs at full length, and what shows that its
oracle would see a wrong result, a hang or a bomb.
"""

from __future__ import annotations

import bz2
import json
import subprocess
import sys
from pathlib import Path

import bsdiff4.core
import pytest

from simlib.delta import bounded
from simlib.delta import patch as patch_module
from simlib.delta.bsdiff4_codec import Bsdiff4
from tests.mutations import patch_mutations
from tests.mutations.campaign import run_part
from tests.mutations.dice import Family
from tests.mutations.guard import IS_LIMITED, MIB, guarded

ROOT = Path(__file__).parents[2]
PATCHES = 1_600


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def found():
    """The report of a small campaign."""
    done = run("-m", "tests.mutations.campaign", "--json", "--patches", str(PATCHES))
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def test_no_mutated_patch_crashes_hangs_takes_too_much_or_makes_something_else(found) -> None:
    assert found["defects"] == []
    assert {name: way["cases"] for name, way in found["ways"].items()} == {
        "patches, applied": PATCHES // 2,
        "patches, installed": PATCHES // 2,
    }


def test_the_mutations_reach_every_check_of_a_patch(found) -> None:
    assert set(found["ways"]["patches, applied"]["verdicts"]) == {
        *("accepted", "not-a-patch", "truncated", "trailing-bytes", "codec-unknown", "oversize"),
        *("patch-damaged", "wrong-base", "result-mismatch"),
    }
    installed = set(found["ways"]["patches, installed"]["verdicts"])
    assert installed >= {
        *("accepted", "manifest-invalid", "artefact-mismatch", "storage-short", "wrong-base"),
        *("patch-damaged", "result-mismatch", "hash-mismatch", "key-unknown", "security-counter-low"),
    }
    assert len(installed) >= 18


def test_every_way_of_changing_a_patch_was_taken(found) -> None:
    done = {name for way in found["ways"].values() for name in way["mutations"]}
    assert done >= {change.__name__ for change in patch_mutations.OF_INSTRUCTIONS}
    assert done >= {"streams", "payload_header", "envelope_field", "its result promised", "change_a_fact"}


def test_memory_stayed_below_the_bound_that_apply_patch_promises(found) -> None:
    for way in found["ways"].values():
        assert way["traced"] > 0
        assert 0 < way["peak_bytes"] <= way["peak_bound_bytes"]


def defects(cases: int) -> str:
    return "\n".join(run_part(1, (Family.PATCHES, 0, cases)).defects)


def test_a_result_that_nobody_compares_would_be_found_out(monkeypatch) -> None:
    monkeypatch.setattr(patch_module, "_expect", lambda *facts: None)
    assert "made something else than the patch was for" in defects(200)


def test_a_decoder_that_trusts_its_payload_would_be_found_out(monkeypatch) -> None:
    def trusting(codec, old, payload, result_size_bytes):
        return bytes(bsdiff4.patch(old, bytes(payload)))

    monkeypatch.setattr(Bsdiff4, "apply", trusting)
    assert "Error" in defects(200)


def defects_of_unpacking_all() -> str:
    """With a decoder that does, for good: only in a process of its own."""

    def whole(stream, size_bytes):
        fed, stream._fed = stream._fed, len(stream._stream)
        return bytearray() if fed else bytearray(bz2.decompress(stream._stream))[:size_bytes]

    bounded.BoundedStream.read = whole
    return defects(400)


@pytest.mark.skipif(not IS_LIMITED, reason="memory is limited on Linux")
def test_a_decoder_that_unpacks_all_it_is_given_would_be_found_out() -> None:
    """In a new process: an old one may hold free memory enough, of which no limit on growth takes notice."""
    module = f"tests.mutations.{Path(__file__).stem}"
    done = run("-c", f"from {module} import defects_of_unpacking_all as found; print(found())")
    assert done.returncode == 0, done.stderr
    assert "MemoryError" in done.stdout


@pytest.mark.skipif(not IS_LIMITED, reason="memory is limited on Linux")
def test_a_case_cannot_take_much_more_than_its_bound() -> None:
    assert guarded(lambda: len(bytes(MIB)), MIB, traced=False)[0] == MIB
    with pytest.raises(MemoryError):
        guarded(lambda: bytes(64 * MIB), MIB, traced=False)
    assert len(bytes(64 * MIB)) == 64 * MIB, "the limit is lifted again"


FATAL = """
import json, os, signal
from tests.mutations import campaign, cases, guard
from tests.mutations.dice import Family
from tests.mutations.judging import judged

def work(*given):
    guard.HANG_S = 0.3
    cases.run_case = case_that_may_be_fatal
    campaign.work(*given)

def case_that_may_be_fatal(seed, family, case):
    return judged("a way", (), {3: crash, 9: hang}.get(case, lambda: "accepted"), 1 << 20, traced=False)

def crash():
    os.kill(os.getpid(), signal.SIGSEGV)

def hang():
    max(iter(int, 1))

if __name__ == "__main__":
    print(json.dumps(campaign.campaign(1, {Family.IMAGES: 12}, 1, work).as_json()))
"""


@pytest.mark.skipif(not IS_LIMITED, reason="a hang is ended by the system on Linux")
def test_a_case_that_ends_its_process_is_a_defect_and_the_others_are_run(tmp_path) -> None:
    script = tmp_path / "fatal.py"
    script.write_text(FATAL)
    done = run(str(script))
    found = json.loads(done.stdout)
    assert [defect.partition(" [")[0] for defect in found["defects"]] == [
        "ended its process: SIGSEGV",
        "ended its process: hang, computing",
    ]
    assert found["defects"][0].endswith("--seed 1 --family images --case 3]")
    assert found["ways"]["a way"]["cases"] == 10
