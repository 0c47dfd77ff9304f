"""Whatever the file holds, reading an inventory gives a fleet or one line of complaint, never a traceback."""

import io
import os
import tempfile
from datetime import UTC, datetime
from decimal import Inexact, localcontext
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from simlib.errors import InputError
from simlib.fleet import inventory, inventory_amounts, inventory_reading, inventory_sheet
from simlib.fleet.inventory import FIELDS, Inventory, read_inventory
from simlib.scenario.field_model import InventorySpec
from simlib.scenario.toml_text import one_line
from simlib.scenario.units import ExpectedError, size_bytes
from tests.amounts import examples

HEADER = ",".join(FIELDS).encode() + b"\n"
CELLS = st.sampled_from(
    ["", "a", "b", "1.0", "9", "0.5", "-1", "1e99", "1e-99", "100 %", "nan", "480 KiB", "Z", "²", "ü",
     "9" * 40, "2025-06-01T12:00:00Z", "2025-06-01", "2025-02-30", "2025-06-01T12:00:00+24:00", "−",
     "updated", "\ufeff", "1970-01-01T00:00+14:00", "+02:00", "UTC", '"', '""', "\r", "\u2028", "-"]
)  # fmt: skip


def read_path(path, form="auto"):
    spec = InventorySpec(str(path), form, (), (), (), 0)
    return read_inventory(
        spec,
        source="s.toml",
        hardware=("a", "b"),
        cohorts=("a", "b"),
        zones=(("UTC", 0),),
        versions=("1.0", "9"),
        groups=2,
    )


