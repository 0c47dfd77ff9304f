"""What the notebook on the update services says is so."""

from __future__ import annotations

import pytest

from simlib.rollout import service_names
from tests.notebooks.test_notebooks import execute, pictures, printed


@pytest.mark.slow
def test_08_compares_the_services(tmp_path, monkeypatch):
    # The least fleet in which every group reaches its gate's sample.
    facts = {
        "rows": "len(frame)",
        "often": "frame.groupby(frame['service'] + ' ' + frame['failure'])['stopped'].mean().to_dict()",
        "harmed": "frame.groupby(frame['service'] + ' ' + frame['failure'])['harmed'].mean().to_dict()",
        "told": "told[['told_failure', 'told_success', 'told_nothing', 'harmed']].mean().to_dict('index')",
        "corrected": "told['corrected'].mean().to_dict()",
        "days": "comparison.summary(compared, ['time_to_90_ms']).set_index('scenario')['mean']"
        ".astype(float).div(86_400_000).dropna().to_dict()",
        "sound": "{name: run.summary['outcomes']['updated'] for name, run in runs.items()}",
        "sentences": "comparison.sentences(compared)",
        "hawkbit": "dead.groups['decision'].tolist()",
        "hawkbit_stops": "stops",
        "tenth": "tenth.groups['decision'].tolist()",
        "by_38": "by_38",
        "victims": "victims['victims'].tolist()",
        "disabled": "victims['stops'].tolist()",
        "spaces": "granted[-1].diff().dropna().tolist()",
        "false": "{name: [run.summary['outcomes']['updated'], len(run.summary['stops'])] "
        "for name, run in false.items()}",
        "honest": "len(honest.summary['stops'])",
        "opened": "{name: each['opened_ms'].tolist() for name, each in phases.items()}",
        "late": "late.groupby(['service', 'failure'])['harmed'].mean().tolist()",
        "late_stops": "late.groupby(['service', 'failure'])['stopped'].mean().tolist()",
        "deadlines_lost": "sorted(lost.query(\"key == 'rollout.deadline'\")['service'].unique())",
        "within": "within.tolist()",
        "first_day": "float((apple.timeline.set_index('time_ms')['bytes_on_links'].loc[86_400_000]) "
        "/ apple.timeline['bytes_on_links'].iloc[-1])",
        "exposed": "harmed['exposed device-days'].tolist()",
        "by_rings": "harmed[['harmed, reported', 'harmed, silent', 'harmed, late']].values.tolist()",
    }
    got, cells = execute("08_update_services_compared.ipynb", 4000, facts, tmp_path, monkeypatch)
    names = service_names()
    assert got["rows"] == len(names) * 5 * 3
    assert set(got["sound"]) == set(names) and len(got["sentences"]) == len(names) - 1

    # Of a sound release.
    days = got["days"]
    assert days["azure"] == days["state"] < days["mender"] < days["hawkbit"] < days["staged"] - 2
    assert days["staged"] - days["azure"] > 7 and "nebraska" not in days
    assert got["sound"]["nebraska"] < 4000 / 2

    # Of what each is told, and of who stops.
    told = got["told"]
    assert told["silent"]["told_nothing"] > 0.95 * told["silent"]["harmed"]
    assert told["late"]["told_success"] > 0.95 * told["late"]["harmed"]
    for failure in ("reported", "false-success"):
        assert told[failure]["told_failure"] == told[failure]["harmed"]
    assert got["corrected"]["false-success"] > 3900 and got["corrected"]["reported"] == 0
    often, harmed = got["often"], got["harmed"]
    assert [name for name in names if often[f"{name} silent"] == 1] == ["staged", "aws-iot"]
    stopping = [name for name in names if often[f"{name} reported"] == 1]
    assert stopping == ["staged", "hawkbit", "aws-iot", "azure", "automatic"]
    assert not any(often[f"{name} false-success"] for name in names)
    assert not any(often[f"{name} late"] for name in names if name != "automatic")
    assert often["automatic sound"] == often["automatic late"] < 1
    assert not any(often[f"{name} sound"] for name in names if name != "automatic")
    assert harmed["hawkbit reported"] > 2 * harmed["staged reported"]
    assert harmed["aws-iot silent"] > 2 * harmed["staged silent"]
    assert harmed["nebraska silent"] < harmed["mender silent"] / 3

    # The blind spots.
    assert got["hawkbit"] == ["open", *["not-opened"] * 3] and got["hawkbit_stops"] == [[], ["pause"]]
    assert got["tenth"] == ["passed", "passed", "passed", "open"]
    ramps = {"notified, sound": 4000, "succeeded, sound": 1900, "notified, deadly": 4000}
    assert got["by_38"] == ramps | {"succeeded, deadly": 1900}  # the whole fleet, of the 4,200 there might be
    assert got["victims"] == [1, 1, 21] and got["disabled"] == [["disable"], ["disable"], []]
    assert all(1 <= space < 1.05 for space in got["spaces"])
    assert got["false"] == {name: [0, 0] for name in ("staged", "hawkbit", "aws-iot")}
    assert got["honest"] == 1
    hour = 3_600_000
    assert all(opened == [0, 12 * hour, 36 * hour, 60 * hour] for opened in got["opened"].values())
    late, sound, late_heard, sound_heard = got["late"]
    assert got["late_stops"] == [0, 0, 1, 0] and late_heard < late / 10 and sound == sound_heard

    # What else it says.
    assert {"hawkbit", "mender", "azure", "percentage", "state"} <= set(got["deadlines_lost"])
    assert "rollout.deadline: hawkBit has no timeout" in printed(cells["lost-words"])
    assert min(got["within"]) > 0.95 and got["first_day"] > 0.9
    exposed = got["exposed"]
    assert exposed[2] > exposed[1] > 10 * exposed[0]
    reported, silent, late = zip(*got["by_rings"], strict=True)
    assert max(reported) < 4000 / 50 and min(silent) > 0.98 * max(silent) and min(late) > 0.98 * max(late)
    assert pictures(cells) == ["progress", "map", "ramp-plot", "storage", "deadline"]
