"""Notebook 05 runs from start to end, and what its sentences say is so."""

from __future__ import annotations

import re

import pytest

from tests.amounts import FULL
from tests.notebooks.test_notebooks import execute, pictures, printed

NAME = "05_sizing_a_staged_rollout.ipynb"
FEW_REPLICATIONS = """
from simlib.study.optimisation import search
search.LEAST_REPLICATIONS = search.optimise.__kwdefaults__["replications"] = 60
del search
"""
"""A front is judged on 500 replications or more; which is as much as all the rest of the notebook."""


@pytest.mark.slow
def test_05_sizes_a_rollout_from_the_canary_to_the_plan(tmp_path, monkeypatch):
    # The smallest fleet of which 1 % is the 50 devices that the canary's gate wants to see.
    facts = {
        "bricked": "table['bricked'].tolist()",
        "offered": "table['offered'].tolist()",
        "sizes": "list(sizes.values())",
        "shown": "[int(shown.sum()), len(shown)]",
        "soak": "{name: column.to_dict() for name, column in canaries.items()}",
        "alarms": "errors[errors['rate'] == 0.05]['alarm_rate'].tolist()",
        "lows": "errors.groupby('gate')['low'].first().to_dict()",
        "highs": "errors.groupby('gate')['high'].first().to_dict()",
        "judged": "errors.groupby('gate')['median_judged'].last().to_dict()",
        "caught": "fleets[fleets['rate'] > 0.02]['alarm_rate'].tolist()",
        "delays": "fleets[fleets['rate'] > 0.02]['median_delay_h'].tolist()",
        "exposed": "exposure['exposure_offered'].tolist()",
        "recalled": "(exposure['exposure_recalled'] == exposure['exposure_waiting']).all().item()",
        "downloading": "float(exposure['exposure_downloading'].max())",
        "peaks": "{event: mean['peak_load'].to_dict() for event, mean in together.items()}",
        "done": "{event: mean['to_95_ms'].to_dict() for event, mean in minutes.items()}",
        "failed": "costs['outage-retries']['failed'].to_dict()",
        "bricks": "compared.groupby('strategy')['bricked'].mean().to_dict()",
        "halted": "compared.groupby('strategy')['halted'].mean().to_dict()",
        "inside": "[int(inside.sum()), int(own['bricked'].min()), int(own['bricked'].max())]",
        "front": "[point.name for point in search.points]",
        "beaten": "[point.name for point in search.others]",
        "judged_whole": "search.judged",
        "service": "made.service",
        "lost": "len(made.lost)",
    }
    got, cells = execute(NAME, 5000, facts, tmp_path, monkeypatch, first="" if FULL else FEW_REPLICATIONS)
    assert got["bricked"][0] == 150 and 0 < got["bricked"][1] < 15
    assert got["offered"][0] == 5000 and got["offered"][1] <= 50
    assert got["sizes"] == [299, 598, 2995, 29956]
    assert 0.91 < got["shown"][0] / got["shown"][1] < 0.98
    # A long soak buys nothing, a short one cannot be made up for by size.
    quick, slow = got["soak"]["shows after 1 h"], got["soak"]["shows after 3 d"]
    assert quick["168"] == 562 and quick["24"] < 570 and slow["12"] > 15_000
    # False alarms of tests that are made for looking often, and of those that are not.
    assert got["lows"]["sprt"] < 0.05 and got["lows"]["mixture"] < 0.05
    assert got["lows"]["naive"] > 0.15 and got["lows"]["wilson"] > 0.2 and got["lows"]["threshold"] > 0.8
    assert got["highs"]["mixture"] < 0.05
    assert min(got["alarms"]) > 0.98
    assert 60 < got["judged"]["sprt"] - got["judged"]["wilson"] < 150
    assert min(got["caught"]) > 0.85 and max(got["delays"]) < 4
    # Reports that take longer let more devices have it; nobody is downloading.
    assert got["exposed"] == sorted(got["exposed"]) and got["exposed"][-1] > 20 * got["exposed"][0]
    assert got["recalled"] is True and got["downloading"] < 5
    # Storms.
    waits, retries, lifted = got["peaks"].values()
    assert {v for k, v in waits.items() if k != "hold-off, 4 h"} == {waits["together"]}
    assert waits["hold-off, 4 h"] < 0.65 * waits["together"]
    assert max(v for k, v in retries.items() if k != "together") < retries["together"] / 6
    assert retries["all three"] > max(
        retries[k] for k in ("poll phase", "retry jitter, full", "hold-off, 1 h")
    )
    assert retries["retry jitter, full"] > 2 * retries["poll phase"]
    assert lifted["poll phase"] < 3 and lifted["hold-off, 1 h"] < 3 < lifted["together"] / 20
    assert lifted["retry jitter, equal"] == lifted["together"]
    wait = got["done"]["outage-retries"]
    assert all(wait[k] > wait["together"] + 8 for k in wait if k != "together")
    assert got["failed"]["retry jitter, decorrelated"] > 0 == got["failed"]["poll phase"]
    # Stages that only wait brick as many, stages that count silence stop.
    blind = ("all-at-once", "hawkbit-default", "aws-ramp", "mender-phases")
    assert {got["bricks"][name] for name in blind} == {150} and {got["halted"][name] for name in blind} == {0}
    assert got["bricks"]["staged-5"] < 30 and got["bricks"]["staged-5"] < got["bricks"]["own"] < 150
    inside, least, most = got["inside"]
    assert 0 < inside < 10 and least < 6 and most > 100
    assert re.search(rf"stopped within the 1 %: {inside} of 10", printed(cells["seeds"]))
    assert got["judged_whole"] is True and got["front"][0] == "all-at-once" and "own" in got["beaten"]
    assert got["service"] == "hawkbit" and got["lost"] >= 2
    assert '"service": "hawkbit"' in printed(cells["export-json"])
    assert pictures(cells) == [
        "sizes",
        "soak-plot",
        "gates-plot",
        "exposure-plot",
        "storms-plot",
        "compare-plot",
        "front",
    ]
