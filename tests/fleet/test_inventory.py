"""An inventory file becomes columns of whole numbers and an account of what was read, dropped and why."""

import json
import time
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from simlib.errors import InputError
from simlib.fleet.inventory import FIELDS, STANDS_IN, STATES, UNKNOWN, read_inventory
from simlib.scenario.field_model import InventorySpec
from simlib.scenario.toml_text import one_line

HOUR_MS = 3_600_000
KNOWN = {
    "source": "s.toml",
    "hardware": ("rev-a", "rev-b", "rev-a"),
    "cohorts": ("home", "office"),
    "zones": (("utc", 0), ("berlin", HOUR_MS), ("paris", HOUR_MS), ("lima", -5 * HOUR_MS)),
    "versions": ("1.0", "1.1", "2.0"),
    "groups": 3,
}
ALL = """device,hardware,cohort,version,free_storage,battery,last_seen,zone,group,state
a,rev-b,office,1.0,480 KiB,0.85,2025-06-01T12:00:00Z,berlin,1,updated
b,rev-a,home,2.0,1024,1,2025-06-02T12:00:00Z,lima,3,bricked
"""


@pytest.fixture
def read(tmp_path):
    """Read a file with this content; what is more goes to the specification."""

    def read(content, name="fleet.csv", columns=None, zones=None, versions=None, form="auto"):
        path = tmp_path / name
        if isinstance(content, pa.Table):
            parquet.write_table(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        pairs = (tuple((m or {}).items()) for m in (columns, zones, versions))
        return read_inventory(InventorySpec(str(path), form, *pairs, 0), **KNOWN)

    return read


def refused(read, content, **more):
    with pytest.raises(InputError) as caught:
        read(content, **more)
    message = str(caught.value)
    assert message == one_line(message) and "expected" in message
    return message


def repairs(inventory):
    return {what: count for what, count, _ in inventory.report.repaired}


def drops(inventory):
    return {reason: (count, example) for reason, count, example in inventory.report.dropped}


def column(read, field, *cells):
    """What one field's column gives for these cells, with the repairs."""
    inventory = read(f"device,{field}\n" + "".join(f"d{n},{cell}\n" for n, cell in enumerate(cells)))
    names = {"free_storage": "free_bytes", "battery": "battery_ppm", "last_seen": "unseen_ms"}
    return getattr(inventory, names.get(field, field)).tolist(), repairs(inventory)


def test_every_field_becomes_whole_numbers(read):
    fleet = read(ALL)
    assert fleet.names.tolist() == ["a", "b"]
    assert fleet.hardware_names == ("rev-a", "rev-b")
    assert fleet.hardware.tolist() == [1, 0]
    assert fleet.cohort.tolist() == [1, 0]
    assert fleet.base.tolist() == [0, 2]
    assert fleet.free_bytes.tolist() == [480 * 1024, 1024]
    assert fleet.battery_ppm.tolist() == [850_000, 1_000_000]
    assert fleet.unseen_ms.tolist() == [24 * HOUR_MS, 0]
    assert fleet.zone.tolist() == [1, 3]
    assert fleet.group.tolist() == [0, 2]
    assert fleet.state.tolist() == [STATES.index("updated"), STATES.index("bricked")]
    arrays = [getattr(fleet, f.name) for f in fields(fleet)]
    assert sum(isinstance(a, np.ndarray) and a.dtype == np.int64 for a in arrays) == 9
    report = fleet.report
    assert (report.rows_read, report.rows_used) == (2, 2)
    assert report.dropped == report.repaired == report.missing == ()
    assert report.as_of == "2025-06-02T12:00:00Z"


def test_missing_columns_are_none_and_say_what_stands_in(read):
    fleet = read("device\na\nb\n")
    assert [f.name for f in fields(fleet) if getattr(fleet, f.name) is None] == [
        "hardware", "cohort", "base", "free_bytes", "battery_ppm", "unseen_ms", "zone", "group", "state",
    ]  # fmt: skip
    assert dict(fleet.report.missing) == {f: STANDS_IN[f] for f in FIELDS if f != "device"}
    nameless = read("version\n1.0\n1.0\n")
    assert nameless.names is None and nameless.base.tolist() == [0, 0]


def test_empty_cells_are_unknown_and_counted_as_missing(read):
    fleet = read("device,hardware,cohort,version,battery,state\na, ,,,,\nb,rev-a,home,1.0,0.5,lost\n")
    for numbers in (fleet.hardware, fleet.cohort, fleet.base, fleet.battery_ppm, fleet.state):
        assert numbers[0] == UNKNOWN and numbers[1] >= 0
    assert dict(fleet.report.missing)["battery"] == f"in 1 of 2 rows, {STANDS_IN['battery']}"
    assert fleet.report.dropped == fleet.report.repaired == ()


# Which column is which


@pytest.mark.parametrize(
    "name", ["free_storage", "Free Storage", "FREE-STORAGE", "freestorage", " free_storage "]
)
def test_a_column_of_the_fields_own_name_is_taken_whatever_its_case_and_gaps(read, name):
    assert read(f"{name},x\n5,6\n").free_bytes.tolist() == [5]


def test_a_mapping_goes_before_the_fields_own_name(read):
    fleet = read("device,serial\na,b\n", columns={"device": "serial"})
    assert fleet.names.tolist() == ["b"]
    assert fleet.report.columns == (("device", "serial"),) and fleet.report.ignored == ("device",)


def test_a_mapping_to_a_column_there_is_not_names_the_nearest(read):
    message = refused(read, "serial,fw\na,1.0\n", columns={"device": "serail"})
    assert message.startswith('s.toml: inventory.columns.device: found "serail"')
    assert message.endswith('nearest is "serial"')


def test_a_mapping_of_a_field_there_is_not_is_refused(read):
    message = refused(read, "device\na\n", columns={"devise": "device"})
    assert 's.toml: inventory.columns: found "devise"' in message and 'nearest is "device"' in message


def test_two_columns_that_could_be_meant_are_refused(read):
    assert "two columns" in refused(read, "device,device\na,b\n")
    assert "expected one for device" in refused(read, "Device,device\na,b\n")
    assert read("Device,device\na,b\n", columns={"device": "device"}).names.tolist() == ["b"]


def test_a_file_with_none_of_the_fields_is_refused(read):
    assert "expected at least one of device, hardware" in refused(read, "x,y\n1,2\n")


def test_a_mapping_to_a_version_or_zone_there_is_not_is_refused(read):
    assert 'inventory.versions."v1": found "1.00"' in refused(read, ALL, versions={"v1": "1.00"})
    assert 'inventory.zones."CET": found "berlln"' in refused(read, ALL, zones={"CET": "berlln"})


# Which rows are used


def test_what_is_dropped_is_counted_by_the_first_reason_that_holds(read):
    fleet = read(
        "device,hardware,cohort,version\n"
        "a,rev-a,home,1.0\n"
        ",rev-z,home,1.0\n"
        "b,rev-z,moon,9\n"
        "c,rev-a,moon,9\n"
        "d,rev-a,home,9\n"
        "a,rev-b,office,2.0\n"
        "e,rev-b,office,2.0\n"
    )
    assert fleet.names.tolist() == ["a", "e"]
    assert fleet.base.tolist() == [0, 2]
    assert drops(fleet) == {
        "no-device": (1, "row 2"),
        "unknown-hardware": (1, "rev-z"),
        "unknown-cohort": (1, "moon"),
        "unknown-version": (1, "9"),
        "duplicate-device": (1, "a"),
    }
    assert (fleet.report.rows_read, fleet.report.rows_used) == (7, 2)


def test_of_rows_for_one_device_the_first_usable_one_stays(read):
    fleet = read("device,version\na,9\na,1.1\nb,1.0\na ,2.0\n a,2.0\n")
    assert (fleet.names.tolist(), fleet.base.tolist()) == (["a", "b"], [1, 0])
    assert drops(fleet) == {"unknown-version": (1, "9"), "duplicate-device": (2, "a")}


def test_a_version_is_renamed_before_it_is_looked_up(read):
    fleet = read("version\nv1\n1.0\n2.0\n", versions={"v1": "1.1"})
    assert fleet.base.tolist() == [1, 0, 2]


@pytest.mark.parametrize("blank", ["", "\n"])
def test_rows_with_another_number_of_cells_are_dropped_and_other_rows_keep_their_number(read, blank):
    content = f"device,version\na,1.0\n{blank}b\nc,1.0,x\nd,2.0\n,1.0\n"
    fleet = read(content)
    assert fleet.names.tolist() == ["a", "d"]
    assert drops(fleet) == {"wrong-cell-count": (2, "b"), "no-device": (1, "row 5")}
    assert fleet.report.rows_read == 5


def test_row_numbers_hold_beyond_the_readers_first_block(read):
    rows = [f"device-{n:060d},1.0" for n in range(60_000)]
    rows[100], rows[40_000], rows[50_000] = "short", "short", ",1.0"
    assert drops(read("\n".join(["device,version", *rows]))) == {
        "wrong-cell-count": (2, "short"),
        "no-device": (1, "row 50001"),
    }


def test_a_file_of_which_no_row_is_left_says_why(read):
    message = refused(read, "device,version\na,9\nb,8\n,1.0\n")
    assert "no row that can be used (1 no-device" in message and '2 unknown-version, such as "9"' in message


# What a cell means


def test_sizes_are_whole_bytes_or_have_a_unit(read):
    cells = (
        "0",
        "480 KiB",
        "1.5 kB",
        "007",
        "-1",
        "much",
        "1.5",
        "5 KB",
        "9" * 18,
        "9" * 19,
        "9" * 30,
        "480000.0",
    )
    numbers, told = column(read, "free_storage", *cells)
    assert numbers == [0, 491_520, 1500, 7, -1, -1, -1, -1, 10**18 - 1, -1, -1, 480_000]
    assert told == {"unreadable-free_storage": 6}


def test_charges_up_to_one_are_shares(read):
    numbers, told = column(
        read, "battery", "0", "1", "0.5", "0.1234565", "0.1234575", "85 %", "12.5%", "1e-1", ".5"
    )
    assert numbers == [0, 10**6, 500_000, 123_456, 123_458, 850_000, 125_000, 100_000, 500_000]
    assert told == {}


def test_one_charge_above_one_makes_the_column_percent_and_the_report_says_so(read):
    numbers, told = column(read, "battery", "0.5", "100", "7", "50 %", "101", "-1", "nan", "1_0", "٣")
    assert numbers == [5_000, 10**6, 70_000, 500_000, -1, -1, -1, -1, -1]
    assert told == {"battery-as-percent": 3, "out-of-range-battery": 2, "unreadable-battery": 3}


def test_a_placeholder_above_a_hundred_does_not_make_the_column_percent(read):
    assert column(read, "battery", "0.5", "255") == ([500_000, -1], {"out-of-range-battery": 1})


def test_a_decimal_comma_is_read_and_stated(read):
    fleet = read("device;battery\na;0,85\nb;0.5\n")
    assert fleet.battery_ppm.tolist() == [850_000, 500_000]
    assert repairs(fleet) == {"delimiter": 2, "battery-decimal-comma": 1}


def test_last_seen_is_counted_back_from_the_newest_of_the_file(read):
    cells = (
        "2025-06-01T12:00:00Z", "2025-06-01 13:00:00+02:00", "2025-06-01T12:00:00.25+0000",
        "2025-06-01T11:00z", "20250601T110000Z", "2025-06-01 11:00:00 UTC", "2025-06-01T12:00:00.250999999Z",
    )  # fmt: skip
    numbers, told = column(read, "last_seen", *cells)
    assert numbers == [250, HOUR_MS + 250, 0, HOUR_MS + 250, HOUR_MS + 250, HOUR_MS + 250, 0]
    assert told == {}


def test_the_newest_time_counts_even_if_its_row_is_dropped(read):
    fleet = read("device,version,last_seen\na,1.0,2025-06-01T12:00Z\nb,9,2025-06-01T13:00:00.5Z\n")
    assert fleet.unseen_ms.tolist() == [HOUR_MS + 500]
    assert fleet.report.as_of == "2025-06-01T13:00:00.500Z"


def test_times_without_a_zone_are_utc_and_the_report_says_so(read):
    numbers, told = column(read, "last_seen", "2025-06-02", "2025-06-01 12:00", "2025-06-01T12:00:00Z")
    assert numbers == [0, 12 * HOUR_MS, 12 * HOUR_MS]
    assert told == {"last_seen-taken-as-utc": 2}


def test_plain_numbers_are_days_ago_and_the_report_says_so(read):
    numbers, told = column(
        read, "last_seen", "0", "2.5", "1e1", "36525", "36526", "-1", "1750000000", '"1,5"'
    )
    day = 24 * HOUR_MS
    assert numbers == [0, 60 * HOUR_MS, 10 * day, 36_525 * day, -1, -1, -1, -1]
    assert told == {"unreadable-last_seen": 4, "last_seen-as-days-ago": 4}


@pytest.mark.parametrize(
    "bad",
    ["2025-02-30", "2025-06-01T24:00:00Z", "0001-01-01", "9999-12-31T00:00:00Z", "yesterday",
     "2025-06-01T12:00:60Z", "1970-01-01T00:00+02:00", "2019123112000", "2025-06-01T12:00:00+99:00"],
)  # fmt: skip
def test_a_time_that_cannot_be_is_unknown_and_spoils_no_other(read, bad):
    numbers, told = column(
        read, "last_seen", "2025-06-01T12:00:00Z", bad, "2025-06-01T11:00:00Z", "2025-06-01"
    )
    assert numbers == [0, -1, HOUR_MS, 12 * HOUR_MS]
    assert told == {"unreadable-last_seen": 1, "last_seen-taken-as-utc": 1}


def test_a_zone_is_a_name_or_an_offset_that_one_of_the_zones_has(read):
    cells = ("lima", "+01:00", "UTC+1", "utc-5", "Z", "GMT", "-0500", "+02:00", "Lima", "Europe/Oslo", "CET")
    fleet = read("zone\n" + "\n".join(cells), zones={"CET": "paris"})
    assert fleet.zone.tolist() == [3, 1, 1, 3, 0, 0, 3, -1, -1, -1, 2]
    assert repairs(fleet) == {"unknown-zone": 3}


def test_groups_count_from_one_and_others_are_unknown(read):
    assert column(read, "group", "1", "3", "2.0", "0", "4", "x", "-1") == (
        [0, 2, 1, -1, -1, -1, -1],
        {"unknown-group": 4},
    )


def test_states_have_the_words_of_update_services(read):
    cells = (
        "Updated",
        "SUCCEEDED",
        "installed",
        "error",
        "queued",
        "IN PROGRESS",
        "in-progress",
        "lost",
        "odd",
    )
    codes, told = column(read, "state", *cells)
    assert [STATES[c] if c >= 0 else "" for c in codes] == [
        "updated", "updated", "updated", "failed", "pending", "pending", "pending", "lost", "",
    ]  # fmt: skip
    assert told == {"unknown-state": 1}


def test_repairs_are_counted_among_the_used_rows_only(read):
    fleet = read("device,version,battery\na,9,full\nb,1.0,0.5\n")
    assert repairs(fleet) == {}


# How it is written


def test_a_byte_order_mark_of_utf_8_is_no_repair(read):
    fleet = read(b"\xef\xbb\xbf" + "device\nü\n".encode())
    assert fleet.names.tolist() == ["ü"] and fleet.report.repaired == ()


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-16", "UTF-16"), ("cp1252", "Windows-1252")],
)
def test_another_encoding_is_read_and_stated(read, encoding, said):
    fleet = read("device,cohort\nküche,home\nb,office\n".encode(encoding))
    assert fleet.names.tolist() == ["küche", "b"]
    assert fleet.report.repaired == (("encoding", 2, f"{said} where UTF-8 was expected"),)


