"""Scenario documents drawn by hypothesis over the whole schema: small, cheap to run, and accepted by it.

A document holds what was drawn and no defaults, so keys can be taken out of it again. Most features are off
in most documents. What has to hold between keys is mended after the draw (`_mended`), not drawn again. A
third of the documents press their run into minutes (`_hurry`): much happens in one and the same millisecond.
"""

from __future__ import annotations

import copy
import random
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from simlib.firmware.synthetic import drawn_steps, release_versions
from simlib.scenario import Scenario
from simlib.scenario.schema import (
    CIPHERS,
    CODECS,
    COUNTER_STORES,
    FULL_CODECS,
    JITTERS,
    KEY_WRAPS,
    LAYOUTS,
    PATCH_CHOICES,
    SIGNATURES,
    STEP_KINDS,
    VARIATIONS,
    StepWeightsTable,
)
from simlib.scenario.schema_field import EFFECTS
from simlib.scenario.toml_text import write_toml
from simlib.scenario.units import parse_duration
from tests.simulation.random_services import services

Document = dict[str, Any]

one = st.sampled_from
yes = st.booleans()
chance = one(["0.1", "0.3", "1/3", "0.03", "0.6", "1"])
share = one(["0.5", "0.9", "0.9", "0.8", "0.2", "1", "0"])
battery = one([["0.2", "1"], ["0.9", "1"], ["0.4", "0.6"], ["0", "0.3"], ["0", "0"], ["0.001", "0.02"]])
spread = one(
    [
        "2 h",
        "0 s",
        "uniform(0 s, 1 d)",
        "exponential(90 min)",
        "lognormal(20 min, 1.1)",
        "pareto(10 min, 1.2)",
    ]
)
LINKS, ZONES = ("north", "south", "west"), ("here", "east", "far")
PARTS = {
    1: [["1"]],
    2: [["1/2", "1/2"], ["0.2", "0.8"], ["0.9", "0.1"]],
    3: [["1/3", "1/3", "1/3"], ["0.6", "0.1", "0.3"], ["0.05", "0.15", "0.8"]],
    4: [["0.25", "0.25", "0.25", "0.25"], ["0.1", "0.2", "0.3", "0.4"]],
}
CHAINS = [  # few, so that releases and the bench's cases are met again
    {"size": "64 KiB", "steps": ["minor"]},
    {"size": "72 KiB", "base_size": "68 KiB", "steps": ["minor", "patch"]},
    {"size": "100 KiB", "base_size": "64 KiB", "steps": ["patch", "rebuild", "major"]},
    {"size": "64 KiB", "steps": ["toolchain", "minor", "patch"], "seed": 2},
    {"size": "64 KiB", "steps": ["any", "minor"]},
]
IN_CHILDREN = {"hdiffpatch-lzma2"}  # codecs that start a process for each patch: seldom drawn
FLASHES = [  # slot, sector and least write: 100 KiB does not fit into all of them
    {"slot_size": "128 KiB"},
    {"slot_size": "96 KiB", "sector_size": "2 KiB", "write_size": 8},
    {"slot_size": "144 KiB", "sector_size": "8 KiB", "write_size": 16, "erased_value": 0},
]
IN_FLASH = [layout for layout in LAYOUTS if layout != "ram-load"]
TWO_SLOTS = {"overwrite-only", "direct-xip", "direct-xip-revert", "ram-load"}  # without a swap between them
FOLDER = tempfile.TemporaryDirectory(prefix="simlib-inventories-")


@st.composite
def _some(draw: st.DrawFn, keys: Document) -> Document:
    """A table with about half of these keys, each in or out by a draw of its own."""
    return {key: draw(value) for key, value in keys.items() if draw(yes)}


def _optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    return _some(keys)


