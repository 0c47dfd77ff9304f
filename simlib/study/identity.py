"""Which code a process runs, so that a cluster's workers and the one who asks them can be told apart."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

import simlib


@cache
def source_identity() -> str:
    """SHA-256 over simlib's own source and calibration tables, in hexadecimal.

    Equal for two installations that give the same numbers for the same scenario, whatever their folders.
    """
    from simlib.scenario.datafiles import data_path

    root = Path(simlib.__file__).parent
    tables = data_path("calibration")
    digest = sha256()
    for folder, pattern in ((root, "**/*.py"), (tables, "*.csv")):
        for file in sorted(folder.glob(pattern), key=lambda f: f.relative_to(folder).as_posix()):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()
