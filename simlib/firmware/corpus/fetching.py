"""Getting what is missing of pinned chains: download, check, take out, check again, keep.

An archive that carries firmware of several chains is downloaded once. Each firmware is written whole, so that
an interrupted fetch goes on where it stopped. How a registry is reached is the business of `registries`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from simlib.errors import Reason, Refused
from simlib.firmware.corpus.archives import read_member
from simlib.firmware.corpus.hexfile import flash_image
from simlib.firmware.corpus.pins import Archive, Corpus, Form, Pin, corpus
from simlib.firmware.corpus.registries import Runner, download, run_command
from simlib.firmware.corpus.stored import State, stored_state
from simlib.firmware.files import write_whole

Progress = Callable[[int, int, str], None]
"""Told firmwares done, firmwares in all, and which was just done."""


def fetch(
    *names: str, runner: Runner = run_command, progress: Progress | None = None
) -> dict[str, tuple[Path, ...]]:
    """Downloads what is missing of the named chains into the cache; where each firmware is, oldest first.

    A firmware already there is hashed and not downloaded again; one that has changed is. `runner` runs pip
    and npm.

    Raises InputError if a chain is unknown or a package cannot be had, Refused if an archive or a firmware
    in it is not the pinned one; of that archive nothing is kept, of those before it everything.
    """
    chains = [corpus(name) for name in dict.fromkeys(names)]
    wanted = [(chain, pin) for chain in chains for pin in chain.pins]
    missing = [(chain, pin) for chain, pin in wanted if stored_state(chain, pin) is not State.RIGHT]
    tell, done = progress or (lambda _done, _total, _what: None), len(wanted) - len(missing)
    tell(done, len(wanted), "in the cache")
    for archive, inside in _by_archive(missing):
        content = _downloaded(archive, runner)
        for (chain, pin), firmware in zip(
            inside, [_firmware(content, pin) for _, pin in inside], strict=True
        ):
            path = chain.cached_path(pin)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, firmware)
            done += 1
            tell(done, len(wanted), f"{chain.name} {pin.version}")
    return {chain.name: tuple(chain.cached_path(pin) for pin in chain.pins) for chain in chains}


def _by_archive(
    pins: Iterable[tuple[Corpus, Pin]],
) -> Iterator[tuple[Archive, list[tuple[Corpus, Pin]]]]:
    archives: dict[Archive, list[tuple[Corpus, Pin]]] = {}
    for chain, pin in pins:
        archives.setdefault(pin.archive, []).append((chain, pin))
    yield from archives.items()


def _downloaded(archive: Archive, runner: Runner) -> bytes:
    """The pinned archive, read only when it has the right size."""
    with tempfile.TemporaryDirectory(prefix="simlib-", ignore_cleanup_errors=True) as folder:
        path = download(archive, Path(folder), runner)
        if (size := path.stat().st_size) != archive.size_bytes:
            message = f"{path.name}: found {size} bytes, expected the {archive.size_bytes} pinned"
            raise Refused(Reason.HASH_MISMATCH, message)
        content = path.read_bytes()
    _check(archive.name, content, archive.sha256)
    return content


def _firmware(content: bytes, pin: Pin) -> bytes:
    """The pinned firmware out of its archive."""
    where = f"{pin.archive.name}: {pin.member}"
    member = read_member(content, pin.archive.name, pin.member, pin.member_size_bytes)
    _check(where, member, pin.member_sha256)
    if pin.form is Form.BINARY:
        return member
    firmware = flash_image(member, pin.size_bytes, where)
    _check(f"{where} as it lies in flash", firmware, pin.sha256)
    return firmware


def _check(where: str, content: bytes, expected: str) -> None:
    if (found := sha256(content).hexdigest()) != expected:
        raise Refused(Reason.HASH_MISMATCH, f"{where}: found SHA-256 {found}, expected {expected}")
