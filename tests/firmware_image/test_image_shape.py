"""The shape of an image: what the parser takes, and the reason it gives for what it refuses."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.header import Flag, Header, parse_header
from simlib.firmware.image import describe_image, image_size, parse_image
from simlib.firmware.tlv import Tlv, TlvType, build_area
from simlib.firmware.version import Version

PAYLOAD = bytes(range(100))
COUNTER = Tlv(TlvType.SEC_CNT, b"\x07\0\0\0", protected=True)
HASH = Tlv(TlvType.SHA256, bytes(32))
WRAPPED = Tlv(TlvType.ENCEC256, bytes(129))
HEADER = Header(64, 12, len(PAYLOAD), Flag(0), Version(1, 2, 3, 4))


def image(
    header: Header = HEADER, protected: tuple[Tlv, ...] = (COUNTER,), unprotected: tuple[Tlv, ...] = (HASH,)
) -> bytes:
    start = header.pack().ljust(header.header_size, b"\xff")
    return start + PAYLOAD + build_area(protected, protected=True) + build_area(unprotected, protected=False)


def with_field(offset: int, layout: str, value: int) -> bytes:
    data = bytearray(image())
    struct.pack_into(layout, data, offset, value)
    return bytes(data)


def with_raw_area(area: bytes) -> bytes:
    return image()[: 64 + 100 + 12] + area


def raw_record(kind: int, length: int, value: bytes) -> bytes:
    record = struct.pack("<HH", kind, length) + value
    return with_raw_area(struct.pack("<HH", 0x6907, 4 + len(record)) + record)


REFUSALS: list[tuple[str, Callable[[], bytes], Reason]] = [
    ("no bytes", lambda: b"", Reason.TRUNCATED),
    ("half a magic", lambda: image()[:2], Reason.TRUNCATED),
    ("another magic", lambda: with_field(0, "<I", 0x96F3B83C), Reason.NOT_AN_IMAGE),
    ("a text file", lambda: b"firmware", Reason.NOT_AN_IMAGE),
    ("half a header", lambda: image()[:31], Reason.TRUNCATED),
    ("a header size below the header", lambda: with_field(8, "<H", 31), Reason.HEADER_INVALID),
    ("an empty payload", lambda: with_field(12, "<I", 0), Reason.HEADER_INVALID),
    ("a payload beyond the data", lambda: with_field(12, "<I", 2**32 - 1), Reason.TRUNCATED),
    ("an unknown flag", lambda: with_field(16, "<I", 0x2), Reason.HEADER_INVALID),
    ("an unknown high flag", lambda: with_field(16, "<I", 1 << 31), Reason.HEADER_INVALID),
    ("two ciphers", lambda: with_field(16, "<I", 0xC), Reason.HEADER_INVALID),
    ("RAM_LOAD and ROM_FIXED", lambda: with_field(16, "<I", 0x120), Reason.HEADER_INVALID),
    ("a load address without RAM_LOAD", lambda: with_field(4, "<I", 0x20000000), Reason.HEADER_INVALID),
    ("a reserved field in use", lambda: with_field(28, "<I", 1), Reason.HEADER_INVALID),
    ("an encrypted flag without a wrapped key", lambda: with_field(16, "<I", 0x8), Reason.TLV_INVALID),
    ("a wrapped key without the flag", lambda: image(unprotected=(HASH, WRAPPED)), Reason.TLV_INVALID),
    ("no protected area where one is declared", lambda: image(protected=()), Reason.TLV_INVALID),
    ("a protected area not declared", lambda: image(replace(HEADER, protected_size=0)), Reason.TLV_INVALID),
    ("a protected area longer than declared", lambda: with_field(10, "<H", 11), Reason.TLV_INVALID),
    ("no unprotected area", lambda: with_raw_area(b""), Reason.TRUNCATED),
    ("another area magic", lambda: with_raw_area(b"\x09\x69\x04\0"), Reason.TLV_INVALID),
    ("an area shorter than its heading", lambda: with_raw_area(b"\x07\x69\x03\0"), Reason.TLV_INVALID),
    ("an area beyond the data", lambda: with_raw_area(b"\x07\x69\xff\xff"), Reason.TRUNCATED),
    ("a crumb at the area's end", lambda: with_raw_area(b"\x07\x69\x07\0abc"), Reason.TLV_INVALID),
    ("an unknown type", lambda: raw_record(0x03, 4, bytes(4)), Reason.TLV_UNKNOWN),
    ("a vendor's type", lambda: raw_record(0xA0, 4, bytes(4)), Reason.TLV_UNKNOWN),
    ("a type with its high byte set", lambda: raw_record(0x110, 32, bytes(32)), Reason.TLV_UNKNOWN),
    ("a hash of another length", lambda: raw_record(0x10, 31, bytes(31)), Reason.TLV_INVALID),
    ("an ECDSA signature too long for DER", lambda: raw_record(0x22, 105, bytes(105)), Reason.TLV_INVALID),
    ("a record beyond its area", lambda: raw_record(0x10, 32, bytes(31)), Reason.TLV_INVALID),
    ("a protected type unprotected", lambda: raw_record(0x50, 4, bytes(4)), Reason.TLV_INVALID),
    (
        "an unprotected type protected",
        lambda: image(replace(HEADER, protected_size=40), (HASH,)),
        Reason.TLV_INVALID,
    ),
    ("two hashes", lambda: image(unprotected=(HASH, HASH)), Reason.TLV_DUPLICATE),
    (
        "two counters",
        lambda: image(replace(HEADER, protected_size=20), (COUNTER, COUNTER)),
        Reason.TLV_DUPLICATE,
    ),
    ("one byte behind the image", lambda: image() + b"\xff", Reason.TRAILING_BYTES),
]


@pytest.mark.parametrize(("build", "reason"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_what_has_not_the_shape_is_refused_with_its_reason(
    build: Callable[[], bytes], reason: Reason
) -> None:
    with pytest.raises(Refused, match=r"found .*, expected ") as refusal:
        parse_image(build())
    assert refusal.value.reason is reason
    assert "\n" not in str(refusal.value)


def test_the_parts_of_an_image_come_back() -> None:
    parsed = parse_image(image())
    assert parsed.header == HEADER
    assert bytes(parsed.payload) == PAYLOAD
    assert parsed.security_counter == 7
    assert [(tlv.type, tlv.offset) for tlv in parsed.tlvs] == [(TlvType.SEC_CNT, 168), (TlvType.SHA256, 180)]
    assert parsed.size == len(image()) == image_size(image() + b"whatever follows")


@given(
    st.integers(32, 65535),
    st.integers(0, 65535),
    st.integers(1, 2**32 - 1),
    st.sampled_from([(Flag(0), 0), (Flag.RAM_LOAD, 0x20000000), (Flag.ENCRYPTED_AES256 | Flag.PIC, 0)]),
)
def test_a_header_is_what_its_bytes_say(
    header_size: int, protected: int, size: int, flags: tuple[Flag, int]
) -> None:
    header = Header(header_size, protected, size, flags[0], Version(9, 8, 7, 6), flags[1])
    assert parse_header(header.pack()) == header


@pytest.mark.parametrize(
    "fields",
    [
        {"header_size": 31},
        {"header_size": 65536},
        {"image_size": 0},
        {"image_size": 2**32},
        {"load_address": -1},
    ],
)
def test_a_header_that_no_image_can_hold_is_bad_input(fields: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"found .*, expected "):
        replace(HEADER, **fields)


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.integers(0, 65535))
def test_hostile_bytes_are_refused_and_never_crash(tail: bytes, size: int, header_size: int) -> None:
    start = bytearray(HEADER.pack())
    struct.pack_into("<H", start, 8, header_size)
    struct.pack_into("<I", start, 12, size)
    for data in (tail, bytes(start) + tail, image()[:164] + tail, image()[:176] + tail):
        try:
            parse_image(data, erased_value=0xFF)
        except Refused:
            continue
        assert data.startswith(image()[:164])


def test_declared_sizes_allocate_nothing() -> None:
    data = with_field(12, "<I", 2**32 - 1)
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            parse_image(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_area_too_large_for_its_size_field_is_bad_input() -> None:
    with pytest.raises(InputError, match="expected at most 65535"):
        build_area([Tlv(TlvType.BOOT_RECORD, bytes(1024), protected=True)] * 64, protected=True)


def test_the_description_names_every_part() -> None:
    told = describe_image(image())
    assert told["version"] == "1.2.3+4"
    assert told["security_counter"] == 7
    assert [tlv["name"] for tlv in told["tlvs"]] == ["SEC_CNT", "SHA256"]
    assert told["tlvs"][1]["offset"] == 180
    assert [describe_image(image() + tail)["following"] for tail in (b"", b"\xff" * 9, b"\xffx")] == [
        "none",
        "erased",
        "unknown",
    ]
