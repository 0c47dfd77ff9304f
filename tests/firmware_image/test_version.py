"""Versions: the texts that are one, the bytes they become, the order they stand in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.firmware.version import VERSION_BYTES, Version

FIELDS = (st.integers(0, 255), st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**32 - 1))
VERSIONS = st.builds(Version, *FIELDS)


@given(VERSIONS)
def test_text_and_header_bytes_each_give_the_version_back(version: Version) -> None:
    assert Version.parse(str(version)) == version
    assert len(version.pack()) == VERSION_BYTES
    assert Version.unpack(version.pack()) == version


@given(VERSIONS, VERSIONS)
def test_versions_compare_field_by_field_and_the_build_comes_last(a: Version, b: Version) -> None:
    fields_a = (a.major, a.minor, a.revision, a.build)
    assert (a < b) == (fields_a < (b.major, b.minor, b.revision, b.build))


def test_a_build_of_zero_is_not_written() -> None:
    assert str(Version.parse("1.2.3+0")) == "1.2.3"
    assert str(Version.parse("1.2.3+4")) == "1.2.3+4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "v1.2.3",
        "1.2.3-4",
        "1.2.3+",
        "01.2.3",
        " 1.2.3",
        "1.2.3\n",
        "1.-2.3",
        "１.2.3",
        "256.0.0",
        "0.256.0",
        "0.0.65536",
        "0.0.0+4294967296",
        "0.0." + "9" * 5000,
    ],
)
def test_anything_else_is_bad_input_told_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"version: found .*expected") as error:
        Version.parse(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200
