"""tasks.py: its arguments, its stamp, its exit statuses. No test here makes a real environment."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
POSIX_ONLY = pytest.mark.skipif(os.name == "nt", reason="signals to a process group")


def load_tasks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tasks", ROOT / "tasks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["tasks"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


tasks = load_tasks()

words = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


# ---- arguments


@given(st.lists(words))
def test_run_passes_every_argument_on_and_names_the_main_preset_only_where_none_is_named(
    rest: list[str],
) -> None:
    passed = tasks.run_arguments(rest)
    if rest and not rest[0].startswith("-"):
        assert passed == rest
    else:
        assert passed == ["escooter-120k", *rest]


def test_a_preset_and_its_flags_reach_the_command_line_as_typed() -> None:
    assert tasks.run_arguments(["storage-120k", "--seed", "3"]) == ["storage-120k", "--seed", "3"]
    assert tasks.run_arguments(["--seed", "3"]) == ["escooter-120k", "--seed", "3"]


def test_an_unknown_task_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks.main(["rnu"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "rnu" in error and "run, test, lab, lock" in error


def test_help_is_an_answer_and_nothing_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks.main(["--help"]) == 0
    assert "tasks.py" in capsys.readouterr().out
    assert tasks.main([]) == 2


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 8, 18)])
def test_an_older_python_is_refused_with_one_clear_line(version: tuple[int, int, int]) -> None:
    code = f"import runpy, sys; sys.version_info = {version}; runpy.run_path('tasks.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"found Python {version[0]}.{version[1]}" in done.stderr
    assert "expected 3.11 or newer" in done.stderr


def test_an_older_python_can_read_the_file_as_far_as_its_refusal() -> None:
    ast.parse((ROOT / "tasks.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_only_the_standard_library_is_imported() -> None:
    tree = ast.parse((ROOT / "tasks.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


# ---- the set-up and its stamp


class Checkout:
    """A checkout in a scratch folder, where the steps of a set-up are noted instead of carried out."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environment = tasks.Environment(root)
        self.steps: list[str] = []
        self.fails_at: str | None = None
        self.failure: BaseException = tasks.TaskError("registry out of reach")
        (root / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.ruff]\nline-length = 110\n')
        (root / "requirements.lock").write_text("a==1 \\n")
        (root / "requirements-dev.lock").write_text("a==1 \\nb==2 \\n")
        monkeypatch.setattr(tasks, "checked", self.note)

    def note(self, what: str, command: Sequence[str]) -> None:
        step = "venv" if "venv" in command else Path(command[-1]).name if "-r" in command else "simlib"
        self.steps.append(step)
        if step == "venv":
            python = self.environment.command("python")
            python.parent.mkdir(parents=True)
            python.touch()
        if step == self.fails_at:
            raise self.failure

    def set_up(self, profile: str) -> list[str]:
        self.steps.clear()
        tasks.set_up(self.environment, profile)
        return list(self.steps)


RUN = ["venv", "requirements.lock", "simlib"]
DEV = ["venv", "requirements-dev.lock", "simlib"]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    return Checkout(tmp_path, monkeypatch)


