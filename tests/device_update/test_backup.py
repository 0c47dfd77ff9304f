"""A backup costs its sectors, its words and its hashes, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simlib.device import DeviceConfig, Meter
from simlib.device.backup import Cost, backup_cost, restore_cost
from simlib.errors import InputError
from simlib.scenario.calibration import core_profile, flash_profile

CONFIG = DeviceConfig("swap-move", 65_536, 0)


def expected(config: DeviceConfig, n_bytes: int, hashes: int) -> Cost:
    """By hand: whole sectors, whole words of whole write units, and SHA-256 over everything."""
    flash, meter = flash_profile(config.flash), Meter(core_profile(config.core))
    assert flash.sector_bytes == config.sector_size_bytes, "else an erase is charged by its share"
    sectors = -(-n_bytes // config.sector_size_bytes)
    programmed = -(-n_bytes // config.write_size_bytes) * config.write_size_bytes
    words = -(-programmed // flash.word_bytes)
    meter.flash(sectors * flash.erase_ns, sectors * flash.erase_nj)
    meter.flash(words * flash.word_ns, words * flash.word_nj)
    for _ in range(hashes):
        meter.sha256(n_bytes)
    return Cost(meter.time_ns, meter.flash_nj, meter.compute_nj)


@pytest.mark.parametrize("n_bytes", [0, 1, 4, 7, 1_023, 1_024, 1_025, 4_095, 4_096, 4_097, 50_003])
@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, write_size_bytes=8, erased_value=0),
        replace(CONFIG, flash="spi-nor-w25q128jv"),
    ],
)
def test_the_cost_is_that_of_sectors_words_and_hashes(config: DeviceConfig, n_bytes: int) -> None:
    assert backup_cost(config, n_bytes) == expected(config, n_bytes, hashes=2)
    assert restore_cost(config, n_bytes) == expected(config, n_bytes, hashes=1)


def test_a_device_with_smaller_sectors_erases_no_more_than_it_must() -> None:
    small = replace(CONFIG, sector_size_bytes=1_024)
    assert backup_cost(small, 1_000).flash_nj < backup_cost(CONFIG, 1_000).flash_nj
    assert backup_cost(small, 4_096).flash_nj == backup_cost(CONFIG, 4_096).flash_nj


@pytest.mark.parametrize("cost", [backup_cost, restore_cost])
def test_a_negative_size_is_bad_input(cost) -> None:
    with pytest.raises(InputError, match="found -1 bytes"):
        cost(CONFIG, -1)


def test_a_copy_that_reads_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from simlib.device.partitions import Area

    monkeypatch.setattr(Area, "read", lambda self, offset, n: bytes(n))
    for cost in (backup_cost, restore_cost):
        with pytest.raises(RuntimeError, match="reads as"):
            cost(CONFIG, 12_345)
