"""A scenario written out in full reads back to equal facts, whatever the facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simlib.scenario import Scenario, calibration, load, preset_names
from simlib.scenario import field_model as f
from simlib.scenario import model as m
from simlib.scenario import schema_field as known
from simlib.scenario.consistency import IN_THE_CLEAR, TOKEN_KEY_WRAPS, TOKEN_SIGNATURES
from simlib.scenario.distributions import SHAPE, SIGMA, Distribution
from simlib.scenario.leaves import DAY, MINUTE
from simlib.scenario.reading import read_document
from simlib.scenario.schema import (
    ANY_STEP,
    CIPHERS,
    CODECS,
    COUNTER_STORES,
    COUNTERS,
    FORGERIES,
    FULL_CODECS,
    JITTERS,
    KEY_STORES,
    KEY_WRAPS,
    LAYOUTS,
    NO_CODEC,
    PATCH_CHOICES,
    SIGNATURES,
    STEP_KINDS,
    TEARS,
    VARIATIONS,
)
from simlib.scenario.sources import SourceLabel
from simlib.scenario.toml_text import parse_toml, write_toml
from tests.amounts import examples

SHARES = (
    st.integers(0, 10**6).map(lambda n: Fraction(n, 10**6))
    | st.integers(0, 999).map(lambda n: Fraction(n, 999))
    | st.integers(0, 10**64).map(lambda n: Fraction(n, 10**64))
)
PRICES = st.none() | st.integers(0, 10**12).map(Fraction) | SHARES.map(lambda share: 10**6 * share)
SPANS = st.integers(0, 30 * DAY)
PERIODS = st.integers(1, 30 * DAY)
COUNTS = st.integers(0, 99)
FLAGS = st.booleans()
PRINTABLE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
TEXTS = st.text(PRINTABLE, max_size=30)
LABELS = st.text(PRINTABLE, min_size=1, max_size=12).filter(lambda text: text == text.strip())
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
RATES = st.lists(st.integers(1, 10**7), max_size=4).map(tuple)
WEIGHTS = st.builds(m.StepWeights, SHARES, SHARES, SHARES, SHARES, SHARES).filter(
    lambda weights: any(astuple(weights))
)
OLDER = 3
"""The fewest older firmwares that a chain here has."""


def split(weights: Sequence[int]) -> tuple[Fraction, ...]:
    """Shares in proportion to `weights`; they sum to exactly 1."""
    return tuple(Fraction(w, sum(weights)) for w in weights)


def several(values: Sequence[str], most: int = 3) -> st.SearchStrategy[tuple[str, ...]]:
    """Up to `most` of `values`."""
    return st.lists(st.sampled_from(values), max_size=most).map(tuple)


def named(most: int, least: int = 0) -> st.SearchStrategy[list[str]]:
    """Different names."""
    return st.lists(LABELS, min_size=least, max_size=most, unique=True)


@st.composite
def pairs(draw: Any) -> tuple[Fraction, Fraction]:
    low, high = sorted([draw(SHARES), draw(SHARES)])
    return low, high


@st.composite
def spreads(draw: Any, least: int = MINUTE) -> Distribution:
    """A duration that varies, its first number `least` or more [ms]."""
    kind = draw(st.sampled_from(["fixed", "uniform", "exponential", "lognormal", "pareto"]))
    first = draw(st.integers(least, 30 * DAY))
    match kind:
        case "uniform":
            return Distribution(kind, first, Fraction(draw(st.integers(first, 60 * DAY))))
        case "lognormal":
            return Distribution(kind, first, draw(st.fractions(*SIGMA, max_denominator=1000)))
        case "pareto":
            return Distribution(kind, first, draw(st.fractions(*SHAPE, max_denominator=1000)))
    return Distribution(kind, first, None)


MAYBE = st.none() | spreads()


@st.composite
def causes(draw: Any, shares: st.SearchStrategy[Fraction] = SHARES) -> tuple[Fraction, Distribution | None]:
    """A chance and how long what it leads to takes, which is only left open if it never happens."""
    chance = draw(shares)
    return chance, draw(spreads() if chance else MAYBE)


@st.composite
def releases(draw: Any, hardware: Sequence[str], in_flight: int) -> m.ReleaseSpec:
    source = draw(st.sampled_from(["synthetic", "corpus:greatfet_usb"]))
    stones = st.integers(1, OLDER if source == "synthetic" else 63)
    signature, key_wrap = draw(st.sampled_from(SIGNATURES)), draw(st.sampled_from(KEY_WRAPS))
    for_token = signature in TOKEN_SIGNATURES and key_wrap in TOKEN_KEY_WRAPS
    return m.ReleaseSpec(
        source=source,
        files=(),
        seed=draw(st.integers(0, (1 << 64) - 1)),
        size_bytes=draw(st.integers(64 << 10, 1 << 20)),
        base_size_bytes=draw(st.integers(64 << 10, 1 << 20)),
        steps=tuple(draw(st.lists(st.sampled_from((*STEP_KINDS, ANY_STEP)), min_size=OLDER, max_size=6))),
        payload=draw(st.sampled_from(["full", "delta"])),
        codec=draw(st.sampled_from(CODECS)),
        full_above=draw(SHARES),
        encrypted=draw(FLAGS),
        signature=signature,
        hardware=draw(several(hardware)),
        published_ms=(0, *sorted(draw(st.lists(SPANS, max_size=in_flight - 1)))),
        stepping_stones=tuple(sorted(draw(st.sets(stones, max_size=3)))),
        security_counters=draw(st.sampled_from(COUNTERS)),
        cipher=draw(st.sampled_from(CIPHERS)),
        key_wrap=key_wrap,
        keys=draw(st.sampled_from(KEY_STORES if for_token else KEY_STORES[:1])),
        variation=draw(st.sampled_from(VARIATIONS)),
        step_weights=draw(WEIGHTS),
        full_codec=draw(st.sampled_from((NO_CODEC, *FULL_CODECS))),
        patches=draw(st.sampled_from(PATCH_CHOICES)),
        patch_limit=draw(st.integers(0, 63)),
    )


@st.composite
def links(draw: Any, name: str) -> m.LinkSpec:
    outages, free = [], 0
    for _ in range(draw(st.integers(0, 3))):
        outage = f.OutageSpec(free + draw(SPANS), draw(PERIODS), draw(st.integers(0, 10**9)))
        outages.append(outage)
        free = outage.from_ms + outage.length_ms + 1
    return m.LinkSpec(name, draw(st.integers(1, 10**9)), tuple(outages))


@st.composite
def channels(draw: Any, name: str) -> f.ChannelSpec:
    """A channel whose kind uses every key that is not at its default."""
    kind = draw(st.sampled_from(known.KINDS))
    ble, direct, lora = (kind == k for k in ("ble", "wifi-direct", "lora-multicast"))
    near, far = sorted([draw(st.integers(0, 100_000)), draw(st.integers(0, 100_000))])
    relay = draw(st.sampled_from(known.RELAYS))
    return f.ChannelSpec(
        name=name,
        kind=kind,
        radio=draw(LABELS),
        phy=draw(st.sampled_from(known.PHYS)),
        interval_us=draw(st.integers(0, 10**7)) if ble else 30_000,
        data_length=draw(st.integers(27, 251)) if ble else 251,
        att_mtu=draw(st.integers(23, 517)) if ble else 247,
        packets_per_event=draw(COUNTS) if ble else 0,
        loss=draw(SHARES),
        rates_bps=draw(RATES),
        range_m=draw(st.integers(1, 100_000)) if direct else 200,
        distance_m=(near, far) if direct else (1, 1),
        fragment_bytes=draw(st.integers(1, 242)) if lora else 48,
        redundancy=draw(SHARES) if lora else Fraction(1, 5),
        duty_cycle=draw(SHARES) if lora else Fraction(1, 100),
        session_every_ms=draw(PERIODS) if lora else DAY,
        relay=relay,
        relay_mode=draw(st.sampled_from(known.RELAY_MODES)) if relay != "none" else "stream",
        relay_rates_bps=draw(RATES),
    )


def with_phone(channel: f.ChannelSpec) -> bool:
    """Whether a phone can be part of the way."""
    return channel.kind not in ("lte-m", "nb-iot", "lora-multicast") and channel.relay != "gateway"


@st.composite
def habits(draw: Any, name: str, cells: bool) -> f.HabitSpec:
    dormant, dormant_for = draw(causes())
    use_low, use_high = draw(pairs()) if cells else (Fraction(0), Fraction(0))
    absent = draw(FLAGS)
    return f.HabitSpec(
        name=name,
        by_hour=8 * tuple(draw(st.lists(SHARES, min_size=3, max_size=3))),
        by_weekday=tuple(draw(st.lists(SHARES, min_size=7, max_size=7))),
        gaps=draw(MAYBE),
        dormant=dormant,
        dormant_for=dormant_for,
        online=draw(spreads()) if absent else None,
        offline=draw(spreads(least=1)) if absent else None,
        charge=draw(SHARES) if cells else Fraction(1),
        charge_from_ms=MINUTE * draw(st.integers(0, 24 * 60 - 1)),
        charge_for_ms=draw(st.integers(1, DAY)),
        use_low=use_low,
        use_high=use_high,
    )


@st.composite
def owners(draw: Any, name: str, cells: bool) -> f.OwnerSpec:
    automatic, prompted, never = split(
        draw(st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(lambda weights: sum(weights) > 0))
    )
    phone_low, phone_high = draw(pairs())
    notified, reaction = draw(causes())
    repairs, repairs_after = draw(causes())
    replaces, replaces_after = draw(causes(SHARES if cells else st.just(Fraction(0))))
    return f.OwnerSpec(
        name=name,
        automatic=automatic,
        prompted=prompted,
        never=never,
        accept=draw(SHARES),
        postponements=draw(COUNTS),
        then=draw(st.sampled_from(known.AFTERWARDS)),
        phone=draw(FLAGS),
        foreground=draw(SHARES),
        session=draw(MAYBE),
        background_budget_ms=draw(PERIODS),
        phone_battery_low=phone_low,
        phone_battery_high=phone_high,
        phone_battery_least=draw(SHARES),
        permit_bluetooth=draw(SHARES),
        permit_background=draw(SHARES),
        permit_notifications=draw(SHARES.filter(lambda share: share > 0) if notified else SHARES),
        notified=notified,
        reaction=reaction,
        repairs=repairs,
        repairs_after=repairs_after,
        replaces=replaces,
        replaces_after=replaces_after,
    )


@st.composite
def cohorts(
    draw: Any, name: str, share: Fraction, hardware: str, on: Sequence[str], cells: bool
) -> m.CohortSpec:
    """A cohort that nothing of the scenario's belongs to yet: no channel, no habit, no owner."""
    sector = draw(st.sampled_from([512, 4096, 4608, 65536]))
    low, high = draw(pairs())
    return m.CohortSpec(
        name=name,
        share=share,
        hardware=hardware,
        layout=draw(st.sampled_from([layout for layout in LAYOUTS if layout != "ram-load"])),
        slot_size_bytes=sector * draw(st.integers(1, 200)),
        download_size_bytes=sector * draw(st.integers(0, 200)),
        sector_size_bytes=sector,
        write_size_bytes=draw(st.sampled_from([1, 4, 8, 32])),
        erased_value=draw(st.sampled_from([0, 255])),
        flash=draw(st.sampled_from(calibration.flash_names())),
        core=draw(st.sampled_from(calibration.core_names())),
        radio=draw(st.sampled_from(calibration.radio_names())),
        base_mix=split(draw(st.lists(st.integers(1, 99), min_size=1, max_size=OLDER))),
        link=tuple(draw(st.lists(st.sampled_from(on), min_size=1, max_size=3, unique=True))),
        rates_bps=tuple(draw(st.lists(st.integers(1, 10**7), min_size=1, max_size=4))),
        channel="",
        habit="",
        owner="",
        cell=draw(st.sampled_from(calibration.cell_names())) if cells else "",
        weak_link=draw(SHARES),
        battery_low=low,
        battery_high=high,
        wake_period_ms=draw(PERIODS),
        wake_presence=draw(SHARES),
        reboot_ms=draw(SPANS),
        self_test_ms=draw(SPANS),
        secondary_size_bytes=sector * draw(st.integers(0, 200)),
        secondary_sector_bytes=sector * draw(st.integers(0, 4)),
        scratch_size_bytes=sector * draw(st.integers(0, 9)),
        downgrade_prevention=draw(FLAGS),
        counter_store=draw(st.sampled_from(COUNTER_STORES)),
        ram_bytes=draw(st.integers(0, 1 << 20)),
    )