def test_utf_16_of_the_other_byte_order_is_read(read):
    assert read(b"\xfe\xff" + "device\nä\n".encode("utf-16-be")).names.tolist() == ["ä"]


@pytest.mark.parametrize(("sign", "word"), [(";", "semicolon"), ("\t", "tab")])
def test_another_delimiter_is_found_and_stated(read, sign, word):
    fleet = read(ALL.replace(",", sign).replace("device", '"device"'))
    assert fleet.base.tolist() == [0, 2]
    assert fleet.report.repaired == (("delimiter", 2, f"{word} where a comma was expected"),)


def test_a_quoted_first_line_does_not_mislead_the_search_for_the_delimiter(read):
    fleet = read('"a;b;c;d",device\n1,x\n')
    assert fleet.names.tolist() == ["x"] and fleet.report.repaired == ()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_blank_lines_do_not_matter(read, end):
    assert read(end + ALL.replace("\n", end + end).rstrip()).names.tolist() == ["a", "b"]


def test_a_quoted_cell_may_hold_delimiters_and_line_ends(read):
    assert read('device,version\n"a, b\nc",1.0\nd,1.0\n').names.tolist() == ["a, b\nc", "d"]


def test_quoted_line_ends_hold_beyond_the_readers_first_block(read):
    names = [f"{n:09d}" + "\nab" * 40 for n in range(30_000)]
    assert read("device\n" + "".join(f'"{name}"\n' for name in names)).names.tolist() == names