def outcome(content, name="fleet.csv", form="auto"):
    """The inventory in `content`, or the complaint; anything else is raised."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            inventory = read_path(path, form)
        except InputError as error:
            message = str(error)
            assert message == one_line(message) and "expected" in message
            return message
    check(inventory)
    return inventory


def check(inventory: Inventory) -> None:
    report = inventory.report
    rows = report.rows_used
    assert 0 < rows <= report.rows_read
    assert report.rows_read - rows == sum(count for _, count, _ in report.dropped)
    assert all(line == one_line(line) for line in report.lines())
    if inventory.names is not None:
        assert len(set(inventory.names.tolist())) == len(inventory.names) == rows
    for numbers, end in (
        (inventory.hardware, 2), (inventory.cohort, 2), (inventory.base, 2), (inventory.free_bytes, 1 << 62),
        (inventory.battery_ppm, 10**6 + 1), (inventory.unseen_ms, 1 << 62), (inventory.zone, 1),
        (inventory.group, 2), (inventory.state, 6),
    ):  # fmt: skip
        if numbers is not None:
            assert numbers.dtype == np.int64 and len(numbers) == rows
            assert ((numbers >= -1) & (numbers < end)).all()


@given(st.binary(max_size=200), st.sampled_from(["auto", "csv", "parquet"]))
def test_any_bytes_give_a_fleet_or_one_line(content, form):
    outcome(content, form=form)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"PAR1"]))
def test_any_bytes_after_a_mark_and_a_first_line_give_a_fleet_or_one_line(content, mark):
    outcome(mark + HEADER + content)


@given(st.binary(max_size=100))
def test_any_text_of_utf_16_gives_a_fleet_or_one_line(content):
    outcome(b"\xff\xfe" + HEADER.decode().encode("utf-16-le") + content)


@settings(max_examples=examples(200))
@given(st.lists(st.lists(CELLS, min_size=10, max_size=10), min_size=1, max_size=8), st.sampled_from(",;\t"))
def test_any_cells_give_a_fleet_or_one_line(rows, delimiter):
    text = "\n".join(delimiter.join(row) for row in (FIELDS, *rows))
    outcome(text.encode())


@given(st.lists(st.lists(st.text(max_size=6), max_size=12), min_size=1, max_size=5))
def test_any_text_cells_of_any_number_give_a_fleet_or_one_line(rows):
    outcome("\n".join(",".join(row) for row in (FIELDS, *rows)).encode())


def packed():
    columns = {
        "device": [f"d{n}" for n in range(50)],
        "battery": [n / 50 for n in range(50)],
        "last_seen": pa.array(range(50), pa.timestamp("ms", "UTC")),
        "group": [1, 2] * 25,
    }
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


PARQUET = packed()


def test_the_parquet_file_that_the_next_tests_damage_is_read_whole():
    assert outcome(PARQUET, "fleet.parquet").report.rows_used == 50


@settings(max_examples=examples(300))
@given(
    st.lists(st.tuples(st.integers(0, len(PARQUET) - 1), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_parquet_file_with_other_bytes_in_it_gives_a_fleet_or_one_line(changes):
    content = bytearray(PARQUET)
    for offset, value in changes:
        content[offset] = value
    outcome(bytes(content), "fleet.parquet")


@given(st.integers(4, len(PARQUET) - 1))
def test_a_parquet_file_cut_short_is_one_line(length):
    assert "damaged" in outcome(PARQUET[:length])


@settings(max_examples=examples(50))
@given(
    st.lists(st.one_of(st.none(), st.integers(-(1 << 63), (1 << 63) - 1)), min_size=1, max_size=9), st.data()
)
def test_any_number_in_any_type_of_parquet_gives_a_fleet_or_one_line(numbers, data):
    kind = data.draw(
        st.sampled_from(
            [pa.int64(), pa.timestamp("s"), pa.timestamp("ns", "UTC"), pa.timestamp("us", "Asia/Tokyo"),
             pa.date64(), pa.decimal128(38, 3), pa.float64(), pa.duration("s"), pa.time64("us")]
        )
    )  # fmt: skip
    try:
        cells = pa.array(numbers, pa.int64()).cast(kind, safe=False)
        file = io.BytesIO()
        parquet.write_table(pa.table(dict.fromkeys(FIELDS[3:], cells)), file)
    except pa.ArrowException:  # pyarrow itself has no such value
        return
    outcome(file.getvalue())


def test_text_in_parquet_that_is_not_utf_8_is_one_line():
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    file = io.BytesIO()
    parquet.write_table(pa.table({"device": bad}), file)
    assert isinstance(outcome(file.getvalue()), str)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b" \r\n\t\n", "an empty file"),
        (b"\xef\xbb\xbf\n", "an empty file"),
        (b"device,version\n\n", "a first line and no rows"),
        (b"device", "a first line and no rows"),
        (b"device\na\0b\n", "bytes that are not text, the first at offset 8"),
        (b"device\n\x81\xff\n", "bytes that are text in neither UTF-8 nor Windows-1252"),
        (b"\xff\xfea", "the mark of UTF-16 and other bytes"),
        (b'device,"x\na,b\n', "a quote in the first line that is not closed"),
        (b"device," + b"x" * (1 << 20) + b"\na,b\n", "a first line of 1048583 bytes"),
        (b"device,version\na\nb\n", 'no row that can be used (2 wrong-cell-count, such as "a")'),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "bytes that are not text"),
        (b"PAR1", "no Parquet file or a damaged one"),
    ],
)
def test_a_file_that_is_no_inventory_is_one_line_that_says_what_it_is(content, found):
    message = outcome(content)
    assert message.startswith("s.toml: inventory.file ") and f"found {found}" in message


def test_what_is_not_there_or_no_file_is_one_line(tmp_path):
    for path, found in (
        (tmp_path / "none.csv", "no such file"),
        (tmp_path, "a folder"),
        ("a\0b", "a name that no file can have"),
        ("x" * 5000, "a file that cannot be read"),
    ):
        with pytest.raises(InputError, match=f"found {found}"):
            read_path(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_one_line_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="found a device or a pipe"):
        read_path(tmp_path / "pipe.csv")


def test_more_rows_or_bytes_than_a_fleet_may_have_are_one_line(monkeypatch):
    monkeypatch.setattr(inventory_sheet, "MOST_ROWS", 49)
    assert "found 50 rows, expected at most 49" in outcome(PARQUET)
    assert "found 50 rows, expected at most 49" in outcome(b"device\n" + b"a\n" * 50)
    monkeypatch.setattr(inventory_reading, "LARGEST_FILE_BYTES", 10)
    assert "found more than 10 bytes" in outcome(b"device\nabc\nd\n")


def test_what_does_not_fit_into_memory_is_one_line(monkeypatch):
    def full(*_):
        raise MemoryError

    for part in ("coded", "_used"):
        with monkeypatch.context() as patched:
            patched.setattr(inventory, part, full)
            assert "found more than fits into memory" in outcome(b"device\na\n")


def test_a_time_zone_that_nobody_knows_does_not_matter():
    file = io.BytesIO()
    parquet.write_table(
        pa.table({"last_seen": pa.array([0, 1000], pa.int64()).view(pa.timestamp("ms", "Mars/Base"))}), file
    )
    assert outcome(file.getvalue()).unseen_ms.tolist() == [1000, 0]


# Readings that take two ways


STAMPS = st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC))
FORMS = st.sampled_from(
    ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M",
     "%Y%m%dT%H%M%SZ", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S UTC", "%Y-%m-%dT%H:%M:%S,%f+00:00"]
)  # fmt: skip


@given(st.lists(st.tuples(STAMPS, FORMS), min_size=1, max_size=20), st.booleans())
def test_timestamps_are_the_same_read_together_or_one_by_one(drawn, spoiled):
    texts = sorted({when.strftime(form) for when, form in drawn})
    one_by_one = [inventory_amounts._stamp(text) for text in texts]
    together = pa.array(texts + ["2025-02-30", "2025-02-30T00:00Z"] * spoiled)
    numbers, unzoned = inventory_amounts._stamps(together)
    assert list(zip(numbers.tolist(), unzoned.tolist(), strict=True))[: len(texts)] == one_by_one


@given(st.lists(st.decimals(0, 1, places=9), min_size=1, max_size=9, unique=True))
def test_charges_do_not_depend_on_their_form_or_on_the_decimal_context_around(drawn):
    plain = inventory_amounts.charges(pa.array([f"{number:f}" for number in drawn])).numbers.tolist()
    with localcontext(prec=2) as around:
        around.traps[Inexact] = True
        signed = inventory_amounts.charges(pa.array([f"+{number:f}" for number in drawn])).numbers.tolist()
    assert plain == signed == [round(Fraction(number) * 10**6) for number in drawn]


@given(st.lists(st.decimals(0, 36_525, places=9), min_size=1, max_size=9, unique=True))
def test_days_ago_do_not_depend_on_their_form(drawn):
    plain, signed = (
        inventory_amounts.ages(pa.array([f"{sign}{number:f}" for number in drawn]))[0].numbers.tolist()
        for sign in ("", "+")
    )
    assert plain == signed == [round(Fraction(number) * 86_400_000) for number in drawn]


@given(
    st.integers(0, 10**16),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from(["B", "kB", "MiB", "GiB", "KB", "x"]),
)
def test_sizes_are_those_of_the_scenarios_units(number, gap, unit):
    text = f"{number}{gap}{unit}"
    try:
        size = size_bytes(text)
    except ExpectedError:
        size = -1
    expected = size if size < 1 << 63 else -1
    assert inventory_amounts.sizes(pa.array([text])).numbers.tolist() == [expected]
