"""Taking one member out of an archive, and bytes of flash out of a HEX file, whatever else is in them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import Reason, Refused
from simlib.firmware.corpus import archives
from simlib.firmware.corpus.archives import read_member
from simlib.firmware.corpus.hexfile import flash_image
from tests.firmware_chain.registries import hex_line, tarred, zipped

FIRMWARE = bytes(range(256)) * 8
KINDS: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {"a.whl": zipped, "a.tgz": tarred}
END = hex_line(0, 1, b"")


def refused(content: bytes, name: str, member: str, limit_bytes: int = 1 << 20) -> Refused:
    with pytest.raises(Refused) as caught:
        read_member(content, name, member, limit_bytes)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", KINDS)
def test_a_member_is_found_by_its_exact_name(name: str) -> None:
    content = KINDS[name]({"x/b.bin": b"no", "a/x/b.bin.old": b"no", "a/x/b.bin": FIRMWARE, "a": b"no"})
    assert read_member(content, name, "a/x/b.bin", len(FIRMWARE)) == FIRMWARE
    for other in ("b.bin", "/a/x/b.bin", "./a/x/b.bin", "a/x/../x/b.bin", "a/x/B.bin", ""):
        assert refused(content, name, other).reason is Reason.ARTEFACT_MISMATCH


@pytest.mark.parametrize("name", KINDS)
def test_a_member_inside_an_archive_inside_the_archive_is_found(name: str) -> None:
    content = KINDS[name]({"a/in.zip": zipped({"f.bin": FIRMWARE, "g.bin": b"no"}), "f.bin": b"no"})
    assert read_member(content, name, "a/in.zip!f.bin", len(FIRMWARE)) == FIRMWARE
    assert "a/in.zip: found no file h.bin" in str(refused(content, name, "a/in.zip!h.bin"))
    assert "found no file b/in.zip" in str(refused(content, name, "b/in.zip!f.bin"))
    assert "damaged archive" in str(refused(content, name, "f.bin!f.bin"))


@pytest.mark.parametrize("name", KINDS)
def test_a_member_is_not_read_beyond_its_bound(name: str) -> None:
    bomb = KINDS[name]({"zeros": bytes(8 << 20)})
    assert len(bomb) < 1 << 20 or name == "a.whl"
    assert refused(bomb, name, "zeros", 4096).reason is Reason.OVERSIZE
    assert read_member(KINDS[name]({"f": FIRMWARE}), name, "f", len(FIRMWARE)) == FIRMWARE
    assert refused(KINDS[name]({"f": FIRMWARE}), name, "f", len(FIRMWARE) - 1).reason is Reason.OVERSIZE


def test_an_inner_archive_is_not_read_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped({"in.zip": zipped({"f": FIRMWARE})})
    monkeypatch.setattr(archives, "LARGEST_INNER_BYTES", 64)
    assert refused(content, "a.zip", "in.zip!f").reason is Reason.OVERSIZE


@pytest.mark.parametrize("name", KINDS)
def test_a_cut_archive_gives_the_whole_member_or_a_refusal(name: str) -> None:
    content = KINDS[name]({"f": FIRMWARE})
    for size in (0, 1, 20, len(content) // 3, len(content) // 2):
        assert refused(content[:size], name, "f").reason is Reason.ARTEFACT_MISMATCH
    for size in range(len(content) // 2, len(content)):
        try:
            assert read_member(content[:size], name, "f", len(FIRMWARE)) == FIRMWARE
        except Refused as refusal:
            assert refusal.reason is Reason.ARTEFACT_MISMATCH


@given(place=st.integers(0, 1 << 20), value=st.integers(1, 255), name=st.sampled_from(sorted(KINDS)))
def test_a_changed_byte_gives_the_member_or_a_refusal(place: int, value: int, name: str) -> None:
    content = bytearray(KINDS[name]({"f": FIRMWARE, "g": b"other"}))
    content[place % len(content)] ^= value
    try:
        found = read_member(bytes(content), name, "f", len(FIRMWARE))
    except Refused as refusal:
        assert refusal.reason in (Reason.ARTEFACT_MISMATCH, Reason.OVERSIZE)
    else:
        assert len(found) <= len(FIRMWARE)


def test_two_members_of_one_name_are_none() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("f", b"one")
        with pytest.warns(UserWarning):
            archive.writestr("f", b"two")
    assert refused(content.getvalue(), "a.zip", "f").reason is Reason.ARTEFACT_MISMATCH


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_a_file_of_a_tar_is_a_member(kind: bytes) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        entry = tarfile.TarInfo("real")
        entry.size = len(FIRMWARE)
        archive.addfile(entry, io.BytesIO(FIRMWARE))
        entry = tarfile.TarInfo("f")
        entry.type, entry.linkname = kind, "real"
        archive.addfile(entry)
    assert "found no file f" in str(refused(content.getvalue(), "a.tgz", "f"))


def test_an_encrypted_member_is_refused() -> None:
    content = bytearray(zipped({"f": FIRMWARE}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    assert "damaged archive" in str(refused(bytes(content), "a.zip", "f"))


def flash(*lines: str, size_bytes: int = 16) -> bytes:
    return flash_image("\r\n".join(lines).encode(), size_bytes, "a.hex")


@given(
    st.lists(st.tuples(st.integers(0, 0x2_0000), st.binary(min_size=1, max_size=40)), max_size=12),
    st.sampled_from([2, 4]),
)
def test_what_lines_write_is_where_they_write_it_and_the_rest_is_erased(
    writes: list[tuple[int, bytes]], upper_kind: int
) -> None:
    size_bytes, lines, expected = 0x1_8000, [], {}
    for address, data in writes:
        upper, lower = address & ~0xFFFF, address & 0xFFFF
        inside = data[: 0x1_0000 - lower]
        lines.append(hex_line(0, upper_kind, (upper >> (4 if upper_kind == 2 else 16)).to_bytes(2, "big")))
        lines.append(hex_line(lower, 0, inside))
        expected.update({address + offset: byte for offset, byte in enumerate(inside)})
    image = flash(*lines, END, size_bytes=size_bytes)
    assert image == bytes(expected.get(place, 0xFF) for place in range(size_bytes))


def test_the_examples_of_the_specification_decode() -> None:
    # Addresses wrap at 64 KiB inside one line; start addresses are no content; what follows the end is none.
    lines = (":02FFFF00AABB9B", ":0400000300003800C1", ":04000005000000CD2A", ":00000001FF", "not read")
    image = flash(*lines, size_bytes=0x1_0000)
    assert (image[0xFFFF], image[0], image[1]) == (0xAA, 0xBB, 0xFF)


def test_configuration_words_behind_the_flash_are_left_out() -> None:
    assert flash(hex_line(0, 4, b"\x10\x00"), hex_line(0x1014, 0, b"\x00"), END, size_bytes=4) == b"\xff" * 4
    assert flash(hex_line(2, 0, b"\x01\x02\x03\x04"), END, size_bytes=4) == b"\xff\xff\x01\x02"


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ((hex_line(0, 0, b"\x01"),), "found no end record"),
        ((), "found no end record"),
        (("00000001FF",), "line 1: found something else"),
        ((hex_line(0, 0, b"\x01"), ":0000"), "line 2: found something else"),
        ((":000000zz01FF",), "line 1: found something else"),
        ((":00000001FE",), "line 1: found bytes that come to 255 modulo 256"),
        ((":02000000AA54",), "line 1: found 1 bytes of data, expected 2"),
        ((hex_line(0, 6, b""), END), "line 1: found type 6"),
        ((hex_line(0, 4, b"\x01"), END), "line 1: found 1 bytes of address"),
    ],
)
def test_a_line_that_breaks_the_format_is_refused_with_its_number(lines: tuple[str, ...], named: str) -> None:
    with pytest.raises(Refused) as caught:
        flash(*lines)
    assert caught.value.reason is Reason.ARTEFACT_MISMATCH
    assert f"a.hex: {named}" in str(caught.value)
