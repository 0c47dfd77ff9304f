"""Reading an archive from an npm registry by HTTP, where npm itself is not installed.

A registry answers ``/PACKAGE`` with a JSON object that names, for each version, the address of its archive
(npm, Package Metadata). Behind a mirror that address may still be the origin's; then its path below the
package's name is taken on the mirror. An answer is read up to a bound.
"""

from __future__ import annotations

import json
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from simlib.errors import InputError
from simlib.firmware.corpus.pins import Archive

TIMEOUT_S: Final = 60
LARGEST_METADATA_BYTES: Final = 64 << 20
_ABBREVIATED: Final = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"


class OutOfReachError(Exception):
    """The registry gave no answer, or none that it should; the text says which."""


def get_archive(registry: str, archive: Archive, folder: Path) -> Path:
    """The archive in a file in `folder`: no more than a byte more than the pinned size is read.

    `registry` is an address as npm's configuration has it.

    Raises InputError for an address that is none and a version that the registry does not have,
    OutOfReachError where the registry does not answer as one.
    """
    registry = registry.rstrip("/")
    if urlsplit(registry).scheme not in ("http", "https"):
        raise InputError("NPM_CONFIG_REGISTRY: found another address, expected one with http:// or https://")
    about = _get(f"{registry}/{quote(archive.package, safe='@')}", LARGEST_METADATA_BYTES, archive)
    path = folder / "archive.tgz"
    path.write_bytes(_get(_address(registry, about, archive), archive.size_bytes + 1, archive))
    return path


def _address(registry: str, about: bytes, archive: Archive) -> str:
    """Where the archive is, by what the registry says about its package."""
    try:
        versions = json.loads(about)["versions"]
        version = versions.get(archive.package_version)
        address = None if version is None else str(version["dist"]["tarball"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OutOfReachError("its answer is no description of a package") from None
    if address is None:
        raise _not_there(archive)
    if address.startswith(f"{registry}/"):
        return address
    path = urlsplit(address).path
    below = path.find(f"/{archive.package}/")
    return registry + (path[below:] if below >= 0 else path)


def _get(address: str, most_bytes: int, archive: Archive) -> bytes:
    try:
        with urlopen(Request(address, headers={"Accept": _ABBREVIATED}), timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read(most_bytes)
    except HTTPError as error:
        if error.code in (404, 410):
            raise _not_there(archive) from None
        raise OutOfReachError(f"it answers with status {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise OutOfReachError(f"no answer: {type(error).__name__}") from None
    return content


def _not_there(archive: Archive) -> InputError:
    return InputError(
        f"package {archive.package} {archive.package_version}: found no such version in "
        f"{archive.registry.called}, expected to download it from there; what was fetched before is kept"
    )
