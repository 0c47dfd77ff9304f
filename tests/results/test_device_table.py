"""A device table made in parts is the same table: same frame, file, digest and sums, whatever the parts."""

import hashlib
import pickle
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.results import DEVICE_COLUMNS, Run, digest_of, parquet
from simlib.results import device_table as reading
from simlib.results.digest import TEXT_COLUMNS
from simlib.results.parquet import SavedTable, read_table, write_table
from simlib.scenario import Scenario
from simlib.simulation import simulate
from simlib.simulation.rows import DeviceRows, Names, Numbers, Texts, part_of
from simlib.study import run
from tests.amounts import examples

GOLDEN = "e4f18328fa4fbc1e7160ccc260594f69070a0ebc0235eb63ce47762dc4cfca6c"


@st.composite
def made_tables(draw):
    """A table of random columns, and the same values in plain lists."""
    n = draw(st.integers(1, 40))
    columns, plain = {}, {}
    for name in (*DEVICE_COLUMNS, "zone"):
        if name in TEXT_COLUMNS or name == "zone":
            names = draw(st.lists(st.text(max_size=6), min_size=1, max_size=5))  # may occur twice
            codes = draw(st.lists(st.integers(-1, len(names) - 1), min_size=n, max_size=n))
            columns[name] = Names(part_of(np.array(codes, dtype=draw(st.sampled_from(["i1", "i8"])))), names)
            plain[name] = [names[code] for code in codes]
        else:
            width = draw(st.sampled_from([8, 16, 64]))
            values = st.integers(-(1 << width - 1), (1 << width - 1) - 1)
            plain[name] = draw(st.lists(values, min_size=n, max_size=n))
            columns[name] = Numbers(part_of(np.array(plain[name], dtype=f"i{width // 8}")))
    plain["shown"] = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    columns["shown"] = Numbers(part_of(np.array(plain["shown"], dtype=np.int8)), np.bool_)
    plain["name"] = draw(st.lists(st.text(max_size=6), min_size=n, max_size=n))
    columns["name"] = Texts(np.array(plain["name"], dtype=object))
    return DeviceRows(n, columns), plain


def written_digest(plain):
    sha = hashlib.sha256()
    for name in DEVICE_COLUMNS:
        sha.update(name.encode() + b"\0")
        for value in plain[name]:
            written = isinstance(value, str)
            sha.update(value.encode() + b"\0" if written else value.to_bytes(8, "little", signed=True))
    return sha.hexdigest()