RELEASE = _optional(
    payload=one(["full", "delta"]),
    encrypted=yes,
    signature=one(SIGNATURES[:2] * 3 + SIGNATURES[2:]),
    full_above=one(["0.8", "0.3", "0", "1"]),
    security_counters=one(["keep", "raise"]),
    cipher=one(CIPHERS),
    key_wrap=one(KEY_WRAPS),
    load_address=one([0] * 5 + [0x2000_0000]),
    codec=one([codec for codec in CODECS for _ in range(1 if codec in IN_CHILDREN else 3)]),
    full_codec=one(FULL_CODECS),
    patches=one(PATCH_CHOICES),
    patch_limit=one([1, 2]),
    variation=one(VARIATIONS),
    step_weights=_optional(**{kind: one(["0.5", "0", "1"]) for kind in STEP_KINDS}),
)
LINK = _optional(
    capacity=one(["50 kB/s", "20 kB/s", "1 MB/s", "4 kB/s", "1 kB/s", "125 MB/s", "300 B/s", "7 B/s"])
)
OUTAGE = st.tuples(
    one(["1 s", "20 min", "6 h", "1 d"]),
    one(["1 ms", "10 min", "5 h", "2 d"]),
    one([None, "1 kB/s", "0 B/s", "200 kB/s"]),
)
HABIT = _optional(
    by_hour=st.lists(one(["1", "0.3", "0.7", "0"]), min_size=24, max_size=24),
    by_weekday=st.lists(one(["1", "0.8", "0.2", "0"]), min_size=7, max_size=7),
    gaps=one(["exponential(3 h)", "uniform(10 min, 5 h)", "45 min", "pareto(20 min, 1.1)"]),
    dormant=chance,
    dormant_for=spread,
    online=one(["exponential(8 h)", "5 h", "pareto(1 h, 1.1)"]),
    offline=one(["exponential(3 h)", "1 ms", "pareto(30 min, 0.9)"]),
    charge=share,
    charge_from=one(["22:00", "07:30"]),
    charge_for=one(["6 h", "1 min", "1 d"]),
    use=one([["0.02", "0.4"], ["0", "0"], ["1", "1"]]),
)
OWNER = _optional(
    consent=st.tuples(one(["0.5", "0", "1"]), one(["1", "0.5"])),
    accept=share,
    postponements=one([2, 0, 7]),
    then=one(["install", "give-up"]),
    phone=yes,
    foreground=share,
    session=one(["lognormal(40 s, 0.9)", "exponential(2 min)", "1 s", "0 s"]),
    background_budget=one(["20 s", "1 ms", "5 min"]),
    phone_battery=battery,
    phone_battery_least=one(["0.15", "0.5"]),
    permit_bluetooth=one(["0.9", "0.5", "1", "0"]),
    permit_background=share,
    permit_notifications=share,
    notified=share,
    reaction=spread,
    repairs=share,
    repairs_after=spread,
    replaces=share,
    replaces_after=spread,
)
COHORT = _optional(
    hardware=one(["rev-a", "rev-b"]),
    layout=one(IN_FLASH),
    secondary_size=one(["0 B", "128 KiB", "96 KiB"]),
    secondary_sector=one(["0 B", "16 KiB"]),
    scratch_size=one(["0 B", "32 KiB", "64 KiB"]),
    downgrade_prevention=yes,
    counter_store=one(COUNTER_STORES),
    ram=one(["0 B", "64 KiB", "16 MiB"]),
    download_size=one(["64 KiB", "0 B", "16 KiB", "128 KiB"]),
    flash=one(["spi-nor-w25q128jv", "spi-nor-mx25r6435f"]),
    core=one(["cortex-m0plus-64mhz"]),
    radio=one(["lte-m-nrf9160", "wifi-esp32"]),
    rates=st.lists(one(["50 kB/s", "4 kB/s", "333 B/s", "2 MB/s"]), min_size=1, max_size=3, unique=True),
    cell=one(["lipo-500", "cr2032", "2xaa-alkaline", "aa-l91", "li-ion-36v-10ah"]),
    weak_link=chance,
    battery=battery,
    wake_period=one(["3 h", "20 min", "90 min", "2 min", "1 d", "59 s", "2 d"]),
    wake_presence=one(["0.8", "0.5", "0.3", "0.9", "0.05", "0"]),
    wake_spread=one(["0", "0.1", "1"]),
    reboot=one(["0 s", "45 s"]),
    self_test=one(["0 s", "3 min"]),
)
BLE = st.fixed_dictionaries(
    {
        "kind": one(["ble"]),
        "radio": one(["nrf52840", "nrf54l15", "cc2340"]),
        "phy": one(["2M", "1M", "coded-s8", "coded-s2"]),
    },
    optional={
        "interval": one(["20 ms", "100 ms"]),
        "data_length": one([27, 100]),
        "att_mtu": one([23, 185]),
        "packets_per_event": one([4, 1]),
    },
)
WIFI = st.fixed_dictionaries(
    {
        "kind": one(["wifi"]),
        "radio": one(["esp32", "esp32s2"]),
        "rates": one([["2 MB/s"], ["90 kB/s", "20 kB/s"]]),
    }
)
NEAR = st.fixed_dictionaries(
    {"kind": one(["wifi-direct"]), "radio": one(["esp32"]), "rates": one([["500 kB/s"]])},
    optional={"range_m": one([50]), "distance_m": one([[1, 70], [60, 300], [51, 60]])},
)
NFC = st.fixed_dictionaries(
    {"kind": one(["nfc"]), "radio": one(["nfc-tag"]), "rates": one([["10 kB/s", "2 kB/s"]])}
)
CELLULAR = st.fixed_dictionaries(
    {
        "kind": one(["lte-m", "nb-iot"]),
        "radio": one(["nrf9160"]),
        "rates": one([["12500 B/s", "25 kB/s"], ["3 kB/s"]]),
    }
)
LORA = st.builds(
    dict,
    one(
        [
            {"phy": "sf7", "fragment": "200 B", "duty_cycle": "0.1"},
            {"phy": "sf9", "fragment": "100 B", "duty_cycle": "0.2"},
            {"phy": "sf12", "duty_cycle": "1"},
        ]
    ),
    kind=one(["lora-multicast"]),
    radio=one(["samr34"]),
    redundancy=one(["0.1", "0", "0.3"]),
    session_every=one(["6 h", "3 h", "1 d"]),
)
RELAY = _optional(relay_mode=one(["store", "stream"]), relay_rates=one([["20 kB/s", "100 kB/s"], ["1 kB/s"]]))
DEFECT = _optional(
    probability=one(["0.5", "1"]),
    prevalence=chance,
    hardware=one([["rev-a"], ["rev-b"]]),
    layouts=one([["swap-move"], ["single-slot"]]),
    base_versions=one([[1], [2], [1, 3]]),
    onset=spread,
    visible=yes,
    effect=one(EFFECTS),
    drain_uw=one([5000, 200_000]),
)
GROUP = _optional(
    success_threshold=one(["0.3", "0.9", "1", "0"]),
    error_threshold=one(["0.1", "0", "0.3", "1"]),
    min_sample=one([1, 3, 10]),
    soak=one(["0 s", "10 min", "12 h"]),
)
STATISTICAL = st.builds(
    dict,
    _optional(gate_level=one(["0.05", "0.3"]), gate_power=one(["0.9", "0.6"])),
    gate=one(["wilson", "sprt", "mixture", "mann-whitney", "none"]),
    gate_bad=one(["0.4", "0.9"]),
    error_threshold=one(["0.05", "0.2"]),
)
TABLES = {
    "precheck": _optional(
        storage=yes,
        battery=one(["0", "0.1", "0.4", "1"]),
        battery_gate=one(["energy", "share"]),
        battery_reserve=one(["0", "0.01", "0.3"]),
        link=yes,
        deferrals=one([6, 2, 0]),
    ),
    "transfer": _optional(
        resume=yes,
        granule=one(["1 KiB", "1 B", "37 KiB"]),
        attempts=one([2, 1, 9]),
        backoff=one(["10 s", "0 s", "7 min"]),
        backoff_max=one(["3 min", "1 d"]),
        stall=one(["5 s", "0 s", "20 min"]),
        jitter=one(JITTERS),
        rounds=one([2, 3, 20]),
        retry_after=one(["2 h", "0 s", "1 d"]),
        retry_deferred=yes,
        hold_off=one(["1 h", "1 ms", "2 d"]),
    ),
    "faults": _optional(
        drop=chance,
        drop_weak=chance,
        corruption=chance,
        forged=chance,
        forgery=one(["altered", "resigned", "truncated"]),
        power_cut=chance,
        tear=one(["none", "partial", "garbage"]),
        power_off=one(["0 s", "3 h"]),
        defect=chance,
        defect_hardware=one([["rev-a"], ["rev-b"]]),
        stale_inventory=chance,
    ),
    "validation": _optional(
        self_test=yes,
        bluetooth=yes,
        bluetooth_time=one(["0 s", "1 min"]),
        certificate=yes,
        settings=yes,
        probation=one(["10 min", "1 s", "1 d"]),
    ),
    "backup": _optional(
        to=one(["flash", "phone", "cloud"]),
        size=one(["12 KiB", "0 B"]),
        reserve=one(["4 KiB"]),
        required=yes,
        rate=one(["1 kB/s"]),
    ),
    "report": _optional(
        delay=one(["0 s", "10 min"]),
        late=chance,
        late_by=spread,
        lost=chance,
        resends=one([1, 0, 9]),
        resend=one(["20 min", "0 s"]),
        duplicated=chance,
        premature=chance,
    ),
    "rollout": _optional(
        interval=one(["2 s", "1 ms", "7 min", "1 h", "13 h"]),
        deadline=one(["2 h", "3 d", "10 min", "12 h", "1 s"]),
        abort_downloads=yes,
        window=one(["01:00-05:00", "22:00-03:30", "02:00-23:00", "09:00-09:01", "00:00-24:00"]),
        window_clock=one(["local", "utc"]),
        window_ends=one(["cut", "finish"]),
        verdicts=one(["last", "first"]),
        enforce_local=one(["1 d", "2 h"]),
    ),
    "recovery": st.builds(
        dict,
        _optional(delay=one(["1 h", "0 s", "1 d"]), resign=yes, step=one(STEP_KINDS)),
        on_halt=one(["forward-fix", "rollback", "resume", "stop"]),
    ),
    "disclosure": _optional(
        reported=one(["0 s", "-20 d", "10 h"]), embargo=one(["0 s", "20 d", "1 d"]), exploit=one(["3 h"])
    ),
    "alerts": _optional(
        failure_rate=one(["0.1", "0", "0.5"]),
        min_sample=one([1, 5]),
        stalled=one(["1 h", "1 d"]),
        silent=one(["1 h", "12 h"]),
        outdated=one(["6 h", "1 d"]),
        storm=one(["0.9", "0.2"]),
    ),
}
TOP = _optional(
    seed=st.integers(0, 999),
    timeline=one(["6 h", "7 min", "1 d"]),
    weekday=one(["thursday", "sunday", "friday"]),
    **TABLES,
)


