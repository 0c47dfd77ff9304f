"""The firmware chain of a release, oldest first, from wherever the scenario takes it.

Synthetic firmwares are generated, where a step is "any" of a kind drawn by the release's seed; those of a
public corpus come from the cache, and files are read as they are. How they are signed and shipped is the
release's business.
"""

from __future__ import annotations

from pathlib import Path

from simlib.errors import InputError
from simlib.firmware.corpus import load_corpus
from simlib.firmware.firmware import Firmware
from simlib.firmware.kept import kept
from simlib.firmware.synthetic import (
    KINDS,
    corpus_like_chain,
    drawn_steps,
    release_versions,
    synthetic_chain,
)
from simlib.firmware.version import Version
from simlib.scenario.model import ReleaseSpec

__all__ = ["Firmware", "load_chain", "load_chain_and_fix"]

_CORPUS = "corpus:"
_LEAST_WITH_FIX = 3
"""A firmware that devices run, the release, and its fix."""


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


def load_chain_and_fix(spec: ReleaseSpec, step: str) -> tuple[Firmware, ...]:
    """The firmwares that `spec` names with a forward fix as the newest, behind the release that it mends.

    A synthetic fix is one more release of the same size, a step of kind `step` away; it changes nothing that
    came before. Of files or a corpus the newest is the fix, and `step` says nothing.

    Raises as `load_chain` does, and InputError for files or a corpus of fewer than three.
    """
    if spec.source == "synthetic":
        if step not in KINDS:
            raise InputError(f"recovery.step: found {step!r}, expected one of {', '.join(KINDS)}")
        return _synthetic(spec, step)
    chain = load_chain(spec)
    if len(chain) < _LEAST_WITH_FIX:
        raise InputError(
            f"release.source: found {spec.source} with {len(chain)} firmwares, expected at least "
            f"{_LEAST_WITH_FIX}: the newest is the forward fix, the one before it the release"
        )
    return chain


def _synthetic(spec: ReleaseSpec, *fixes: str) -> tuple[Firmware, ...]:
    """The chain, and behind it a firmware of the newest's size for each kind of step in `fixes`."""
    weights = {kind: getattr(spec.step_weights, kind) for kind in KINDS}
    steps = drawn_steps(spec.seed, (*spec.steps, *fixes), weights)
    sizes = [spec.base_size_bytes] * len(spec.steps) + [spec.size_bytes] * (1 + len(fixes))
    make = corpus_like_chain if spec.variation == "corpus" else synthetic_chain
    payloads = kept((spec.variation, spec.seed, sizes, steps), lambda: make(spec.seed, sizes, steps))
    versions = release_versions(steps)
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