def test_a_second_command_finds_nothing_to_set_up(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.set_up("run") == RUN
    said = capsys.readouterr().err
    assert "making .venv" in said and "1 packages of requirements.lock" in said
    assert checkout.set_up("run") == []
    assert capsys.readouterr().err == ""


def test_what_is_set_up_to_test_can_also_run(checkout: Checkout) -> None:
    assert checkout.set_up("dev") == DEV
    assert checkout.set_up("run") == []


def test_what_is_set_up_to_run_is_added_to_for_testing(checkout: Checkout) -> None:
    checkout.set_up("run")
    assert checkout.set_up("dev") == DEV[1:]
    assert checkout.set_up("dev") == []
    assert checkout.set_up("run") == []


def test_a_changed_lock_is_installed_from_the_start(checkout: Checkout) -> None:
    checkout.set_up("run")
    (checkout.environment.root / "requirements.lock").write_text("a==2 \\n")
    assert checkout.set_up("run") == RUN


def test_only_what_pyproject_says_of_installing_counts(checkout: Checkout) -> None:
    checkout.set_up("run")
    pyproject = checkout.environment.root / "pyproject.toml"
    pyproject.write_text('[project]\nname = "x"\n[tool.ruff]\nline-length = 90\n')
    assert checkout.set_up("run") == []
    pyproject.write_text('[project]\nname = "x"\ndependencies = ["a"]\n')
    assert checkout.set_up("run") == RUN


def test_an_environment_moved_with_its_checkout_is_made_anew(checkout: Checkout, tmp_path: Path) -> None:
    checkout.set_up("run")
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    checkout.environment = tasks.Environment(moved)
    assert checkout.set_up("run") == RUN


def test_an_environment_whose_python_has_gone_is_made_anew(checkout: Checkout) -> None:
    checkout.set_up("run")
    checkout.environment.command("python").unlink()
    assert checkout.set_up("run") == RUN


@pytest.mark.parametrize("step", RUN)
@pytest.mark.parametrize("failure", [tasks.TaskError("registry out of reach"), KeyboardInterrupt()])
def test_a_set_up_broken_at_any_step_is_not_taken_for_a_complete_one(
    checkout: Checkout, step: str, failure: BaseException
) -> None:
    checkout.fails_at, checkout.failure = step, failure
    with pytest.raises(type(failure)):
        checkout.set_up("run")
    checkout.fails_at = None
    assert checkout.set_up("run") == RUN
    assert checkout.set_up("run") == []


@pytest.mark.parametrize("step", DEV[1:])
def test_an_addition_broken_at_any_step_spoils_the_whole(checkout: Checkout, step: str) -> None:
    checkout.set_up("run")
    checkout.fails_at = step
    with pytest.raises(tasks.TaskError):
        checkout.set_up("dev")
    checkout.fails_at = None
    assert checkout.set_up("run") == RUN


def test_leftovers_of_an_environment_are_cleared_before_a_new_one(checkout: Checkout) -> None:
    checkout.set_up("run")
    orphan = checkout.environment.folder / "orphan"
    orphan.touch()
    (checkout.environment.root / "requirements.lock").write_text("a==2 \\n")
    checkout.set_up("run")
    assert not orphan.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"installed": "run"}', '{"installed": 3, "digest": []}'])
def test_a_damaged_stamp_is_not_believed(checkout: Checkout, content: str) -> None:
    checkout.set_up("run")
    checkout.environment.stamp.write_text(content)
    assert checkout.set_up("run") == RUN


def test_somebody_elses_environment_is_left_alone(checkout: Checkout) -> None:
    theirs = checkout.environment.folder / "pyvenv.cfg"
    theirs.parent.mkdir()
    theirs.write_text("home = somewhere\n")
    with pytest.raises(tasks.TaskError, match=r"did not make.*pip install -e") as caught:
        checkout.set_up("run")
    assert caught.value.status == 2
    assert checkout.steps == []
    assert theirs.read_text() == "home = somewhere\n"


