"""What came out of a run: tables, summary, digest and plots, made just now or read from a folder."""

from simlib.results.digest import DEVICE_COLUMNS, digest_of
from simlib.results.run import Run
from simlib.results.summary import Timings, summarise

__all__ = ["DEVICE_COLUMNS", "Run", "Timings", "digest_of", "summarise"]
