"""What a server carries and computes, and what a chain of patches comes to beside one patch."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from simlib.delta import create_patch
from simlib.delta.registry import codec_names
from simlib.errors import InputError
from simlib.firmware.measurements import MeasuredUpdate
from simlib.firmware.synthetic import synthetic_chain
from simlib.study.skew import (
    Costs,
    Install,
    build_ms,
    growth,
    measured_build_ms,
    measured_steps,
    steps_of_images,
)
from simlib.study.skew.server import BUILD_NS_PER_BYTE, history_of_images, storage

F = Fraction


@pytest.fixture(scope="module")
def images() -> tuple[bytes, ...]:
    return tuple(synthetic_chain(7, [64 << 10] * 4, ["minor", "patch", "minor"]))


def test_every_codec_has_a_planned_time_that_grows_with_the_bytes() -> None:
    assert tuple(BUILD_NS_PER_BYTE) == codec_names()
    for codec in codec_names():
        assert build_ms(codec, 0, 1) == 1  # rounded up
        assert build_ms(codec, 1 << 20, 1 << 20) > build_ms(codec, 1 << 18, 1 << 18) > 1
    assert build_ms("bsdiff4", 1_000_000, 500_000, {"bsdiff4": 100}) == 150
    assert build_ms("full-lzma", 1_000_000, 500_000, {"full-lzma": 100}) == 50


def test_a_measured_time_is_of_this_processor_and_above_nothing(images) -> None:
    assert measured_build_ms(images[0], images[1], "bsdiff4", repeats=2) > 0


def test_a_server_stores_both_whole_images_and_the_patches_that_are_worth_it() -> None:
    costs = Costs((F(10), F(20), F(70)), F(80), F(100), full_above=F(4, 5))
    assert storage(costs, 0) == 180
    assert storage(costs, 2) == storage(costs, {1, 2}) == 210
    assert storage(costs, 3) == 210  # the third is above four fifths of 80
    assert storage(Costs((F(10),), F(100), F(100)), 1) == 110  # no compressed image is made


def test_storage_grows_by_each_release_or_stays_where_old_ones_are_dropped(images) -> None:
    history = history_of_images(images, 2)
    table = growth(history, 2)
    lzma = [len(create_patch(b"", image, "full-lzma")) for image in images]
    patches = [
        sum(len(create_patch(base, image)) for base in images[max(n - 2, 0) : n])
        for n, image in enumerate(images)
    ]
    added = [len(image) + lzma[n] + patches[n] for n, image in enumerate(images)]
    assert table["release"].tolist() == [1, 2, 3, 4]
    assert table["built"].tolist() == table["published"].tolist() == [0, 1, 2, 2]
    assert table["newest_only"].tolist() == added
    assert table["everything"].tolist() == [sum(added[: n + 1]) for n in range(4)]
    none = growth(history, 0)
    assert none["built"].tolist() == [0, 0, 0, 0]
    assert none["newest_only"].tolist() == [len(image) + lzma[n] for n, image in enumerate(images)]


def test_a_chain_costs_the_sum_of_its_steps_and_an_install_for_each(images) -> None:
    install = Install(uj=1_000_000, ms=20_000, nj_per_byte=500, power_cut=F(1, 100))
    table = steps_of_images(images, install=install).set_index(["lag", "way"])
    consecutive = [len(create_patch(a, b)) for a, b in pairwise(images)]
    whole = len(create_patch(b"", images[-1], "full-lzma"))
    for lag in (1, 2, 3):
        direct, chain = table.loc[(lag, "direct")], table.loc[(lag, "chain")]
        assert direct["bytes"] == len(create_patch(images[-1 - lag], images[-1]))
        assert chain["bytes"] == sum(consecutive[-lag:])
        assert chain["times_bytes"] == chain["bytes"] / direct["bytes"]
        assert table.loc[(lag, "whole")]["bytes"] == whole
        assert (direct["installs"], chain["installs"]) == (1, lag)
        assert chain["ms"] == lag * 20_000
        assert chain["uj"] == lag * 1_000_000 + -(-chain["bytes"] * 500 // 1000)
        assert direct["cut"] == pytest.approx(0.01)
        assert chain["cut"] == pytest.approx(1 - 0.99**lag)
    assert table.loc[(3, "chain")]["bytes"] > table.loc[(3, "direct")]["bytes"]


def test_the_public_chains_take_more_bytes_step_by_step_the_longer_the_way() -> None:
    table = measured_steps().set_index("lag")
    assert (table["least"] > 1).all()
    assert table["median"].is_monotonic_increasing
    assert table["installs"].tolist() == table.index.tolist() == [2, 3, 4, 6, 8]
    # The reference's medians are of a larger set of chains for the shorter ways.
    assert table["median"].tolist() == pytest.approx([1.25, 1.42, 1.67, 2.18, 2.96], abs=0.22)
    assert table.loc[8, "median"] == pytest.approx(2.96, abs=0.02)


def test_a_measured_way_is_the_sum_of_the_patches_between_its_ends() -> None:
    def update(base: str | None, target: str, n_bytes: int, steps: int) -> MeasuredUpdate:
        return MeasuredUpdate("a", base, target, 0 if base is None else 100, 100, "bsdiff4", n_bytes, steps)

    wholes = tuple(
        MeasuredUpdate("a", None, target, 0, 100, "full_lzma", 60, 0) for target in ("1", "2", "3", "4")
    )
    pairs = (
        update("1", "2", 10, 1),
        update("2", "3", 20, 1),
        update("1", "3", 24, 2),
        update("2", "4", 50, 2),  # its second step was not measured
    )
    table = measured_steps(updates=(*wholes, *pairs))
    assert table.to_dict("records") == [
        {"lag": 2, "pairs": 1, "installs": 2, "least": 1.25, "median": 1.25, "most": 1.25}
    ]


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: build_ms("bsdiff4", 1, 1, {}), "codec: found bsdiff4"),
        (lambda: build_ms("bsdiff5", 1, 1), "codec: found 'bsdiff5'"),
        (lambda: growth([Costs((), F(1), F(1))], -1), "kept: found -1"),
        (lambda: growth([Costs((), F(1), F(1))] * 2, 1), "lag: found 1"),
        (lambda: steps_of_images([b"alone"]), "images: found 1"),
        (lambda: measured_steps("guess"), "algorithm: found"),
        (lambda: Install(ms=-1), "ms: found -1"),
        (lambda: Install(power_cut=F(3, 2)), "power_cut: found 1.5"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, names: str) -> None:
    with pytest.raises(InputError, match=names) as caught:
        make()
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)