@st.composite
def defects(draw: Any, name: str, fleet: Sequence[m.CohortSpec]) -> f.DefectSpec:
    """A defect that at least one cohort of the fleet can have."""
    has = draw(st.sampled_from(fleet))
    hardware = (has.hardware, *draw(several([c.hardware for c in fleet], 1)))
    layouts = (has.layout, *draw(several([c.layout for c in fleet], 1)))
    effects = known.EFFECTS if has.cell else [effect for effect in known.EFFECTS if effect != "drain"]
    effect = draw(st.sampled_from(effects))
    return f.DefectSpec(
        name=name,
        probability=draw(SHARES),
        prevalence=draw(SHARES),
        hardware=draw(st.sampled_from([(), hardware])),
        layouts=draw(st.sampled_from([(), layouts])),
        base_versions=tuple(draw(st.lists(st.integers(1, OLDER), max_size=3))),
        onset=draw(MAYBE),
        visible=draw(FLAGS),
        effect=effect,
        drain_uw=draw(st.integers(int(effect == "drain"), 10**9)),
    )


@st.composite
def inventories(draw: Any, zones: Sequence[str]) -> f.InventorySpec:
    file = draw(TEXTS)
    texts = st.dictionaries(TEXTS, TEXTS, max_size=3 if file else 0)
    renamed = st.dictionaries(TEXTS, st.sampled_from(zones), max_size=3 if file else 0)
    return f.InventorySpec(
        file=file,
        format=draw(st.sampled_from(known.FORMATS)),
        columns=tuple(draw(texts).items()),
        zones=tuple(draw(renamed).items()),
        versions=tuple(draw(texts).items()),
        seen_before_ms=draw(PERIODS),
    )


