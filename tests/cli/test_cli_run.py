"""`simlib run`, `explain`, `presets`, `firmware` and `lab`: the folder, the answer, and what may go wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import simpy

from simlib.engine.simpy_clock import SimpyClock

Call = Callable[..., Any]
RUN = "run smoke --devices 80"
FILES = {
    *(
        f"{table}.parquet"
        for table in ("devices", "groups", "timeline", "alerts", "grants", "beliefs", "errors")
    ),
    "scenario.toml",
    "summary.json",
}
INTERRUPTED_MS = 200_000_000


@pytest.fixture(scope="session")
def finished(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, not to be changed."""
    from simlib import Scenario, run

    return run(Scenario.load("smoke").with_({"devices": 400})).save(
        tmp_path_factory.mktemp("finished") / "run"
    )


@pytest.fixture
def saved(finished: Path, here: Path) -> Path:
    """A copy of the run, to be tampered with."""
    folder = here / "saved"
    folder.mkdir()
    for file in finished.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def edit_table(path: Path, change: Callable[[pd.DataFrame], object]) -> None:
    frame = pd.read_parquet(path)
    changed = change(frame)
    (frame if changed is None else changed).to_parquet(path, index=False)


def edit_summary(folder: Path, **changes: object) -> None:
    facts = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(facts | changes))


def test_a_run_without_a_folder_names_its_own(simlib: Call, here: Path) -> None:
    summary = simlib(RUN, "--seed", "0x7", "--json").json
    (folder,) = (here / "runs").iterdir()
    assert folder.name == f"smoke-7-{summary['digest'][:12]}"
    assert {file.name for file in folder.iterdir()} == FILES
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert (summary["devices"], summary["seed"], summary["engine"]) == (80, 7, "simpy")


def test_lines_for_a_person_say_what_the_summary_says(simlib: Call, here: Path) -> None:
    answer = simlib(RUN, "--out", "deep/er")
    summary = json.loads((here / "deep/er/summary.json").read_text())
    for outcome, count in summary["outcomes"].items():
        assert (f"  {outcome} " in answer.out.partition("groups")[0]) == (count > 0)
    assert answer.err == ""
    assert answer.out.splitlines()[-1].startswith(f"digest {summary['digest'][:12]} ")


def test_the_scenario_written_runs_to_the_same_digest(simlib: Call) -> None:
    first = simlib(RUN, "--set", "faults.drop=0.5", "--out", "a", "--json").json
    again = simlib("run a/scenario.toml --out b --json").json
    assert again["digest"] == first["digest"]
    assert simlib(RUN, "--out", "c", "--json").json["digest"] != first["digest"]


def test_the_same_run_may_go_to_its_folder_again_but_no_other(simlib: Call, refuses: Call) -> None:
    assert simlib(RUN, "--out", "a").status == 0
    assert simlib(RUN, "--out", "a").status == 0
    refuses(2, f"{RUN} --seed 2 --out a", "--out a")
    refuses(2, f"{RUN} --out folder/../old.bin", "old.bin")
    refuses(2, f"{RUN} --out .", "--out .")


def test_a_folder_that_could_not_be_made_is_said_before_the_run(
    refuses: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimpyClock, "run", lambda _clock: pytest.fail("the clock was started"))
    refuses(2, f"{RUN} --out old.bin/x", "old.bin")
    (here / "runs").touch()
    refuses(2, RUN, "runs")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        *(
            (["--devices", n], ["devices", "expected"])
            for n in ("-1", "0", "1e3", "4 KiB", "", "abc", "9" * 30)
        ),
        *((["--seed", n], ["seed", "expected"]) for n in ("-1", "1e3", "", "x", "9" * 30)),
        *((["--set", text], ["--set", "KEY=VALUE"]) for text in ("word", "=1", "a b=1", "a\nb=1")),
        (["--set", "rollout.polisy=staged"], ["polisy", "policy"]),
        (["--set", "rollout.groups.9.share=1"], ["9", "0 to 2"]),
        (["--set", "seed.x=1"], ["seed.x"]),
        (["--set", "devices=5"], ["--set devices", "--devices"]),
        (["--engine", "warp"], ["warp", "simpy"]),
        (["--wibble"], ["--wibble"]),
        (["more"], ["more"]),
    ],
)
def test_what_no_run_can_be_is_bad_input(refuses: Call, flags: list[str], names: list[str]) -> None:
    refuses(2, [RUN if flags[0] != "--devices" else "run smoke", *flags], *names)


