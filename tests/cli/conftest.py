"""The command line as a test calls it, and a folder with one of everything it takes."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simlib.cli.main import main

ALGORITHMS = ("ecdsa-p256", "ed25519", "rsa-2048", "x25519", "ecies-p256")


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value; nothing else may stand there."""
        return json.loads(self.out)


Simlib = Callable[..., Answer]
Refuses = Callable[..., Answer]


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Iterator[None]:
    """As at a terminal. A shell that starts the tests in the background has them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMLIB_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """Keys, firmware, images and a patch, made by the commands, and things that are none of them."""
    folder = tmp_path_factory.mktemp("shelf")
    old = random.Random(1).randbytes(20_000)
    (folder / "old.bin").write_bytes(old)
    (folder / "new.bin").write_bytes(old[:15_000] + random.Random(2).randbytes(7_000))
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    (folder / "noise").write_bytes(bytes(range(255, -1, -1)) * 20)
    (folder / "words.txt").write_text("not what was asked for\n")
    (folder / "pass.txt").write_text("open sesame\nand a second line\n")
    (folder / "wrong.txt").write_text("open barley\n")
    (folder / "blank.txt").write_text("\n")

    def do(*arguments: str) -> None:
        paths = [str(folder / a) if "." in a and a[0].isalpha() else a for a in arguments]
        assert main(paths) == 0

    for algorithm in ALGORITHMS:
        do("keys", "new", "--algorithm", algorithm, "--out", f"{algorithm}.pem")
    do("keys", "new", "--algorithm", "ed25519", "--out", "locked.pem", "--passphrase-file", "pass.txt")
    sign = ("--key", "ecdsa-p256.pem", "--security-counter", "3", "--version")
    do("image", "sign", "old.bin", "old.img", *sign, "1.0.0")
    do("image", "sign", "new.bin", "new.img", *sign, "1.1.0")
    do("image", "sign", "old.bin", "secret.img", *sign, "1.0.0", "--encrypt-to", "ecies-p256.pub.pem")
    do("delta", "create", "old.bin", "new.bin", "good.patch")
    patch = bytearray((folder / "good.patch").read_bytes())
    (folder / "cut.patch").write_bytes(patch[:-100])
    patch[-50] ^= 1
    (folder / "damaged.patch").write_bytes(patch)
    return folder


@pytest.fixture
def here(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the shelf as the working folder."""
    shutil.copytree(shelf, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def simlib(here: Path, capsys: pytest.CaptureFixture[str]) -> Simlib:
    """Run one command in the working folder: its first argument is split at spaces, further ones are not."""

    def run(command: str, *more: object) -> Answer:
        capsys.readouterr()
        status = main([*command.split(), *(str(a) for a in more)])
        return Answer(status, *capsys.readouterr())

    return run


@pytest.fixture
def refuses(here: Path, simlib: Simlib) -> Refuses:
    """Run a command that must end with `status`, say one line with each of `names`, and touch no file."""

    def run(status: int, command: str | list[str], *names: str) -> Answer:
        before = contents(here)
        answer = simlib(command) if isinstance(command, str) else simlib(*command)
        assert (answer.status, answer.err.count("\n")) == (status, 1), answer
        assert answer.err.endswith("\n")
        for name in names:
            assert name in answer.err
        assert contents(here) == before
        return answer

    return run


def contents(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every path under a folder, with its size and when it was written."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}
