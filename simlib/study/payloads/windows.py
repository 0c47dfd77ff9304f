"""For how long an update is open to a power cut, and what a cut at each moment leads to.

The course of an update is install, boot, trial and confirmation. Its flash operations and when each ends are
the bench's; what a cut in each leads to is the sweep's (`simlib.device.powercut`), as the mean over the ways
in which an operation may be torn. An operation's window is from the end of the one before it to its own end,
so that whatever the core does in between (hashing, decoding) is open to cuts as well: the operation under way
is then torn, which is as if power had failed at its begin. After an event's last operation, and through the
trial, nothing is written, and the bench boots what is there.

Both images have the size that the sweep's options say, and figures grow in proportion to it. The download is
not part of it: of a layout with a single slot, which is overwritten as fast as bytes arrive, a slow link
makes the window longer than it is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, expm1
from typing import Final

from simlib.device.bench import Bench, Boot, Confirm, Install
from simlib.device.config import DeviceConfig
from simlib.device.fitness import check_fit
from simlib.device.powercut import CutOperation, First, SweepOptions, sweep
from simlib.device.powercut.case import SweepCase, build_case
from simlib.device.ram import ram_needed
from simlib.device.transition import Transition
from simlib.errors import Reason
from simlib.release import Artefact, Manifest, open_manifest

NS_PER_MS: Final = 10**6
NS_PER_HOUR: Final = 3_600 * 10**9
IN_A_FLEET: Final = ("install", "boot")
"""The phases in which `faults.power_cut` strikes."""


@dataclass(frozen=True, slots=True)
class Fates:
    """How a cut ends, as shares; the four sum to 1. `old` and `new` are of devices that can update again."""

    bricked: float = 0.0
    stuck: float = 0.0
    old: float = 0.0
    new: float = 0.0

    def times(self, factor: float) -> Fates:
        """All of them by `factor`."""
        return Fates(*(factor * getattr(self, name) for name in self.__slots__))

    def plus(self, other: Fates) -> Fates:
        """The sum, by fate."""
        return Fates(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the update [ns], and how a cut in it ends."""

    phase: str  # "install", "boot", "trial" or "confirm"
    length_ns: int
    fates: Fates


@dataclass(frozen=True)
class Exposure:
    """One update on one layout, window by window from its begin, and what its artefact asks for."""

    options: SweepOptions
    windows: tuple[Window, ...]
    wire_bytes: int
    ram_bytes: int  # that install and boot take
    wrong_base: Reason | None  # what the updater says to a patch for another base; None: it is no patch
    _config: DeviceConfig
    _manifest: Manifest

    def length_ns(self, phases: Sequence[str] = ()) -> int:
        """How long it lasts [ns], in these phases or, with none given, in all of them."""
        return sum(window.length_ns for window in self._in(phases))

    def by_time(self, phases: Sequence[str] = ()) -> Fates:
        """How one cut ends whose moment is uniform in these phases, or with none given in all of them."""
        total = Fates()
        for window in self._in(phases):
            total = total.plus(window.fates.times(window.length_ns))
        return total.times(1 / self.length_ns(phases))

    def of_one_try(self, cuts_per_hour: float) -> Fates:
        """How a try of the update ends if power fails `cuts_per_hour` times in an hour of it, at any time.

        The first cut decides: exp(-rate x time until a window) (1 - exp(-rate x its length)), summed over
        the windows; without a cut the new image runs. A second cut in the recovery is left out.
        """
        rate, at_ns, total = cuts_per_hour / NS_PER_HOUR, 0, Fates()
        for window in self.windows:
            chance = exp(-rate * at_ns) * -expm1(-rate * window.length_ns)
            total = total.plus(window.fates.times(chance))
            at_ns += window.length_ns
        return total.plus(Fates(new=exp(-rate * at_ns)))

    def check_ram(self, ram_bytes: int) -> None:
        """Raises `Refused` where a device with this RAM to spare cannot take it; 0: it has enough."""
        config = replace(self._config, ram_bytes=ram_bytes)
        check_fit(config, self._manifest, encrypted=self.options.encrypted)

    def _in(self, phases: Sequence[str]) -> list[Window]:
        return [window for window in self.windows if not phases or window.phase in phases]


