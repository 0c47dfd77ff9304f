"""Whether simlib's codecs make of real firmware the patches that were measured on it, and rebuild it.

    simlib firmware fetch
    python benchmarks/corpus_pairs.py [--chain NAME ...] [--codec NAME ...]

For every measured update (`data/measurements`) of the chains in the cache, by default all that are there, and
every codec that the measurement has a counterpart of: makes the patch, compares its payload's size with the
measured one, applies it and compares the result byte for byte. Prints a row for each codec. Exit status 1 if
bsdiff4 gives another size than was measured, or any result is not the new firmware; other codecs may differ
in size, as theirs depends on settings that simlib chooses for a device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from simlib.delta.envelope import read_envelope
from simlib.delta.patch import apply_patch, create_patch
from simlib.delta.registry import CODECS, chosen
from simlib.errors import InputError, Refused
from simlib.firmware.corpus import corpora, corpus, load_corpus
from simlib.firmware.measurements import MeasuredUpdate, delta_pairs

COUNTERPARTS = {
    "bsdiff4": "bsdiff4",
    "detools-heatshrink": "detools_seq_heatshrink",
    "detools-crle": "detools_seq_crle",
    "detools-lzma": "detools_seq_lzma",
    "detools-in-place-heatshrink": "detools_inplace_heatshrink",
    "detools-in-place-crle": "detools_inplace_crle",
    "hdiffpatch-lzma2": "hdiffpatch_lzma2",
    "zstd-patch-from": "zstd19_patchfrom",
    "full-heatshrink": "full_heatshrink_w11l4",
}
"""The measured algorithm of each codec."""
EXACT = "bsdiff4"
"""The codec that has no settings, so that its patches must have the measured size."""


@dataclass(frozen=True)
class Outcome:
    """One update made again: the size of its payload [byte], and whether it gave the new firmware."""

    update: MeasuredUpdate
    size_bytes: int
    rebuilt: bool

    @property
    def off(self) -> int:
        """By how many bytes the payload is larger than the measured one."""
        return self.size_bytes - self.update.update_bytes


def tried(codec: str, update: MeasuredUpdate, old: bytes, new: bytes) -> Outcome:
    """Makes the update and applies it."""
    patch = create_patch(old, new, codec)
    size_bytes = len(patch) - read_envelope(patch).header_size
    try:
        result = apply_patch(old, patch, max_result_bytes=len(new))
    except Refused as refusal:
        print(f"{codec}: {update.chain} {update.base} to {update.target}: {refusal}", file=sys.stderr)
        result = b""
    return Outcome(update, size_bytes, result == new)


def outcomes(codec: str, updates: Iterable[MeasuredUpdate]) -> list[Outcome]:
    """Every measured update of this codec's counterpart, made again; by chain, so that one is in memory."""
    mine = [update for update in updates if update.algorithm == COUNTERPARTS[codec]]
    done: list[Outcome] = []
    for chain, its in groupby(mine, lambda update: update.chain):
        firmware = {each.label: each.payload for each in load_corpus(chain)}
        for update in its:
            old = firmware[update.base] if update.base is not None else b""
            done.append(tried(codec, update, old, firmware[update.target]))
    return done


def row(codec: str, done: Sequence[Outcome]) -> str:
    """What there is to say about one codec."""
    equal = sum(outcome.off == 0 for outcome in done)
    rebuilt = sum(outcome.rebuilt for outcome in done)
    shares = [100 * outcome.off / outcome.update.update_bytes for outcome in done]
    smallest, largest = min(shares), max(shares)
    return (
        f"{codec:<28} {COUNTERPARTS[codec]:<27} {len(done):>5} {equal:>6} {rebuilt:>8} {smallest:>+8.1f} "
        f"{largest:>+8.1f}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything asked for and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--chain", action="append", help="a fetched chain; default: every one")
    parser.add_argument("--codec", action="append", help="a codec; default: every one with a counterpart")
    asked = parser.parse_args(arguments)
    chains = [corpus(name) for name in asked.chain] if asked.chain else list(corpora())
    there = [chain.name for chain in chains if chain.is_cached()]
    if not there:
        raise InputError("cache: found no whole chain, expected one after: simlib firmware fetch")
    codecs = [chosen(name).name for name in asked.codec or CODECS if name in COUNTERPARTS or asked.codec]
    if unmeasured := [codec for codec in codecs if codec not in COUNTERPARTS]:
        raise InputError(f"--codec: found {unmeasured[0]}, expected one of {', '.join(COUNTERPARTS)}")
    updates = [update for update in delta_pairs() if update.chain in there]
    print(f"chains: {', '.join(there)}")
    print(
        f"{'codec':<28} {'measured as':<27} {'pairs':>5} {'equal':>6} {'rebuilt':>8} {'least %':>8}   most %"
    )
    wrong = 0
    for codec in codecs:
        done = outcomes(codec, updates)
        wrong += sum(not outcome.rebuilt or (codec == EXACT and outcome.off != 0) for outcome in done)
        print(row(codec, done), flush=True)
    print("least, most: by how much a payload is larger than the measured one")
    if wrong:
        print(f"found {wrong} updates that are wrong, expected none", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (InputError, Refused) as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)
