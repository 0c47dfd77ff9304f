"""What a scenario says about the field is refused in one line as well: the key as typed, found, expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from simlib.errors import InputError
from simlib.firmware.chain import load_chain
from simlib.fleet import routes_of
from simlib.scenario import Scenario, load
from simlib.simulation.run import prepare

START = 'schema = 1\nname = "x"\n'
COHORT = '[[cohorts]]\nname = "a"\n'
LINK = '[[links]]\nname = "backend"\n'
OUTAGE = "[[links.outages]]\n"
ZONE = '[[zones]]\nname = "here"\n'
BLE = '[[channels]]\nname = "way"\nkind = "ble"\nradio = "nrf52840"\nphy = "2M"\n'
LTE = '[[channels]]\nname = "way"\nkind = "lte-m"\nradio = "nrf9160"\nrates = [10000]\n'
HABIT = '[[habits]]\nname = "daily"\n'
OWNER = '[[owners]]\nname = "user"\n'
DEFECT = '[[defects]]\nname = "late"\n'
CORPUS = '[release]\nsource = "corpus:greatfet_usb"\n'
INVENTORY = '[inventory]\nfile = "fleet.csv"\n'

Refusal = tuple[str, str, str, str]
"""What is typed behind the first two lines, the key, a part of what was found, and of what was expected."""

LEAVES: dict[str, Refusal] = {
    "distribution, no form": (
        HABIT + 'gaps = "often"\n',
        "habits.0.gaps",
        '"often"',
        'exponential(6 h)" (its mean)',
    ),
    "distribution, unknown name": (
        HABIT + 'gaps = "exponentail(6 h)"\n',
        "habits.0.gaps",
        '"exponentail(6 h)"',
        "nearest is exponential",
    ),
    "distribution, upside down": (
        OWNER + 'session = "uniform(3 h, 1 h)"\n',
        "owners.0.session",
        '"uniform(3 h, 1 h)"',
        "the least not above the most",
    ),
    "distribution, too long": (DEFECT + 'onset = "4000 d"\n', "defects.0.onset", '"4000 d"', "3650 d"),
    "distribution, shape": (
        HABIT + 'online = "pareto(1 d, 0.01)"\noffline = "1 d"\n',
        "habits.0.online",
        '"pareto(1 d, 0.01)"',
        "0.2 to 100",
    ),
    "distribution, none": ("[report]\nlate_by = true\n", "report.late_by", "true", 'or ""'),
    "utc offset, no sign": (ZONE + 'utc_offset = "05:30"\n', "zones.0.utc_offset", '"05:30"', '"+05:30"'),
    "utc offset, too far": (ZONE + 'utc_offset = "+14:01"\n', "zones.0.utc_offset", '"+14:01"', "14 hours"),
    "utc offset, a number": (ZONE + "utc_offset = 2\n", "zones.0.utc_offset", "2", '"+05:30"'),
    "time of day": (HABIT + 'charge_from = "24:00"\n', "habits.0.charge_from", '"24:00"', '"22:30"'),
    "time of day, a number": (HABIT + "charge_from = 22\n", "habits.0.charge_from", "22", "a time of day"),
    "micros, no unit": (BLE + "interval = 30000\n", "channels.0.interval", "30000", "(us, ms, s)"),
    "micros, too fine": (BLE + 'interval = "7.5001 us"\n', "channels.0.interval", '"7.5001 us"', "whole"),
    "micros, too long": (BLE + 'interval = "11 s"\n', "channels.0.interval", '"11 s"', "at most 10 s"),
    "price below zero": ("[harm]\nper_delivery = -1\n", "harm.per_delivery", "-1", "an amount of money"),
    "price with a sign": (
        '[harm]\nrecall_per_brick = "120 EUR"\n',
        "harm.recall_per_brick",
        '"120 EUR"',
        'or ""',
    ),
    "price in percent": ('[harm]\nper_gigabyte = "5 %"\n', "harm.per_gigabyte", '"5 %"', "0 to 10**12"),
    "price out of reach": (
        "[harm]\nper_gigabyte = 1e13\n",
        "harm.per_gigabyte",
        "10000000000000",
        "0 to 10**12",
    ),
    "price endless": (
        "[harm]\nper_exposed_device_day = 1e-999999999\n",
        "harm.per_exposed_device_day",
        "1e-9",
        "money",
    ),
    "mapping, no table": (
        '[inventory]\ncolumns = "battery"\n',
        "inventory.columns",
        '"battery"',
        "a table",
    ),
    "mapping, no text": (
        INVENTORY + "[inventory.columns]\nbattery = 3\n",
        "inventory.columns.battery",
        "3",
        "text",
    ),
    "metres, one": (BLE + "distance_m = [5]\n", "channels.0.distance_m", "[5]", "the least and the greatest"),
    "metres, upside down": (BLE + "distance_m = [30, 1]\n", "channels.0.distance_m", "[30, 1]", "shorter"),
    "metres, no number": (BLE + 'distance_m = [1, "30 m"]\n', "channels.0.distance_m", '"30 m"', "whole"),
    "signed duration": (
        '[disclosure]\nreported = "- a while"\n',
        "disclosure.reported",
        '"- a while"',
        "(ms, s, min, h, d)",
    ),
    "signed duration, two signs": (
        '[disclosure]\nreported = "--3 d"\n',
        "disclosure.reported",
        '"--3 d"',
        '0 or more milliseconds, or ""',
    ),
    "signed duration, too long ago": (
        '[disclosure]\nreported = "-4000 d"\n',
        "disclosure.reported",
        '"-4000 d"',
        "-3650 d to 3650 d",
    ),
    "names, empty": (COHORT + "link = []\n", "cohorts.0.link", "[]", "a name or a list of names"),
    "names, a number": (COHORT + "link = 3\n", "cohorts.0.link", "3", "a name or a list of names"),
    "names, an element": (COHORT + 'link = ["backend", ""]\n', "cohorts.0.link", '""', "1 to 64 characters"),
    "name or none": (COHORT + 'owner = " user"\n', "cohorts.0.owner", '" user"', "without space around it"),
    "choice": (DEFECT + 'effect = "crsh"\n', "defects.0.effect", '"crsh"', "nearest is crash"),
    "weekday": ('weekday = "mon"\n', "weekday", '"mon"', "nearest is monday"),
    "period of nothing": (HABIT + "charge_for = 0\n", "habits.0.charge_for", "0", "1 ms to 3650 d"),
    "element of a list": (
        HABIT + f"by_hour = {[1] * 23 + [2]}\n",
        "habits.0.by_hour.23",
        "2",
        "a share from 0 to 1",
    ),
    "two shares": (HABIT + "use = 0.1\n", "habits.0.use", "0.1", "two shares, the lower first"),
    "no kind": (
        '[[channels]]\nname = "way"\nradio = "nrf52840"\n',
        "channels.0.kind",
        "no such key",
        "it to be set",
    ),
}

UNKNOWN: dict[str, tuple[str, str]] = {
    LINK + OUTAGE + 'form = "1 h"\nlength = "1 h"\n': ("links.0.outages.0.form", "from"),
    LINK + OUTAGE + 'from = "1 h"\nlenght = "1 h"\n': ("links.0.outages.0.lenght", "length"),
    LINK + OUTAGE + 'from_ = "1 h"\nlength = "1 h"\n': ("links.0.outages.0.from_", "from"),
    ZONE + 'ofset = "+01:00"\n': ("zones.0.ofset", "utc_offset"),
    BLE + "packets_per_events = 4\n": ("channels.0.packets_per_events", "packets_per_event"),
    HABIT + 'gap = "6 h"\n': ("habits.0.gap", "gaps"),
    OWNER + "postponement = 2\n": ("owners.0.postponement", "postponements"),
    DEFECT + "prevalance = 0.5\n": ("defects.0.prevalance", "prevalence"),
    '[validation]\nprobatoin = "1 d"\n': ("validation.probatoin", "probation"),
    '[backup]\nreserves = "1 KiB"\n': ("backup.reserves", "reserve"),
    '[recovery]\non_hold = "stop"\n': ("recovery.on_hold", "on_halt"),
    '[disclosure]\nembargoed = "1 d"\n': ("disclosure.embargoed", "embargo"),
    "[harm]\nper_gigabytes = 1\n": ("harm.per_gigabytes", "per_gigabyte"),
    '[inventory]\nfiel = "fleet.csv"\n': ("inventory.fiel", "file"),
    '[alerts]\nstaled = "1 d"\n': ("alerts.staled", "stalled"),
}
"""What is typed: its key, and the nearest known one."""

RULES: dict[str, Refusal] = {
    # names that exist
    "no such channel": (BLE + COHORT + 'channel = "wya"\n', "cohorts.0.channel", '"wya"', "nearest is way"),
    "no channel at all": (COHORT + 'channel = "way"\n', "cohorts.0.channel", '"way"', "there is none"),
    "no such habit": (HABIT + COHORT + 'habit = "dialy"\n', "cohorts.0.habit", '"dialy"', "daily"),
    "no such owner": (OWNER + COHORT + 'owner = "usr"\n', "cohorts.0.owner", '"usr"', "nearest is user"),
    "no such cell": (COHORT + 'cell = "cr2023"\n', "cohorts.0.cell", '"cr2023"', "nearest is cr2032"),
    "no such zone": (
        INVENTORY + '[inventory.zones]\nCET = "Berlin"\n',
        "inventory.zones.CET",
        '"Berlin"',
        "one of UTC",
    ),
    "no zones": ("zones = []\n", "zones", "an empty list", "at least one element"),
    "zone shares": (ZONE + "share = 0.5\n", "zones", "0.5", "exactly 1"),
    "zone twice": (2 * (ZONE + "share = 0.5\n"), "zones.1.name", "a second time", "a name of its own"),
    "channel twice": (2 * BLE, "channels.1.name", "a second time", "a name of its own"),
    "habit twice": (2 * HABIT, "habits.1.name", "a second time", "a name of its own"),
    "owner twice": (2 * OWNER, "owners.1.name", "a second time", "a name of its own"),
    "defect twice": (2 * DEFECT, "defects.1.name", "a second time", "a name of its own"),
    "link twice in a list": (
        COHORT + 'link = ["backend", "backend"]\n',
        "cohorts.0.link",
        '["backend", "backend"]',
        "each link once",
    ),
    "inventory without a file": (
        '[inventory.columns]\nbattery = "soc"\n',
        "inventory.columns",
        "a table",
        "none without inventory.file",
    ),
    # channels
    "key of another kind": (
        BLE + "distance_m = [1, 30]\n",
        "channels.0.distance_m",
        "[1, 30]",
        "it belongs to wifi-direct",
    ),
    "time of another kind": (
        BLE + 'session_every = "12 h"\n',
        "channels.0.session_every",
        "12 h",
        "it belongs to lora-multicast",
    ),
    "share of another kind": (
        LTE + "redundancy = 0.5\n",
        "channels.0.redundancy",
        "0.5",
        "no such key for lte-m",
    ),
    "mode without a relay": (
        BLE + 'relay_mode = "store"\n',
        "channels.0.relay_mode",
        '"store"',
        'relay = "none"',
    ),
    "phone without a phone": (
        LTE + OWNER + "phone = true\n" + COHORT + 'channel = "way"\nowner = "user"\n',
        "cohorts.0.channel",
        '"way", which is lte-m',
        "a phone is part of, as owners.0.phone is true",
    ),
    "phone behind a gateway": (
        BLE
        + 'relay = "gateway"\nrelay_rates = [10000]\n'
        + OWNER
        + "phone = true\n"
        + COHORT
        + 'channel = "way"\nowner = "user"\n',
        "cohorts.0.channel",
        '"way", which is ble from a gateway',
        "owners.0.phone",
    ),
    "backup to no phone": (
        '[backup]\nto = "phone"\n' + LTE + COHORT + 'channel = "way"\n',
        "cohorts.0.channel",
        '"way"',
        'backup.to = "phone"',
    ),
    # habits and owners
    "hours": (HABIT + "by_hour = [1, 1]\n", "habits.0.by_hour", "2 shares", "24"),
    "days": (HABIT + "by_weekday = [1]\n", "habits.0.by_weekday", "1 shares", "7"),
    "use upside down": (HABIT + "use = [0.5, 0.1]\n", "habits.0.use", "[0.5, 0.1]", "the lower share first"),
    "online alone": (HABIT + 'online = "5 d"\n', "habits.0.offline", '""', "both online and offline"),
    "offline alone": (HABIT + 'offline = "5 d"\n', "habits.0.online", '""', "both online and offline"),
    "dormant for ever": (HABIT + "dormant = 0.1\n", "habits.0.dormant_for", '""', "for how long"),
    "no gap at all": (HABIT + 'gaps = "0 s"\n', "habits.0.gaps", '"0 ms"', "a longer time"),
    "gaps too short": (HABIT + 'gaps = "exponential(1 s)"\n', "habits.0.gaps", "exponential(1 s)", "100000"),
    "absences too short": (
        HABIT + 'online = "1 s"\noffline = "uniform(0 s, 1 s)"\n',
        "habits.0.online",
        '"1 s"',
        "a longer time",
    ),
    "use without a battery": (
        HABIT + "use = [0, 0.1]\n" + COHORT + 'habit = "daily"\n',
        "habits.0.use",
        "[0.0, 0.1]",
        "[0, 0], as no cohort with this habit has a cell",
    ),
    "charge without a battery": (
        HABIT + "charge = 0.9\n" + COHORT + 'habit = "daily"\n',
        "habits.0.charge",
        "0.9",
        "1, as no cohort with this habit has a cell",
    ),
    "owners' shares": (OWNER + "prompted = 0.5\n", "owners.0", "that sum to 1.5", "exactly 1"),
    "phone's battery upside down": (
        OWNER + "phone_battery = [0.9, 0.1]\n",
        "owners.0.phone_battery",
        "the higher charge first",
        "the lower charge first",
    ),
    "no reaction": (OWNER + "notified = 0.5\n", "owners.0.reaction", '""', "owners.0.notified is above 0"),
    "no repair": (OWNER + "repairs = 0.5\n", "owners.0.repairs_after", '""', "owners.0.repairs is above 0"),
    "no replacement": (
        OWNER + "replaces = 0.5\n",
        "owners.0.replaces_after",
        '""',
        "owners.0.replaces is above 0",
    ),
    "notified without a permission": (
        OWNER + 'notified = 0.5\nreaction = "1 h"\n',
        "owners.0.permit_notifications",
        "0",
        "more than 0, as owners.0.notified is above 0",
    ),
    "replaced without a battery": (
        OWNER + 'replaces = 0.5\nreplaces_after = "1 d"\n' + COHORT + 'owner = "user"\n',
        "owners.0.replaces",
        "0.5",
        "as no cohort with this owner has a cell",
    ),
    "gate without a battery": (
        '[precheck]\nbattery_gate = "energy"\n',
        "cohorts.0.cell",
        '""',
        'precheck.battery_gate = "energy"',
    ),
    # defects
    "defect on no hardware": (DEFECT + 'hardware = ["rev-b"]\n', "defects.0.hardware.0", '"rev-b"', "rev-a"),
    "defect on no layout": (
        DEFECT + 'layouts = ["single-slot"]\n',
        "defects.0.layouts.0",
        '"single-slot"',
        "one of swap-move",
    ),
    "defect on no cohort": (
        COHORT
        + "share = 0.5\n"
        + '[[cohorts]]\nname = "b"\nshare = 0.5\nhardware = "rev-b"\nlayout = "single-slot"\n'
        + DEFECT
        + 'hardware = ["rev-a"]\nlayouts = ["single-slot"]\n',
        "defects.0",
        "that no cohort has together",
        "at least one that has",
    ),
    "drain of nothing": (
        DEFECT + 'effect = "drain"\n',
        "defects.0.drain_uw",
        "0",
        'a power in microwatts, as effect = "drain"',
    ),
    "drain without a battery": (
        DEFECT + 'effect = "drain"\ndrain_uw = 5\n',
        "defects.0.effect",
        '"drain"',
        "as no cohort with this defect has a cell",
    ),
    "defect from before the chain": (
        DEFECT + "base_versions = [1, 2]\n",
        "defects.0.base_versions.1",
        "2",
        "at most 1, the older firmwares of the chain",
    ),
    # what happens when
    "nothing published": (
        "[release]\npublished = []\n",
        "release.published",
        "0 times",
        "one or more times, the earliest first",
    ),
    "published backwards": (
        '[release]\npublished = ["0 d", "2 d", "1 d"]\n',
        "release.published",
        "3 times",
        "the earliest first",
    ),
    "nothing at the start": (
        '[release]\npublished = ["1 d"]\n',
        "release.published.0",
        "1 d",
        "0 ms: a rollout starts with something to offer",
    ),
    "stepping stones out of order": (
        "[release]\nstepping_stones = [2, 1]\n",
        "release.stepping_stones",
        "[2, 1]",
        "each once, the least first",
    ),
    "stepping stone twice": (
        "[release]\nstepping_stones = [1, 1]\n",
        "release.stepping_stones",
        "[1, 1]",
        "each once",
    ),
    "stepping stone before the chain": (
        "[release]\nstepping_stones = [1, 9]\n",
        "release.stepping_stones.1",
        "9",
        "at most 1, the older firmwares of the chain",
    ),
    "more in flight than there are": (
        '[release]\npublished = [0, "1 d", "2 d"]\n',
        "release.published",
        "3 times",
        "at most 2, one for each of the chain",
    ),
    "recovery of several releases": (
        '[release]\npublished = ["0 d", "1 d"]\n[recovery]\non_halt = "rollback"\n',
        "recovery.on_halt",
        '"rollback"',
        '"stop", as release.published has several releases',
    ),
    "late by nothing": ("[report]\nlate = 0.1\n", "report.late_by", '""', "as report.late is above 0"),
    "jitter about nothing": (
        '[transfer]\njitter = "decorrelated"\nbackoff = 0\n',
        "transfer.backoff",
        "0 ms",
        'transfer.jitter = "decorrelated"',
    ),
    "no place for a backup": (
        "[backup]\nrequired = true\n",
        "backup.to",
        '"none"',
        "flash, phone or cloud, as backup.required is true",
    ),
    "probation past the deadline": (
        '[validation]\nprobation = "2 d"\n',
        "rollout.deadline",
        "1 d",
        "more than validation.probation, 2 d",
    ),
    "outages at once": (
        LINK + OUTAGE + 'from = "1 h"\nlength = "2 h"\n[[links.outages]]\nfrom = "3 h"\nlength = "1 h"\n',
        "links.0.outages.1.from",
        "3 h",
        "in order, apart from each other",
    ),
    "outage that is too fast": (
        'horizon = "3000 d"\n' + LINK + OUTAGE + 'from = 0\nlength = "1 h"\ncapacity = "1 GB/s"\n',
        "horizon",
        "3000 d",
        "overflow",
    ),
    "channel that is too fast": (
        'horizon = "3650 d"\n' + LTE.replace("10000", '"1 GB/s"'),
        "horizon",
        "3650 d",
        "overflow",
    ),
    # sources
    "source without a label": ('[sources]\nseed = "any"\n', "sources.seed", '"any"', "measured, cited"),
    "source of no number": (
        '[sources]\n"cohort.*.rates" = "chosen: so"\n',
        "sources.cohort.*.rates",
        '"cohort"',
        "cohorts (the nearest known key)",
    ),
    "source of a wrong key": (
        '[sources]\n"links.*.outages.*.form" = "chosen: so"\n',
        "sources.links.*.outages.*.form",
        '"form"',
        "from (the nearest known key)",
    ),
    "source inside a value": (
        '[sources]\n"seed.0" = "chosen: so"\n',
        "sources.seed.0",
        '"0"',
        "the end of the key",
    ),
    "source of a list": (
        '[sources]\n"rollout.groups.share" = "chosen: so"\n',
        "sources.rollout.groups.share",
        '"share"',
        "an index or *",
    ),
    "source of a table": (
        '[sources]\n"cohorts.*" = "chosen: so"\n',
        "sources.cohorts.*",
        "a table",
        "the key of a value in it",
    ),
    "line break in a pattern": ('[sources]\n"a\\nb" = "chosen: so"\n', "sources.a\\nb", '"a\\nb"', "one of"),
    "line break in a zone": (
        INVENTORY + '[inventory.zones]\n"a\\nb" = "x"\n',
        "inventory.zones.a\\nb",
        '"x"',
        "one of UTC",
    ),
}

CHANNELS: dict[str, Refusal] = {
    "radio of another kind": (
        BLE.replace("nrf52840", "nrf9160"),
        "channels.0.radio",
        '"nrf9160"',
        "for ble",
    ),
    "second channel": (
        LTE.replace('"way"', '"wan"') + BLE + 'interval = "8 ms"\n',
        "channels.1.interval",
        "8000 us",
        "a multiple of 1250 us",
    ),
    "modulation": (BLE.replace("2M", "sf7"), "channels.0.phy", '"sf7"', "one of 1M, 2M"),
    "no rates": (LTE.replace("[10000]", "[]"), "channels.0.rates", "0 rates", "at least one rate"),
    "relay of a way without one": (
        LTE + 'relay = "phone-wifi"\n',
        "channels.0.relay",
        '"phone-wifi"',
        "none for lte-m",
    ),
    "relay without rates": (
        BLE + 'relay = "phone-wifi"\n',
        "channels.0.relay_rates",
        "0 rates",
        "at least one rate",
    ),
}

PREPARED: dict[str, Refusal] = {
    "stepping stone before the chain": (
        CORPUS + "stepping_stones = [1, 9]\n",
        "release.stepping_stones",
        "9",
        "1 to 1",
    ),
    "more in flight than there are": (
        CORPUS + 'published = [0, "1 d", "2 d", "3 d"]\n',
        "release.published",
        "4 times",
        "at most 2",
    ),
    "base version before the chain": (
        CORPUS + COHORT + "base_mix = [0.5, 0.5]\n",
        "cohorts.0.base_mix",
        "2 base versions",
        "at most 1, the older releases of corpus:greatfet_usb",
    ),
    "nothing to go forward to": (
        CORPUS + '[recovery]\non_halt = "forward-fix"\n',
        "release.source",
        "corpus:greatfet_usb with 2 firmwares",
        "at least 3",
    ),
    "inventory that is not there": (
        INVENTORY,
        "inventory.file",
        'fleet.csv": found no such file',
        "CSV or Parquet",
    ),
}


def expect_refusal(message: str, key: str, found: str, expected: str) -> None:
    """One line: the key, what was found, what was expected."""
    assert len(message.splitlines()) == 1, message
    assert message.startswith((f"{key}: found ", f"{key} ")), message
    told_found, comma, told_expected = message.partition(", expected ")
    assert comma, message
    assert found in told_found.removeprefix(key), message
    assert expected in told_expected, message


def refusal(path: Path, text: str) -> str:
    """The line that refuses `text` as a scenario, without the file it begins with."""
    path.write_text(START + text, encoding="utf-8")
    with pytest.raises(InputError) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path}: ")
    return str(raised.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("case", LEAVES)
def test_a_value_that_is_not_what_its_key_holds_is_named(case: str, tmp_path: Path) -> None:
    text, *told = LEAVES[case]
    expect_refusal(refusal(tmp_path / "wrong.toml", text), *told)


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_unknown_key_is_told_with_the_nearest_as_a_document_has_it(text: str, tmp_path: Path) -> None:
    key, near = UNKNOWN[text]
    told = refusal(tmp_path / "wrong.toml", text)
    assert told == f"{key}: found an unknown key, expected {near} (the nearest known key)"


@pytest.mark.parametrize("case", RULES)
def test_what_does_not_hold_between_keys_is_named(case: str, tmp_path: Path) -> None:
    text, *told = RULES[case]
    expect_refusal(refusal(tmp_path / "wrong.toml", text), *told)


@pytest.mark.parametrize("case", CHANNELS)
def test_a_channel_that_cannot_be_is_told_by_its_number_and_key(case: str) -> None:
    text, *told = CHANNELS[case]
    spec = Scenario.from_toml(START + text).spec
    with pytest.raises(InputError) as raised:
        routes_of(spec)
    assert str(raised.value).startswith("x: ")
    expect_refusal(str(raised.value).removeprefix("x: "), *told)


@pytest.mark.parametrize("case", PREPARED)
def test_what_shows_only_when_a_run_is_prepared_is_one_line_too(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, *told = PREPARED[case]
    scenario = Scenario.from_toml(START + "devices = 5\n" + text)
    two = load_chain(Scenario.from_toml(START).spec.release)
    monkeypatch.setattr("simlib.firmware.chain.load_corpus", lambda _name: two)
    with pytest.raises(InputError) as raised:
        prepare(scenario)
    expect_refusal(str(raised.value).removeprefix("x: "), *told)


@pytest.mark.parametrize("factor", range(7, 13))
def test_a_lora_channel_needs_no_more_than_a_spreading_factor(factor: int) -> None:
    lora = (
        LTE.replace("lte-m", "lora-multicast").replace("nrf9160", "samr34").replace("rates = [10000]\n", "")
    )
    routes_of(Scenario.from_toml(START + lora + f'phy = "sf{factor}"\n').spec)


def test_rates_that_a_channel_replaces_do_not_count_against_the_link() -> None:
    cohort = COHORT + f"rates = {list(range(1, 34))}\n"
    assert Scenario.from_toml(START + BLE + cohort + 'channel = "way"\n').spec.cohorts[0].channel == "way"
    with pytest.raises(InputError, match="33 distinct rates"):
        Scenario.from_toml(START + BLE + cohort)


def test_what_nobody_uses_is_not_asked_for() -> None:
    """A habit of a battery and an owner who replaces it, in a fleet without either: there to be chosen."""
    text = HABIT + "use = [0, 0.1]\n" + OWNER + 'replaces = 1\nreplaces_after = "1 d"\n'
    assert Scenario.from_toml(START + text).spec.habits[0].name == "daily"


def test_sources_of_what_was_taken_out_may_stay() -> None:
    text = START + DEFECT + '[sources]\n"defects.0.prevalence" = "chosen: so"\n'
    assert Scenario.from_toml(text).with_({"defects": []}).spec.defects == ()
