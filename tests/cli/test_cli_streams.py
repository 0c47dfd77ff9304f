"""The program as a shell starts it: fast, whatever its streams are, and silent where nobody reads."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from simlib.cli import output
from simlib.cli.main import app, main

Call = Callable[..., Any]
ROOT = Path(__file__).parents[2]
# Not pydantic, which Typer itself reads values with; the schema is what simlib would load it for.
HEAVY = {"pandas", "pyarrow", "matplotlib", "simpy", "numpy", "tqdm", "rich", "simlib.scenario.schema"}
START = "import sys; from simlib.cli import main; sys.exit(main())"
VERIFY = ("image", "verify", "old.img", "--key", "ecdsa-p256.pub.pem")
PIPED = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


class Terminal(io.StringIO):
    """A standard error that somebody watches."""

    def isatty(self) -> bool:
        return True


def start(*arguments: str, before: tuple[str, ...] = (), **env: str) -> subprocess.Popen[str]:
    """The program in a process of its own; `before` is the command that starts it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    return subprocess.Popen([*before, sys.executable, "-c", START, *arguments], env=environment, **PIPED)


@pytest.mark.parametrize(
    "arguments", [("--help",), ("image", "--help"), VERIFY, ("image", "info", "old.img", "--json")]
)
def test_small_commands_load_nothing_heavy(here: Path, arguments: tuple[str, ...]) -> None:
    code = (
        f"import sys; from simlib.cli import main; status = main(sys.argv[1:]); "
        f"print(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        **PIPED,
    )
    assert done.stderr.split() == []
    assert done.stdout


@pytest.mark.parametrize("unbuffered", ["1", ""])
@pytest.mark.parametrize("arguments", [("--help",), ("presets",), ("image", "info", "secret.img", "--json")])
def test_a_reader_that_leaves_is_no_error(here: Path, arguments: tuple[str, ...], unbuffered: str) -> None:
    process = start(*arguments, PYTHONUNBUFFERED=unbuffered)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_refusal_nobody_reads_is_still_one(here: Path, unbuffered: str) -> None:
    process = start("image", "verify", "noise", *VERIFY[3:], "--json", PYTHONUNBUFFERED=unbuffered)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read().startswith("not-an-image: noise")
    assert process.wait() == 1


def test_a_run_nobody_reads_is_saved(here: Path) -> None:
    process = start("run", "smoke", "--devices", "50", "--out", "a")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0
    assert (here / "a/summary.json").is_file()


@POSIX
@pytest.mark.parametrize(
    ("closed", "arguments", "status"),
    [
        ("<&-", VERIFY, 0),
        (">&-", VERIFY, 0),
        (">&-", ("--help",), 0),
        ("2>&-", ("image", "verify", "noise", *VERIFY[3:]), 1),
        ("<&- >&- 2>&-", ("device", "update", "--from", "old.bin", "--to", "new.bin"), 0),
    ],
)
def test_closed_streams_change_no_exit_status(
    here: Path, closed: str, arguments: tuple[str, ...], status: int
) -> None:
    process = start(*arguments, before=("sh", "-c", f'exec "$@" {closed}', "sh"))
    _, error = process.communicate()
    assert (process.returncode, error) == (status, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_answer_there_is_no_room_for_is_one_line(here: Path) -> None:
    for arguments in (VERIFY, ("image", "info", "secret.img", "--json")):
        process = start(*arguments, before=("sh", "-c", 'exec "$@" >/dev/full', "sh"), PYTHONUNBUFFERED="")
        _, error = process.communicate()
        assert (process.returncode, error.count("\n")) == (2, 1), error


def test_another_encoding_than_utf_8_crashes_nothing(here: Path) -> None:
    (here / "größe….img").write_bytes((here / "old.img").read_bytes())
    process = start("image", "verify", "größe….img", *VERIFY[3:], PYTHONIOENCODING="ascii")
    text, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    assert text.startswith(r"gr\xf6\xdfe\u2026.img: verified")
    process = start("image", "verify", "größe….img", "--key", "ed25519.pub.pem", PYTHONIOENCODING="ascii")
    text, error = process.communicate()
    assert (process.returncode, text, error.count("\n")) == (1, "", 1)
    assert r"gr\xf6\xdfe\u2026.img" in error


def test_an_error_stays_on_one_line_whatever_the_name_holds(refuses: Call) -> None:
    answer = refuses(2, ["image info", "a\nb\x1b[31m\r\u2028c"])
    assert answer.err[:-1].isprintable()


def commands(of: Any = app, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    import typer.main

    group = typer.main.get_command(of) if isinstance(of, typer.Typer) else of
    inner = getattr(group, "commands", {})
    return [path, *(found for name, each in inner.items() for found in commands(each, (*path, name)))]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself_in_plain_letters(simlib: Call, command: tuple[str, ...]) -> None:
    answer = simlib(" ".join((*command, "--help")))
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.isascii()
    assert answer.out.startswith(f"Usage: simlib {' '.join(command)}".rstrip())


def test_no_command_or_half_a_command_gets_the_help(simlib: Call) -> None:
    assert simlib("").out == simlib("--help").out
    assert simlib("image").out == simlib("image --help").out


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("nope", "nope"),
        ("image nope", "nope"),
        ("--wibble", "--wibble"),
        ("image verify", "IMG"),
        ("image verify old.img", "--key"),
        ("image verify old.img --key", "--key"),
        ("image info old.img more", "more"),
        ("image info old.img --json=yes", "--json"),
    ],
)
def test_a_mistake_in_the_command_is_one_line(refuses: Call, command: str, name: str) -> None:
    assert refuses(2, command, name).out == ""


def test_a_defect_of_the_program_is_not_dressed_up(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simlib.firmware.image.describe_image", lambda _data: {}[1])
    with pytest.raises(KeyError):
        main(["image", "info", "old.img"])


def test_a_bar_is_drawn_for_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Event()

    def read() -> int:
        looked.set()
        return 5

    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with output.counting("cases") as count:
            count(3)
        with output.following("clock", 10) as watch:
            watch(read)
            assert not drawn or looked.wait(30)
        assert ("cases" in stream.getvalue(), "clock" in stream.getvalue()) == (drawn, drawn)


def test_watching_a_run_does_not_change_it(simlib: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    unwatched = simlib("run smoke --devices 80 --out a --json").json
    monkeypatch.setattr(sys, "stderr", Terminal())
    watched = simlib("run smoke --devices 80 --out b --json").json
    assert (watched["digest"], watched["events"]) == (unwatched["digest"], unwatched["events"])