@st.composite
def scenarios(draw: st.DrawFn, max_devices: int = 100) -> Document:
    """A document that `scenario_of` accepts: of 1 to `max_devices` devices, over at most four days."""

    def named(names: tuple[str, ...], table: st.SearchStrategy[Document]) -> list[Document]:
        count = draw(one(range(len(names) + 1)))
        return [{"name": name} | draw(table) for name in names[:count]]

    document: Document = {
        "schema": 1,
        "name": "drawn",
        "devices": draw(st.integers(1, max_devices)),
        "horizon": draw(one(["2 d", "1 d", "4 d", "9 h"])),
    } | draw(TOP)
    release = document["release"] = copy.deepcopy(draw(one(CHAINS))) | draw(RELEASE)
    older = len(release["steps"])
    if draw(yes):
        release["published"] = ["0 s", "5 h", "1 d"][: draw(st.integers(1, min(older + 1, 3)))]
    if draw(yes):
        release["stepping_stones"] = sorted(draw(st.sets(st.integers(1, older), min_size=1)))
    if draw(st.integers(0, 3)) == 3:
        release["hardware"] = [draw(one(["rev-a", "rev-b"]))]
    links = [{"name": name} | draw(LINK) for name in LINKS[: draw(st.integers(1, 3))]]
    for link in links:
        at, outages = 0, []
        for after, length, capacity in draw(st.lists(OUTAGE, max_size=2)):
            at += parse_duration(after, "from")
            outages.append(
                {"from": at, "length": length} | ({} if capacity is None else {"capacity": capacity})
            )
            at += parse_duration(length, "length")
        if outages:
            link["outages"] = outages
    document["links"] = links
    zones = draw(st.integers(0, 3))
    if zones:
        offsets = ("+00:00", "+05:30", "-09:00")
        document["zones"] = [
            {"name": name, "share": part, "utc_offset": offset}
            for name, part, offset in zip(ZONES, draw(one(PARTS[zones])), offsets, strict=False)
        ]
    channels = [{"name": name} | draw(_channel()) for name in ("air", "sky")[: draw(st.integers(0, 2))]]
    habits = named(("rider", "sensor"), HABIT)
    owners = named(("owner", "keeper"), OWNER)
    defects = named(("bad", "worse", "late"), DEFECT)
    cohorts = []
    for number, part in enumerate(draw(one([parts for count in PARTS for parts in PARTS[count]]))):
        cohort = {"name": f"cohort-{number}", "share": part} | draw(one(FLASHES)) | draw(COHORT)
        cohort["base_mix"] = draw(one(PARTS[draw(st.integers(1, older))]))
        cohort["link"] = draw(st.lists(one([link["name"] for link in links]), min_size=1, unique=True))
        for key, tables in (("channel", channels), ("habit", habits), ("owner", owners)):
            if tables and draw(yes):
                cohort[key] = draw(one([table["name"] for table in tables]))
        cohorts.append(cohort)
    tables = {
        "channels": channels,
        "habits": habits,
        "owners": owners,
        "cohorts": cohorts,
        "defects": defects,
    }
    document |= {key: table for key, table in tables.items() if table}
    groups = draw(st.integers(0, 4))
    if groups:
        parts = draw(one(PARTS[groups]))
        document.setdefault("rollout", {})["groups"] = [{"share": part} | draw(GROUP) for part in parts]
        for group in document["rollout"]["groups"]:
            group.update(draw(STATISTICAL) if draw(yes) else {})
        if draw(yes):
            document["rollout"]["groups"][-1]["share"] = "rest"
    if draw(yes):
        document["rollout"] = document.get("rollout", {}) | draw(services())
    if draw(one([False, False, True])):
        _trouble(document, draw)
    if draw(one([False, False, True])):
        _hurry(document, draw)
    _mended(document)
    if draw(st.integers(0, 5)) == 5:
        document["inventory"] = _inventory(document, random.Random(draw(st.integers(0, 999))))
    return document


