"""What events did, found again for every device in which they would look at the same bytes.

An event is a deterministic program: which sector it looks at next follows from what it found in those before.
So all that was ever seen of one question (an event and the facts it depends on) is a tree: a node is reached
by what was found so far and says which sectors came next, a leaf is the effect. An answer for a device is
looked up along the digests of its own sectors, from the root to a leaf, or to where nobody has been yet. A
node depends on nothing but the path to it, so it makes no difference in which order, or by which process, a
tree was grown.

A node names several sectors at once: all that followed, for the first two ways that were seen from it; then
one, and from there on one, two, four and so on. What is found among them may lead elsewhere, and so a node
can have several such runs; to whichever leaf they lead a device, the effect is the same.

The tree lies in the memo, where other processes grow it too, and as far as it was used in this object.
Leaves to others: what is asked (`bench`) and what an effect is (`transition`).
"""

from __future__ import annotations

import json
import struct
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from simlib.device.memo import Memo
from simlib.device.transition import Effect, pack, unpack

EFFECT_BYTES: Final = 64 << 20
"""How many bytes of packed effects are kept at hand; what falls out is in the memo, or computed again."""
_WHOLE_RUNS: Final = 2
_FORK, _LEAF = b"F", b"L"
_Run = tuple[int, ...]
_Fork = tuple[_Run, ...]


class Recollection:
    """Effects by question and by what was found; with `memo` None, those added to this object alone."""

    def __init__(self, memo: Memo | None) -> None:
        self._memo = memo
        self._forks: dict[bytes, _Fork] = {}
        self._leaves: OrderedDict[bytes, bytes] = OrderedDict()  # packed effects
        self._leaf_bytes = 0

    def find(self, question: bytes, digests: Sequence[bytes]) -> Effect | None:
        """The effect added for `question` and a device whose sectors, where it looked, had such `digests`."""
        leaf = self._leaf(question, digests)
        return None if leaf is None else unpack(leaf)

    def add(
        self, question: bytes, looked_at: Sequence[int], digests: Sequence[bytes], effect: Effect
    ) -> None:
        """Remember `effect` of an event that looked at these sectors, in this order.

        `digests` are those of every sector of the flash before the event. RuntimeError where the event once
        found the same and went on in another way: then chance is in it, or a look that was not noted.
        """
        node, start = question, 0
        while start < len(looked_at):
            if isinstance(self._at(node), bytes):
                raise _contradiction()
            run = self._add_run(node, start, looked_at)
            node, start = _next_node(node, run, digests), start + len(run)
        if isinstance(self._at(node), tuple):
            raise _contradiction()
        packed = pack(effect)
        self._keep(node, packed)
        if self._memo is not None:
            self._memo.put(node, _LEAF + packed)

    def _leaf(self, node: bytes, digests: Sequence[bytes]) -> bytes | None:
        """The packed effect that a device with these digests comes to from `node`."""
        there = self._at(node)
        if not isinstance(there, tuple):
            return there
        leaf = self._leaf_behind(node, there, digests)
        if leaf is None:
            # Another process may have been here since this object was.
            new = [run for run in self._fetched_fork(node) if run not in there]
            leaf = self._leaf_behind(node, new, digests)
        return leaf

    def _leaf_behind(self, node: bytes, runs: Iterable[_Run], digests: Sequence[bytes]) -> bytes | None:
        leaves = (self._leaf(_next_node(node, run, digests), digests) for run in runs)
        return next((leaf for leaf in leaves if leaf is not None), None)

    def _at(self, node: bytes) -> _Fork | bytes | None:
        """The runs that lead on from `node`, or the packed effect it is; None where nobody has been."""
        fork = self._forks.get(node)
        if fork is not None:
            return fork
        leaf = self._leaves.get(node)
        if leaf is not None:
            self._leaves.move_to_end(node)
            return leaf
        stored = None if self._memo is None else self._memo.get(node)
        if stored is None:
            return None
        if stored.startswith(_LEAF):
            self._keep(node, stored[1:])
            return stored[1:]
        fork = self._forks[node] = _read_fork(stored)
        return fork

    def _fetched_fork(self, node: bytes) -> _Fork:
        """The runs from `node` with those that others have put into the memo by now."""
        known = self._forks.get(node, ())
        stored = None if self._memo is None else self._memo.get(node)
        if stored is not None and stored.startswith(_FORK):
            known = self._forks[node] = tuple(sorted({*known, *_read_fork(stored)}))
        return known

    def _add_run(self, node: bytes, start: int, looked_at: Sequence[int]) -> _Run:
        """The run by which `node` leads on to what was looked at from place `start` on."""
        runs = self._forks.get(node, ())
        run = _run(runs, start, looked_at)
        if run not in runs:
            runs = self._fetched_fork(node)
            run = _run(runs, start, looked_at)
        if run not in runs:
            runs = self._forks[node] = tuple(sorted({*runs, run}))
            if self._memo is not None:
                self._memo.put(node, _FORK + json.dumps(runs, separators=(",", ":")).encode())
        return run

    def _keep(self, node: bytes, packed: bytes) -> None:
        self._leaf_bytes += len(packed) - len(self._leaves.pop(node, b""))
        self._leaves[node] = packed
        while self._leaf_bytes > EFFECT_BYTES and len(self._leaves) > 1:
            self._leaf_bytes -= len(self._leaves.popitem(last=False)[1])


def _run(runs: Sequence[_Run], start: int, looked_at: Sequence[int]) -> _Run:
    rest = tuple(looked_at[start:])
    if rest in runs or len(runs) < _WHOLE_RUNS:
        return rest
    return tuple(looked_at[start : 2 * start or 1])


def _next_node(node: bytes, run: _Run, digests: Sequence[bytes]) -> bytes:
    """Where a device with these `digests` comes to when it has looked at the sectors of `run`."""
    numbers = struct.pack(f"<{len(run) + 1}I", len(run), *run)
    return sha256(b"".join((node, numbers, *[digests[sector] for sector in run]))).digest()


def _read_fork(stored: bytes) -> _Fork:
    return tuple(tuple(run) for run in json.loads(stored[len(_FORK) :]))


def _contradiction() -> RuntimeError:
    return RuntimeError("bench: the same event found the same bytes and went on in two ways")