# Parquet


TYPED = {
    "device": pa.array([7, 8]),
    "hardware": pa.array(["rev-b", "rev-a"]).dictionary_encode(),
    "cohort": pa.array([b"office", b"home"]),
    "version": pa.array(["1.0", "2.0"], pa.large_string()),
    "free_storage": pa.array([480 * 1024.0, 1024.0]),
    "battery": pa.array([0.85, 1], pa.float32()),
    "last_seen": pa.array(
        [1_748_779_200_000_000, 1_748_865_600_000_000], pa.timestamp("us", "Europe/Berlin")
    ),
    "zone": pa.array(["berlin", "lima"]),
    "group": pa.array([1.0, 3.0]),
    "state": pa.array(["updated", "bricked"]),
}


def test_parquet_of_any_type_says_the_same_as_text(read):
    fleet, text = read(pa.table(TYPED), name="fleet.parquet"), read(ALL)
    assert fleet.names.tolist() == ["7", "8"]
    for field in fields(fleet):
        if field.name not in ("names", "report"):
            assert np.array_equal(getattr(fleet, field.name), getattr(text, field.name)), field.name
    assert fleet.report.as_of == text.report.as_of
    assert fleet.report.repaired == ()


def test_nulls_and_nans_are_empty_cells(read):
    table = pa.table(
        {
            "device": ["a", "b", "c", None],
            "battery": [0.5, None, float("nan"), 1.0],
            "zone": pa.array(["lima", None, " ", "lima"]).dictionary_encode(),
            "state": pa.nulls(4),
        }
    )
    fleet = read(table, name="x.parquet")
    assert fleet.battery_ppm.tolist() == [500_000, -1, -1]
    assert fleet.zone.tolist() == [3, -1, -1]
    assert fleet.state.tolist() == [-1, -1, -1]
    assert fleet.report.repaired == ()
    assert drops(fleet) == {"no-device": (1, "row 4")}


