"""Where the cache is on each platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from simlib.firmware.cache import cache_dir

HOME = Path.home()


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", HOME / ".cache" / "simlib"),
        ({"XDG_CACHE_HOME": "relative"}, "linux", HOME / ".cache" / "simlib"),
        ({"XDG_CACHE_HOME": str(HOME / "x")}, "linux", HOME / "x" / "simlib"),
        ({"XDG_CACHE_HOME": str(HOME / "x")}, "darwin", HOME / "Library" / "Caches" / "simlib"),
        ({"LOCALAPPDATA": str(HOME / "l")}, "win32", HOME / "l" / "simlib"),
        ({}, "win32", HOME / "AppData" / "Local" / "simlib"),
        ({"SIMLIB_CACHE": str(HOME / "own"), "XDG_CACHE_HOME": str(HOME / "x")}, "linux", HOME / "own"),
        ({"SIMLIB_CACHE": "~/own", "LOCALAPPDATA": str(HOME / "l")}, "win32", HOME / "own"),
    ],
)
def test_the_cache_lies_where_the_platform_keeps_caches(
    environment: dict[str, str], platform: str, expected: Path
) -> None:
    assert cache_dir(environment, platform) == expected
