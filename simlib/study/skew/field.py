"""What the field makes of a plan for patches, by real runs: wrong records, drops, old bases, small memories.

Each function runs a scenario under several settings with the same luck and gives a row for each. Where the
figure can be worked out by hand, the row has that too, for a fleet on which nothing else goes wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import pandas as pd

from simlib.errors import Reason
from simlib.results import Run
from simlib.scenario import Scenario
from simlib.scenario.toml_text import Document, write_toml
from simlib.scenario.units import format_share
from simlib.study.single import run
from simlib.study.skew.costs import Costs, costs_of_release, relative_bytes, release_with_all_patches
from simlib.study.skew.lags import Lags, lags_of

_SHARES: Final = (Fraction(0), Fraction(1, 100), Fraction(1, 20), Fraction(1, 5))
_EVERY: Final = 1 << 20  # more patches than a chain can have


def wrong_records(
    scenario: Scenario, shares: Sequence[Fraction] = _SHARES, *, engine: str = "auto"
) -> pd.DataFrame:
    """The server takes a share of the devices for one release further behind than they are.

    It then offers the patch from a base that the device does not run, which refuses it once it is there, and
    fetches the whole image. Where there is no patch for the wrong base, the whole image comes at once.
    Columns: `share`; `refusals`; `bytes_down`, `bytes_wasted` of all devices, as `expected_wasted`:
    devices x share x Σ P(k) c(k + 1) over the bases that have one behind them with a patch. Raises
    `InputError`.
    """
    lags, costs, kept = _known(scenario)
    lost = sum(
        (
            share * costs.patch(k + 1)
            for k, share in enumerate(lags[: len(costs.patches) - 1], 1)
            if k + 1 <= kept and costs.worth_it(k + 1)
        ),
        Fraction(0),
    )
    rows = []
    for share in shares:
        made = _run(scenario, {"faults.stale_inventory": share}, engine)
        rows.append(
            {
                "share": float(share),
                "refusals": int((made.errors["reason"] == Reason.WRONG_BASE.value).sum()),
                **_bytes(made),
                "expected_wasted": float(scenario.spec.devices * share * lost),
            }
        )
    return pd.DataFrame(rows)


def drops(scenario: Scenario, chances: Sequence[Fraction] = _SHARES, *, engine: str = "auto") -> pd.DataFrame:
    """A transfer breaks off with some chance d, and goes on or begins anew: two rows for each chance.

    Columns: `chance`, `resume`; `downloads`: transfers begun; `updated`; `bytes_down`, `bytes_wasted` of all
    devices; without resuming also `expected_downloads` = devices (1 − d^A) / (1 − d) for A attempts, and
    `expected_bytes`: each of these brings all of a device's artefact, or with chance d half of it on average.
    With resuming these are missing: a rest is drawn from what is left. Raises `InputError`.
    """
    lags, costs, kept = _known(scenario)
    each = relative_bytes(lags, costs, kept) * costs.whole
    attempts, devices = scenario.spec.transfer.attempts, scenario.spec.devices
    rows = []
    for chance in chances:
        begun = devices * sum((chance**n for n in range(attempts)), Fraction(0))
        for resume in (True, False):
            changes = {"faults.drop": chance, "faults.drop_weak": chance, "transfer.resume": resume}
            made = _run(scenario, changes, engine)
            rows.append(
                {
                    "chance": float(chance),
                    "resume": resume,
                    "downloads": int(made.devices["attempts"].sum()),
                    "updated": int((made.devices["outcome"] == "updated").sum()),
                    **_bytes(made),
                    "expected_downloads": None if resume else float(begun),
                    "expected_bytes": None if resume else float(begun * each * (1 - chance / 2)),
                }
            )
    return pd.DataFrame(rows).astype({"expected_downloads": "Float64", "expected_bytes": "Float64"})


def beyond_the_limit(
    scenario: Scenario, limits: Sequence[int] | None = None, *, engine: str = "auto"
) -> pd.DataFrame:
    """Patches for the last K bases only; devices further behind fall back to the whole image.

    A row for each K in `limits`, by default 0, 1, … up to every base. Columns: `limit`; of the devices that
    ended with an artefact the shares on a `patch`, a `compressed` and a `raw` image; `bytes_down`,
    `bytes_wasted` of all devices; `relative_bytes`, what was downloaded as a share of the whole image for
    each, and `expected_relative`, as `relative_bytes` has it from the release's artefacts. Raises
    `InputError`.
    """
    lags, costs, _ = _known(scenario)
    rows = []
    for limit in range(len(lags) + 1) if limits is None else limits:
        made = _run(scenario, _newest(limit), engine)
        down = _bytes(made)
        rows.append(
            {
                "limit": limit,
                **_kinds(made.devices),
                **down,
                "relative_bytes": down["bytes_down"] / float(scenario.spec.devices * costs.whole),
                "expected_relative": float(relative_bytes(lags, costs, limit)),
            }
        )
    return pd.DataFrame(rows)


def codec_refused(scenario: Scenario, rams_bytes: Sequence[int], *, engine: str = "auto") -> pd.DataFrame:
    """Devices whose memory does not hold a decoder take what needs less: in the end, the raw image.

    A row for each cohort and each of `rams_bytes`, the memory of all cohorts (0: as much as it takes).
    Columns: `ram_bytes`, `cohort`, `devices`, the shares on a `patch`, a `compressed` and a `raw` image, and
    `bytes_down`, `bytes_wasted` of the cohort. Raises `InputError`.
    """
    rows = []
    for ram_bytes in rams_bytes:
        changes = {f"cohorts.{n}.ram": ram_bytes for n in range(len(scenario.spec.cohorts))}
        made = _run(scenario, changes, engine)
        for cohort in scenario.spec.cohorts:
            devices = made.devices[made.devices["cohort"] == cohort.name]
            rows.append(
                {
                    "ram_bytes": ram_bytes,
                    "cohort": cohort.name,
                    "devices": len(devices),
                    **_kinds(devices),
                    "bytes_down": int(devices["bytes_down"].sum()),
                    "bytes_wasted": int(devices["bytes_wasted"].sum()),
                }
            )
    return pd.DataFrame(rows)


def skew_fleet(devices: int = 1000) -> Scenario:
    """A fleet on six older releases that calls every hour, and on which nothing goes wrong by itself.

    Small firmwares, geometric lags of 0.45, patches for the last three bases and a compressed image for the
    others. Raises `InputError` for a number of devices that cannot be.
    """
    shares = [Fraction(45, 100) * Fraction(55, 100) ** k for k in range(5)]
    mix = [format_share(share) for share in (*shares, Fraction(1 - sum(shares)))]
    document: Document = {
        "schema": 1,
        "name": "skew-fleet",
        "devices": devices,
        "horizon": "4 d",
        "timeline": "1 h",
        "release": {
            "size": "66 KiB",
            "base_size": "64 KiB",
            "steps": ["minor", "patch", "major", "patch", "minor", "patch"],
            "payload": "delta",
            "full_codec": "full-lzma",
            "patch_limit": 3,
            "encrypted": False,
        },
        "links": [{"name": "backend", "capacity": devices * 100_000}],
        "cohorts": [
            {
                "name": "all",
                "link": "backend",
                "slot_size": "128 KiB",
                "download_size": "64 KiB",
                "rates": ["100 kB/s"],
                "base_mix": mix,
                "wake_period": "1 h",
                "wake_presence": 1,
                "battery": [1, 1],
            }
        ],
        "precheck": {"battery": 0},
        "transfer": {"attempts": 8, "backoff": "1 min"},
        "faults": {"drop": 0},
        "rollout": {"groups": [{"share": "rest", "gate": "none", "error_threshold": 1}]},
    }
    return Scenario.from_toml(write_toml(document), "skew-fleet")


def _known(scenario: Scenario) -> tuple[Lags, Costs, int]:
    """The scenario's lags, the costs of its release by lag, and for how many lags it keeps patches."""
    release = scenario.spec.release
    costs = costs_of_release(release_with_all_patches(release), release.full_above)
    if release.payload != "delta":
        return lags_of(scenario.spec), costs, 0
    return lags_of(scenario.spec), costs, release.patch_limit or _EVERY


def _newest(limit: int) -> dict[str, object]:
    if not limit:
        return {"release.payload": "full"}
    return {"release.payload": "delta", "release.patches": "newest", "release.patch_limit": limit}


def _run(scenario: Scenario, changes: Mapping[str, object], engine: str) -> Run:
    made = run(scenario.with_(changes), engine=engine)
    if made.summary.get("interrupted_at_ms") is not None:
        raise KeyboardInterrupt
    return made


def _bytes(made: Run) -> dict[str, int]:
    return {name: int(made.devices[name].sum()) for name in ("bytes_down", "bytes_wasted")}


def _kinds(devices: Any) -> dict[str, float]:
    """The shares of the devices with an artefact that are on each kind of it, by the artefacts' names."""
    names = devices["artefact"].astype(str)
    names = names[names != "none"]
    patch = names.str.contains("-from-")
    compressed = ~patch & names.str.startswith("compressed")
    kinds = {"patch": patch, "compressed": compressed, "raw": ~(patch | compressed)}
    return {kind: float(found.mean()) if len(names) else 0.0 for kind, found in kinds.items()}