@st.composite
def groups(draw: Any) -> tuple[m.GroupSpec, ...]:
    shares: list[Fraction | None] = list(split(draw(st.lists(st.integers(1, 99), min_size=1, max_size=4))))
    if draw(FLAGS):
        shares[-1] = None
    return tuple(
        m.GroupSpec(share, draw(SHARES), draw(SHARES), draw(st.integers(1, 10**6)), draw(SPANS))
        for share in shares
    )


@st.composite
def reports(draw: Any) -> m.ReportSpec:
    late, late_by = draw(causes())
    return m.ReportSpec(
        delay_ms=draw(SPANS),
        late=late,
        late_by=late_by,
        lost=draw(SHARES),
        resends=draw(COUNTS),
        resend_ms=draw(SPANS),
        duplicated=draw(SHARES),
        premature=draw(SHARES),
    )


@st.composite
def transfers(draw: Any) -> m.TransferSpec:
    jitter = draw(st.sampled_from(JITTERS))
    backoff = draw(PERIODS if jitter == "decorrelated" else SPANS)
    return m.TransferSpec(
        resume=draw(FLAGS),
        granule_bytes=draw(st.integers(1, 65536)),
        attempts=draw(st.integers(1, 99)),
        backoff_ms=backoff,
        backoff_max_ms=backoff + draw(SPANS),
        stall_ms=draw(SPANS),
        jitter=jitter,
        rounds=draw(st.integers(1, 99)),
        retry_after_ms=draw(SPANS),
    )