@st.composite
def _channel(draw: st.DrawFn) -> Document:
    channel = draw(one([BLE, WIFI, CELLULAR, LORA, NEAR, NFC]).flatmap(lambda table: table))
    if draw(yes):
        channel["loss"] = draw(one(["0.02", "0.3"]))
    if channel["kind"] in ("ble", "wifi", "wifi-direct", "nfc") and draw(yes):
        relay = draw(one(["phone-wifi", "phone-cellular", "gateway"]))
        channel |= {"relay": relay, "relay_rates": ["50 kB/s"]} | draw(RELAY)
    return channel


def _trouble(document: Document, draw: st.DrawFn) -> None:
    """Make a halt likely while devices download and rest, and an answer to it."""
    chances = {key: draw(chance) for key in ("drop", "defect", "corruption") if draw(yes)}
    document["faults"] = document.get("faults", {}) | (chances or {"defect": "0.6"})
    document.setdefault("transfer", {})["rounds"] = draw(one([3, 1, 20]))
    document["transfer"]["retry_after"] = draw(one(["40 min", "5 h", "0 s"]))
    document["transfer"]["attempts"] = draw(one([1, 2, 5]))
    rollout = document.setdefault("rollout", {})
    rollout["abort_downloads"] = draw(yes)
    rollout["interval"] = draw(one(["1 ms", "1 min", "2 s"]))
    for group in rollout.get("groups", [{}]):
        group |= {"error_threshold": draw(one(["0", "0.1"])), "min_sample": draw(one([1, 5, 2]))}
        group |= {"success_threshold": draw(one(["0.1", "0.5"])), "soak": draw(one(["0 s", "10 min"]))}
        rollout.setdefault("groups", [group | {"share": "rest"}])
    if draw(yes):
        document.setdefault("recovery", {})["on_halt"] = draw(one(["rollback", "forward-fix", "resume"]))
        document["recovery"]["delay"] = draw(one(["10 min", "0 s", "3 h"]))
    for group in rollout.get("groups", []):
        if group.get("gate", "none") not in ("none", "threshold"):
            group["error_threshold"] = "0.05"  # below what these gates are to detect
    for cohort in document["cohorts"]:  # most of what would keep them away
        for key in ("wake_presence", "battery", "download_size"):
            if draw(yes):
                cohort.pop(key, None)


