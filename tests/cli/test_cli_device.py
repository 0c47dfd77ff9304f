"""`simlib device update`: the answer, the dump with its partition table, and what cannot be asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]
RAW = "device update --from old.bin --to new.bin --sector-size 512"
SIGNED = "device update --from old.img --to new.img --sector-size 512 --key ecdsa-p256.pub.pem"
FACTS = (
    "booted_version",
    "outcome",
    "reason",
    "codec",
    "wire_bytes",
    "flash_ops",
    "erases",
    "bytes_written",
    "most_erases",
    "ram_bytes",
    "security_counter",
    "counter_kind",
    "energy_uj",
    "time_ms",
)


@pytest.mark.parametrize("encrypted", ["", " --encrypted"])
@pytest.mark.parametrize(
    ("layout", "payload"), [("swap-move", "full"), ("swap-move", "delta"), ("single-slot", "full")]
)
def test_an_update_ends_updated(simlib: Call, layout: str, payload: str, encrypted: str) -> None:
    answer = simlib(f"{RAW} --layout {layout} --payload {payload}{encrypted} --json")
    facts = answer.json
    assert (facts["outcome"], facts["reason"]) == ("updated", "none")
    assert set(facts) == {*FACTS, "journal"}
    assert sum(step["ops"] for step in facts["journal"]) == facts["flash_ops"] > 0


@pytest.mark.parametrize(
    ("flags", "codec"),
    [
        ("", None),
        ("--payload delta", "bsdiff4"),
        ("--payload delta --codec hpatchlite-tuz", "hpatchlite-tuz"),
        ("--payload delta --codec detools-heatshrink --download-size 0", "detools-heatshrink"),
        ("--payload delta --codec detools-heatshrink --download-size 16KiB", "detools-heatshrink"),
        ("--payload compressed", "full-lzma"),
        ("--payload compressed --codec full-zstd --download-size 0", "full-zstd"),
        ("--payload compressed --codec full-heatshrink", "full-heatshrink"),
    ],
)
@pytest.mark.parametrize("files", [RAW, SIGNED])
def test_the_codec_that_is_named_is_the_one_that_is_sent(
    simlib: Call, here: Path, files: str, flags: str, codec: str | None
) -> None:
    facts = simlib(f"{files} {flags} --dump flash.bin --force --json").json
    assert (facts["outcome"], facts["codec"]) == ("updated", codec)
    sizes = {p["name"]: p["size"] for p in json.loads((here / "flash.json").read_text())["partitions"]}
    if "--download-size 0" in flags or not flags:
        assert "download" not in sizes
    elif "16KiB" in flags:
        assert sizes["download"] == 16 << 10
    else:
        least = facts["wire_bytes"] - 1024  # but for the manifest
        assert least < sizes["download"] < facts["wire_bytes"] + 512, "the least that holds it"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--payload delta --download-size 0", "storage-short"),
        ("--payload delta --codec hdiffpatch-lzma2 --download-size 0", "storage-short"),
        ("--payload delta --codec detools-heatshrink --download-size 0 --encrypted", "storage-short"),
        ("--payload delta --codec detools-lzma --ram 64KiB", "memory-short"),
        ("--payload compressed --layout in-place-journal", "no-artefact"),
        ("--payload delta --codec zstd-patch-from --layout in-place-journal", "no-artefact"),
        ("--layout in-place-journal --download-size 0", "storage-short"),
    ],
)
def test_what_has_no_place_on_the_device_is_the_devices_to_refuse(
    simlib: Call, flags: str, reason: str
) -> None:
    answer = simlib(f"{RAW} {flags} --json")
    assert answer.status == 0
    facts = answer.json
    assert (facts["booted_version"], facts["outcome"], facts["reason"]) == ("1.0.0", "failed", reason)
    assert (facts["flash_ops"], facts["bytes_written"]) == (0, 0)


@pytest.mark.parametrize("payload", ["full", "delta"])
@pytest.mark.parametrize("key", ["ecdsa-p256.pem", "ecdsa-p256.pub.pem"])
def test_signed_images_are_taken_with_either_half_of_their_key(simlib: Call, payload: str, key: str) -> None:
    command = SIGNED.replace("ecdsa-p256.pub.pem", key)
    facts = simlib(command, "--payload", payload, "--json").json
    assert (facts["booted_version"], facts["outcome"]) == ("1.1.0", "updated")


def test_lines_for_a_person_hold_the_journal_and_the_facts(simlib: Call) -> None:
    facts = simlib(RAW, "--json").json
    lines = simlib(RAW).out.splitlines()
    assert len(lines) == len(facts["journal"]) + len(FACTS)
    assert [line.split() for line in lines[-len(FACTS) :]] == [
        [name, "none" if facts[name] is None else str(facts[name])] for name in FACTS
    ]


@pytest.mark.parametrize("tear", ["none", "partial", "garbage"])
def test_a_power_cut_is_an_answer_whatever_it_leaves(simlib: Call, tear: str) -> None:
    last = simlib(RAW, "--json").json["flash_ops"]
    for cut in (1, last // 2, hex(last)):
        answer = simlib(RAW, "--cut-at", cut, "--tear", tear, "--json")
        assert answer.status == 0
        assert answer.json["outcome"] in {"updated", "failed", "reverted"}
        assert any("power" in step["phase"] for step in answer.json["journal"])


def test_a_brick_is_an_answer_too(simlib: Call) -> None:
    answer = simlib(f"{RAW} --layout single-slot --cut-at 20 --json")
    assert answer.status == 0
    assert (answer.json["booted_version"], answer.json["outcome"]) == (None, "bricked")
    assert "booted_version" in simlib(f"{RAW} --layout single-slot --cut-at 20").out


def test_a_cut_past_the_last_operation_is_bad_input_and_names_it(simlib: Call, refuses: Call) -> None:
    last = simlib(RAW, "--json").json["flash_ops"]
    assert simlib(RAW, "--cut-at", last).status == 0
    refuses(2, f"{RAW} --cut-at {last + 1}", "cut-at", str(last))


def test_a_dump_is_the_flash_with_its_partitions_in_place(simlib: Call, here: Path) -> None:
    assert simlib(SIGNED, "--payload", "delta", "--dump", "flash.bin").status == 0
    flash = (here / "flash.bin").read_bytes()
    partitions = json.loads((here / "flash.json").read_text())["partitions"]
    assert [p["name"] for p in partitions] == ["primary", "secondary", "download"]
    assert all(a["offset"] + a["size"] <= b["offset"] for a, b in pairwise(partitions))
    assert partitions[-1]["offset"] + partitions[-1]["size"] <= len(flash)
    primary, secondary = (flash[p["offset"] : p["offset"] + p["size"]] for p in partitions[:2])
    assert primary.startswith((here / "new.img").read_bytes())
    assert (here / "old.img").read_bytes() in secondary


@pytest.mark.parametrize("there", ["flash.bin", "flash.json"])
def test_of_a_dump_both_files_are_written_or_neither(
    simlib: Call, refuses: Call, here: Path, there: str
) -> None:
    (here / there).write_text("keep")
    refuses(2, f"{RAW} --dump flash.bin", there, "--force")
    assert simlib(RAW, "--dump", "flash.bin", "--force").status == 0
    assert (here / there).stat().st_size > len("keep")
    (here / "flash.json").unlink()
    (here / "flash.json").mkdir()
    refuses(2, f"{RAW} --dump flash.bin --force", "flash.json")


@pytest.mark.parametrize("dump", ["folder", "absent/flash.bin", "flash.json"])
def test_a_dump_that_has_no_place_is_bad_input(refuses: Call, dump: str) -> None:
    refuses(2, f"{RAW} --dump {dump}", dump)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--layout swap-mov", ["swap-mov", "'swap-move'"]),
        ("--layout single-slot --payload delta", ["delta", "single-slot"]),
        ("--payload half", ["half", "delta"]),
        ("--codec bsdiff4", ["codec", "bsdiff4", "full image"]),
        ("--payload delta --codec full-lzma", ["codec", "full-lzma", "bsdiff4"]),
        ("--payload compressed --codec bsdiff4", ["codec", "bsdiff4", "full-lzma"]),
        ("--payload delta --codec half", ["codec", "half", "bsdiff4"]),
        ("--payload compressed --layout single-slot", ["compressed", "single-slot"]),
        ("--payload delta --download-size 100", ["download", "100"]),
        ("--payload delta --download-size -1", ["download", "-1"]),
        ("--tear bits", ["bits", "garbage"]),
        *((f"--cut-at {cut}", ["cut-at"]) for cut in ("0", "-1", "1e3", "x")),
        *((f"--sector-size {s}", ["sector"]) for s in ("0", "-1", "100", "1e3", "3000000000")),
        *((f"--slot-size {s}", ["slot"]) for s in ("0", "1000", "4096", "1GB")),
        *((f"--write-size {w}", ["write"]) for w in ("0", "3", "64")),
        *((f"--erased-value {v}", ["erased"]) for v in ("-1", "256", "0x80")),
        ("--key absent", ["absent"]),
        ("--key x25519.pem", ["x25519.pem"]),
        ("--wibble", ["--wibble"]),
    ],
)
def test_a_device_that_cannot_be_is_bad_input(refuses: Call, flags: str, names: list[str]) -> None:
    refuses(2, f"{RAW} {flags}", *names)


@pytest.mark.parametrize("path", ["absent", "folder", "empty"])
@pytest.mark.parametrize("end", ["--from", "--to"])
def test_firmware_that_is_not_there_is_bad_input(refuses: Call, end: str, path: str) -> None:
    refuses(2, f"{RAW} {end} {path}", path)


@pytest.mark.parametrize(
    ("status", "arguments", "name"),
    [
        (2, "--from old.img --to new.img", "old.img"),
        (2, "--from old.bin --to new.img", "new.img"),
        (2, "--from old.img --to secret.img --key ecdsa-p256.pem", "secret.img"),
        (2, "--from old.img --to new.img --key ecdsa-p256.pem --encrypted", "encrypted"),
        (1, "--from old.bin --to new.bin --key ecdsa-p256.pem", "old.bin"),
        (1, "--from old.img --to new.img --key ed25519.pub.pem", "old.img"),
    ],
)
def test_images_and_keys_that_do_not_go_together_are_refused(
    refuses: Call, status: int, arguments: str, name: str
) -> None:
    refuses(status, f"device update {arguments}", name)
