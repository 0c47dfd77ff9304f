"""A link that many transfers share max–min fairly, in exact integers on a grid of milliseconds.

Decides when each transfer ends and how many bytes an aborted one still misses. At every instant the
capacity is divided so that no transfer could have more without another, already slower one, having less
(water filling: Bertsekas and Gallager, "Data Networks", 2nd ed., section 6.5.2); each transfer is capped
by the rate of its class. A transfer that ends inside a millisecond keeps its share until the millisecond
is over: the grid is part of the model.

Instead of moving every transfer at every change, each class has a virtual clock: the position that a
transfer which never ended would have reached. Only differences of positions matter, so a transfer is the
position at which it ends, kept in a heap of its class, and a join or a leave moves nobody else (virtual
time, as in Demers, Keshav and Shenker, "Analysis and simulation of a fair queueing algorithm", SIGCOMM
1989).

Positions are in units of 1/(1000 · 2**k) byte, so that a rate in byte/s, shifted by k, is a whole number
of units per millisecond. The classes below the level run at their caps; those above share what is left,
and the fraction of a unit that the division leaves is carried as `carry/sharers`. Every rounding is
downwards: a transfer is never early, and two properties hold exactly. Advancing at any instants in between
changes nothing; and what happens at one instant (joins, aborts, changes of capacity, once that instant's
finishers are popped) may come in any order, because only time that passes moves a position.

What a transfer is for, why it breaks off and who it belongs to is left to others.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Final

from simlib.errors import InputError

INF: Final = (1 << 63) - 1
"""The time of what will not happen [ms]."""
CLASSES_MAX: Final = 32
UNIT_BITS_MAX: Final = 8
LIMIT: Final = 1 << 62
"""Products stay below this, so that a sum of two still fits a signed 64-bit integer."""

_Transfer = tuple[int, int, int, int]
"""(position at which it ends [units], device, rate class, size [bytes])"""


def unit_bits(n_max: int, size_max: int, cap_max: int, horizon_ms: int) -> int:
    """The finest resolution k (0 to 8) at which nothing overflows a signed 64-bit integer.

    Parameters: the most transfers at once, the largest transfer [bytes], the fastest class [byte/s] and the
    end of the run [ms]. Raises `InputError` where not even whole thousandths of a byte fit.
    """
    for bits in range(UNIT_BITS_MAX, -1, -1):
        work = (n_max * size_max * 1000) << bits
        travel = (cap_max << bits) * max(horizon_ms, n_max)
        if work < LIMIT and travel < LIMIT:
            return bits
    raise InputError(
        f"link: found {n_max} transfers of {size_max} byte and {cap_max} byte/s over {horizon_ms} ms, "
        "expected transfers * size * 1000 and rate * duration below 2**62"
    )


class FairLink:
    """One shared link: who is on it, how far each class has come, who ends next.

    `caps_bps` are the rates of the classes [byte/s], ascending and distinct, at most 32; `capacity_bps` is
    the link's [byte/s], 0 for an outage; `unit_bits` comes from the function of that name. Time starts at 0
    and never goes back: every call names its time [ms], and a caller pops the finishers of an instant before
    it changes anything at it, and never lets time pass beyond `next_finish()` without popping.

    Raises `InputError` for rates that are out of range.
    """

    __slots__ = (
        "_applied",
        "_bases",
        "_capacity",
        "_caps",
        "_carry",
        "_carry_of",
        "_closed_bytes",
        "_counts",
        "_first_shared",
        "_heaps",
        "_level",
        "_offsets",
        "_served_ms",
        "_shared",
        "_t",
        "_transfers",
        "_unit",
        "_unit_bits",
    )

    def __init__(self, caps_bps: Sequence[int], capacity_bps: int, unit_bits: int) -> None:
        caps = [int(cap) for cap in caps_bps]
        if not 1 <= len(caps) <= CLASSES_MAX:
            raise InputError(f"link: found {len(caps)} rate classes, expected 1 to {CLASSES_MAX}")
        if caps[0] < 1 or any(low >= high for low, high in pairwise(caps)):
            raise InputError(f"link: found rates {caps} byte/s, expected positive, ascending and distinct")
        if not 0 <= unit_bits <= UNIT_BITS_MAX:
            raise InputError(f"link: found {unit_bits} unit bits, expected 0 to {UNIT_BITS_MAX}")
        classes = len(caps)
        self._unit_bits = unit_bits
        self._unit = 1000 << unit_bits
        self._caps = [self._rate(cap) for cap in caps]
        self._capacity = self._rate(capacity_bps)
        self._t = 0
        # A class's position is its offset plus, below the level, its cap times the served time or, above it,
        # the shared clock: time passes in two additions, and only a class that crosses the level is touched.
        self._offsets = [0] * classes
        self._served_ms = 0  # time during which the link was not out
        self._shared = 0
        self._carry = 0
        self._carry_of = 1
        self._first_shared = classes  # of the level that positions were last moved by
        self._level: tuple[int, int, int] | None = None  # None: membership has changed
        self._applied = False  # whether positions already move by `_level`
        self._counts = [0] * classes
        self._heaps: list[list[_Transfer]] = [[] for _ in caps]
        self._transfers: dict[int, _Transfer] = {}
        self._closed_bytes = 0  # of transfers that are over
        self._bases = [0] * classes  # sum of the positions from which a class's transfers count their bytes

    @property
    def unit(self) -> int:
        """The units of a byte."""
        return self._unit

    @property
    def caps(self) -> tuple[int, ...]:
        """The rates of the classes [units/ms]."""
        return tuple(self._caps)

    @property
    def capacity(self) -> int:
        """The capacity now [units/ms]."""
        return self._capacity

    def rate(self, rate_bps: int) -> int:
        """A rate [byte/s] in units per millisecond. Raises `InputError` for one that is out of range."""
        return self._rate(rate_bps)

    def _rate(self, rate_bps: int) -> int:
        units = int(rate_bps) << self._unit_bits
        if not 0 <= units < LIMIT:
            raise InputError(f"link: found {rate_bps} byte/s, expected 0 to {(LIMIT >> self._unit_bits) - 1}")
        return units

    @property
    def active(self) -> int:
        """The number of transfers on the link."""
        return len(self._transfers)

    def carries(self, device: int) -> bool:
        """Whether `device` has a transfer on the link."""
        return device in self._transfers

    @property
    def fastest_bps(self) -> int:
        """The rate of the fastest class [byte/s]."""
        return self._caps[-1] >> self._unit_bits

    @property
    def time_ms(self) -> int:
        """The time up to which the link has been advanced."""
        return self._t

    def level(self) -> tuple[int, int, int]:
        """How the capacity is divided now: (first class that shares, what they share, how many share).

        Classes before the first run at their cap. What is shared is in units per millisecond. With nobody
        above the level the first is the number of classes and the last is 0.
        """
        if self._level is None:
            available = self._capacity
            sharers = len(self._transfers)
            first = 0
            for cap, count in zip(self._caps, self._counts, strict=True):
                if cap * sharers > available:
                    break
                if count:
                    available -= cap * count
                    sharers -= count
                first += 1
            self._level = (first, available, sharers)
            self._applied = False
        return self._level

    def fair_share(self, rate_bps: int) -> Fraction:
        """What a transfer of a class of `rate_bps` gets now, as a share of that rate."""
        _, available, sharers = self.level()
        if not sharers:
            return Fraction(1)
        return min(Fraction(available, sharers * self._rate(rate_bps)), Fraction(1))

    def advance(self, t: int) -> None:
        """Let time pass up to `t`. Raises `ValueError` if that lies in the past."""
        elapsed = t - self._t
        if elapsed <= 0:
            if elapsed < 0:
                raise ValueError(f"link: found time {t} ms, expected at least {self._t}")
            return
        level = self._level
        if level is None:
            level = self.level()
        if not self._applied:
            self._apply(level)
        _, available, sharers = level
        if not sharers:
            self._served_ms += elapsed
        elif available:
            self._served_ms += elapsed
            moved, self._carry = divmod(available * elapsed + self._carry, sharers)
            self._shared += moved
        self._t = t

    def _apply(self, level: tuple[int, int, int]) -> None:
        """Move classes across the level as of the time of the change; hand the carry to the new sharers."""
        self._applied = True
        first, available, sharers = level
        if sharers and not available:
            return  # an outage: positions and carry stand still
        offsets, caps, served, shared = self._offsets, self._caps, self._served_ms, self._shared
        rounding = 1 if self._carry else 0  # whoever begins to share must not be given the carried fraction
        for index in range(first, self._first_shared):
            offsets[index] += caps[index] * served - shared - rounding
        for index in range(self._first_shared, first):
            offsets[index] += shared - caps[index] * served
        self._first_shared = first
        if sharers:
            self._carry = self._carry * sharers // self._carry_of
            self._carry_of = sharers
        else:
            self._carry = 0
            self._carry_of = 1

    def _position(self, rate_class: int) -> int:
        if rate_class < self._first_shared:
            return self._offsets[rate_class] + self._caps[rate_class] * self._served_ms
        return self._offsets[rate_class] + self._shared

    def join(self, t: int, device: int, rate_class: int, size_bytes: int) -> None:
        """Start a transfer of `size_bytes` (at least 1) for `device`; one that will drop is a shorter one.

        Raises `ValueError` if the device is on the link already or the class or size is out of range.
        """
        if t != self._t:
            self.advance(t)
        if device in self._transfers:
            raise ValueError(f"device {device}: found a second transfer, expected one at a time")
        if not 0 <= rate_class < len(self._caps):
            raise ValueError(
                f"device {device}: found rate class {rate_class}, expected 0 to {len(self._caps) - 1}"
            )
        if size_bytes < 1:
            raise ValueError(f"device {device}: found a transfer of {size_bytes} byte, expected at least 1")
        base = self._position(rate_class)
        if self._carry and rate_class >= self._first_shared:
            base += 1  # the class is a fraction further than its position says
        transfer = (base + size_bytes * self._unit, device, rate_class, size_bytes)
        self._transfers[device] = transfer
        self._bases[rate_class] += base
        self._counts[rate_class] += 1
        heappush(self._heaps[rate_class], transfer)
        self._level = None

    def abort(self, t: int, device: int) -> int:
        """Take `device` off the link and return the bytes it misses, at least 1 and at most its size.

        Raises `ValueError` if it has no transfer.
        """
        if t != self._t:
            self.advance(t)
        transfer = self._transfers.pop(device, None)
        if transfer is None:
            raise ValueError(f"device {device}: found no transfer to abort, expected one")
        end, _, rate_class, size_bytes = transfer
        missing_bytes = min(size_bytes, -((self._position(rate_class) - end) // self._unit))
        self._close(transfer, size_bytes - missing_bytes)
        self._drop_stale(rate_class)
        return missing_bytes

    def _close(self, transfer: _Transfer, received_bytes: int) -> None:
        end, _, rate_class, size_bytes = transfer
        self._bases[rate_class] -= end - size_bytes * self._unit
        self._counts[rate_class] -= 1
        self._closed_bytes += received_bytes
        self._level = None

    def _drop_stale(self, rate_class: int) -> None:
        """Keep a live transfer at the head of the heap, and the aborted ones in it fewer than the live."""
        heap, transfers = self._heaps[rate_class], self._transfers
        while heap and transfers.get(heap[0][1]) is not heap[0]:
            heappop(heap)
        if len(heap) > 2 * self._counts[rate_class] + 16:
            heap[:] = [entry for entry in heap if transfers.get(entry[1]) is entry]
            heapify(heap)

    def set_capacity(self, t: int, capacity_bps: int) -> None:
        """Change the capacity [byte/s]; 0 is an outage, during which nothing moves."""
        self.advance(t)
        self._capacity = self._rate(capacity_bps)
        self._level = None

    def next_finish(self) -> int:
        """The time [ms] at which the next transfer ends if nothing changes, `INF` if none will.

        It is the closed form of the same floors `advance` takes, so at that time the transfer has ended and
        one millisecond earlier it has not.
        """
        if not self._transfers:
            return INF
        first, available, sharers = self.level()
        if sharers and not available:
            return INF
        soonest = INF
        nearest = INF  # least distance among those that will share [units]
        was_first, carry, served, shared = self._first_shared, self._carry, self._served_ms, self._shared
        for index, heap in enumerate(self._heaps):
            if heap:
                cap, offset = self._caps[index], self._offsets[index]
                if index < was_first:
                    distance = heap[0][0] - offset - cap * served
                    if carry and index >= first:
                        distance += 1  # it will be rounded down as it begins to share
                else:
                    distance = heap[0][0] - offset - shared
                if index >= first:
                    nearest = min(nearest, distance)
                elif soonest == INF or distance <= (soonest - 1) * cap:
                    soonest = -(-distance // cap)
        if nearest != INF:
            carry = carry * sharers // self._carry_of
            soonest = min(soonest, -((carry - nearest * sharers) // available))
        return self._t + max(soonest, 0)

    def pop_finished(self, t: int) -> list[int]:
        """Advance to `t`, take off every transfer that has ended and return the devices, ascending."""
        if t != self._t:
            self.advance(t)
        transfers = self._transfers
        finished: list[int] = []
        for index, heap in enumerate(self._heaps):
            if not heap:
                continue
            position = self._position(index)
            if heap[0][0] > position:
                continue
            while heap and heap[0][0] <= position:
                transfer = heappop(heap)
                if transfers.get(transfer[1]) is transfer:
                    del transfers[transfer[1]]
                    self._close(transfer, transfer[3])
                    finished.append(transfer[1])
            self._drop_stale(index)
        finished.sort()
        return finished

    def delivered_bytes(self, t: int) -> int:
        """Advance to `t` and return what the link has delivered since time 0, in whole bytes.

        A finished transfer counts its size, an aborted one the whole bytes it received (the part of a byte
        under way is lost, so an abort may take less than one byte back), and those under way together what
        they have, rounded down. Call it after the finishers of `t` are popped.
        """
        self.advance(t)
        under_way = 0
        for index, count in enumerate(self._counts):
            if count:
                under_way += count * self._position(index) - self._bases[index]
        if self._carry:
            under_way += self._carry * sum(self._counts[self._first_shared :]) // self._carry_of
        return self._closed_bytes + max(under_way, 0) // self._unit
