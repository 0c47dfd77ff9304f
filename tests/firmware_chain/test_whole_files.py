"""A file is written whole or not at all, whatever happens while it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from simlib.firmware.files import write_whole


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_its_content_and_mode(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "file"
    write_whole(target, b"old", 0o640)
    write_whole(target, b"new", mode)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("step", ["fdopen", "chmod", "replace"])
@pytest.mark.parametrize("interruption", [OSError("disk full"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_an_interruption_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, interruption: BaseException
) -> None:
    target = tmp_path / "file"
    write_whole(target, b"old")

    def interrupted(*args: object) -> None:
        raise interruption

    with monkeypatch.context() as patched:
        patched.setattr(os if step == "fdopen" else Path, step, interrupted)
        with pytest.raises(type(interruption)):
            write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
