"""The project's few commands, on the standard library alone: run, test, lab, lock and hardware.

The first command that needs them makes `.venv` and installs the packages of a lock into it:
`requirements.lock` to run, `requirements-dev.lock` to test. A lock pins every package by version and hash;
simlib itself is then installed from the checkout without resolving anything.

`.venv` carries a stamp: what was installed, under a digest of the lock, of what pyproject.toml says about
building and installing, of Python's version and of the checkout's place. The stamp says "incomplete" from the
first moment until everything is in, so a set-up that failed or was interrupted is done again from the start.
An environment without a stamp is somebody's own and stays untouched.

What talks to a token and to a TPM is optional: `hardware` adds it to a complete `.venv`, from a lock of its
own. Nothing depends on it, and what cannot be added is named and done without.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OLDEST = (3, 11)
if sys.version_info < OLDEST:
    _found = f"Python {sys.version_info[0]}.{sys.version_info[1]} at {sys.executable}"
    sys.stderr.write(f"tasks.py: found {_found}, expected 3.11 or newer\n")
    sys.exit(2)

# What follows may use today's Python: an older one has left by now.
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent
MAIN_PRESET = "escooter-120k"
LOCKS = {"run": "requirements.lock", "dev": "requirements-dev.lock"}
HARDWARE_LOCK = "requirements-hardware.lock"
BUILT_HERE = "tpm2-pytss"  # comes as source only, and is compiled against the system's tpm2-tss
# What it is built with; it asks for these, and a build without an environment of its own has to have them.
BUILT_WITH = ("setuptools>=77", "setuptools-scm>=8", "pkgconfig>=1.5", "pycparser>=2.22")
TWO_AT_A_TIME = ("-n", "2", "--dist", "worksteal")
STAMP = "simlib-setup.json"
USAGE = """\
usage: python3 tasks.py COMMAND [ARGUMENT...]

  run [PRESET|FILE] [ARGUMENT...]  simulate (escooter-120k unless named); arguments go to `simlib run`
  test [ARGUMENT...]               lint, format, types, import order, tests; arguments go to pytest
  lab [ARGUMENT...]                JupyterLab on the notebooks
  lock [ARGUMENT...]               make the locks anew, with uv (--upgrade: newest versions)
  hardware                         add what talks to a token (PKCS#11) and to a TPM, where that is possible

Each sets .venv up first if it has to, from the lock: that needs the Python package registry.
"""


class TaskError(Exception):
    """A task cannot go on; the message is the one line a person sees."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


def say(line: str) -> None:
    """Tell the person at the terminal what is being done; standard output stays the command's own."""
    sys.stderr.write(f"tasks.py: {line}\n")
    sys.stderr.flush()


# ---- the environment -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Environment:
    """The virtual environment of the checkout at `root`."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / ".venv"

    @property
    def stamp(self) -> Path:
        return self.folder / STAMP

    def command(self, name: str) -> Path:
        """Where the environment keeps the executable `name`."""
        return self.folder / "Scripts" / f"{name}.exe" if os.name == "nt" else self.folder / "bin" / name


def digest_of(root: Path, profile: str) -> str:
    """What an installation of `profile` depends on, as one hash; the tools' settings do not count."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    facts = {
        "lock": hashlib.sha256((root / LOCKS[profile]).read_bytes()).hexdigest(),
        "project": [
            pyproject.get("build-system"),
            pyproject["project"],
            pyproject.get("tool", {}).get("hatch"),
        ],
        "python": [sys.implementation.name, *sys.version_info[:2], sys.platform],
        "root": str(root),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_stamp(environment: Environment) -> dict[str, str]:
    """The stamp's content; empty where there is none or it cannot be read."""
    try:
        content = json.loads(environment.stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in content.items()} if isinstance(content, dict) else {}


def write_stamp(environment: Environment, content: dict[str, str]) -> None:
    """Replace the stamp whole, so that nobody ever reads half of one."""
    fresh = environment.stamp.with_suffix(".new")
    fresh.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")
    fresh.replace(environment.stamp)


def state_of(environment: Environment, profile: str) -> str:
    """What `.venv` needs before `profile` can be used.

    "ready"; "add": complete for `run`, and `dev` is asked for; "make": absent, incomplete or made for
    something else; "foreign": somebody's own environment, which is not ours to delete.
    """
    if not environment.folder.exists() or not any(environment.folder.iterdir()):
        return "make"
    stamp = read_stamp(environment)
    if not stamp and not environment.stamp.exists():
        return "foreign"
    if not environment.command("python").exists():  # the Python it was made from has gone
        return "make"
    installed = stamp.get("installed")
    if installed in LOCKS and stamp.get("digest") == digest_of(environment.root, installed):
        # the development lock holds everything the other does, in the same versions (a test compares them)
        return "ready" if installed in ("dev", profile) else "add"
    return "make"


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the operating system's lock on `path`; it is given back even if this process is killed."""
    with path.open("a+") as file:
        waiting = False
        while not _try_lock(file.fileno()):
            if not waiting:
                say("another tasks.py is setting up .venv; waiting for it")
                waiting = True
            time.sleep(0.5)
        try:
            yield
        finally:
            _unlock(file.fileno())


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def set_up(environment: Environment, profile: str) -> None:
    """Bring `.venv` to where `profile` can be used; say what is done, and nothing if nothing is."""
    with alone(environment.root / ".venv.lock"):
        state = state_of(environment, profile)
        if state == "ready":
            return
        if state == "foreign":
            raise TaskError(
                f"{environment.folder}: found an environment that tasks.py did not make, expected none; "
                'move it away, or go on with your own: pip install -e ".[dev]"'
            )
        started = time.monotonic()
        digest = digest_of(
            environment.root, profile
        )  # of the files as they are now, whoever edits them meanwhile
        if state == "make":
            make_environment(environment)
        write_stamp(environment, {"installed": "incomplete"})
        install(environment, profile)
        write_stamp(environment, {"installed": profile, "digest": digest})
        say(f"set up in {time.monotonic() - started:.0f} s")


def make_environment(environment: Environment) -> None:
    """A new, empty virtual environment, in place of one that no longer fits."""
    if importlib.util.find_spec("ensurepip") is None:
        raise TaskError(
            f"{sys.executable}: found a Python without its ensurepip module, expected a complete one "
            "(Debian and Ubuntu: apt install python3-venv)"
        )
    say(f"making .venv with Python {sys.version_info[0]}.{sys.version_info[1]}")
    try:
        if environment.folder.exists():
            shutil.rmtree(environment.folder)
        environment.folder.mkdir()
    except OSError as error:
        raise TaskError(f"{environment.folder}: cannot be replaced ({error}); close what uses it") from error
    write_stamp(environment, {"installed": "incomplete"})  # from here on the folder is known as ours
    # when tasks.py is run by the environment's own Python, the one to build on is that Python's base
    base = getattr(sys, "_base_executable", None) or sys.executable
    checked("making the environment", [base, "-m", "venv", str(environment.folder)])


def install(environment: Environment, profile: str) -> None:
    """Install the lock's packages by their hashes, then simlib itself from the checkout."""
    lock = LOCKS[profile]
    count = sum("==" in line for line in (environment.root / lock).read_text(encoding="utf-8").splitlines())
    say(f"installing the {count} packages of {lock} (a minute or two the first time)")
    pip = [
        str(environment.command("python")),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-user",
    ]
    pip += ["--quiet", "--no-deps"]
    where = "the package registry must be in reach, and the lock's packages must exist for this system"
    checked(where, [*pip, "--require-hashes", "-r", str(environment.root / lock)])
    checked("simlib itself", [*pip, "--no-build-isolation", "-e", str(environment.root)])


def blocks_of(lock: str) -> dict[str, str]:
    """The text of a lock for each of its packages: the pin and its hashes."""
    blocks: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if not line.startswith(" "):
            name = line.partition("==")[0]
        blocks[name] = blocks.get(name, "") + line
    return blocks


def add_hardware(environment: Environment) -> list[str]:
    """Add what the hardware lock holds; what could not be added, and what stands in for it, a line each.

    The packages come as wheels, except one, which is compiled with the others at hand.
    """
    text = (environment.root / HARDWARE_LOCK).read_text(encoding="utf-8")
    wanted = hashlib.sha256(text.encode()).hexdigest()
    with alone(environment.root / ".venv.lock"):
        stamp = read_stamp(environment)
        if stamp.get("hardware") == wanted:
            return []
        blocks = blocks_of(text)
        built = blocks.pop(BUILT_HERE)
        wheels = "".join(blocks.values())
        if not installs(environment, wheels, ["--only-binary", ":all:"]):
            return ["python-pkcs11 could not be installed: keys are kept in encrypted files"]
        pkg_config = shutil.which("pkg-config")
        if pkg_config is None or step([pkg_config, "--exists", "tss2-esys"]):
            found = "pkg-config" if pkg_config is None else "libtss2-dev"
            return [f"{BUILT_HERE} needs {found}, which is not here: a model of the TPM's counter stands in"]
        if not installs(environment, built, ["--no-build-isolation"]):
            return [f"{BUILT_HERE} could not be built: a model of the TPM's counter stands in"]
        write_stamp(environment, {**stamp, "hardware": wanted})
    return []


def installs(environment: Environment, lock: str, options: Sequence[str]) -> bool:
    """Whether pip could install the packages of a lock given as text, by their hashes."""
    with tempfile.TemporaryDirectory(prefix="simlib-hardware-") as scratch:
        path = Path(scratch) / "requirements.lock"
        path.write_text(lock, encoding="utf-8")
        command = [str(environment.command("python")), "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-user", "--require-hashes", *options]
        try:
            checked("the hardware's packages", [*command, "-r", str(path)])
        except TaskError:
            return False
    return True


def checked(what: str, command: Sequence[str]) -> None:
    """Run one step of the set-up; its own messages are above ours if it fails."""
    # Packages from outside the environment would be taken for installed ones.
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX")
    }
    status = step(command, kept)
    if status:
        raise TaskError(f"set-up failed with exit status {status} ({what}); the next try starts afresh")


