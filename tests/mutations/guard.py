"""One case under limits: what it may take of memory and of the processor, and what it took.

Memory: the address space may grow by the case's bound and `SLACK_BYTES` (what an allocator takes at a time)
beyond what the process holds when the case begins. An allocation beyond that fails, and a MemoryError is no
`Refused`. Large blocks are given back to the system at once (`mallopt`), so that one case's do not serve the
next. Some cases are traced: there the peak is known to the byte.

Time is the processor's. A case that takes `HANG_S` of it is killed with its process by the system, not by
Python, which may be what hangs; so is one that sleeps for `STUCK_S`. Who started the process finds it dead.

Limits are set where the system has them (Linux); elsewhere a case just runs.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

KIB, MIB = 1 << 10, 1 << 20
SLACK_BYTES = 3 * MIB
TRACING_BYTES = 4 * MIB
"""What the tracing itself may take."""
SLOW_S = 1.0
HANG_S = 10
STUCK_S = 300
IS_LIMITED = sys.platform == "linux"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BYTES = 1 << 16
_PAGE_BYTES = 4096


@dataclass(frozen=True)
class Spent:
    """What a case took; `peak_bytes` is None where it was not traced."""

    seconds: float
    peak_bytes: int | None


def prepare() -> None:
    """Set this process up: large blocks on their own, and a hang to be the system's to end."""
    if not IS_LIMITED:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def guarded(work: Callable[[], T], bound_bytes: int, *, traced: bool) -> tuple[T, Spent]:
    """What `work` returns, and what it took; whatever it raises goes through.

    The slow and the greedy are judged by the caller; only what goes far beyond is stopped.
    """
    if traced:
        tracemalloc.start()
        before_bytes = tracemalloc.get_traced_memory()[0]
    limits = _limit(bound_bytes + SLACK_BYTES + (TRACING_BYTES if traced else 0))
    start = time.process_time()
    try:
        result = work()
    finally:
        seconds = time.process_time() - start
        _lift(limits)
        peak = tracemalloc.get_traced_memory()[1] - before_bytes if traced else None
        tracemalloc.stop()
    return result, Spent(seconds, peak)


def _limit(growth_bytes: int) -> tuple[int, int] | None:
    if not IS_LIMITED:
        return None
    import resource

    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    signal.setitimer(signal.ITIMER_REAL, STUCK_S)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * _PAGE_BYTES + growth_bytes, limits[1]))
    return limits


def _lift(limits: tuple[int, int] | None) -> None:
    if limits is None:
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, limits)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