def _hurry(document: Document, draw: st.DrawFn) -> None:
    """Press the run into minutes, so that much happens in one and the same millisecond."""
    document["horizon"] = draw(one(["2 min", "40 s", "12 min"]))
    document["timeline"] = draw(one(["1 s", "100 ms"]))
    for cohort in document["cohorts"]:
        cohort |= {"wake_period": draw(one(["40 ms", "1 s", "10 s"])), "reboot": draw(one(["0 s", "2 s"]))}
        cohort["self_test"] = draw(one(["0 s", "1 s"]))
    for link in document["links"]:
        link["capacity"] = draw(one(["1 MB/s", "100 kB/s", "125 MB/s", "20 kB/s"]))
        if draw(yes):
            link["outages"] = [{"from": "8 s", "length": draw(one(["3 s", "1 min"]))}]
    for table, key, values in (
        ("rollout", "interval", ["1 ms", "20 ms", "2 s"]),
        ("rollout", "deadline", ["20 s", "2 min"]),
        ("report", "delay", ["0 s", "20 ms"]),
        ("transfer", "backoff", ["0 s", "20 ms", "1 s"]),
        ("transfer", "retry_after", ["0 s", "20 ms"]),
        ("recovery", "delay", ["0 s", "20 ms", "10 s"]),
        ("alerts", "silent", ["0 ms", "20 ms", "5 s"]),
        ("alerts", "stalled", ["0 ms", "5 s"]),
    ):
        if draw(yes) and (table in document or table in ("rollout", "transfer")):
            document.setdefault(table, {})[key] = draw(one(values))
    for group in document.get("rollout", {}).get("groups", []):
        group["soak"] = draw(one(["0 s", "1 s", "20 ms"]))
    if draw(one([False, False, True])):
        window = {
            "window": draw(one(["00:00-00:01", "00:01-23:00"])),
            "window_ends": draw(one(["cut", "finish"])),
        }
        document["rollout"] = document.get("rollout", {}) | window
        document.setdefault("backup", {"to": "cloud", "size": "12 KiB", "rate": "1 kB/s"})
    release = document["release"]
    if "published" in release:
        release["published"] = ["0 s", "5 s", "20 s"][: len(release["published"])]