def wait_for(command: Sequence[str], folder: Path, environment: dict[str, str] | None) -> tuple[int, bool]:
    """Run a command to its end: its exit status, and whether somebody interrupted it at the keyboard.

    Such an interrupt reaches the command too, which is waited for: it may keep partial results.
    """
    interrupted = False
    with subprocess.Popen(command, cwd=folder, env=environment) as process:
        while True:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                interrupted = True
                continue
            return (status if status >= 0 else 128 - status), interrupted  # a signal as a shell reports it


def call(command: Sequence[str], folder: Path = ROOT) -> int:
    """Run what the person asked for; it answers an interrupt in its own way, and its exit status stands."""
    return wait_for(command, folder, None)[0]


def step(command: Sequence[str], environment: dict[str, str] | None = None) -> int:
    """Run one of several commands; an interrupt ends the others too."""
    status, interrupted = wait_for(command, ROOT, environment)
    if interrupted:
        raise KeyboardInterrupt
    return status


# ---- the tasks -------------------------------------------------------------------------------------


def run_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments of `simlib run`: the main preset goes first unless a scenario is named."""
    named = bool(arguments) and not arguments[0].startswith("-")
    return list(arguments) if named else [MAIN_PRESET, *arguments]


def run(arguments: Sequence[str]) -> int:
    """`simlib run`, with the main preset unless another is named."""
    environment = Environment(ROOT)
    set_up(environment, "run")
    return call([str(environment.command("simlib")), "run", *run_arguments(arguments)], folder=Path.cwd())


def lab(arguments: Sequence[str]) -> int:
    """JupyterLab on the notebooks."""
    environment = Environment(ROOT)
    set_up(environment, "run")
    python = str(environment.command("python"))
    return call([python, "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT / 'notebooks'}", *arguments])


def steps_of(environment: Environment, report: Path, arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The steps of `test` in order, quick ones first; pytest writes its counts to `report`."""
    ruff, python = str(environment.command("ruff")), str(environment.command("python"))
    return [
        ("ruff check", [ruff, "check", "."]),
        ("ruff format", [ruff, "format", "--check", "."]),
        ("mypy", [python, "-m", "mypy"]),
        ("import order", [str(environment.command("lint-imports"))]),
        ("pytest", [python, "-m", "pytest", *TWO_AT_A_TIME, f"--junit-xml={report}", *arguments]),
    ]


