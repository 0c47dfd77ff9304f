"""Which patches to publish: by the rules that a release knows, and the best set within two budgets.

A set of patches saves the sum of what its members save, and takes the sums of their sizes and of the times to
build them; none changes what another one saves. So the best set is a knapsack with several constraints
(`simlib.study.skew.knapsack`), and a rule, which takes bases in an order of its own, does best with as many
of them as the budgets allow.

The budgets are for patches alone: the whole images are there in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Final

from simlib.errors import InputError
from simlib.scenario.toml_text import shown
from simlib.study.skew.knapsack import most_valuable

RULES: Final = ("newest", "population", "saving")
"""As `ReleaseSpec.patches` has them."""
BEST: Final = "best set"


@dataclass(frozen=True, slots=True)
class Base:
    """A base that a patch may be built from, and what that takes."""

    lag: int  # releases behind the one that is published
    share: Fraction  # of the devices that are behind
    patch_bytes: int
    whole_bytes: int  # what is downloaded without the patch
    build_ms: int  # of a processor
    worth_it: bool  # whether it is published if it is built: `Costs.worth_it`

    @property
    def saved_bytes(self) -> Fraction:
        """What it saves a device of the fleet on average; below 0 for a patch larger than the whole image."""
        return self.share * (self.whole_bytes - self.patch_bytes)


@dataclass(frozen=True, slots=True)
class Budgets:
    """The most that all patches of a release may take; None: whatever they do.

    Raises `InputError` for one below 0.
    """

    storage_bytes: int | None = None
    cpu_ms: int | None = None
    limit: int | None = None  # patches

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"{name}: found {value}, expected 0 or more")

    def allow(self, published: Sequence[Base], built: Sequence[Base]) -> bool:
        """Whether so many may be published, and these be built for it."""
        storage = sum(base.patch_bytes for base in published)
        cpu = sum(base.build_ms for base in built)
        return all(
            most is None or taken <= most
            for taken, most in (
                (storage, self.storage_bytes),
                (cpu, self.cpu_ms),
                (len(published), self.limit),
            )
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The patches that one rule publishes, and what they are worth."""

    rule: str
    lags: tuple[int, ...]  # of the bases, rising
    saved_bytes: Fraction  # mean of the devices that are behind
    relative_bytes: Fraction  # mean download, as a share of the whole image
    storage_bytes: int
    build_ms: int  # of all that are built, published or not
    covered: Fraction  # share of the devices with a patch


def by_rule(bases: Sequence[Base], rule: str, budgets: Budgets | None = None) -> Choice:
    """What a rule does within the budgets: as many of the bases as they allow, in the rule's order.

    ``newest`` and ``population`` build a patch when its turn comes, also one that is not worth it: it takes
    time and counts for the limit, as in a release. ``saving`` has to build them all before it can tell: where
    the processor's budget does not allow that, it publishes none. Raises `InputError` for another rule.
    """
    if rule not in RULES:
        raise InputError(f"patches: found {shown(rule)}, expected one of {', '.join(RULES)}")
    budgets = Budgets() if budgets is None else budgets
    if rule == "saving":
        return _by_saving(bases, budgets)
    newest_first = sorted(bases, key=lambda base: base.lag)
    order = newest_first
    if rule == "population":
        order = sorted(newest_first, key=lambda base: -base.share)
    if budgets.limit is not None:
        order = order[: budgets.limit]
    built: list[Base] = []
    for base in order:
        if not budgets.allow([b for b in (*built, base) if b.worth_it], [*built, base]):
            break
        built.append(base)
    return _chosen(rule, bases, [base for base in built if base.worth_it], built)


def best_set(bases: Sequence[Base], budgets: Budgets | None = None) -> Choice:
    """The patches that save most within the budgets; of those alone it is known beforehand what they take.

    That is: as if sizes were known from a release like it. Of sets that save the same, the one with the
    earlier of `bases`.
    """
    budgets = Budgets() if budgets is None else budgets
    useful = [base for base in bases if base.worth_it and base.saved_bytes > 0]
    kept = [
        (most, taken)
        for most, taken in (
            (budgets.storage_bytes, [base.patch_bytes for base in useful]),
            (budgets.cpu_ms, [base.build_ms for base in useful]),
            (budgets.limit, [1] * len(useful)),
        )
        if most is not None
    ]
    unit = lcm(*(base.saved_bytes.denominator for base in useful))
    best = most_valuable(
        [int(base.saved_bytes * unit) for base in useful],
        [taken for _, taken in kept],
        [most for most, _ in kept],
    )
    chosen = [useful[k] for k in best]
    return _chosen(BEST, bases, chosen, chosen)


def _by_saving(bases: Sequence[Base], budgets: Budgets) -> Choice:
    affordable = budgets.allow([], bases)
    useful = [base for base in bases if base.worth_it] if affordable else []
    published: list[Base] = []
    for base in sorted(useful, key=lambda base: (-base.saved_bytes, base.lag)):
        if not budgets.allow([*published, base], bases):
            break
        published.append(base)
    return _chosen("saving", bases, published, bases if affordable else [])


def _chosen(rule: str, bases: Sequence[Base], published: Sequence[Base], built: Sequence[Base]) -> Choice:
    saved = sum((base.saved_bytes for base in published), Fraction(0))
    whole = sum((base.share * base.whole_bytes for base in bases), Fraction(0))
    return Choice(
        rule=rule,
        lags=tuple(sorted(base.lag for base in published)),
        saved_bytes=saved,
        relative_bytes=1 - saved / whole if whole else Fraction(1),
        storage_bytes=sum(base.patch_bytes for base in published),
        build_ms=sum(base.build_ms for base in built),
        covered=sum((base.share for base in published), Fraction(0)),
    )