@pytest.mark.parametrize("path", ["absent.toml", "empty", "folder", "noise", "words.txt", "smok", os.devnull])
def test_what_is_no_scenario_is_bad_input(refuses: Call, path: str) -> None:
    refuses(2, f"run {path}", path)
    refuses(2, "run", "SCENARIO")


def test_an_interrupted_run_keeps_what_it_has_and_says_so(
    simlib: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SimpyClock.run

    def ctrl_c(clock: SimpyClock) -> Iterator[simpy.Event]:
        yield clock.env.timeout(INTERRUPTED_MS)
        signal.raise_signal(signal.SIGINT)

    def interrupted(clock: SimpyClock) -> None:
        clock.env.process(ctrl_c(clock))
        real(clock)

    monkeypatch.setattr(SimpyClock, "run", interrupted)
    answer = simlib(RUN, "--out", "a", "--json")
    assert (answer.status, answer.err) == (130, "interrupted\n")
    assert answer.json["interrupted_at_ms"] == INTERRUPTED_MS
    assert json.loads((here / "a/summary.json").read_text()) == answer.json
    assert pd.read_parquet("a/devices.parquet").finished_ms.max() <= INTERRUPTED_MS
    assert "INTERRUPTED" in simlib(RUN, "--out", "b").out
    assert simlib("explain a --device 3").status == 0


def test_interrupted_before_there_is_a_result_nothing_is_written(
    refuses: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simlib.simulation.run._release", lambda _spec: signal.raise_signal(signal.SIGINT))
    assert refuses(130, RUN, "interrupted").out == ""


def test_an_explanation_ends_with_the_outcome_of_the_table(simlib: Call, saved: Path) -> None:
    devices = pd.read_parquet(saved / "devices.parquet")
    for _, row in devices.groupby("outcome").first().reset_index().iterrows():
        answer = simlib(f"explain saved --device {row.device}")
        assert answer.status == 0
        assert answer.out.splitlines()[-1] == f"{row.outcome} {row.reason}"
    facts = simlib("explain saved --device 0x10 --json").json
    assert (facts["device"], facts["outcome"], facts["agrees"]) == (16, devices.outcome[16], True)


@pytest.mark.parametrize("device", ["400", "-1", "x", "1e2", "0.5", "9" * 40])
def test_a_device_that_is_not_there_is_bad_input(refuses: Call, saved: Path, device: str) -> None:
    refuses(2, f"explain saved --device {device}", "device", device)


@pytest.mark.parametrize("path", ["absent", "folder", "old.bin", "."])
def test_what_is_no_run_is_bad_input(refuses: Call, path: str) -> None:
    refuses(2, f"explain {path} --device 1", path)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("content", [None, b"", b"[]", bytes(range(256))])
def test_a_run_with_a_file_gone_or_damaged_is_bad_input(
    refuses: Call, saved: Path, name: str, content: bytes | None
) -> None:
    (saved / name).unlink()
    if content is not None:
        (saved / name).write_bytes(content)
    refuses(2, "explain saved --device 5", "saved")


@pytest.mark.parametrize(
    ("table", "change", "name"),
    [
        ("devices", lambda f: f.drop(columns="reason"), "reason"),
        ("devices", lambda f: f.iloc[:10], "10 rows"),
        ("grants", lambda f: f.drop(columns="ended_ms"), "ended_ms"),
        ("grants", lambda f: f.assign(missing_bytes="none"), "missing_bytes"),
        ("groups", lambda f: f.iloc[:0], "0 rows"),
        ("groups", lambda f: f.assign(opened_ms=0.5), "opened_ms"),
        ("devices", lambda f: f.assign(released_ms=0.5), "released_ms"),
    ],
)
def test_a_table_of_another_shape_is_bad_input(
    refuses: Call, saved: Path, table: str, change: Callable[[pd.DataFrame], pd.DataFrame], name: str
) -> None:
    edit_table(saved / f"{table}.parquet", change)
    refuses(2, "explain saved --device 5", f"{table}.parquet", name)


def test_a_table_its_summary_does_not_vouch_for_is_refused(refuses: Call, saved: Path) -> None:
    edit_table(saved / "devices.parquet", lambda f: f.__setitem__("bytes_down", f.bytes_down + 1))
    refuses(1, "explain saved --device 5", "hash-mismatch", "devices.parquet", "summary.json")


def test_a_summary_of_another_table_is_refused(refuses: Call, saved: Path) -> None:
    edit_summary(saved, digest="0" * 64)
    refuses(1, "explain saved --device 5", "hash-mismatch")
    edit_summary(saved, halted_at_ms="noon")
    refuses(2, "explain saved --device 5", "halted_at_ms", "noon")


@pytest.mark.parametrize("what", ["transfers", "openings", "seed", "halt"])
def test_a_history_that_leads_elsewhere_is_found_by_the_replay(simlib: Call, saved: Path, what: str) -> None:
    devices = pd.read_parquet(saved / "devices.parquet")
    device = devices[(devices.outcome == "updated") & (devices.group == 1)].device.iloc[0]
    if what == "transfers":
        edit_table(saved / "grants.parquet", lambda f: f[f.device != device])
    elif what == "openings":
        edit_table(saved / "devices.parquet", lambda f: f.assign(released_ms=-1))
    elif what == "seed":
        text = (saved / "scenario.toml").read_text()
        (saved / "scenario.toml").write_text(text.replace("seed = 1\n", "seed = 2\n", 1))
        device = devices[devices.outcome == "ineligible"].device.iloc[0]
    else:
        edit_summary(
            saved, stops=[{"at_ms": 0, "decision": "cancel", "planned": False, "resumed_at_ms": None}]
        )
    answer = simlib(f"explain saved --device {device}")
    assert answer.status == 1
    assert answer.err.startswith("result-mismatch: saved")
    assert f"device {device}" in answer.err
    assert answer.err.count("\n") == 1


def test_presets_are_listed_and_run_by_name(simlib: Call, refuses: Call) -> None:
    rows = simlib("presets --json").json
    assert all(set(row) == {"name", "title", "devices"} for row in rows)
    assert "smoke" in {row["name"] for row in rows}
    lines = simlib("presets").out.splitlines()
    assert [line.split()[:2] for line in lines] == [[r["name"], f"{r['devices']:,}"] for r in rows]
    refuses(2, "presets more", "more")


def test_firmware_chains_are_listed_with_what_is_cached(simlib: Call, cache: Path) -> None:
    (chain, *_) = simlib("firmware list --json").json["chains"]
    assert chain["cached"] is False
    assert chain["licence"]
    text = simlib("firmware list").out
    assert f"simlib firmware fetch {chain['name']}" in text
    for pin in chain["firmwares"]:
        assert f"{pin['size_bytes']:,} bytes" in text


def test_a_registry_out_of_reach_is_one_line(
    simlib: Call, refuses: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:  # bound but not listening: every connection is turned away
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        name = simlib("firmware list --json").json["chains"][0]["name"]
        refuses(2, f"firmware fetch {name}", "out of reach")
    refuses(2, "firmware fetch nonesuch", "nonesuch", name)


def test_the_lab_opens_on_the_notebooks_and_passes_options_on(
    simlib: Call, refuses: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses(2, "lab", "notebooks")
    (here / "notebooks").mkdir()
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command: commands.append(command) or 0)
    handler = signal.getsignal(signal.SIGINT)
    assert simlib("lab --no-browser --port 9999").status == 0
    assert commands[0][-3:] == ["--no-browser", "--port", "9999"]
    assert f"--ServerApp.root_dir={here / 'notebooks'}" in commands[0]
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_missing_part_says_how_to_install_it(refuses: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    refuses(3, "lab", "jupyterlab", "pip install")
