"""A process that runs one clock on one scenario, again and again, whenever it is told to.

A process of its own, because the most memory a process has ever used is a figure of the whole process, and
because each clock shall meet the same fresh interpreter. It stays for all of its runs, so that importing and
loading compiled code is paid for once and in no figure. It is told and answers in lines of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from simlib.errors import InputError, MissingPartError, SimlibError
from simlib.scenario import Scenario

_RUN: Final = "run\n"
_ERRORS: Final = {error.__name__: error for error in (InputError, MissingPartError)}


@dataclass(frozen=True, slots=True)
class Timed:
    """One run: `seconds` of the clock alone, `total_s` of everything from the scenario to the digest."""

    seconds: float
    setup_s: float
    bench_s: float
    total_s: float
    events: int
    devices: int
    digest: str
    peak_rss_bytes: int | None  # of the process up to now; None where the system does not tell


class Worker:
    """The process, seen from outside; a context manager that ends it."""

    def __init__(self, scenario: Scenario, engine: str) -> None:
        self.engine = engine
        source = str(Path(__file__).parents[2])
        given = os.environ.get("PYTHONPATH")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __spec__.name, engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{given}" if given else source},
            start_new_session=True,  # Ctrl-C is the parent's; it ends the process by closing its input
        )
        self._tell(json.dumps(scenario.to_toml()) + "\n")

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        with suppress(OSError):
            self._process.communicate()

    def wait_ready(self) -> None:
        """Wait until everything is imported and compiled code is loaded."""
        self._hear()

    def run(self) -> Timed:
        """Have it run once. Raises what the run raised, and `InputError` if the process has ended."""
        self._tell(_RUN)
        return Timed(**self._hear())

    def _tell(self, line: str) -> None:
        stream = self._process.stdin
        assert stream is not None
        with suppress(BrokenPipeError):  # that it has ended is seen when it does not answer
            stream.write(line)
            stream.flush()

    def _hear(self) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        line = stream.readline()
        if not line:
            status = self._process.wait()
            how = f"by signal {-status}" if status < 0 else f"with exit status {status}"
            raise InputError(f"engine {self.engine}: found its process ended {how}, expected a result")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise _ERRORS.get(answer["kind"], SimlibError)(answer["error"])
        return answer


def rehearse(scenario: Scenario, engine: str) -> None:
    """Run once in a process that is then gone, so that later runs find the bench's cases remembered."""
    with Worker(scenario, engine) as worker:
        worker.wait_ready()
        worker.run()


def peak_rss_bytes() -> int | None:
    """The most memory this process has had resident so far; None where the system does not tell."""
    try:
        # Not ru_maxrss: on Linux that begins at what the parent had.
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def time_once(scenario: Scenario, engine: str) -> Timed:
    """Run `scenario` on `engine` in this process. Raises `InputError`."""
    from simlib.device.memo import Memo
    from simlib.results.digest import digest_of
    from simlib.simulation import simulate

    gc.collect()
    began = time.perf_counter()
    made = simulate(scenario, engine=engine, memo=Memo.open_default())
    devices = made.tables["devices"]
    digest = digest_of(devices)
    total_s = time.perf_counter() - began
    return Timed(
        seconds=made.wall_s,
        setup_s=made.setup_s,
        bench_s=made.bench_s,
        total_s=total_s,
        events=made.events,
        devices=len(devices),
        digest=digest,
        peak_rss_bytes=peak_rss_bytes(),
    )


def main(engine: str) -> None:
    """Answer lines on standard input until it is closed."""
    # What a library may print is not to stand among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(facts: dict[str, Any]) -> None:
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    try:
        scenario = Scenario.from_toml(json.loads(sys.stdin.readline()))
        if engine != "simpy":  # which needs no compiled code, and shall not be charged with its memory
            from simlib.study.warm import warm

            warm()
        answer({})
        while sys.stdin.readline() == _RUN:
            answer(asdict(time_once(scenario, engine)))
    except SimlibError as error:
        answer({"error": str(error), "kind": type(error).__name__})


if __name__ == "__main__":
    main(sys.argv[1])