def test_values_that_a_dictionary_holds_and_no_row_has_take_no_part(read):
    table = pa.table(
        {
            "device": pa.DictionaryArray.from_arrays([2, 0, 1], ["a", "b", " a"]),
            "battery": pa.DictionaryArray.from_arrays([0, 0, 0], ["0.5", "90"]),
            "last_seen": pa.DictionaryArray.from_arrays(
                [1, 1, 1], ["2030-01-01T00:00Z", "2025-01-01T00:00Z"]
            ),
        }
    )
    fleet = read(table, name="x.parquet")
    assert fleet.names.tolist() == ["a", "b"]
    assert fleet.battery_ppm.tolist() == [500_000, 500_000]
    assert fleet.report.as_of == "2025-01-01T00:00:00Z"


def test_parquet_is_known_by_its_first_bytes_whatever_its_name(read):
    assert read(pa.table(TYPED), name="fleet.csv").report.kind == "Parquet"
    assert "expected CSV as inventory.format says" in refused(read, pa.table(TYPED), form="csv")
    assert "expected a Parquet file" in refused(read, ALL, form="parquet")
    assert "expected a Parquet file" in refused(read, ALL, name="fleet.parquet")


def test_a_parquet_column_of_lists_is_refused(read):
    table = pa.table({"device": [["a"], ["b"]]})
    assert 'column "device": found list<' in refused(read, table, name="x.parquet")


