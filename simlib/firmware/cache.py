"""Where simlib keeps what it can get or compute again: fetched firmware and remembered results.

``SIMLIB_CACHE`` names the folder; without it, it is ``simlib`` in the platform's own place for caches:
%LOCALAPPDATA% on Windows, ~/Library/Caches on macOS, elsewhere $XDG_CACHE_HOME or ~/.cache (XDG Base
Directory Specification, which has a relative path ignored). Never in the project's folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def cache_dir(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """The cache folder, which need not exist yet."""
    if own := environment.get("SIMLIB_CACHE"):
        return Path(own).expanduser().absolute()
    home = Path.home()
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "simlib"
    if platform == "darwin":
        return home / "Library" / "Caches" / "simlib"
    named = Path(environment.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else home / ".cache") / "simlib"
