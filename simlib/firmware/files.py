"""Writing a file so that nobody ever meets half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all: under a temporary name beside it, then renamed over what was there.

    Until it is complete only its owner can read it, then whoever `mode` lets. An interruption leaves nothing
    of it behind. Raises `OSError` as the file system does.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
