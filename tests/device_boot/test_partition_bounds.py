"""A partition's user cannot leave it; configurations that do not fit together are refused."""

from __future__ import annotations

import pytest

from simlib.device import DeviceConfig, FlashError, FlashErrorKind
from simlib.errors import InputError


def test_an_image_too_long_for_its_partition_is_cut_off_where_the_driver_refuses(bench: object) -> None:
    device = bench.device(bench.image("1.1.0", 3000))
    primary, secondary = device.area("primary"), device.area("secondary")
    neighbour = secondary.read(0, secondary.size)
    primary.erase_all()
    with pytest.raises(FlashError) as caught:
        primary.write_bytes(0, b"\x5a" * (primary.size + 1))
    assert caught.value.kind is FlashErrorKind.OUT_OF_PARTITION
    assert primary.read(0, primary.size) == b"\x5a" * primary.size
    assert secondary.read(0, secondary.size) == neighbour


@pytest.mark.parametrize(
    "act",
    [
        lambda a: a.read(a.size - 4, 8),
        lambda a: a.write(a.size, bytes(4)),
        lambda a: a.erase(a.size),
        lambda a: a.read(-4, 4),
    ],
)
def test_no_call_reaches_past_the_partition(bench: object, act: object) -> None:
    device = bench.device(bench.image("1.1.0", 3000))
    with pytest.raises(FlashError) as caught:
        act(device.area("primary"))
    assert caught.value.kind is FlashErrorKind.OUT_OF_PARTITION


def test_write_bytes_splits_at_1024_and_pads_the_tail_with_the_erased_value(bench: object) -> None:
    device = bench.device(bench.image("1.1.0", 3000))
    area = device.area("secondary")
    data = bytes(range(256)) * 10 + b"\x01\x02"
    area.write_bytes(0, data)
    assert device.flash.writes == 3
    assert device.flash.bytes_written == len(data) + 2
    assert area.read(0, len(data) + 6) == data + b"\xff" * 6


def test_partitions_fill_the_flash_without_gaps_or_overlap(bench: object) -> None:
    device = bench.with_config(download_size_bytes=8192).device(bench.image("1.1.0", 3000))
    assert [(p.name, p.offset, p.size) for p in device.partitions] == [
        ("primary", 0, 65536),
        ("secondary", 65536, 65536),
        ("download", 131072, 8192),
    ]
    assert device.flash.size_bytes == 131072 + 8192
    single = bench.with_config(layout="single-slot").device(bench.image("1.1.0", 3000))
    assert [p.name for p in single.partitions] == ["primary"]
    assert not single.has("secondary")
    with pytest.raises(InputError, match="secondary"):
        single.area("secondary")


@pytest.mark.parametrize(
    "wrong",
    [
        {"slot_size_bytes": 65537},
        {"slot_size_bytes": 0},
        {"download_size_bytes": 100},
        {"download_size_bytes": -4096},
        {"write_size_bytes": 3},
        {"erased_value": 7},
        {"sector_size_bytes": 256},
        {"sector_size_bytes": 4100, "write_size_bytes": 8, "slot_size_bytes": 41000},
    ],
)
def test_sizes_that_do_not_fit_together_are_input_errors(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        DeviceConfig(**{"layout": "swap-move", "slot_size_bytes": 65536, "download_size_bytes": 0} | wrong)


def test_an_unknown_layout_is_an_input_error_that_names_the_nearest(bench: object) -> None:
    with pytest.raises(InputError, match="swap-move"):
        bench.with_config(layout="swap-mov").device(bench.image("1.1.0", 3000))