@contextmanager
def saved(table, rows):
    """The file of `table`, in row groups of `rows`."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(parquet, "GROUP_ROWS", rows)
        path = Path(folder) / "t.parquet"
        write_table(path, table)
        yield path


@given(made_tables(), st.integers(1, 50))
def test_the_digest_in_parts_is_the_written_rule(made, rows):
    table, plain = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PART_ROWS", rows)
        assert digest_of(table) == digest_of(table.frame()) == digest_of(plain) == written_digest(plain)


@given(made_tables(), st.integers(0, 45), st.integers(0, 45))
def test_rows_asked_for_are_the_rows_of_the_whole(made, start, stop):
    table, plain = made
    whole = pd.DataFrame(plain)
    pd.testing.assert_frame_equal(table.frame(), whole)
    part = whole.iloc[start:stop].reset_index(drop=True)
    pd.testing.assert_frame_equal(table.frame(start, stop), part)
    for name in table.names:
        assert table.column(name, start, stop).tolist() == plain[name][start:stop]
    for name in table.coded:
        codes, names = table.codes(name, start, stop)
        assert [names[code] for code in codes] == plain[name][start:stop]
        assert len(set(names)) == len(names)


@given(made_tables(), st.integers(1, 50))
def test_chunks_make_up_the_whole(made, rows):
    table, plain = made
    chunks = list(table.chunks(rows))
    assert [len(c) for c in chunks[:-1]] == [rows] * (len(chunks) - 1) and 1 <= len(chunks[-1]) <= rows
    pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), pd.DataFrame(plain))


@settings(max_examples=examples(30))
@given(made_tables(), st.integers(1, 50))
def test_a_file_by_row_group_reads_as_the_frame_pandas_would_have_written(made, rows):
    table, plain = made
    with saved(table, rows) as path:
        other = path.with_name("other.parquet")
        pd.DataFrame(plain).to_parquet(other, index=False)
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(other))
        assert pq.read_schema(path).equals(pq.read_schema(other), check_metadata=True)
        facts = pq.read_metadata(path)
        sizes = [facts.row_group(number).num_rows for number in range(facts.num_row_groups)]
        assert max(sizes) <= rows and len(sizes) == -(-len(table) // rows) and sum(sizes) == len(table)


@settings(max_examples=examples(30))
@given(made_tables(), st.integers(1, 13), st.integers(1, 50), st.integers(0, 45), st.integers(0, 45))
def test_a_file_read_in_parts_is_the_table(made, rows, part_rows, start, stop):
    table, plain = made
    with saved(table, rows) as path:
        again = SavedTable(path)
        assert len(again) == len(table) and again.names == table.names
        assert {*table.coded, "name"} == set(again.coded)
        pd.testing.assert_frame_equal(again.frame(), pd.read_parquet(path))
        pd.testing.assert_frame_equal(again.frame(start, stop), table.frame(start, stop))
        pd.testing.assert_frame_equal(pd.concat(again.chunks(7), ignore_index=True), table.frame())
        for name in again.names:
            assert again.column(name, start, stop).tolist() == plain[name][start:stop]
        for name in again.coded:
            codes, names = again.codes(name, start, stop)
            assert [names[code] for code in codes] == plain[name][start:stop]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "PART_ROWS", part_rows)
            assert digest_of(again) == digest_of(table)


def test_a_small_file_is_byte_for_byte_what_pandas_writes(smoke_table, tmp_path):
    write_table(tmp_path / "parts.parquet", smoke_table)
    smoke_table.frame().to_parquet(tmp_path / "whole.parquet", index=False)
    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.fixture(scope="module")
def smoke_table():
    return simulate(Scenario.load("smoke").with_({"devices": 700})).tables["devices"]


@pytest.mark.parametrize("rows", [1, 64, 699, 700, 1 << 16])
def test_the_golden_digest_comes_from_parts_of_any_size(smoke_table, rows, monkeypatch):
    monkeypatch.setattr(reading, "PART_ROWS", rows)
    assert digest_of(smoke_table) == GOLDEN


def test_a_text_that_is_missing_or_no_text_is_digested_as_python_writes_it():
    plain = {name: ["x"] * 3 if name in TEXT_COLUMNS else [0] * 3 for name in DEVICE_COLUMNS}
    missing = pd.DataFrame(plain | {"reason": ["x", None, "y"]})
    assert digest_of(missing) == written_digest(plain | {"reason": ["x", "nan", "y"]})
    numbers = pd.DataFrame(plain | {"reason": [1, 2, 1]})
    assert digest_of(numbers) == written_digest(plain | {"reason": ["1", "2", "1"]})


def test_summing_up_and_saving_make_no_whole_frame(monkeypatch, tmp_path):
    asked = []
    made = DeviceRows.frame
    monkeypatch.setattr(DeviceRows, "frame", lambda table, *rows: asked.append(rows) or made(table, *rows))
    result = run(Scenario.load("smoke").with_({"devices": 300}))
    assert asked == []
    result.explain(7)
    assert asked == [(7, 8)]
    folder = result.save(tmp_path / "r")
    assert asked == [(7, 8), (0, 1)]  # the types of the columns
    frame = result.devices
    assert result.devices is frame and asked[2:] == [()]
    pd.testing.assert_frame_equal(frame, pd.read_parquet(folder / "devices.parquet"))


def test_a_run_goes_to_another_process_as_frames():
    result = run(Scenario.load("smoke").with_({"devices": 50}))
    again = pickle.loads(pickle.dumps(result))
    assert again.digest == digest_of(again.devices) and again.summary == result.summary
    pd.testing.assert_frame_equal(again.devices, result.devices)


def test_a_frame_that_was_changed_is_what_is_saved(tmp_path):
    result = run(Scenario.load("smoke").with_({"devices": 50}))
    result.devices["attempts"] = 77
    assert (result.device_table.column("attempts") == 77).all()
    assert (Run.load(result.save(tmp_path / "r")).devices["attempts"] == 77).all()


def test_a_table_of_several_row_groups_stays_in_its_file_until_it_is_asked_for(tmp_path, monkeypatch):
    result = run(Scenario.load("smoke").with_({"devices": 250}))
    monkeypatch.setattr(parquet, "GROUP_ROWS", 100)
    folder = result.save(tmp_path / "r")
    monkeypatch.setattr(SavedTable, "frame", record := Recorded(SavedTable.frame))
    again = Run.load(folder)
    assert isinstance(again.device_table, SavedTable) and digest_of(again.device_table) == result.digest
    assert again.explain(211) == result.explain(211)
    assert record.calls == [(211, 212)]
    pd.testing.assert_frame_equal(again.devices, result.devices)
    assert Run.load(folder).save(tmp_path / "copy") == tmp_path / "copy"
    pd.testing.assert_frame_equal(Run.load(tmp_path / "copy").devices, result.devices)


class Recorded:
    """A method that remembers with which rows it was called."""

    def __init__(self, method):
        self.method, self.calls = method, []

    def __get__(self, table, _type):
        return lambda *rows: self.calls.append(rows) or self.method(table, *rows)


def test_a_file_that_was_replaced_or_damaged_since_loading_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP_ROWS", 100)
    frame = pd.DataFrame({"a": np.arange(1000) * 7919 % 1000, "b": ["x", "y"] * 500})
    path = tmp_path / "t.parquet"
    write_table(path, reading.FrameTable(frame))
    table = read_table(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b"more")
    with pytest.raises(InputError, match="another file than when the run was loaded"):
        table.column("a")
    path.write_bytes(b"\xff" * 4000 + whole[4000:])
    table = read_table(path)
    with pytest.raises(InputError, match="damaged") as refused:
        table.column("a")
    assert "\n" not in str(refused.value)