def test_parquet_names_with_dots_and_twins(read):
    table = pa.table({"d.id": ["a"], "d": ["b"], "version": ["1.0"]})
    assert read(table, name="x.parquet", columns={"device": "d.id"}).names.tolist() == ["a"]
    assert read(table, name="x.parquet", columns={"device": "d"}).names.tolist() == ["b"]
    twins = pa.table([pa.array(["a"]), pa.array(["b"])], names=["device", "device"])
    assert "two columns" in refused(read, twins, name="x.parquet")


def test_parquet_without_rows_is_refused(read):
    assert "without rows" in refused(read, pa.table({"device": pa.array([], pa.string())}), name="x.parquet")


# What is reported


def test_the_report_is_for_a_person_and_for_a_program(read):
    report = read(ALL + "c,rev-a\ne,rev-z,home,1.0,x,,,,,\nf,,,,x,,,,,\n").report
    lines = list(report.lines())
    assert lines[0].endswith("fleet.csv: CSV in UTF-8, 5 rows read, 3 used")
    assert 'dropped: 1 rows, unknown-hardware, such as "rev-z"' in lines
    assert 'repaired: 1 rows, unreadable-free_storage, such as "x"' in lines
    assert any(line.startswith("as of: 2025-06-02") for line in lines)
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["rows_used"] == 3 and plain["columns"]["device"] == "device"
    assert plain["dropped"][0] == {"reason": "wrong-cell-count", "rows": 1, "example": "c,rev-a"}


def test_examples_stay_on_one_line(read):
    fleet = read(f'device,version,cohort\na,"x\ny{"z" * 200}",home\nb,1.0,home\n')
    example = fleet.report.dropped[0][2]
    assert example.startswith("x\\ny") and len(example) == 81 and "\n" not in example


def test_a_million_rows_take_less_than_ten_seconds_of_one_core(read):
    rows = 1_000_000
    states, versions = (np.resize(np.array(words), rows) for words in (STATES, ("1.0", "1.1", "2.0")))
    seen = (np.arange(rows) + 1_750_000_000).astype("datetime64[s]").astype(str)
    cells = zip(range(rows), versions.tolist(), seen.tolist(), states.tolist(), strict=True)
    content = "device,hardware,cohort,version,free_storage,battery,last_seen,zone,group,state\n" + "".join(
        f"dev-{n:09d},rev-a,home,{v},{n * 7},{n % 100},{s},lima,{n % 3 + 1},{t}\n" for n, v, s, t in cells
    )
    begin = time.process_time()
    fleet = read(content)
    assert time.process_time() - begin < 10
    assert fleet.report.rows_used == rows
    assert fleet.free_bytes[-1] == (rows - 1) * 7 and fleet.unseen_ms[0] == (rows - 1) * 1000