def test(arguments: Sequence[str]) -> int:
    """Every check of the project, each of them even if one before it failed; exit status 1 if any did."""
    environment = Environment(ROOT)
    set_up(environment, "dev")
    outcomes: list[tuple[str, int, float]] = []
    with tempfile.TemporaryDirectory(prefix="simlib-test-") as scratch:
        report = Path(scratch) / "report.xml"
        for name, command in steps_of(environment, report, arguments):
            say(f"{name} ...")
            started = time.monotonic()
            outcomes.append((name, step(command), time.monotonic() - started))
        counts = counts_in(report)
    sys.stdout.write(summary(outcomes, counts))
    return 1 if any(status for _, status, _ in outcomes) else 0


def counts_in(report: Path) -> tuple[int, int, int] | None:
    """Tests passed, failed and skipped by pytest's own report; None where pytest never wrote one."""
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return None
    total, failures, errors, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    )
    return total - failures - errors - skipped, failures + errors, skipped


def summary(outcomes: Sequence[tuple[str, int, float]], counts: tuple[int, int, int] | None) -> str:
    """A line a step; the last line counts tests, as test runners do."""
    lines = [
        f"  {name:<13} {'ok' if status == 0 else 'FAILED':<7} {seconds:6.1f} s"
        for name, status, seconds in outcomes
    ]
    passed, failed, skipped = counts or (0, 0, 0)
    return "\n".join(["", *lines, f"{passed} passed, {failed} failed, {skipped} skipped", ""])