def test_a_python_without_ensurepip_is_told_what_to_install(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(tasks.TaskError, match="python3-venv"):
        checkout.set_up("run")
    assert not checkout.environment.folder.exists()


def test_nothing_but_hashed_packages_is_ever_resolved(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(tasks, "checked", lambda what, command: commands.append(command))
    tasks.install(checkout.environment, "run")
    packages, itself = commands
    assert "--no-deps" in packages and "--require-hashes" in packages
    assert "--no-deps" in itself and "--no-build-isolation" in itself


def test_one_set_up_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("a+") as second:
        with tasks.alone(path):
            assert not tasks._try_lock(second.fileno())
        assert tasks._try_lock(second.fileno())
        tasks._unlock(second.fileno())


def test_packages_from_outside_do_not_leak_into_the_set_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tasks.checked("probe", [sys.executable, "-c", f"import sys; sys.exit({str(tmp_path)!r} in sys.path)"])
    with pytest.raises(tasks.TaskError, match="exit status 7"):
        tasks.checked("probe", [sys.executable, "-c", "import sys; sys.exit(7)"])


# ---- exit statuses


@pytest.mark.parametrize("status", [0, 1, 2, 3, 130])
def test_exit_statuses_pass_through(status: int) -> None:
    assert tasks.call([sys.executable, "-c", f"import sys; sys.exit({status})"]) == status


@POSIX_ONLY
def test_a_death_by_signal_is_reported_as_a_shell_does() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert tasks.call([sys.executable, "-c", code]) == 128 + signal.SIGTERM


@POSIX_ONLY
@pytest.mark.parametrize(("how", "expected"), [("call", 7), ("step", 130)])
def test_an_interrupt_leaves_the_command_time_to_keep_its_results(
    tmp_path: Path, how: str, expected: int
) -> None:
    """The status of what a person asked for stands; a step of several ends the task."""
    slow = (
        "import sys, time\n"
        "try:\n    print('ready', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(1); open('kept', 'w').close(); sys.exit(7)\n"
    )
    # As at a terminal: a shell that starts the tests in the background has them ignore Ctrl-C.
    outer = (
        "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nimport tasks\n"
        f"os.chdir({str(tmp_path)!r})\ntasks.ROOT = None\n"
        f"tasks.TASKS['probe'] = lambda _: tasks.{how}([sys.executable, '-c', {slow!r}], None)\n"
        "sys.exit(tasks.main(['probe']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", outer], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == expected
    process.stdout.close()
    assert (tmp_path / "kept").exists()


def test_run_keeps_the_folder_that_the_person_is_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[Sequence[str], Path]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tasks, "set_up", lambda environment, profile: None)
    monkeypatch.setattr(tasks, "call", lambda command, folder: calls.append((command, folder)) or 5)
    assert tasks.main(["run", "mine.toml", "--seed", "3"]) == 5
    ((command, folder),) = calls
    assert command[1:] == ["run", "mine.toml", "--seed", "3"]
    assert Path(command[0]).stem == "simlib"
    assert folder == tmp_path


# ---- the summary of `test`

REPORT = '<testsuites><testsuite name="pytest" tests="9" failures="2" errors="1" skipped="3"/></testsuites>'


def test_every_step_runs_even_after_a_failure_and_the_whole_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[list[str]] = []

    def first_fails(command: list[str]) -> int:
        commands.append(command)
        for word in command:
            if word.startswith("--junit-xml="):
                Path(word.partition("=")[2]).write_text(
                    REPORT.replace("2", "0").replace('errors="1"', 'errors="0"')
                )
        return int(len(commands) == 1)

    monkeypatch.setattr(tasks, "set_up", lambda environment, profile: None)
    monkeypatch.setattr(tasks, "step", first_fails)
    assert tasks.main(["test", "-k", "word"]) == 1
    ran = [Path(command[0]).stem + " " + " ".join(command[1:3]) for command in commands]
    assert ran == [
        "ruff check .",
        "ruff format --check",
        "python -m mypy",
        "lint-imports ",
        "python -m pytest",
    ]
    assert commands[-1][-2:] == ["-k", "word"]
    lines = capsys.readouterr().out.splitlines()
    assert sum("FAILED" in line for line in lines) == 1
    assert lines[-1] == "6 passed, 0 failed, 3 skipped"


def test_the_counts_are_those_of_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert tasks.counts_in(report) is None
    report.write_text("<half")
    assert tasks.counts_in(report) is None
    report.write_text(REPORT)
    assert tasks.counts_in(report) == (3, 3, 3)


@given(
    st.lists(st.tuples(words, st.integers(0, 255), st.floats(0, 1e4)), max_size=5),
    st.none() | st.tuples(*[st.integers(0, 10**5)] * 3),
)
def test_the_last_line_counts_tests(
    outcomes: list[tuple[str, int, float]], counts: tuple[int, int, int] | None
) -> None:
    text = tasks.summary(outcomes, counts)
    assert re.fullmatch(r"\d+ passed, \d+ failed, \d+ skipped", text.splitlines()[-1])
    assert text.count("FAILED") >= sum(status != 0 for _, status, _ in outcomes)


# ---- the hardware's packages

HARDWARE = (
    "b==2 \\\n    --hash=sha256:00\ntpm2-pytss==3 \\\n    --hash=sha256:11\nc==1 \\\n    --hash=sha256:22\n"
)


class Hardware:
    """The set-up of the hardware's packages, with pip and pkg-config noted instead of called."""

    def __init__(self, checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environment = checkout.environment
        self.calls: list[tuple[list[str], list[str]]] = []
        self.fails: tuple[str, ...] = ()
        self.headers = True
        (checkout.environment.root / "requirements-hardware.lock").write_text(HARDWARE)
        monkeypatch.setattr(tasks, "installs", self.installs)
        monkeypatch.setattr(tasks, "step", lambda command: 0 if self.headers else 1)
        monkeypatch.setattr(tasks.shutil, "which", lambda name: name)

    def installs(self, environment: object, lock: str, options: Sequence[str]) -> bool:
        names = list(tasks.blocks_of(lock))
        self.calls.append((names, list(options)))
        return not set(self.fails) & set(names)

    def add(self) -> list[str]:
        self.calls.clear()
        return tasks.add_hardware(self.environment)


@pytest.fixture
def hardware(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Hardware:
    checkout.set_up("dev")
    return Hardware(checkout, monkeypatch)


def test_a_lock_falls_into_its_packages_and_nothing_is_lost() -> None:
    blocks = tasks.blocks_of(HARDWARE)
    assert list(blocks) == ["b", "tpm2-pytss", "c"]
    assert "".join(blocks.values()) == HARDWARE
    assert tasks.BUILT_HERE in tasks.blocks_of((ROOT / tasks.HARDWARE_LOCK).read_text(encoding="utf-8"))


def test_what_is_built_here_comes_after_what_it_is_built_with(hardware: Hardware) -> None:
    assert hardware.add() == []
    wheels, built = hardware.calls
    assert wheels == (["b", "c"], ["--only-binary", ":all:"])
    assert built == (["tpm2-pytss"], ["--no-build-isolation"])


def test_the_hardware_is_added_once_and_again_when_its_lock_or_the_environment_is_new(
    hardware: Hardware, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware.add()
    assert (hardware.add(), hardware.calls) == ([], [])
    assert checkout.set_up("dev") == []
    (hardware.environment.root / "requirements-hardware.lock").write_text(HARDWARE + "d==1 \\\n")
    assert (hardware.add(), len(hardware.calls)) == ([], 2)
    (hardware.environment.root / "requirements-dev.lock").write_text("a==3 \\n")
    checkout.set_up("dev")
    assert (hardware.add(), len(hardware.calls)) == ([], 2)


@pytest.mark.parametrize(
    ("fails", "headers", "calls", "says"),
    [
        (("b",), True, 1, "python-pkcs11 could not be installed: keys are kept in encrypted files"),
        ((), False, 1, "tpm2-pytss needs libtss2-dev, which is not here: a model of the TPM's counter"),
        (("tpm2-pytss",), True, 2, "tpm2-pytss could not be built: a model of the TPM's counter"),
    ],
)
def test_what_cannot_be_added_is_named_with_what_stands_in_and_is_tried_again(
    hardware: Hardware, fails: tuple[str, ...], headers: bool, calls: int, says: str
) -> None:
    hardware.fails, hardware.headers = fails, headers
    for _ in range(2):
        (line,) = hardware.add()
        assert line.startswith(says)
        assert len(hardware.calls) == calls
    assert tasks.state_of(hardware.environment, "dev") == "ready"


def test_the_task_says_what_is_missing_and_ends_with_the_status_of_a_missing_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks, "set_up", lambda environment, profile: None)
    monkeypatch.setattr(tasks, "add_hardware", lambda environment: ["a line"])
    assert tasks.main(["hardware"]) == 3
    assert capsys.readouterr().err == "tasks.py: a line\n"
    monkeypatch.setattr(tasks, "add_hardware", lambda environment: [])
    assert tasks.main(["hardware"]) == 0


# ---- the locks


def test_without_uv_the_locks_are_left_and_the_reason_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tasks.main(["lock"]) == 3
    assert "uv" in capsys.readouterr().err


def test_the_stamp_is_readable_json(checkout: Checkout) -> None:
    checkout.set_up("run")
    stamp = json.loads(checkout.environment.stamp.read_text())
    assert stamp["installed"] == "run"
    assert stamp["digest"] == tasks.digest_of(checkout.environment.root, "run")
