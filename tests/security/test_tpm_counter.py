"""Monotonic counters: a real TPM where there is one, its model, and the security counter over either."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError, MissingPartError
from simlib.security import counters
from simlib.security.counters import FIRST_INDEX, CounterTpm, ModelTpm, TpmSecurityCounter, open_tpm
from simlib.security.counters import swtpm as swtpm_module
from simlib.security.counters.security_counter import MAX_INCREMENTS
from simlib.security.counters.swtpm import SwtpmTpm

MISSING = [
    name
    for name, there in (
        ("swtpm", shutil.which("swtpm")),
        ("tpm2-pytss", importlib.util.find_spec("tpm2_pytss")),
    )
    if not there
]
needs_tpm = pytest.mark.skipif(bool(MISSING), reason=f"without {' and '.join(MISSING)}: the model stands in")
MAKERS = [
    pytest.param(ModelTpm, id="model"),
    pytest.param(SwtpmTpm, id="swtpm", marks=needs_tpm),
]
INDICES = (FIRST_INDEX, FIRST_INDEX + 1, FIRST_INDEX + 0x2A)
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["define", "undefine", "increment", "read"]), st.sampled_from(INDICES)),
    st.tuples(st.just("cut_power"), st.just(FIRST_INDEX)),
)


@pytest.fixture(params=MAKERS)
def tpm(request: pytest.FixtureRequest) -> Iterator[CounterTpm]:
    made: CounterTpm = request.param()
    yield made
    made.close()


@pytest.fixture(scope="module")
def real() -> Iterator[SwtpmTpm]:
    if MISSING:
        pytest.skip(f"without {' and '.join(MISSING)}")
    with SwtpmTpm() as made:
        yield made


def perform(tpm: CounterTpm, operation: str, index: int) -> int | str | None:
    """What one operation gives, a refusal as its message."""
    try:
        if operation == "define":
            return tpm.define(index).read()
        if operation == "undefine":
            return tpm.undefine(index)
        if operation == "cut_power":
            return tpm.cut_power()
        counter = tpm.counter(index)
        return counter.increment() if operation == "increment" else counter.read()
    except InputError as error:
        return str(error)


def test_a_counter_rises_by_one_and_reads_as_it_stands(tpm: CounterTpm) -> None:
    counter = tpm.define(FIRST_INDEX)
    first = counter.read()
    assert [counter.increment() for _ in range(3)] == [first + 1, first + 2, first + 3]
    assert counter.read() == first + 3
    assert tpm.counter(FIRST_INDEX).read() == first + 3


def test_a_new_counter_begins_above_every_counter_that_has_gone_whatever_its_index(tpm: CounterTpm) -> None:
    high, _ = tpm.define(FIRST_INDEX), tpm.define(FIRST_INDEX + 1)
    for _ in range(4):
        high.increment()
    before = high.read()
    tpm.undefine(FIRST_INDEX)
    tpm.undefine(FIRST_INDEX + 1)
    assert tpm.define(FIRST_INDEX + 2).read() == before + 1


def test_undefining_a_counter_does_not_bring_an_old_value_back(tpm: CounterTpm) -> None:
    counter = tpm.define(FIRST_INDEX)
    for _ in range(4):
        counter.increment()
    before = counter.read()
    tpm.undefine(FIRST_INDEX)
    with pytest.raises(InputError, match="found no counter, expected one"):
        counter.read()
    assert tpm.define(FIRST_INDEX).read() == before + 1


def test_a_loss_of_power_loses_no_increment(tpm: CounterTpm) -> None:
    counter = tpm.define(FIRST_INDEX)
    for _ in range(3):
        value = counter.increment()
        tpm.cut_power()
        assert tpm.counter(FIRST_INDEX).read() == value


@pytest.mark.parametrize("index", [0, FIRST_INDEX - 1, 0x01C0_0000])
def test_an_index_of_somebody_else_is_refused(tpm: CounterTpm, index: int) -> None:
    with pytest.raises(InputError, match=r"counter index: found 0x.*, expected 0x01800000 to 0x01bfffff"):
        tpm.define(index)


@settings(max_examples=25, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=25))
def test_the_model_does_what_the_tpm_does(real: SwtpmTpm, operations: list[tuple[str, int]]) -> None:
    """The same operations on both, from the same highest value: every answer and refusal is the same."""
    for index in INDICES:
        perform(real, "undefine", index)
    model = ModelTpm()
    base = real.define(FIRST_INDEX).read()
    real.undefine(FIRST_INDEX)
    first = model.define(FIRST_INDEX).read()
    model.undefine(FIRST_INDEX)
    for operation, index in operations:
        expected, found = perform(model, operation, index), perform(real, operation, index)
        if isinstance(expected, int):
            expected += base - first
        assert found == expected, (operation, hex(index))


@needs_tpm
def test_a_tpm_goes_on_where_its_memory_was_left(tmp_path: Path) -> None:
    with SwtpmTpm(tmp_path) as tpm:
        counter = tpm.define(FIRST_INDEX)
        value = counter.increment()
    with SwtpmTpm(tmp_path) as tpm:
        assert tpm.counter(FIRST_INDEX).increment() == value + 1
    assert tpm.kind.startswith("tpm (swtpm ")


@needs_tpm
def test_a_tpm_whose_memory_is_in_use_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swtpm_module, "_ANSWER_SECONDS", 5.0)
    with SwtpmTpm(tmp_path), pytest.raises(InputError, match=r"found a TPM that does not answer") as refused:
        SwtpmTpm(tmp_path)
    assert "\n" not in str(refused.value)


@needs_tpm
def test_a_tpm_ends_with_the_process_that_had_it_however_that_ends() -> None:
    code = (
        "import os, signal; from simlib.security.counters.swtpm import SwtpmTpm; tpm = SwtpmTpm(); "
        "print(tpm._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    child = int(done.stdout)
    for _ in range(200):
        if not _runs(child):
            return
        time.sleep(0.05)
    pytest.fail(f"the TPM {child} outlived its process")


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_without_a_tpm_the_model_stands_in_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingPartError, match=r"found no swtpm, expected it .*model of it needs nothing"):
        SwtpmTpm()
    assert open_tpm().kind == "model"


def test_without_the_library_the_model_stands_in_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "swtpm")
    monkeypatch.setitem(sys.modules, "tpm2_pytss", None)
    with pytest.raises(MissingPartError, match=r"found no tpm2-pytss, expected it .*simlib\[hardware\]"):
        SwtpmTpm()
    assert open_tpm().kind == "model"


@needs_tpm
def test_where_there_is_a_tpm_it_is_taken() -> None:
    tpm = counters.open_tpm()
    assert tpm.kind.startswith("tpm (")
    tpm.close()


def test_a_security_counter_begins_where_the_device_was_made_and_only_rises(tpm: CounterTpm) -> None:
    before = tpm.define(FIRST_INDEX + 1)
    assert [before.increment() for _ in range(9)][-1] == 10
    tpm.undefine(FIRST_INDEX + 1)  # so that the counter below does not begin at one
    security = TpmSecurityCounter.provision(tpm.define(FIRST_INDEX), value=3)
    assert security.read() == 3
    assert security.raise_to(7) == 7
    assert security.raise_to(5) == 7
    tpm.cut_power()
    again = TpmSecurityCounter(tpm.counter(FIRST_INDEX), security.origin)
    assert (again.read(), again.raise_to(8)) == (7, 8)


def test_a_power_cut_while_it_rises_leaves_a_value_between(tpm: CounterTpm) -> None:
    class Cut:
        """A counter whose device loses its power in the third increment."""

        kind = "cut"
        left = 2

        def read(self) -> int:
            return counter.read()

        def increment(self) -> int:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return counter.increment()

    counter = tpm.define(FIRST_INDEX)
    cut = Cut()
    security = TpmSecurityCounter.provision(cut)
    with pytest.raises(KeyboardInterrupt):
        security.raise_to(5)
    assert security.read() == 2
    cut.left = 5
    assert security.raise_to(5) == 5


def test_a_step_that_would_wear_the_part_out_is_refused_before_it_begins() -> None:
    security = TpmSecurityCounter.provision(ModelTpm().define(FIRST_INDEX))
    with pytest.raises(InputError, match=f"found a step of {MAX_INCREMENTS + 1}, expected at most"):
        security.raise_to(MAX_INCREMENTS + 1)
    assert security.read() == 0
