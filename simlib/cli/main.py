"""Entry point: from what a person typed to an exit status and, on an error, one plain line.

Exit status: 0 the question was answered, 1 a file failed verification, 2 bad input, 3 an optional part
is missing, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import typer

from simlib.cli import (
    bench,
    compare,
    delta,
    device,
    firmware,
    fleet,
    gate,
    image,
    keys,
    optimise,
    policy,
    powercut,
    study,
)
from simlib.cli.output import complain, finish, say
from simlib.errors import SimlibError
from simlib.scenario.toml_text import one_line

BAD_INPUT: Final = 2

app = typer.Typer(
    name="simlib",
    help="Simulate secure firmware updates for fleets of connected devices, on real bytes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
fleet.register(app)
app.command("bench")(bench.bench)
app.command("powercut")(powercut.powercut)
study.register(app)
compare.register(app)
optimise.register(app)
policy.register(app)
gate.register(app)
app.add_typer(device.app, name="device")
app.add_typer(firmware.app, name="firmware")
app.add_typer(keys.app, name="keys")
app.add_typer(image.app, name="image")
app.add_typer(delta.app, name="delta")


@cache
def _command() -> Any:
    """The tree of all commands, which takes Typer half of what it takes to run one."""
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status; the console script passes it to the shell."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    status = _run(given or ["--help"])
    try:
        finish()
    except OSError as error:
        return _refuse(f"standard output: found {error.strerror}, expected room for the answer", BAD_INPUT)
    return status


def _run(arguments: list[str]) -> int:
    try:
        status = _command()(args=arguments, prog_name="simlib", standalone_mode=False)
    except SimlibError as error:
        return _refuse(str(error), error.exit_status)
    except KeyboardInterrupt:  # one that Typer did not turn into this status itself
        status = fleet.INTERRUPTED
    except SystemExit:  # Typer's answer to a reader of its help that went away
        status = 0
    except OSError as error:
        where = error.filename if error.filename is not None else "file system"
        return _refuse(f"{where}: found {error.strerror or error}, expected it to work", BAD_INPUT)
    except Exception as error:
        # Typer's own usage errors have no public base class; they know how to put themselves in words.
        if not hasattr(error, "format_message"):
            raise
        return _usage(error)
    if status == fleet.INTERRUPTED:
        return _refuse("interrupted", fleet.INTERRUPTED)
    return status if isinstance(status, int) else 0


def _usage(error: Any) -> int:
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        say(context.get_help())
        return 0
    return _refuse(f"{context.command_path if context else 'simlib'}: {error.format_message()}", BAD_INPUT)


def _refuse(message: str, status: int) -> int:
    complain(one_line(" ".join(message.split())))
    return status
