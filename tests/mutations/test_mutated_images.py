"""Mutated images are refused for typed reasons, by the verifier and by the devices they are brought to.

A part of the campaign that `python -m tests.mutations.campaign` runs at full length, and what shows that its
oracle would see a forgery.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simlib.firmware import image as image_module
from simlib.security.keys import VerifyKey
from tests.mutations import byte_mutations, image_mutations
from tests.mutations.campaign import run_part
from tests.mutations.dice import Dice, Family
from tests.mutations.subjects import FORMS, genuine

ROOT = Path(__file__).parents[2]
IMAGES, SLOTS = 2_500, 500


@pytest.fixture(scope="module")
def found():
    """The report of a small campaign."""
    command = [sys.executable, "-m", "tests.mutations.campaign", "--json"]
    counts = ["--images", str(IMAGES), "--slots", str(SLOTS)]
    done = subprocess.run([*command, *counts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def test_no_mutated_image_crashes_hangs_takes_too_much_or_is_a_forgery_that_is_accepted(found) -> None:
    assert found["defects"] == []
    assert {name: way["cases"] for name, way in found["ways"].items() if "verified" in name} == {
        "images, verified": IMAGES
    }
    assert sum(way["cases"] for name, way in found["ways"].items() if "verified" not in name) == SLOTS


def test_the_mutations_reach_every_check_of_an_image(found) -> None:
    verdicts = found["ways"]["images, verified"]["verdicts"]
    assert set(verdicts) >= {
        *("accepted", "not-an-image", "truncated", "header-invalid", "tlv-invalid", "tlv-unknown"),
        *("tlv-duplicate", "hash-missing", "hash-mismatch", "key-unknown", "signature-invalid"),
        *("security-counter-missing", "security-counter-low", "trailing-bytes", "decryption-failed"),
    }
    assert len(found["reasons"]) >= 16
    names = {change.__name__ for change in (*image_mutations.OF_PARTS, *byte_mutations.OF_BYTES)}
    assert set(found["ways"]["images, verified"]["mutations"]) == {*names, "rehash"}


def test_some_mutated_images_reach_the_device_and_are_genuine(found) -> None:
    for name in ("images, delivered", "images, in the slot"):
        verdicts = found["ways"][name]["verdicts"]
        assert verdicts["accepted"] > 0
        assert len(verdicts) >= 8


def test_memory_was_measured_and_stayed_below_its_bound(found) -> None:
    for way in found["ways"].values():
        assert way["traced"] > 0
        assert 0 < way["peak_bytes"] <= way["peak_bound_bytes"]


def defects(family: Family, cases: int) -> str:
    return "\n".join(run_part(1, (family, 0, cases)).defects)


def test_a_verifier_that_takes_every_signature_would_be_found_out(monkeypatch) -> None:
    monkeypatch.setattr(VerifyKey, "accepts", lambda key, signature, digest: True)
    assert "nobody has signed these bytes" in defects(Family.IMAGES, 300)


def test_a_verifier_that_does_not_look_behind_the_image_would_be_found_out(monkeypatch) -> None:
    monkeypatch.setattr(image_module, "parse_trailing", lambda data, start, erased_value: None)
    assert "hidden behind it" in defects(Family.IMAGES, 300)


def test_an_error_that_is_no_refusal_would_be_found_out(monkeypatch) -> None:
    def careless(data, offset, *, protected):
        raise IndexError("a length that was believed")

    monkeypatch.setattr(image_module, "parse_area", careless)
    assert "IndexError: a length that was believed" in defects(Family.IMAGES, 20)


def test_a_boot_loader_that_takes_every_signature_would_be_found_out(monkeypatch) -> None:
    defects(Family.SLOTS, 40)  # the devices are set up as long as all is well
    monkeypatch.setattr(VerifyKey, "accepts", lambda key, signature, digest: True)
    assert "boots: accepted, and nobody has signed these bytes" in defects(Family.SLOTS, 300)


def test_a_case_is_the_same_each_time() -> None:
    origin = genuine("new", FORMS[0], True)
    first, again, other = (image_mutations.mutate(Dice(1, Family.IMAGES, case), origin) for case in (7, 7, 8))
    assert first == again
    assert first.data != other.data
