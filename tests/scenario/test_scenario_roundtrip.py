"""A scenario written out in full reads back to equal facts, whatever the facts."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.scenario import Scenario, calibration, load, preset_names
from simlib.scenario import model as m
from simlib.scenario.reading import read_document
from simlib.scenario.schema import DAY, LAYOUTS, MINUTE, SIGNATURES, STEP_KINDS, TEARS
from simlib.scenario.toml_text import parse_toml, write_toml

SHARES = st.fractions(0, 1, max_denominator=10**6) | st.decimals(0, 1, places=6).map(Fraction)
SPANS = st.integers(0, 30 * DAY)
PERIODS = st.integers(1, 30 * DAY)
LABELS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


def split(weights: Sequence[int]) -> tuple[Fraction, ...]:
    """Shares in proportion to `weights`; they sum to exactly 1."""
    return tuple(Fraction(w, sum(weights)) for w in weights)


@st.composite
def releases(draw: Any, hardware: Sequence[str]) -> m.ReleaseSpec:
    return m.ReleaseSpec(
        source=draw(st.sampled_from(["synthetic", "corpus:greatfet_usb"])),
        files=(),
        seed=draw(st.integers(0, (1 << 64) - 1)),
        size_bytes=draw(st.integers(64 << 10, 1 << 20)),
        base_size_bytes=draw(st.integers(64 << 10, 1 << 20)),
        steps=tuple(draw(st.lists(st.sampled_from(STEP_KINDS), min_size=3, max_size=6))),
        payload=draw(st.sampled_from(["full", "delta"])),
        codec="bsdiff4",
        full_above=draw(SHARES),
        encrypted=draw(st.booleans()),
        signature=draw(st.sampled_from(SIGNATURES)),
        hardware=tuple(draw(st.lists(st.sampled_from(hardware), max_size=3))),
    )


@st.composite
def cohorts(draw: Any, name: str, share: Fraction, hardware: str, link: str) -> m.CohortSpec:
    sector = draw(st.sampled_from([512, 4096, 4608, 65536]))
    low, high = sorted([draw(SHARES), draw(SHARES)])
    return m.CohortSpec(
        name=name,
        share=share,
        hardware=hardware,
        layout=draw(st.sampled_from(LAYOUTS)),
        slot_size_bytes=sector * draw(st.integers(1, 200)),
        download_size_bytes=sector * draw(st.integers(0, 200)),
        sector_size_bytes=sector,
        write_size_bytes=draw(st.sampled_from([1, 4, 8, 32])),
        erased_value=draw(st.sampled_from([0, 255])),
        flash=draw(st.sampled_from(calibration.flash_names())),
        core=draw(st.sampled_from(calibration.core_names())),
        radio=draw(st.sampled_from(calibration.radio_names())),
        base_mix=split(draw(st.lists(st.integers(1, 99), min_size=1, max_size=3))),
        link=link,
        rates_bps=tuple(draw(st.lists(st.integers(1, 10**7), min_size=1, max_size=4))),
        weak_link=draw(SHARES),
        battery_low=low,
        battery_high=high,
        wake_period_ms=draw(PERIODS),
        wake_presence=draw(SHARES),
        reboot_ms=draw(SPANS),
        self_test_ms=draw(SPANS),
    )


@st.composite
def groups(draw: Any) -> tuple[m.GroupSpec, ...]:
    shares: list[Fraction | None] = list(split(draw(st.lists(st.integers(1, 99), min_size=1, max_size=4))))
    if draw(st.booleans()):
        shares[-1] = None
    return tuple(
        m.GroupSpec(share, draw(SHARES), draw(SHARES), draw(st.integers(1, 10**6)), draw(SPANS))
        for share in shares
    )


@st.composite
def specs(draw: Any) -> m.ScenarioSpec:
    links = draw(st.lists(LABELS, min_size=1, max_size=3, unique=True))
    names = draw(st.lists(LABELS, min_size=1, max_size=4, unique=True))
    hardware = [draw(LABELS) for _ in names]
    shares = split([draw(st.integers(1, 99)) for _ in names])
    backoff = draw(SPANS)
    start, end = draw(st.lists(st.integers(0, 24 * 60 - 1), min_size=2, max_size=2, unique=True))
    return m.ScenarioSpec(
        name=draw(NAMES),
        title=draw(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30)),
        seed=draw(st.integers(0, (1 << 64) - 1)),
        devices=draw(st.integers(1, 10**6)),
        horizon_ms=draw(PERIODS),
        timeline_ms=draw(st.integers(MINUTE, DAY)),
        release=draw(releases(hardware)),
        links=tuple(m.LinkSpec(name, draw(st.integers(1, 10**9))) for name in links),
        cohorts=tuple(
            draw(cohorts(n, s, h, draw(st.sampled_from(links))))
            for n, s, h in zip(names, shares, hardware, strict=True)
        ),
        precheck=m.PrecheckSpec(
            draw(st.booleans()), draw(SHARES), draw(st.booleans()), draw(st.integers(0, 99))
        ),
        transfer=m.TransferSpec(
            draw(st.booleans()),
            draw(st.integers(1, 65536)),
            draw(st.integers(1, 99)),
            backoff,
            backoff + draw(SPANS),
        ),
        faults=m.FaultsSpec(
            drop=draw(SHARES),
            drop_weak=draw(SHARES),
            corruption=draw(SHARES),
            power_cut=draw(SHARES),
            tear=draw(st.sampled_from(TEARS)),
            power_off_ms=draw(SPANS),
            defect=draw(SHARES),
            defect_hardware=tuple(draw(st.lists(st.sampled_from(hardware), max_size=2))),
            stale_inventory=draw(SHARES),
        ),
        report=m.ReportSpec(draw(SPANS)),
        rollout=m.RolloutSpec(
            policy="staged",
            interval_ms=draw(PERIODS),
            deadline_ms=draw(PERIODS),
            abort_downloads=draw(st.booleans()),
            window=draw(st.sampled_from([None, (start * MINUTE, end * MINUTE), (0, DAY)])),
            groups=draw(groups()),
        ),
    )


@settings(deadline=None, max_examples=120)
@given(specs())
def test_a_scenario_written_out_reads_back_to_equal_facts(spec: m.ScenarioSpec) -> None:
    text = Scenario.of(spec).to_toml()
    assert read_document(parse_toml(text, "again"), "again") == spec


@settings(deadline=None, max_examples=40)
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