@st.composite
def faults(draw: Any, hardware: Sequence[str]) -> m.FaultsSpec:
    return m.FaultsSpec(
        drop=draw(SHARES),
        drop_weak=draw(SHARES),
        corruption=draw(SHARES),
        forged=draw(SHARES),
        forgery=draw(st.sampled_from(FORGERIES)),
        power_cut=draw(SHARES),
        tear=draw(st.sampled_from(TEARS)),
        power_off_ms=draw(SPANS),
        defect=draw(SHARES),
        defect_hardware=draw(several(hardware, 2)),
        stale_inventory=draw(SHARES),
    )


@st.composite
def rollouts(draw: Any, probation_ms: int) -> m.RolloutSpec:
    start, end = draw(st.lists(st.integers(0, 24 * 60 - 1), min_size=2, max_size=2, unique=True))
    return m.RolloutSpec(
        policy="staged",
        interval_ms=draw(PERIODS),
        deadline_ms=probation_ms + draw(PERIODS),
        abort_downloads=draw(FLAGS),
        window=draw(st.sampled_from([None, (start * MINUTE, end * MINUTE), (0, DAY)])),
        window_clock=draw(st.sampled_from(["utc", "local"])),
        window_ends=draw(st.sampled_from(["finish", "cut"])),
        groups=draw(groups()),
    )


