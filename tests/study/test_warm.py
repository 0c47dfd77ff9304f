"""A notebook that imports simlib has the machine code before it asks for a run; nobody else pays for it."""

import os
import subprocess
import sys

SCRIPT = """
import sys, types
if {notebook}:
    sys.modules["ipykernel"] = types.ModuleType("ipykernel")
import simlib, threading
warming = [t for t in threading.enumerate() if t.name == "simlib-warm"]
for thread in warming:
    thread.join()
print(len(warming), "llvmlite" in sys.modules)
"""


def imported(tmp_path, *, notebook, warm="1"):
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(notebook=notebook)],
        env=os.environ | {"SIMLIB_CACHE": str(tmp_path), "SIMLIB_WARM": warm},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.split()


def test_in_a_notebook_importing_simlib_makes_the_machine_code_in_the_background(tmp_path):
    assert imported(tmp_path, notebook=True) == ["1", "True"]
    assert len(list((tmp_path / "code").iterdir())) == 1


def test_elsewhere_and_where_it_is_not_wanted_importing_simlib_compiles_nothing(tmp_path):
    assert imported(tmp_path, notebook=False) == ["0", "False"]
    assert imported(tmp_path, notebook=True, warm="0") == ["0", "False"]
    assert not (tmp_path / "code").exists()