def _fitted(cohort: Document) -> None:
    """Leave a cohort those keys of its flash that its layout knows."""
    layout = cohort.get("layout", "swap-move")
    known = {"swap-scratch": {"secondary_sector", "scratch_size"}, "in-place-journal": {"scratch_size"}}
    for key in ("secondary_size", "secondary_sector", "scratch_size"):
        kept = known.get(layout, {"secondary_size", "secondary_sector"} if layout in TWO_SLOTS else set())
        if key not in kept:
            cohort.pop(key, None)
    if layout != "overwrite-only":
        cohort.pop("downgrade_prevention", None)
    if layout == "ram-load" and cohort.get("ram") == "64 KiB":
        cohort["ram"] = "96 KiB"  # what is there from the factory runs; the largest of the new ones does not


def _mended(document: Document) -> None:
    """Make what was drawn apart fit together, by setting the key that another one needs."""
    cohorts, release, rollout = document["cohorts"], document["release"], document.get("rollout", {})
    for cohort in cohorts:
        if release.get("load_address"):  # images for RAM are for devices that run them there
            cohort["layout"] = "ram-load"
        _fitted(cohort)
    if any(cohort.get("layout", "").startswith("direct-xip") for cohort in cohorts):
        release["encrypted"] = False
    owners = {owner["name"]: owner for owner in document.get("owners", [])}
    habits = {habit["name"]: habit for habit in document.get("habits", [])}
    phoneless = {
        channel["name"]
        for channel in document.get("channels", [])
        if channel["kind"] in ("lte-m", "nb-iot", "lora-multicast") or channel.get("relay") == "gateway"
    }
    for owner in owners.values():
        if "consent" in owner:
            automatic, prompted = owner.pop("consent")
            left = (
                "0"
                if automatic == "1"
                else prompted
                if automatic == "0"
                else "0.5"
                if prompted == "1"
                else "0.3"
            )
            never = {"0": {"1": "0", "0.5": "0.5"}, "0.5": {"0.5": "0", "0.3": "0.2"}, "1": {"0": "0"}}
            owner |= {"automatic": automatic, "prompted": left, "never": never[automatic][left]}
        for key, time in (
            ("notified", "reaction"),
            ("repairs", "repairs_after"),
            ("replaces", "replaces_after"),
        ):
            if owner.get(key, "0") != "0":
                owner.setdefault(time, "exponential(90 min)")
        if owner.get("notified", "0") != "0" and owner.get("permit_notifications", "0") == "0":
            owner["permit_notifications"] = "0.5"
    for habit in habits.values():
        if "dormant" in habit:
            habit.setdefault("dormant_for", "exponential(8 h)")
        if ("online" in habit) != ("offline" in habit):
            habit.setdefault("online", "exponential(8 h)")
            habit.setdefault("offline", "exponential(3 h)")
    for cohort in cohorts:
        if cohort.get("channel") in phoneless:
            if owners.get(cohort.get("owner", ""), {}).get("phone"):
                del cohort["owner"]
            if document.get("backup", {}).get("to") == "phone":
                document["backup"]["to"] = "cloud"
    if set(release.get("step_weights", {}).values()) == {"0"} and len(release["step_weights"]) == 5:
        del release["step_weights"]["patch"]
    if release.get("signature", "").startswith("rsa-"):
        release.pop("seed", None)  # to find a key takes seconds, so there is one
    hardware = {cohort.get("hardware", "rev-a") for cohort in cohorts}
    for table, key in ((release, "hardware"), (document.get("faults", {}), "defect_hardware")):
        if key in table and not hardware.issuperset(table[key]):
            table[key] = [min(hardware)]
    needs_cell = document.get("precheck", {}).get("battery_gate") == "energy"
    for defect in document.get("defects", []):
        if "base_versions" in defect:
            kept = [behind for behind in defect["base_versions"] if behind <= len(release["steps"])]
            defect["base_versions"] = kept or [1]
        met = min(
            cohorts, key=lambda c: (c.get("hardware", "rev-a") not in defect.get("hardware", []), c["name"])
        )
        if "hardware" in defect:
            defect["hardware"] = [met.get("hardware", "rev-a")]
        if "layouts" in defect:
            defect["layouts"] = [met.get("layout", "swap-move")]
        if defect.get("effect") == "drain":
            defect.setdefault("drain_uw", 5000)
            met.setdefault("cell", "lipo-500")
    for cohort in cohorts:
        habit, owner = habits.get(cohort.get("habit", ""), {}), owners.get(cohort.get("owner", ""), {})
        uses = habit.get("use", ["0", "0"])[1] != "0" or habit.get("charge", "1") != "1"
        if needs_cell or uses or owner.get("replaces", "0") != "0":
            cohort.setdefault("cell", "lipo-500")
    if document.get("recovery", {}).get("on_halt", "stop") != "stop":
        release.pop("published", None)
    if document.get("backup", {}).get("required") and "to" not in document["backup"]:
        document["backup"]["to"] = "flash"
    if "late" in document.get("report", {}):
        document["report"].setdefault("late_by", "exponential(90 min)")
    probation = document.get("validation", {}).get("probation", "0 s")
    if parse_duration(probation, "") >= parse_duration(rollout.get("deadline", "1 d"), ""):
        rollout["deadline"] = "3 d"
        document["rollout"] = rollout
    if "enforce_local" in rollout:
        rollout.pop("window", None)
        if parse_duration(rollout.get("deadline", "1 d"), "") <= parse_duration(rollout["enforce_local"], ""):
            rollout["deadline"] = "3 d"
    transfer = document.get("transfer", {})
    if transfer.get("jitter") == "decorrelated" and transfer.get("backoff") == "0 s":
        transfer["backoff"] = "1 ms"
    if parse_duration(transfer.get("backoff", "1 min"), "") > parse_duration(
        transfer.get("backoff_max", "1 h"), ""
    ):
        transfer["backoff_max"] = "1 h"