SOURCES = st.dictionaries(
    st.sampled_from(["seed", "faults.*", "cohorts.*.rates", "links.0.outages.*.from", "defects.7.onset"]),
    st.builds("{}: {}".format, st.sampled_from(list(SourceLabel)), LABELS),
).map(lambda texts: tuple(texts.items()))


@st.composite
def fleets(
    draw: Any,
    on: Sequence[str],
    ways: Sequence[f.ChannelSpec],
    with_habits: Sequence[f.HabitSpec],
    of: Sequence[f.OwnerSpec],
    cells: bool,
    phone: bool,
) -> tuple[m.CohortSpec, ...]:
    """Cohorts with what belongs to them; one with a phone has no channel that goes past it."""
    names = draw(named(4, least=1))
    made = []
    for name, share in zip(names, split([draw(st.integers(1, 99)) for _ in names]), strict=True):
        owner = draw(st.none() | st.sampled_from(of) if of else st.none())
        fitting = [w.name for w in ways if with_phone(w) or not (phone or (owner and owner.phone))]
        cohort = draw(cohorts(name, share, draw(LABELS), on, cells))
        made.append(
            replace(
                cohort,
                channel=draw(st.sampled_from(["", *fitting])),
                habit=draw(st.sampled_from(["", *(h.name for h in with_habits)])),
                owner=owner.name if owner else "",
            )
        )
    return tuple(made)


@st.composite
def specs(draw: Any) -> m.ScenarioSpec:
    cells = draw(FLAGS)
    link_names, zone_names = draw(named(3, least=1)), draw(named(3, least=1))
    zone_shares = split([draw(st.integers(1, 99)) for _ in zone_names])
    all_channels = tuple(draw(channels(name)) for name in draw(named(3)))
    all_habits = tuple(draw(habits(name, cells)) for name in draw(named(2)))
    all_owners = tuple(draw(owners(name, cells)) for name in draw(named(2)))
    backup_to = draw(st.sampled_from(known.BACKUPS))
    fleet = draw(fleets(link_names, all_channels, all_habits, all_owners, cells, backup_to == "phone"))
    load_address = draw(st.sampled_from([0, 0, 1, 0x2000_0000]))
    if load_address:  # images for RAM are for devices that run them there
        fleet = tuple(replace(cohort, layout="ram-load") for cohort in fleet)
    hardware = [cohort.hardware for cohort in fleet]
    on_halt = draw(st.sampled_from(known.ON_HALT))
    release = replace(
        draw(releases(hardware, in_flight=3 if on_halt == "stop" else 1)), load_address=load_address
    )
    if any(cohort.layout in IN_THE_CLEAR for cohort in fleet):
        release = replace(release, encrypted=False)
    probation = draw(SPANS)
    return m.ScenarioSpec(
        name=draw(NAMES),
        title=draw(TEXTS),
        seed=draw(st.integers(0, (1 << 64) - 1)),
        devices=draw(st.integers(1, 10**6)),
        horizon_ms=draw(PERIODS),
        timeline_ms=draw(st.integers(MINUTE, DAY)),
        weekday=draw(st.integers(0, 6)),
        release=release,
        links=tuple(draw(links(name)) for name in link_names),
        zones=tuple(
            f.ZoneSpec(name, MINUTE * draw(st.integers(-14 * 60, 14 * 60)), share)
            for name, share in zip(zone_names, zone_shares, strict=True)
        ),
        channels=all_channels,
        habits=all_habits,
        owners=all_owners,
        cohorts=fleet,
        inventory=draw(inventories(zone_names)),
        precheck=m.PrecheckSpec(
            storage=draw(FLAGS),
            battery=draw(SHARES),
            battery_gate=draw(st.sampled_from(["share", "energy"] if cells else ["share"])),
            battery_reserve=draw(SHARES),
            link=draw(FLAGS),
            deferrals=draw(COUNTS),
        ),
        transfer=draw(transfers()),
        faults=draw(faults(hardware)),
        defects=tuple(draw(defects(name, fleet)) for name in draw(named(3))),
        validation=f.ValidationSpec(
            self_test=draw(FLAGS),
            bluetooth=draw(FLAGS),
            bluetooth_ms=draw(SPANS),
            certificate=draw(FLAGS),
            settings=draw(FLAGS),
            probation_ms=probation,
        ),
        backup=f.BackupSpec(
            to=backup_to,
            size_bytes=draw(st.integers(0, 1 << 20)),
            reserve_bytes=draw(st.integers(0, 1 << 20)),
            required=backup_to != "none" and draw(FLAGS),
            rate_bps=draw(st.integers(1, 10**9)),
        ),
        report=draw(reports()),
        rollout=draw(rollouts(probation)),
        recovery=f.RecoverySpec(on_halt, draw(SPANS), draw(FLAGS), draw(st.sampled_from(STEP_KINDS))),
        disclosure=f.DisclosureSpec(
            draw(st.none() | st.integers(-30 * DAY, 30 * DAY)), draw(SPANS), draw(SPANS)
        ),
        harm=f.HarmSpec(draw(LABELS), draw(PRICES), draw(PRICES), draw(PRICES), draw(PRICES)),
        alerts=f.AlertSpec(
            failure_rate=draw(SHARES),
            min_sample=draw(st.integers(1, 10**6)),
            stalled_ms=draw(SPANS),
            silent_ms=draw(SPANS),
            outdated_ms=draw(SPANS),
            storm=draw(SHARES),
        ),
        sources=draw(SOURCES),
    )


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@settings(deadline=None, max_examples=examples(80), suppress_health_check=SLOW)
@given(specs())
def test_a_scenario_written_out_reads_back_to_equal_facts(spec: m.ScenarioSpec) -> None:
    text = Scenario.of(spec).to_toml()
    assert read_document(parse_toml(text, "again"), "again") == spec