def exposure(options: SweepOptions, trial_ms: int = 0) -> Exposure:
    """The update of `options`, with `trial_ms` from the boot to the confirmation.

    What the power cuts lead to is found once for all who ask in a process.

    Raises:
        InputError: the options do not go together; a layout that takes no patch is asked for one.
        Refused: the device cannot take what it is sent.
    """
    known = _exposed(options)
    windows = (
        replace(window, length_ns=trial_ms * NS_PER_MS) if window.phase == "trial" else window
        for window in known.windows
    )
    return replace(known, windows=tuple(windows))


@lru_cache(maxsize=64)
def _exposed(options: SweepOptions) -> Exposure:
    """The update with no time from the boot to the confirmation."""
    case = build_case(options)
    artefact = _artefact(case, options.payload)
    manifest = open_manifest(artefact.manifest, (case.release.verify_key,))
    check_fit(case.config, manifest, encrypted=options.encrypted)
    bench = Bench(case.release)
    factory = bench.start(case.config, 0)
    installed = bench.run(factory, Install(artefact.name))
    booted = bench.run(installed.state, Boot())
    confirmed = bench.run(booted.state, Confirm())
    operations = sweep(options).operations
    unconfirmed = _after(bench, booted)
    windows = [
        *_windows("install", installed, operations, _after(bench, installed)),
        *_windows("boot", booted, operations, unconfirmed),
        Window("trial", 0, unconfirmed),
        *_windows("confirm", confirmed, operations, _after(bench, confirmed)),
    ]
    refusal = None
    if options.payload == "delta":
        other = next(a for a in case.release.artefacts if a.kind == "delta" and a.base == 1)
        refusal = bench.run(factory, Install(other.name)).verdict
    return Exposure(
        options=options,
        windows=tuple(windows),
        wire_bytes=artefact.wire_bytes,
        ram_bytes=ram_needed(case.config, manifest),
        wrong_base=refusal,
        _config=case.config,
        _manifest=manifest,
    )


def _artefact(case: SweepCase, payload: str) -> Artefact:
    """What the sweep's update installs: the first image's way to the second."""
    return next(
        each
        for each in case.release.artefacts
        if each.kind == payload and each.target == 1 and each.base in (None, 0)
    )


def _after(bench: Bench, move: Transition) -> Fates:
    """How a cut ends that meets nothing but the core, after the last operation of `move`."""
    running = bench.run(move.state, Boot()).running
    if running is None:
        return Fates(bricked=1.0)
    return Fates(new=1.0) if running == 1 else Fates(old=1.0)


def _windows(
    phase: str, move: Transition, operations: Iterable[CutOperation], after: Fates
) -> Iterator[Window]:
    """The windows of one event, its operations' and the rest of it."""
    cut = [each for each in operations if each.phase == phase]
    if cut and len(cut) != move.ops:
        raise RuntimeError(f"{phase}: found {len(cut)} operations in the sweep, expected {move.ops}")
    at_ns = 0
    for operation, end_ns in zip(cut, move.op_end_ns, strict=False):
        yield Window(phase, end_ns - at_ns, _fates(operation))
        at_ns = end_ns
    yield Window(phase, move.time_ns - at_ns, after)


def _fates(operation: CutOperation) -> Fates:
    """The mean over the ways in which the operation may be torn."""
    every = [fate for torn in operation.torn for fate in torn.fates]
    total = Fates()
    for fate in every:
        total = total.plus(
            Fates(
                bricked=fate.bricked,
                stuck=fate.stuck,
                old=not (fate.bricked or fate.stuck) and fate.first is First.OLD,
                new=not (fate.bricked or fate.stuck) and fate.first is First.NEW,
            )
        )
    return total.times(1 / len(every))
