"""The measured sizes of updates: what is in the file, in which order, and what its reader refuses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import median

import pytest

from simlib.errors import InputError
from simlib.firmware.corpus import corpora
from simlib.firmware.measurements import COLUMNS, MeasuredUpdate, delta_pairs, measured_versions
from simlib.scenario.datafiles import data_path

UPDATES = delta_pairs()
HEADER = ",".join(COLUMNS)
FULL = [
    f"c,,{version},,{size},full_lzma,{size // 2}" for version, size in (("1", 90), ("2", 100), ("3", 110))
]


def read(folder: Path, *lines: str) -> tuple[MeasuredUpdate, ...]:
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return delta_pairs(path)


def test_steps_are_counted_along_the_chain(tmp_path: Path) -> None:
    updates = read(tmp_path, HEADER, *FULL, "c,1,2,90,100,bsdiff4,7", "c,1,3,90,110,bsdiff4,9")
    assert [update.steps for update in updates] == [0, 0, 0, 1, 2]
    assert updates[-1] == MeasuredUpdate("c", "1", "3", 90, 110, "bsdiff4", 9, 2)
    assert updates[0] == MeasuredUpdate("c", None, "1", 0, 90, "full_lzma", 45, 0)
    assert measured_versions(updates) == {"c": ("1", "2", "3")}


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ((), "line 1: found columns"),
        (("chain,from",), "line 1: found columns chain,from"),
        ((HEADER, *FULL, "c,1,2,90,100,bsdiff4"), "line 5: found 6 fields"),
        ((HEADER, *FULL, "c,1,2,90,100,bsdiff4,-7"), "line 5: patch_bytes: found '-7'"),
        ((HEADER, *FULL, "c,1,2,90,0,bsdiff4,7"), "line 5: size_to: found '0'"),
        ((HEADER, *FULL, "c,1,2,,100,bsdiff4,7"), "line 5: size_from: found ''"),
        ((HEADER, *FULL, "c,1,4,90,100,bsdiff4,7"), "line 5: found '1' and '4'"),
        ((HEADER, *FULL, FULL[1]), "line 5: found 'full_lzma' of this pair a second time"),
    ],
)
def test_a_row_that_is_none_is_refused_with_its_line(
    tmp_path: Path, lines: tuple[str, ...], named: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, *lines)
    assert named.replace("'", "") in str(caught.value).replace("'", "").replace('"', "")
    assert "\n" not in str(caught.value)


def test_the_measured_chains_are_the_pinned_ones_in_the_same_order() -> None:
    measured = measured_versions(UPDATES)
    for chain in corpora():
        assert measured[chain.name] == tuple(pin.version for pin in chain.pins)
        sizes = {(u.target, u.target_size_bytes) for u in UPDATES if u.chain == chain.name}
        assert sizes == {(pin.version, pin.size_bytes) for pin in chain.pins}


def test_rows_go_by_chain_then_by_the_age_of_both_versions_then_by_algorithm() -> None:
    places = {chain: [None, *versions] for chain, versions in measured_versions(UPDATES).items()}

    def place(update: MeasuredUpdate) -> tuple[str, int, int, str]:
        ages = places[update.chain]
        return (update.chain, ages.index(update.base), ages.index(update.target), update.algorithm)

    assert list(UPDATES) == sorted(UPDATES, key=place)


def test_an_image_has_one_size_throughout() -> None:
    sizes = {(u.chain, u.target, u.target_size_bytes) for u in UPDATES}
    sizes |= {(u.chain, u.base, u.base_size_bytes) for u in UPDATES if u.base is not None}
    assert len(sizes) == sum(map(len, measured_versions(UPDATES).values()))


def test_every_pair_of_neighbours_is_measured_and_skips_of_some_lengths() -> None:
    pairs = Counter(update.steps for update in UPDATES if update.algorithm == "bsdiff4")
    neighbours = sum(len(versions) - 1 for versions in measured_versions(UPDATES).values())
    assert pairs[1] == neighbours == 123
    assert set(pairs) == {1, 2, 3, 4, 6, 8}
    # The one update that is known not to decode again is no row.
    everything = Counter(update.algorithm for update in UPDATES if update.steps == 1)
    assert everything.pop("detools_seq_bz2") == neighbours - 1
    assert set(everything.values()) == {neighbours}


def test_a_patch_over_more_releases_is_larger() -> None:
    def share(steps: int) -> float:
        ours = [u for u in UPDATES if u.algorithm == "bsdiff4" and u.steps == steps]
        return median(u.update_bytes / u.target_size_bytes for u in ours)

    assert share(1) < share(2) < share(3) < share(4) < share(6)


def test_the_file_is_small_enough_to_be_shipped() -> None:
    assert data_path("measurements", "delta_pairs.csv").stat().st_size < 256_000
