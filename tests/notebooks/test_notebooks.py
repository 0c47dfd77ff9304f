"""The notebooks run from start to end, what they show is so, and what is stored is only their source."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.name for path in NOTEBOOKS]


class ThisPython(KernelManager):
    """A kernel of the Python that runs the tests, whatever kernels are installed around it."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        return [sys.executable, *command[1:]]


def read(name: str) -> Any:
    return nbformat.read(ROOT / "notebooks" / name, as_version=4)


def code_cells(name: str) -> list[Any]:
    return [cell for cell in read(name).cells if cell.cell_type == "code"]


def execute(
    name: str,
    devices: int,
    facts: dict[str, str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: str = "",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a notebook on `devices` devices; `facts` are expressions evaluated in its kernel at the end.

    `first` is code that the kernel runs before, to make less of the notebook.

    Returns the facts' values and the cells by id, with their outputs.
    """
    monkeypatch.setenv("SIMLIB_NOTEBOOK_DEVICES", str(devices))
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    notebook = read(name)
    assert notebook.metadata.kernelspec.name == "python3"
    pairs = ", ".join(f"{key!r}: {expression}" for key, expression in facts.items())
    notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    notebook.cells.append(
        nbformat.v4.new_code_cell(f"import json; print(json.dumps({{{pairs}}}, default=int))")
    )
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        kernel_manager_class=ThisPython,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    _, *cells, last = notebook.cells
    return json.loads(last.outputs[0].text), {cell.id: cell for cell in cells}


def printed(cell: Any) -> str:
    """The text a cell shows, whether printed or as the value of its last line."""
    return "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs
    )


def pictures(cells: dict[str, Any]) -> list[str]:
    """The ids of the cells that show a picture."""
    return [
        name
        for name, cell in cells.items()
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    ]


@pytest.mark.slow
def test_01_answers_its_questions(tmp_path, monkeypatch):
    facts = {
        "devices": "DEVICES",
        "outcomes": "run.summary['outcomes']",
        "bytes_delta": "run.summary['bytes_down']",
        "bytes_full": "full.summary['bytes_down']",
        "radio": "run.summary['energy_radio_uj']",
        "flash": "run.summary['energy_flash_uj']",
        "compute_delta": "run.summary['energy_compute_uj']",
        "compute_full": "full.summary['energy_compute_uj']",
        "reverted_worse": "worse.summary['outcomes']['reverted']",
        "reverted": "run.summary['outcomes']['reverted']",
        "agrees": "run.explain(int(busiest)).agrees",
    }
    got, cells = execute("01_first_rollout.ipynb", 300, facts, tmp_path, monkeypatch)
    assert got["devices"] == sum(got["outcomes"].values()) == 300
    # What the notebook's sentences say of this scenario.
    assert got["outcomes"]["updated"] > 290 and got["outcomes"]["bricked"] == 0
    assert got["bytes_delta"] < got["bytes_full"] / 3
    assert got["flash"] > 10 * got["radio"]
    assert got["compute_delta"] > got["compute_full"]
    assert got["reverted_worse"] > got["reverted"]
    assert got["agrees"] is True
    assert printed(cells["one-device"]).rstrip().endswith("updated none")
    assert pictures(cells) == ["progress", "energy", "defect"]


@pytest.mark.slow
def test_02_tells_the_story_of_the_bricks(tmp_path, monkeypatch):
    # The smallest fleet of which 1 % is the 50 devices that the canary's gate wants to see.
    facts = {
        "bricked": "{name: run.summary['outcomes']['bricked'] for name, run in runs.items()}",
        "deferred": "on.summary['outcomes']['deferred']",
        "cohorts": "sorted(off.devices.query(\"outcome == 'bricked'\")['cohort'].unique())",
        "reasons": "sorted(off.devices.query(\"outcome == 'bricked'\")['reason'].unique())",
        "halted": "canary.summary['halted']",
        "offered": "int(canary.groups['offered'].sum())",
        "smaller": "smaller.summary['outcomes']['updated']",
        "ops": "[step.ops for line in explanation.lines for step in line.bench if step.phase == 'write']",
        "agrees": "explanation.agrees",
    }
    got, cells = execute("02_the_3600_bricks.ipynb", 5000, facts, tmp_path, monkeypatch)
    off, on, canary, smaller = got["bricked"].values()
    assert off == got["deferred"] == 150 and on == smaller == 0 and 0 < canary < 15
    assert got["cohorts"] == ["small-flash"] and got["reasons"] == ["no-valid-image"]
    assert got["halted"] is True and got["offered"] <= 50 and got["smaller"] == 5000
    assert got["agrees"] is True
    # The arithmetic of the notebook's explanation, and the boot loader's own words.
    assert got["ops"] == [112 + 448] == [560]
    brick = printed(cells["one-brick"])
    assert "erase of 4096 bytes at 458752 of primary" in brick
    assert "nothing to boot: truncated" in brick and brick.rstrip().endswith("bricked no-valid-image")
    assert printed(cells["on"]).rstrip().endswith("deferred storage-short")
    assert printed(cells["smaller"]).rstrip().endswith("updated none")
    assert pictures(cells) == ["off", "canary-groups", "outcomes", "bricked-over-time"]


@pytest.mark.slow
def test_03_cuts_the_power_everywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMLIB_NOTEBOOK_KIB", "16")
    facts = {
        "kib": "KIB",
        "stages": "[[stage.name, stage.runs] for stage in stages]",
        "sums": "{name: result.summary() for name, result in sweeps.items()}",
        "confirm": "[each.number for each in sweeps['swap-move'].operations if each.phase == 'confirm']",
        "fates": "[[row.number, row.tear, row.booted] for row in "
        "pd.DataFrame(sweeps['swap-move'].columns()).itertuples()]",
        "magic": "magic[magic['phase'] == 'revert'][['ways', 'old', 'bricked', 'stuck']].values.tolist()",
        "torn": "trailer_rows(stage)",
        "rule": "flash_life({'it': documented}).loc['it'].to_dict()",
        "offset": "flash_life(sweeps).loc['swap-offset'].to_dict()",
        "erases": "costs['erases'].to_dict()",
        "written": "costs['bytes_written'].to_dict()",
        "ram": "costs['ram_bytes'].to_dict()",
        "largest": "costs['largest_image_bytes'].to_dict()",
        "in_place": "compared['flash_bytes'].to_dict()",
        "harm": "int(safety[['bricked', 'stuck']].sum(axis=None))",
        "patch_ram": "int(compared['ram_bytes'].max())",
        "plans": "{plan: run.summary['outcomes'] for plan, run in runs.items()}",
        "low": "int((raised.devices['reason'] == 'security-counter-low').sum())",
        "halted": "[run.summary['halted'] for run in runs.values()]",
        "yours": "sweep(options).summary()",
    }
    got, cells = execute("03_dual_slot_and_power_cuts.ipynb", 500, facts, tmp_path, monkeypatch)
    assert got["kib"] == 16
    assert got["stages"] == [
        ["before", "runs old"],
        ["during", "no power"],
        ["after", "runs new, on trial"],
        ["failed", "runs old"],
    ]
    # What the notebook's sentences say of the cuts.
    single = got["sums"].pop("single-slot")
    assert single["bricked"] == single["cuts"] - 1 and single["booted_old"] == 1
    assert len(got["sums"]) == 8
    assert all(each["bricked"] == each["stuck"] == 0 < each["cuts"] for each in got["sums"].values())
    (confirm,) = got["confirm"]
    booted = {(number, tear): fate for number, tear, fate in got["fates"]}
    assert booted[confirm, "none"] == booted[confirm - 1, "partial"] == "old"
    assert booted[confirm - 1, "none"] == booted[confirm - 2, "garbage"] == "new"
    assert all(fate == "old" for (number, _), fate in booted.items() if number > confirm)
    assert len(got["magic"]) == 6 and all(row[0] == row[1] and not any(row[2:]) for row in got["magic"])
    assert got["torn"]["primary"] == {"magic": "good", "copy_done": "set", "image_ok": "unset"}
    assert got["torn"]["secondary"]["magic"] == "bad"
    # Of costs.
    assert 250 < got["rule"]["updates"] < got["rule"]["by_rule"] < 267
    assert got["offset"]["by_rule"] == 2 * got["offset"]["updates"]
    swaps = ("swap-move", "swap-scratch", "swap-offset")
    for measure in (got["erases"], got["written"]):
        assert measure["swap-offset"] < measure["swap-move"] < 5 * measure["direct-xip"]
        assert min(measure[swap] for swap in swaps) > measure["overwrite-only"] > measure["direct-xip"]
    assert got["ram"]["ram-load"] > max(got["ram"][swap] for swap in swaps) + (16 << 10)
    assert got["largest"]["swap-move"] < got["largest"]["swap-offset"] < got["largest"]["overwrite-only"]
    patch, full = got["in_place"]["in-place-journal, patch"], got["in_place"]["in-place-journal, full"]
    assert patch < full and got["harm"] == 0 and got["patch_ram"] > 3 * 3_700_000
    # And of going back.
    kept, raised, again = got["plans"].values()
    assert got["halted"] == [True] * 3 and kept["reverted"] == raised["reverted"] == again["reverted"] > 0
    assert kept["rolled_back"] == again["rolled_back"] > 10 * raised["rolled_back"] == 0
    assert raised["updated"] >= got["low"] > 10
    assert "found 2, expected 3 or more" in printed(cells["refused"])
    assert got["yours"]["second_cuts"] == 50 and got["yours"]["second_bricked"] == 0
    assert pictures(cells) == [
        "stages",
        "scratch",
        "cut-map",
        "single-slot",
        "shares",
        "wear",
        "life",
        "in-place",
    ]


@pytest.mark.slow
def test_07_says_what_an_update_takes_from_a_cell(tmp_path, monkeypatch):
    facts = {
        "update_uj": "update_energy(run).loc['offices', 'total_uj']",
        "boot": "bool((update_energy(run)['boot_uj'] > update_energy(run)['install_uj']).all())",
        "radio_to_flash": "(energy['full']['radio_uj'] / energy['full']['flash_uj']).to_dict()",
        "patch_to_full": "(energy['delta']['radio_uj'] / energy['full']['radio_uj']).to_dict()",
        "guess_10": "derived['10 %'].to_dict()",
        "guess_25": "derived['25 %'].to_dict()",
        "guess_30": "derived['30 %'].to_dict()",
        "derived": "derived['derived_percent'].to_dict()",
        "reserve": "(derived['reserve_uj'] / derived['need_uj']).to_dict()",
        "outcomes": "{gate: each.summary['outcomes'] for gate, each in guessed.items()}",
        "old": "int((run.devices['cohort'] == 'old-cells').sum())",
        "others": "[int((each.devices['cohort'] != 'old-cells').sum()) - "
        "int(each.devices.query(\"cohort != 'old-cells'\")['outcome'].eq('updated').sum()) "
        "for each in guessed.values()]",
        "brown_outs": "{gate: int(each.errors['reason'].eq('brown-out').sum()) "
        "for gate, each in guessed.items()}",
        "days": "{' '.join(row): days for row, days in years['days_per_update'].items()}",
        "life": "{' '.join(row): life for row, life in years['years_with_0'].items()}",
        "monthly": "{' '.join(row): life for row, life in years['years_with_12'].items()}",
        "fulls": "{' '.join(row): n for row, n in (years['cell_uj'] / years['update_uj']).items()}",
        "busiest": "hours.max().to_dict()",
        "when": "hours.idxmax().to_dict()",
    }
    got, cells = execute("07_bandwidth_and_battery.ipynb", 1400, facts, tmp_path, monkeypatch)
    # What the notebook's sentences say.
    assert 0.4e6 < got["update_uj"] < 0.6e6 and got["boot"] is True
    ratio = got["radio_to_flash"]
    assert 1 / 7 < ratio["BLE 1M"] < 1 / 5 and 1 / 11 < ratio["BLE 2M"] < 1 / 9
    assert 45 < ratio["LoRa SF7"] < 65 and 1700 < ratio["LoRa SF12"] < 2100
    assert ratio["BLE 2M"] < ratio["BLE 1M"] < 1 < ratio["Wi-Fi"] < ratio["LTE-M"] < ratio["LoRa SF7"]
    assert got["guess_10"].pop("LoRa SF12") == got["guess_25"]["LoRa SF12"] == "too low"
    assert got["guess_30"]["LoRa SF12"] == "fits"
    assert set(got["guess_10"].values()) == {"needlessly strict"}
    assert 38 < 10 / got["derived"]["BLE 2M"] < 48 and got["reserve"]["BLE 2M"] > 3
    derived, low, tenth = got["outcomes"].values()
    assert got["others"] == [0, 0, 0]
    assert derived["lost"] == tenth["lost"] == 0 < low["lost"]
    assert derived["deferred"] < got["old"] / 2 < got["old"] == tenth["deferred"] + tenth["pending"]
    assert got["brown_outs"]["derived"] == got["brown_outs"]["10 %"] == 0 < got["brown_outs"]["0.02 %"]
    assert all(0.45 < got["days"][f"{payload} BLE 2M"] < 0.55 for payload in ("delta", "full"))
    assert 21 < got["days"]["full LoRa SF7"] < 28 and 110 < got["days"]["full LoRa SF12"] < 130
    assert all(got["days"][f"delta {sf}"] < got["days"][f"full {sf}"] / 8 for sf in ("LoRa SF7", "LoRa SF12"))
    assert 3 < got["fulls"]["full LoRa SF12"] < 4
    assert all(got["life"][f"full {radio}"] < 1.2 for radio in ("Wi-Fi", "LTE-M", "NB-IoT"))
    assert all(
        got["monthly"][f"full {r}"] > 0.94 * got["life"][f"full {r}"] for r in ("BLE 1M", "Wi-Fi", "LTE-M")
    )
    none, local, utc = got["busiest"].values()
    assert none < local < utc and got["when"]["night, local"] == got["when"]["night, UTC"] == 1
    assert printed(cells["one-lost"]).rstrip().endswith("lost battery-empty")
    assert pictures(cells) == [
        "waterfall",
        "radio-waterfalls",
        "gates-plot",
        "guesses",
        "cell-life",
        "hours",
    ]


@pytest.mark.slow
def test_11_takes_a_study_to_a_cluster(tmp_path, monkeypatch):
    # The least fleet in which the canaries are small groups and the second group reaches its gate's sample.
    facts = {
        "digests": "clocks['digest'].nunique()",
        "clocks": "list(clocks.index)",
        "runs": "len(frame)",
        "harm": "harm['mean'].tolist()",
        "harm_low": "harm['low'].tolist()",
        "harm_high": "harm['high'].tolist()",
        "hours": "halt['mean'].tolist()",
        "false": "false.tolist()",
        "days": "days.mean().tolist()",
        "paired": "pairs.loc['hours_to_90', ['difference', 'half_width', 'variance_reduction']].tolist()",
        "gained": "gained",
        "reason": "stopped.reason",
        "half_width": "stopped.half_width / hour_ms",
        "apart": "apart.tolist()",
        "moved": "moved['mu_star'].to_dict()",
        "means": "means.T.to_dict()",
        "part": "len(there)",
        "same": "[each.to_parquet() == here.to_parquet() for each in (there, again)]",
        "costs": "costs['total_s'].tolist()",
        "each": "each_s",
    }
    got, cells = execute("11_scaling_out.ipynb", 6000, facts, tmp_path, monkeypatch)
    assert got["digests"] == 1 and got["clocks"] == ["simpy", "compiled", "fused"]
    assert got["runs"] == 300 and got["part"] == 150 and got["same"] == [True, True]
    assert printed(cells["cluster"]).rstrip().endswith("byte for byte: True")
    assert printed(cells["lost-worker"]).splitlines()[-2:] == [
        "the worker was replaced: True",
        "the same table: True",
    ]
    assert "2 of 2 workers have this simlib" in printed(cells["alike"])
    # What the notebook's sentences say of the canaries.
    small, *others = got["harm"]
    assert small > 3 * max(others) and got["harm_low"][0] > max(got["harm_high"][1:])
    assert got["hours"] == sorted(got["hours"], reverse=True) and got["hours"][3] < 12 < 48 < got["hours"][1]
    assert got["false"][0] == 0 < got["false"][1] and max(got["false"]) < 6
    assert got["days"] == sorted(got["days"], reverse=True)
    difference, half_width, reduction = got["paired"]
    assert difference < -half_width < 0 and reduction > 1.2
    assert 0.6 < got["gained"] < 1.4
    assert got["reason"] == "precision" and got["half_width"] <= 1.5 < got["apart"][-1]
    long = {"cohorts.*.battery", "cohorts.*.wake_period", "cohorts.*.wake_presence", "faults.drop"}
    assert min(got["moved"][key] for key in long) > 20
    rest = set(got["moved"]) - long - {"cohorts.*.weak_link"}
    assert len(rest) == 9 and max(got["moved"][key] for key in rest) < 2
    as_it_is, rare, empty = got["means"].values()
    assert as_it_is["updated"] > 0.99 * 6000 and rare["halted"] == 0 and rare["updated"] < 0.8 * 6000
    assert empty["halted"] > 0.5
    assert got["each"] > got["costs"][-1] > got["costs"][0] > 0
    assert pictures(cells) == ["harm", "halt", "pairs", "looks", "sensitivity", "cost-curve"]


def test_there_are_the_two_notebooks():
    assert {"01_first_rollout.ipynb", "02_the_3600_bricks.ipynb"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_source_is_stored(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_cells(name))
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}  # no version: it would change by machine
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(not cell.metadata for cell in notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stored_as_jupyter_writes_it_line_by_line(name):
    """So that saving it unchanged changes nothing, and a change of a line is a change of a line."""
    text = (ROOT / "notebooks" / name).read_text(encoding="utf-8")
    assert text == nbformat.writes(read(name)).rstrip("\n") + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_cells_have_names_that_stay(name):
    ids = [cell.id for cell in read(name).cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z-]+", cell_id) for cell_id in ids), ids


@pytest.mark.parametrize("name", NAMES)
def test_there_is_no_model_code_in_a_cell(name):
    made = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.While, ast.For, ast.If)
    for cell in code_cells(name):
        nodes = list(ast.walk(ast.parse(cell.source)))
        assert not [node for node in nodes if isinstance(node, made)], cell.id
        assert len(cell.source.splitlines()) <= 10, cell.id


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_shows_its_figure_and_not_the_name_of_its_axes(name):
    for cell in code_cells(name):
        last = cell.source.splitlines()[-1]
        if ".plot." in last or last.startswith("compare_"):
            assert last.endswith(";"), cell.id


@pytest.mark.parametrize("name", NAMES)
def test_the_size_of_the_fleet_stands_in_one_cell(name):
    named = [cell.id for cell in code_cells(name) if "SIMLIB_NOTEBOOK_DEVICES" in cell.source]
    assert named == ["parameters"]
    assert not [cell.id for cell in code_cells(name) if re.search(r'"devices": (?!DEVICES)', cell.source)]