@settings(deadline=None, max_examples=20, suppress_health_check=SLOW)
@given(specs())
def test_writing_is_stable(spec: m.ScenarioSpec) -> None:
    text = Scenario.of(spec).to_toml()
    assert write_toml(parse_toml(text, "again")) == text


def test_a_file_reads_as_the_scenario_that_wrote_it(tmp_path: Path) -> None:
    for name in preset_names():
        scenario = load(name)
        path = tmp_path / "scenario.toml"
        path.write_text(scenario.to_toml(), encoding="utf-8", newline="\r\n")
        assert load(path) == scenario
        assert load(str(path)).to_toml() == scenario.to_toml()


def test_what_is_written_says_the_schema_and_the_size_on_lines_of_their_own() -> None:
    lines = load("smoke").to_toml().splitlines()
    assert lines[0] == "schema = 1"
    assert lines[lines.index("[release]") + 1 :][:5][3] == 'size = "128 KiB"'


def test_two_keys_are_a_whole_scenario(tmp_path: Path) -> None:
    path = tmp_path / "least.toml"
    path.write_text('schema = 1\nname = "least"\n')
    scenario = load(path)
    assert scenario.spec.release.base_size_bytes == scenario.spec.release.size_bytes
    assert scenario.spec.rollout.groups[0].share is None


def test_firmware_files_start_at_the_scenarios_folder_and_are_written_absolute(tmp_path: Path) -> None:
    for name in ("old.bin", "new.bin"):
        (tmp_path / name).write_bytes(b"\x01" * 100)
    path = tmp_path / "files.toml"
    path.write_text('schema = 1\nname = "f"\n[release]\nsource = "files"\nfiles = ["old.bin", "new.bin"]\n')
    scenario = load(path)
    assert scenario.spec.release.files == (str(tmp_path / "old.bin"), str(tmp_path / "new.bin"))
    assert scenario.with_({"seed": 9}).spec.release.files == scenario.spec.release.files
    elsewhere = tmp_path / "deeper"
    elsewhere.mkdir()
    (elsewhere / "again.toml").write_text(scenario.to_toml())
    assert load(elsewhere / "again.toml") == scenario


@pytest.mark.parametrize("name", ['quote " and \\', "snow ☃", "nbsp\u00a0inside"])
def test_text_survives_quoting(name: str) -> None:
    assert parse_toml(write_toml({"name": name}), "x") == {"name": name}
