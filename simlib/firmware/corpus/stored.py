"""The fetched firmwares: reading a chain out of the cache, and telling what has changed there."""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.corpus.numbering import mcuboot_versions
from simlib.firmware.corpus.pins import Corpus, Pin, corpus
from simlib.firmware.firmware import Firmware


class State(StrEnum):
    """How a pinned firmware stands in the cache."""

    RIGHT = "right"
    CHANGED = "changed"
    NOT_FETCHED = "not-fetched"


def load_corpus(name: str) -> tuple[Firmware, ...]:
    """The firmwares of a fetched corpus, oldest first.

    Raises InputError if the corpus is unknown or not fetched, Refused if a firmware has changed since.
    """
    chain = corpus(name)
    versions = mcuboot_versions([pin.version for pin in chain.pins])
    return tuple(
        Firmware(pin.version, version, _cached(chain, pin))
        for pin, version in zip(chain.pins, versions, strict=True)
    )


def stored_states(chain: Corpus) -> tuple[State, ...]:
    """How each firmware of `chain` stands in the cache, oldest first; every file is read and hashed."""
    return tuple(stored_state(chain, pin) for pin in chain.pins)


def stored_state(chain: Corpus, pin: Pin) -> State:
    """How one firmware stands in the cache."""
    content = _content(chain, pin)
    if content is None:
        return State.NOT_FETCHED
    return State.RIGHT if sha256(content).hexdigest() == pin.sha256 else State.CHANGED


def _cached(chain: Corpus, pin: Pin) -> bytes:
    content = _content(chain, pin)
    remedy = f"simlib firmware fetch {chain.name}"
    if content is None:
        raise InputError(
            f"corpus {chain.name}: found no {pin.version} in the cache, expected it after: {remedy}"
        )
    if (found := sha256(content).hexdigest()) != pin.sha256:
        where = f"{chain.cached_path(pin)} (replace it with: {remedy})"
        raise Refused(Reason.HASH_MISMATCH, f"{where}: found SHA-256 {found}, expected {pin.sha256}")
    return content


def _content(chain: Corpus, pin: Pin) -> bytes | None:
    path = chain.cached_path(pin)
    return path.read_bytes() if path.is_file() else None
