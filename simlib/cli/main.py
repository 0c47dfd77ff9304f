"""Entry point: from what a person typed to an exit status and, on an error, one plain line.

Exit status: 0 the question was answered, 1 a file failed verification, 2 bad input, 3 an optional part
is missing, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
import typer

from simlib.cli import delta, device, firmware, fleet, image, keys
from simlib.errors import SimlibError

INTERRUPTED = 130

app = typer.Typer(
    name="simlib",
    help="Simulate secure firmware updates for fleets of connected devices, on real bytes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
fleet.register(app)
device.register(app)
app.add_typer(firmware.app, name="firmware")
app.add_typer(keys.app, name="keys")
app.add_typer(image.app, name="image")
app.add_typer(delta.app, name="delta")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status; the console script passes it to the shell."""
    try:
        status = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(error.format_message() + "\n")
        return 2
    except click.ClickException as error:
        return _complain(_usage(error), 2)
    except SimlibError as error:
        return _complain(str(error), error.exit_status)
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _complain("interrupted", INTERRUPTED)
    except OSError as error:
        where = error.filename if error.filename is not None else "file system"
        return _complain(f"{where}: {error.strerror or error}", 2)
    return status if isinstance(status, int) else 0


def _usage(error: click.ClickException) -> str:
    command = getattr(getattr(error, "ctx", None), "command_path", "simlib")
    return f"{command}: {error.format_message()}"


def _complain(message: str, status: int) -> int:
    """One line, whatever the message holds."""
    sys.stderr.write(" ".join(message.split()) + "\n")
    return status
