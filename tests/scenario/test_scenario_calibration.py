"""Every figure has a source, derived figures follow from their parts, and profiles are exact integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from simlib.errors import InputError
from simlib.scenario import calibration, data_path
from simlib.scenario.calibration import Label, read_figures
from simlib.scenario.schema import SIGNATURES
from simlib.security.wrapping import KEY_WRAPS

TABLES = sorted(data_path("calibration").glob("*.csv"))
HEADER = "profile,parameter,value,unit,label,source\n"
GOOD = "a,clock,64,MHz,cited,the datasheet\n"


def parts(table: str, profile: str) -> dict[str, Fraction]:
    """Values by parameter, as written."""
    figures = read_figures(data_path("calibration", f"{table}.csv"))
    return {f.parameter: Fraction(f.value) for f in figures if f.profile == profile}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a,clock,64,MHz,,the datasheet", "label"),
        ("a,clock,64,MHz,guessed,the datasheet", 'label: found "guessed"'),
        ("a,clock,64,MHz,cited,", "source"),
        ("a,clock,64,MHz,cited,  ", "source"),
        ("a,clock,64,MHz,cited", "5 fields"),
        ("a,clock,,MHz,cited,x", "value"),
        ("a,clock,-1,MHz,cited,x", "value"),
        ("a,clock,nan,MHz,cited,x", "value"),
        (",clock,1,MHz,cited,x", "parameter"),
        (GOOD + GOOD.strip(), "not given yet"),
    ],
)
def test_a_row_without_value_label_or_source_is_refused(row: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "core.csv"
    path.write_text(f"{HEADER}{row}\n")
    with pytest.raises(InputError, match=r"^core\.csv: line [23]: ") as refusal:
        read_figures(path)
    assert told in str(refusal.value)


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "core.csv"
    path.write_text("profile,parameter,value\n")
    with pytest.raises(InputError, match="expected profile,parameter,value,unit,label,source"):
        read_figures(path)


def test_a_figure_of_our_own_making_says_so() -> None:
    for path in TABLES:
        for figure in read_figures(path):
            if "assumption" in figure.source:
                assert figure.label is Label.RECALLED, figure


def test_profiles_are_the_cited_figures_in_whole_units() -> None:
    flash = calibration.flash_profile("nrf52840")
    assert (flash.sector_bytes, flash.erase_ns, flash.erase_nj) == (4096, 85_000_000, 1_020_000)
    assert (flash.word_bytes, flash.word_ns, flash.word_nj) == (4, 41_000, 492)
    core = calibration.core_profile("cortex-m4-64mhz")
    assert (core.clock_hz, core.nj_per_mcycle) == (64_000_000, 154_700)
    assert (core.sha256_mcpb, core.aes256_ctr_mcpb) == (86_200, 47_544)
    assert (core.sha512_mcpb, core.aes128_ctr_mcpb) == (231_200, 32_994)
    assert core.verify_cycles == {
        "ecdsa-p256": 976_000,
        "ecdsa-p384": 27_760_000,
        "ed25519": 2_925_680,
        "rsa-2048": 2_240_000,
        "rsa-3072": 5_040_000,
    }
    assert calibration.radio_profile("ble-2m-nrf52840").rx_pj_per_byte == 148_880
    assert calibration.radio_profile("ble-1m-nrf52840").rx_pj_per_byte == 264_320
    assert calibration.radio_profile("wifi-esp32").rx_pj_per_byte == 264_000
    lte = calibration.radio_profile("lte-m-nrf9160")
    assert (lte.rx_pj_per_byte, lte.checkin_nj) == (10_000_000, 216_000_000)


def test_batteries_are_the_cited_figures_in_whole_units() -> None:
    cell = calibration.cell_profile("cr2032")
    assert (cell.energy_uj, cell.pulse_ma, cell.derating) == (2_349_000_000, 15, Fraction(6, 1000))
    assert cell.self_discharge_uj_per_hour == 2682  # 23.49 J in 8,760 hours, upwards
    rechargeable = {name for name in calibration.cell_names() if calibration.cell_profile(name).rechargeable}
    assert rechargeable == {"lipo-500", "li-ion-36v-10ah"}


def test_a_coin_cell_loses_9_percent_from_pulses_of_30_ma_and_never_more_than_half() -> None:
    cell = calibration.cell_profile("cr2032")
    assert calibration.usable_uj(cell, 0) == calibration.usable_uj(cell, 15_000) == cell.energy_uj
    assert calibration.usable_uj(cell, 30_000) == cell.energy_uj * Fraction(91, 100)
    assert calibration.usable_uj(cell, 15_001) < cell.energy_uj
    assert calibration.usable_uj(cell, 10**9) == cell.energy_uj // 2
    lithium = calibration.cell_profile("aa-l91")
    assert calibration.usable_uj(lithium, 10**9) == lithium.energy_uj


@pytest.mark.parametrize("name", calibration.cell_names())
def test_battery_figures_follow_from_their_parts(name: str) -> None:
    row = parts("battery", name)
    assert row["energy"] == row["capacity"] * row["mean_voltage"] * Fraction(36, 10)
    cell = calibration.cell_profile(name)
    assert 0 < cell.self_discharge_uj_per_hour * 8760 < cell.energy_uj
    assert cell.energy_uj == row["energy"] * 10**6
    if "pulse_loss" in row:
        assert row["derating"] == row["pulse_loss"] / (row["pulse_current_compared"] - row["pulse_current"])


def test_a_running_core_draws_its_current_at_its_supply() -> None:
    for name in calibration.core_names():
        row = parts("core", name)
        core = calibration.core_profile(name)
        assert core.active_nw == Fraction(core.clock_hz * core.nj_per_mcycle, 10**6)
        assert core.active_nw == pytest.approx(row["current"] * row["supply"] * 10**6, rel=1e-3)
    assert calibration.flash_profile("nrf52840").current_ua == 4000


def test_a_run_can_name_the_assumptions_it_stands_on() -> None:
    uses = [("flash", "nrf52840"), ("core", "cortex-m4-64mhz"), ("battery", "cr2032")]
    found = calibration.recalled([*uses, *uses])
    assert [(f.profile, f.parameter) for f in found] == [
        ("cr2032", "mean_voltage"),
        ("cr2032", "self_discharge"),
        ("cortex-m4-64mhz", "current"),  # which energy_per_cycle is derived from
        ("cortex-m4-64mhz", "patch"),
    ]
    assert calibration.recalled([]) == ()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("core", calibration.core_names()),
        ("flash", calibration.flash_names()),
        ("radio", calibration.radio_names()),
        ("battery", calibration.cell_names()),
    ],
)
def test_the_figures_of_a_profile_are_its_rows(kind: str, names: tuple[str, ...]) -> None:
    rows = read_figures(data_path("calibration", f"{kind}.csv"))
    for name in names:
        figures = calibration.figures_of(kind, name)
        assert set(figures) == {row for row in rows if row.profile == name}
        assert [f.parameter for f in figures] == sorted(f.parameter for f in figures)


def test_figures_of_an_unknown_kind_or_profile_are_refused() -> None:
    with pytest.raises(InputError, match="expected one of core, flash, radio, battery, channel"):
        calibration.figures_of("cell", "cr2032")
    with pytest.raises(InputError, match="nearest is cr2032"):
        calibration.figures_of("battery", "cr2033")


def test_every_profile_is_complete_and_positive() -> None:
    profiles = [
        *map(calibration.flash_profile, calibration.flash_names()),
        *map(calibration.core_profile, calibration.core_names()),
        *map(calibration.radio_profile, calibration.radio_names()),
    ]
    for profile in profiles:
        for name, value in dataclasses.asdict(profile).items():
            if name == "verify_cycles":
                assert set(value) == set(SIGNATURES)
                assert all(isinstance(v, int) and v > 0 for v in value.values())
            elif name == "unwrap_cycles":
                assert set(value) == set(KEY_WRAPS.values())
                assert all(isinstance(v, int) and v > 0 for v in value.values())
            elif name != "name":
                assert isinstance(value, int)
                assert value > 0


@pytest.mark.parametrize("name", calibration.flash_names())
def test_flash_energy_is_current_times_supply_times_time(name: str) -> None:
    row = parts("flash", name)
    watts = row["current"] * row["supply"] / 1000
    profile = calibration.flash_profile(name)
    assert profile.erase_nj == watts * profile.erase_ns
    assert 0 <= profile.word_nj - watts * profile.word_ns < 1
    if "page_program_time" in row:
        assert row["page_program_time"] * 1000 / 64 == row["word_write_time"]


@pytest.mark.parametrize("name", calibration.core_names())
def test_core_figures_follow_from_their_parts(name: str) -> None:
    row = parts("core", name)
    microjoules = row["current"] * row["supply"] * 1000 / row["clock"]
    assert abs(microjoules - row["energy_per_cycle"]) < Fraction(1, 20)
    unwrap = row["p256_ecdh"] + row["sha256_blocks_of_unwrap"] * 64 * row["sha256"] + 2 * row["aes256_ctr"]
    assert 0 <= row["ecies_unwrap"] - unwrap < 1
    blocks = row["sha256_blocks_of_unwrap"]
    for form, hashing in (("x25519", 64 * row["sha256"]), ("x25519-sha512", 128 * row["sha512"])):
        unwrap = row["x25519"] + blocks * hashing + 2 * row["aes256_ctr"]
        assert 0 <= row[f"unwrap_{form}"] - unwrap < 1
    assert 0 <= row["unwrap_aes-kw"] - 24 * row["aes256_ctr"] < 1
    assert calibration.core_profile(name).unwrap_cycles["ecies-p256"] == row["ecies_unwrap"]
    if "rsa2048_public" in row:
        assert row["verify_rsa-2048"] == row["rsa2048_public"]
        assert row["verify_rsa-3072"] == row["rsa2048_public"] * Fraction(3072, 2048) ** 2


@pytest.mark.parametrize(
    ("of", "name", "near"),
    [
        (calibration.flash_profile, "nrf5284", "nrf52840"),
        (calibration.core_profile, "cortex-m4-64mh", "cortex-m4-64mhz"),
        (calibration.radio_profile, "wifi-esp23", "wifi-esp32"),
        (calibration.cell_profile, "lipo-50", "lipo-500"),
    ],
)
def test_an_unknown_profile_names_the_nearest(of: Callable[[str], object], name: str, near: str) -> None:
    with pytest.raises(InputError, match=f'found "{name}".*nearest is {near}'):
        of(name)
