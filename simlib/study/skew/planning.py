"""A plan for a scenario's release: what each base is worth, what keeping the last K is, and what to publish.

Every patch is made, from each older firmware of the chain, with manifests like those of a run, so that the
bytes are those that devices download.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from simlib.errors import InputError
from simlib.fleet import read_inventory
from simlib.release import Release
from simlib.scenario import Scenario
from simlib.scenario.model import ScenarioSpec
from simlib.study.skew.choice import BEST, RULES, Base, Budgets, Choice, best_set, by_rule
from simlib.study.skew.costs import Costs, costs_of_release, relative_bytes, release_with_all_patches
from simlib.study.skew.lags import Lags, from_counts, lags_of
from simlib.study.skew.server import BUILD_NS_PER_BYTE, build_ms, storage


@dataclass(frozen=True, slots=True)
class Keep:
    """What keeping patches for the last `k` bases is worth, and what the server then carries."""

    k: int
    relative_bytes: Fraction  # mean download as a share of the whole image
    patches_bytes: int
    storage_bytes: int  # with the whole images
    build_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to choose from, and what each rule and the optimum choose within the budgets."""

    labels: tuple[str, ...]  # of the chain up to the release, oldest first
    costs: Costs  # [byte]
    lags: Lags
    bases: tuple[Base, ...]  # by lag, from 1
    keep: tuple[Keep, ...]  # K = 0, 1, …
    choices: tuple[Choice, ...]  # of each of `RULES`, and the best set last

    def choice(self, rule: str) -> Choice:
        """What `rule`, or the best set, publishes. Raises `InputError` for another one."""
        for choice in self.choices:
            if choice.rule == rule:
                return choice
        raise InputError(f"rule: found {rule!r}, expected one of {', '.join((*RULES, BEST))}")

    def why_not(self, base: Base, rule: str = BEST) -> str:
        """Why `rule` does not publish a patch from `base`; "" if it does."""
        if base.lag in self.choice(rule).lags:
            return ""
        if not base.worth_it:
            return "too large"
        return "no device" if not base.share else "budget"


def plan(
    scenario: Scenario | str,
    budgets: Budgets | None = None,
    rates: Mapping[str, int] = BUILD_NS_PER_BYTE,
) -> Plan:
    """The plan for `scenario`; its `release.patches` and `patch_limit` do not count.

    The fleet is the scenario's cohorts, or the devices of its inventory. Raises `InputError`.
    """
    if isinstance(scenario, str):
        scenario = Scenario.load(scenario)
    spec = scenario.spec
    try:
        release = release_with_all_patches(spec.release)
        lags = _lags(spec, release)
        if len(lags) > release.primary:
            raise InputError(
                f"base_mix: found {len(lags)} base versions, expected at most {release.primary}, the older "
                f"releases of {spec.release.source}"
            )
    except InputError as error:
        raise InputError(f"{spec.name}: {error}") from None
    costs = costs_of_release(release, spec.release.full_above)
    bases = tuple(
        Base(
            lag=lag,
            share=share,
            patch_bytes=int(costs.patch(lag)),
            whole_bytes=int(costs.whole),
            build_ms=build_ms(
                spec.release.codec,
                len(release.images[release.primary - lag]),
                len(release.images[release.primary]),
                rates,
            ),
            worth_it=costs.worth_it(lag),
        )
        for lag, share in enumerate(lags, 1)
    )
    keep = tuple(_keep(k, lags, costs, bases) for k in range(len(bases) + 1))
    choices = (*(by_rule(bases, rule, budgets) for rule in RULES), best_set(bases, budgets))
    labels = tuple(firmware.label for firmware in release.firmwares[: release.primary + 1])
    return Plan(labels, costs, lags, bases, keep, choices)


def _keep(k: int, lags: Lags, costs: Costs, bases: tuple[Base, ...]) -> Keep:
    published = storage(costs, k)
    return Keep(
        k=k,
        relative_bytes=relative_bytes(lags, costs, k),
        patches_bytes=int(published - storage(costs, 0)),
        storage_bytes=int(published),
        build_ms=sum(base.build_ms for base in bases[:k]),
    )


def _lags(spec: ScenarioSpec, release: Release) -> Lags:
    """The fleet's lags: of the inventory's devices if there is one that says their versions."""
    if not spec.inventory.file:
        return lags_of(spec)
    found = read_inventory(
        spec.inventory,
        source=spec.name,
        hardware=[cohort.hardware for cohort in spec.cohorts],
        cohorts=[cohort.name for cohort in spec.cohorts],
        zones=[(zone.name, zone.offset_ms) for zone in spec.zones],
        versions=[firmware.label for firmware in release.firmwares],
        groups=len(spec.rollout.groups),
    )
    if found.base is None:
        return lags_of(spec)
    counts: dict[int, int] = {}
    for index in found.base.tolist():
        if index >= 0:  # others are not known
            counts[index] = counts.get(index, 0) + 1
    return from_counts(counts, release.primary)
