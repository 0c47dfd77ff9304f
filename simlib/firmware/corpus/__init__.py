"""Chains of public firmware, pinned by hash and fetched on request; none of it is part of simlib.

A corpus is a file of pins in ``data/corpus``. `fetch` has the package's own registry hand out each archive,
checks it before it is opened and the firmware before it is kept, and keeps only the firmware, in the cache.
Nothing is installed, built or run. What a fetched firmware may be used for is between its licence and the
person who fetched it.
"""

from simlib.firmware.corpus.fetching import fetch
from simlib.firmware.corpus.numbering import mcuboot_version, mcuboot_versions
from simlib.firmware.corpus.pins import START, Archive, Corpus, Form, Pin, Registry, corpora, corpus
from simlib.firmware.corpus.stored import State, load_corpus, stored_states

__all__ = [
    "START",
    "Archive",
    "Corpus",
    "Form",
    "Pin",
    "Registry",
    "State",
    "corpora",
    "corpus",
    "fetch",
    "load_corpus",
    "mcuboot_version",
    "mcuboot_versions",
    "stored_states",
]
