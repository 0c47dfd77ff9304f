"""Numbers and files behind every command: read exactly or refused, written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.cli.files import check_file, read, whole_number, write
from simlib.errors import InputError


@given(st.integers(0, (1 << 64) - 1))
def test_a_whole_number_is_read_in_both_notations(number: int) -> None:
    assert whole_number(str(number), "--n") == whole_number(hex(number), "--n") == number


@given(st.text(max_size=30))
def test_any_text_is_a_whole_number_or_bad_input(text: str) -> None:
    try:
        number = whole_number(text, "--n")
    except InputError as error:
        assert str(error).startswith("--n: found ")
        assert len(str(error).splitlines()) == 1
    else:
        assert number == int(text, 16 if text[:2] in {"0x", "0X"} else 10) >= 0


def test_files_that_belong_together_are_written_all_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"before")
    real = Path.open

    def full(path: Path, mode: str = "r", **how: object) -> object:
        if path.name.startswith(".second"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, mode, **how)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match="second"):
        write({first: b"new", second: b"new"}, force=True)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"first": b"before"}
    write({first: b"new", second: b"new"}, force=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "first": b"new",
        "second": b"new",
    }


def test_a_link_that_leads_nowhere_is_not_written_over(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="--force"):
        write({link: b"new"}, force=False)
    assert link.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_where_a_file_is_opened_twice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe or a device"):
        check_file(tmp_path / "pipe", "firmware")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_closed_to_reading_is_bad_input(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.touch(mode=0o000)
    for look in (read, check_file):
        with pytest.raises(InputError, match="cannot be read"):
            look(closed, "firmware")
