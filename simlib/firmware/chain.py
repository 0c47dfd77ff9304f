"""The firmware chain of a release, oldest first, from wherever the scenario takes it.

Synthetic firmwares are generated, those of a public corpus come from the cache, and files are read as they
are. How they are signed and shipped is the release's business.
"""

from __future__ import annotations

from pathlib import Path

from simlib.errors import InputError
from simlib.firmware.corpus import load_corpus
from simlib.firmware.firmware import Firmware
from simlib.firmware.synthetic import release_versions, synthetic_chain
from simlib.firmware.version import Version
from simlib.scenario.model import ReleaseSpec

__all__ = ["Firmware", "load_chain"]

_CORPUS = "corpus:"


def load_chain(spec: ReleaseSpec) -> tuple[Firmware, ...]:
    """The firmwares that `spec` names, oldest first, the newest last.

    Raises InputError for an unknown source, kind of step or corpus, a size that cannot be made, a corpus that
    is not fetched, and a file that is missing or empty; Refused for a fetched firmware that has changed.
    """
    if spec.source == "synthetic":
        return _synthetic(spec)
    if spec.source == "files":
        return _files(spec.files)
    if spec.source.startswith(_CORPUS):
        return load_corpus(spec.source.removeprefix(_CORPUS))
    raise InputError(f"release.source: found {spec.source!r}, expected synthetic, files or corpus:NAME")


def _synthetic(spec: ReleaseSpec) -> tuple[Firmware, ...]:
    sizes = [spec.base_size_bytes] * len(spec.steps) + [spec.size_bytes]
    payloads = synthetic_chain(spec.seed, sizes, spec.steps)
    versions = release_versions(spec.steps)
    return tuple(Firmware(str(v), v, payload) for v, payload in zip(versions, payloads, strict=True))


def _files(names: tuple[str, ...]) -> tuple[Firmware, ...]:
    """File number i, from 0, gets version 1.i.0: a raw binary does not say its own."""
    if not 0 < len(names) <= 256:
        raise InputError(f"release.files: found {len(names)} files, expected 1 to 256")
    stems = [Path(name).stem for name in names]
    distinct = len(set(stems)) == len(stems)
    labels = stems if distinct else [f"{stem}-{i}" for i, stem in enumerate(stems)]
    return tuple(
        Firmware(label, Version(1, i, 0, 0), _read(Path(name)))
        for i, (name, label) in enumerate(zip(names, labels, strict=True))
    )


def _read(path: Path) -> bytes:
    try:
        payload = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: found no readable file ({reason}), expected a firmware binary") from None
    if not payload:
        raise InputError(f"{path}: found an empty file, expected a firmware binary")
    return payload
