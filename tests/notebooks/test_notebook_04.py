"""Notebook 04 runs from start to end, on whichever firmware there is, and what its sentences say is so."""

from __future__ import annotations

import pytest

from tests.notebooks.test_notebooks import execute, pictures

NAME = "04_delta_versus_full.ipynb"


@pytest.mark.slow
def test_04_weighs_delta_against_full(tmp_path, monkeypatch):
    facts = {
        "claim": "claim.to_dict()",
        "medians": "medians['of_compressed'].to_dict()",
        "order": "order['of_full'].tolist()",
        "asked": "asked[['ram_bytes', 'streams', 'in_place']].to_dict('index')",
        "energy": "rows['total_uj'].unstack().to_dict('index')",
        "time": "rows['total_ms'].unstack().to_dict('index')",
        "deviation": "float(deviation.loc['total_uj'].max(axis=None))",
        "equal": "equal.to_dict()",
        "bricked": "risk.groupby('layout')['bricked'].max().to_dict()",
        "retried": "risk[risk['layout'] == 'swap-move'].set_index('payload')['retried_installs'].to_dict()",
        "refused": "risk.groupby('payload')['refused'].max().to_dict()",
        "kept": "kept[kept['label'].str.endswith('published')].set_index('k')['relative_bytes'].to_dict()",
        "chain": "ways[ways['way'] == 'chain']['times_bytes'].tolist()",
        "down": "fleets.loc['down_gb'].to_dict()",
        "hours": "fleets.loc['to_95_h'].tolist()",
        "updated": "fleets.loc['updated'].tolist()",
        "wrong": "fleets.loc['wrong_base'].tolist()",
        "kinds": "kinds['kind'].value_counts(normalize=True).to_dict()",
        "ranks": "decided['rank_bytes'].to_dict()",
    }
    got, cells = execute(NAME, 1000, facts, tmp_path, monkeypatch)

    # Compression alone takes a good part of the usual claim.
    assert got["claim"]["of_raw"] > got["claim"]["of_compressed"] > 0.5
    assert 0.3 < got["claim"]["not_the_patchs"] < 0.6
    assert got["medians"]["full-lzma"] == 1 < got["medians"]["full-heatshrink"]
    assert got["medians"]["bsdiff4"] < got["medians"]["detools-crle"] < 1
    plain, afterwards, *first = got["order"]
    assert plain == afterwards < 0.6 and min(first[1:]) > 0.95
    assert got["asked"]["bsdiff4"]["ram_bytes"] > 10**7 and not got["asked"]["bsdiff4"]["streams"]
    assert got["asked"]["hpatchlite-tuz"]["ram_bytes"] < 10**4 and got["asked"]["hpatchlite-tuz"]["streams"]
    # Over Bluetooth a patch saves some tenth of the energy, and a compressed image costs more; not over LoRa.
    for cohort in ("offices", "homes", "old-cells"):
        spent, took = got["energy"][cohort], got["time"][cohort]
        assert 0.85 < spent["delta"] / spent["full"] < 1 < spent["compressed"] / spent["full"]
        assert took["delta"] < took["compressed"] < took["full"]
    for cohort in ("street", "cellar", "deep-cellar"):
        spent = got["energy"][cohort]
        assert spent["delta"] < 0.2 * spent["full"] < 0.5 * spent["compressed"] < 0.5 * spent["full"]
    # The hand calculation and the break-even.
    assert got["deviation"] < 0.05
    ratio = "patch ratio, energy, patch = raw"
    assert 0.1 < got["equal"]["offices"][ratio] < 0.3 and got["equal"]["street"][ratio] > 0.95
    # Bricks only without a second slot or a journal; refusals only with patches.
    assert {layout for layout, bricked in got["bricked"].items() if bricked > 0} == {"single-slot"}
    assert 0 < got["retried"]["delta"] - got["retried"]["full"] < 10
    assert got["refused"]["full"] == 0 < got["refused"]["delta"]
    # Keeping K patches.
    expected = {0: 1, 1: 0.67, 2: 0.53, 3: 0.48, 4: 0.45, 8: 0.44}
    assert {int(k): value for k, value in got["kept"].items() if int(k) in expected} == pytest.approx(
        expected, abs=0.01
    )
    assert got["chain"][0] == 1 and all(times > 1 for times in got["chain"][1:])
    # The fleet.
    patches, compressed, raw = got["down"].values()
    assert patches < 0.35 * compressed < 0.35 * 0.75 * raw
    assert max(got["hours"]) - min(got["hours"]) < 0.05 * min(got["hours"])
    assert got["updated"][0] > 990 and got["wrong"][0] > 0 == got["wrong"][1]
    assert 0.05 < got["kinds"]["compressed"] < 0.15
    assert got["ranks"] == {"delta": 1, "compressed": 2, "full": 3}
    assert pictures(cells) == [
        "spread",
        "energy",
        "energy-lora",
        "time",
        "break-even-lines",
        "harm-plot",
        "skew-plot",
    ]
