"""A publisher's version as an MCUboot header can hold it.

Of ``2024.0.1`` or ``4.0.0b5`` the header takes three numbers and a build. Pre-releases and the release they
lead to have the same three; the build then counts them, so that each firmware of a chain is newer than the
one before. Which is the older is not told from the text: the chain is in order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from simlib.errors import InputError
from simlib.firmware.version import Version

_FORM: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:(?:a|b|rc)\d{1,9})?", re.ASCII)
_CALENDAR: Final = 2000


def mcuboot_version(text: str) -> Version:
    """The three numbers of one version, with build 0: ``4.0.0b5`` as 4.0.0.

    The header's major is 8 bits (MCUboot design, image format), so a calendar year counts from 2000. Raises
    `InputError` for another form than MAJOR.MINOR.REVISION with or without aN, bN or rcN behind it, and for
    a number that does not fit its field.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        expected = "MAJOR.MINOR.REVISION, with aN, bN or rcN behind it or not"
        raise InputError(f"version {text!r}: found another form, expected {expected}")
    major, minor, revision = (int(part) for part in form.groups())
    return Version(major - _CALENDAR if major >= _CALENDAR else major, minor, revision)


def mcuboot_versions(texts: Sequence[str]) -> tuple[Version, ...]:
    """The versions of a chain, oldest first; each is newer than the one before.

    The build is how many firmwares with the same three numbers come before: 4.0.0b4, 4.0.0b5 and 4.0.0 are
    4.0.0, 4.0.0+1 and 4.0.0+2. Raises `InputError` as `mcuboot_version` does, and for numbers that go down.
    """
    versions: list[Version] = []
    for text in texts:
        version = mcuboot_version(text)
        last = versions[-1] if versions else None
        if last is not None and version <= replace(last, build=0):
            if version != replace(last, build=0):
                raise InputError(f"version {text!r}: found it behind {last}, expected the oldest first")
            version = replace(version, build=last.build + 1)
        versions.append(version)
    return tuple(versions)
