"""The command line: thin over the library. `simlib --help` lists the commands."""

from simlib.cli.main import main

__all__ = ["main"]