def _inventory(document: Document, luck: random.Random) -> Document:
    """An inventory for the document's cohorts: a file of some of the columns, with gaps, and its table."""
    release = document["release"]
    weights = {
        kind: Fraction(str(release.get("step_weights", {}).get(kind, field.default)))
        for kind, field in StepWeightsTable.model_fields.items()
    }
    steps = drawn_steps(release.get("seed", 1), release["steps"], weights)
    versions = [str(version) for version in release_versions(steps)]
    if "base_size" in release:
        versions.pop()  # the newest is larger than the others, and some slots would not hold it at the start
    cells: dict[str, list[str]] = {
        "cohort": [cohort["name"] for cohort in document["cohorts"]],
        "version": versions,
        "free_storage": ["", "1 KiB", "20 KiB", "512 KiB"],
        "battery": ["", "0", "0.31", "1"],
        "last_seen": ["", "2025-06-01T12:00:00Z", "2025-06-09T12:00:00Z", "2025-06-10T12:00:00Z"],
        "zone": ["", *(zone["name"] for zone in document.get("zones", []))],
        "group": ["", "1", "2"],
        "state": ["pending"] * 4 + ["updated", "failed", "deferred", "bricked", "lost"],
    }
    fields = [field for field in cells if luck.random() < 0.6]
    rows = [[f"d{n}", *(luck.choice(cells[field]) for field in fields)] for n in range(document["devices"])]
    text = "".join(f"{','.join(row)}\n" for row in [["serial", *fields], *rows])
    path = Path(FOLDER.name, f"{sha256(text.encode()).hexdigest()[:16]}.csv")
    path.write_text(text, encoding="utf-8")
    return {"file": str(path), "columns": {"device": "serial"}, "seen_before": luck.choice(["2 d", "12 h"])}


def scenario_of(document: Document) -> Scenario:
    """The scenario of a document. Raises `InputError` for one that was changed and fits together no more."""
    return Scenario.from_toml(write_toml(document), "drawn")


def as_text(document: Document) -> str:
    """What a person needs to run `document` again: its TOML, and its inventory's lines as comments."""
    file = document.get("inventory", {}).get("file")
    lines = [] if file is None else Path(file).read_text(encoding="utf-8").splitlines()
    return write_toml(document) + "".join(f"# {line}\n" for line in lines)


def features(document: Document) -> set[str]:
    """The dotted keys that `document` sets, without the indices of lists, and values that are names."""

    def inside(path: str, value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, below in value.items():
                yield from inside(f"{path}.{key}" if path else key, below)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for element in value:
                yield from inside(path, element)
        else:
            yield path
            if isinstance(value, str | bool):
                yield f"{path} = {value}"

    return set(inside("", document))