def hardware(arguments: Sequence[str]) -> int:
    """Add what talks to a token and to a TPM; exit status 3 where some of it cannot be had."""
    environment = Environment(ROOT)
    set_up(environment, "dev")
    missing = add_hardware(environment)
    for line in missing:
        say(line)
    return 3 if missing else 0


def lock(arguments: Sequence[str]) -> int:
    """The locks, for every system and Python this project runs on; a developer's task, with uv.

    The development lock is made first and holds the others to its versions. A lock that exists is kept to
    unless the arguments say otherwise (`--upgrade`, `--upgrade-package NAME`).
    """
    uv = shutil.which("uv")
    if uv is None:
        raise TaskError("uv: not found on the path; it makes the locks (pip install uv)", status=3)
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    build = pyproject["build-system"]["requires"]
    extra = pyproject["project"]["optional-dependencies"]["hardware"]
    with tempfile.TemporaryDirectory(prefix="simlib-lock-") as scratch:
        backend = Path(scratch) / "build-backend.in"
        backend.write_text("\n".join(build) + "\n", encoding="utf-8")
        devices = Path(scratch) / "hardware.in"
        devices.write_text("\n".join([*extra, *BUILT_WITH]) + "\n", encoding="utf-8")
        sources = ["pyproject.toml", str(backend)]
        compile_ = [uv, "pip", "compile", "--universal", "--generate-hashes"]
        # one version of a package for every Python where there is one; no addresses and no paths
        compile_ += ["--python-version", "3.11", "--fork-strategy", "fewest"]
        compile_ += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
        for name, options in (
            (LOCKS["dev"], [*sources, "--extra", "dev"]),
            (LOCKS["run"], [*sources, "-c", LOCKS["dev"]]),
            (HARDWARE_LOCK, [str(devices), "-c", LOCKS["dev"]]),
        ):
            say(f"making {name}")
            status = step([*compile_, *options, "--output-file", name, *arguments])
            if status:
                raise TaskError(f"{name}: uv failed with exit status {status}; left as it was")
    return 0


TASKS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run,
    "test": test,
    "lab": lab,
    "lock": lock,
    "hardware": hardware,
}


def main(arguments: Sequence[str]) -> int:
    """Do the task named first; the rest are its arguments."""
    if arguments and arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    if not arguments:
        sys.stderr.write(USAGE)
        return 2
    task = TASKS.get(arguments[0])
    if task is None:
        say(f"found {arguments[0]!r}, expected one of {', '.join(TASKS)}")
        return 2
    try:
        return task(arguments[1:])
    except TaskError as error:
        say(str(error))
        return error.status
    except KeyboardInterrupt:
        say("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
