"""Power fails while a patch is decoded as it arrives: the old image boots or the new, and takes an update."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from simlib.cli.main import main
from simlib.delta import codec_names, codec_traits
from simlib.device.powercut import PowercutResult, SweepOptions, sweep
from simlib.errors import Refused

Compare = Callable[..., Any]
Options = Callable[..., SweepOptions]
STREAMED = [name for name in codec_names() if codec_traits(name).streams]
TWO_SLOTS = ("swap-scratch", "swap-move", "swap-offset", "overwrite-only", "direct-xip", "direct-xip-revert")


def streamed(options: Options, codec: str, layout: str, **changes: Any) -> SweepOptions:
    payload = "delta" if codec_traits(codec).takes_base else "compressed"
    return options(layout=layout, payload=payload, codec=codec, download_size_bytes=0, **changes)


def expect_no_harm(result: PowercutResult) -> None:
    found = result.summary()
    assert (found["bricked"], found["stuck"]) == (0, 0)
    assert found["booted_old"] + found["booted_new"] == found["cuts"] > 0
    assert found["booted_old"] >= 3 * found["ops_by_phase"]["install"] > 0, "until the request it is the old"
    assert found["booted_new"] > 0
    partitions = {operation.partition for operation in result.operations}
    assert partitions <= {"primary", "secondary", "scratch"}


@pytest.mark.parametrize(
    ("codec", "layout"),
    [*((codec, "direct-xip-revert") for codec in STREAMED), ("detools-heatshrink", "swap-move")],
)
def test_no_cut_of_a_streamed_update_does_harm(options: Options, codec: str, layout: str) -> None:
    expect_no_harm(sweep(streamed(options, codec, layout)))


@pytest.mark.parametrize(
    ("codec", "layout"),
    [*(("detools-heatshrink", layout) for layout in TWO_SLOTS), ("full-heatshrink", "overwrite-only")],
)
def test_the_sweep_of_a_streamed_update_is_what_a_replay_finds(
    options: Options, same_as_replayed: Compare, codec: str, layout: str
) -> None:
    result, plainly = same_as_replayed(streamed(options, codec, layout), step=19)
    assert plainly
    if layout != "direct-xip":
        expect_no_harm(result)


@pytest.mark.slow
def test_every_single_cut_of_a_streamed_update_is_what_a_replay_finds(
    options: Options, same_as_replayed: Compare
) -> None:
    # Every layout and codec: python tests/powercut/matrix.py --codec NAME --download-size 0
    same_as_replayed(streamed(options, "detools-heatshrink", "direct-xip-revert", image_size_bytes=3_000))


def test_a_second_cut_does_no_harm_either(options: Options) -> None:
    result = sweep(streamed(options, "detools-heatshrink", "swap-move", second_cuts=100))
    expect_no_harm(result)
    found = result.summary()
    assert (found["second_cuts"], found["second_bricked"], found["second_stuck"]) == (100, 0, 0)


@pytest.mark.parametrize("codec", [name for name in codec_names() if codec_traits(name).in_place])
def test_an_image_made_over_its_base_survives_every_cut_whatever_the_codec(
    options: Options, same_as_replayed: Compare, codec: str
) -> None:
    result, _ = same_as_replayed(
        options(layout="in-place-journal", payload="delta", codec=codec, image_size_bytes=1_500), step=23
    )
    found = result.summary()
    assert (found["bricked"], found["stuck"]) == (0, 0)
    assert found["booted_old"] > 0 and found["booted_new"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": "delta", "codec": "bsdiff4"},
        {"payload": "delta", "codec": "hdiffpatch-lzma2"},
        {"payload": "delta", "codec": "detools-heatshrink", "encrypted": True},
        {"payload": "delta", "codec": "detools-heatshrink", "layout": "in-place-journal"},
    ],
)
def test_what_cannot_stream_is_refused_with_the_devices_reason(
    options: Options, changes: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match="storage-short"):
        sweep(options(**{"layout": "swap-move", "download_size_bytes": 0, **changes}))


def test_the_command_takes_a_codec_and_no_download_partition(capsys: pytest.CaptureFixture[str]) -> None:
    small = [
        "powercut",
        "--layout",
        "overwrite-only",
        "--image-size",
        "700",
        "--sector-size",
        "512",
        "--json",
    ]
    found = {}
    for download in ("0", "4 KiB"):
        flags = ["--payload", "delta", "--codec", "detools-heatshrink", "--download-size", download]
        assert main([*small, *flags]) == 0
        found[download] = json.loads(capsys.readouterr().out)
        assert (found[download]["bricked"], found[download]["stuck"]) == (0, 0)
    assert found["0"]["ops"] < found["4 KiB"]["ops"], "the patch is not stored"
    assert main([*small, "--payload", "compressed", "--codec", "full-zstd", "--download-size", "0"]) == 0


@pytest.mark.parametrize(
    ("flags", "status", "names"),
    [
        ("--payload full --codec bsdiff4", 2, ["codec", "bsdiff4", "full image"]),
        ("--payload delta --codec full-lzma", 2, ["codec", "full-lzma", "delta", "zstd-patch-from"]),
        ("--payload compressed --codec bsdiff4", 2, ["codec", "bsdiff4", "compressed", "full-zstd"]),
        ("--payload delta --codec bsdiff5", 2, ["codec", "'bsdiff5'", "bsdiff4"]),
        ("--payload delta --download-size 100", 2, ["download_size", "100", "512"]),
        ("--payload delta --download-size -1", 2, ["download-size", "-1"]),
        ("--payload delta --download-size 0", 1, ["storage-short"]),
        ("--payload compressed --layout single-slot", 2, ["payload", "compressed", "single-slot"]),
        ("--payload compressed --layout in-place-journal", 1, ["no-artefact"]),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], flags: str, status: int, names: list[str]
) -> None:
    base = "powercut --image-size 700 --sector-size 512 --layout swap-move"
    assert main([*base.split(), *flags.split()]) == status
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    for name in names:
        assert name in err
