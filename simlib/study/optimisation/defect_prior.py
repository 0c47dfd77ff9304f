"""What a strategy is judged under: the releases that may come, each kind with its probability.

A good release harms hardly anybody under any strategy, so harm is decided by the bad ones, which are rare.
Instead of waiting for them by chance, replications are divided among strata: one a combination of defects
that the release has or has not, with the combination's exact probability as its weight. Half of the
replications go to the stratum without any defect that might be missing, the others in equal parts to the
rest. Every figure weights a replication by its stratum's probability over the stratum's replications
(stratified sampling; W. G. Cochran, *Sampling Techniques*, chapter 5), so that none of this moves an
expectation or a quantile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Final

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.scenario.field_model import DefectSpec
from simlib.scenario.leaves import HOUR
from simlib.scenario.toml_text import shown
from simlib.scenario.units import ExpectedError, format_duration, format_share, share

PRIORS: Final = ("auto", "scenario", "default", "none")
DEFAULT_PROBABILITY: Final = Fraction(1, 20)
"""Chosen: one release in twenty has a defect that gets past every test before shipping."""
DEFAULT_PREVALENCES: Final = (Fraction(1, 200), Fraction(3, 100), Fraction(1, 5))
"""Chosen: a defect of few devices, one of some, and one of many, each as likely."""
_MOST_UNCERTAIN: Final = 6


@dataclass(frozen=True, slots=True)
class Stratum:
    """A kind of release: the defects it has, each with probability 0 or 1, and how probable it is."""

    name: str
    weight: Fraction
    defects: tuple[DefectSpec, ...]
    good: bool  # it has no defect that another stratum has not


@dataclass(frozen=True, slots=True)
class Prior:
    """All kinds of release, in weights that sum to 1. `text` says them to people."""

    strata: tuple[Stratum, ...]
    text: str

    def allotted(self, replications: int) -> tuple[int, ...]:
        """The stratum of each replication. The first ones of a longer sequence are the shorter sequence."""
        shares = _shares(self.strata)
        counts = [0] * len(shares)
        found = []
        for r in range(replications):
            owed = [part * (r + 1) - count for part, count in zip(shares, counts, strict=True)]
            stratum = owed.index(max(owed))
            counts[stratum] += 1
            found.append(stratum)
        return tuple(found)

    @property
    def least(self) -> int:
        """So many replications give every stratum one at least."""
        wanted, n = len(self.strata), len(self.strata)
        while len(set(self.allotted(n))) < wanted:
            n += 1
        return n


def prior_of(scenario: Scenario, named: str = "auto") -> Prior:
    """The prior called `named` for releases to the fleet of `scenario`.

    - ``scenario``: the scenario's `defects` with their probabilities;
    - ``default``: beside those it has for certain, with `DEFAULT_PROBABILITY` one that nobody sees before
      it ships, whose prevalence is one of `DEFAULT_PREVALENCES`;
    - ``P:A,B,...``: the same with probability P and prevalences A, B, ...;
    - ``none``: no release has a defect that is not certain;
    - ``auto``: the scenario's if any of its defects has a probability above 0, else the default.

    Raises `InputError`.
    """
    own = scenario.spec.defects
    if named == "auto":
        named = "scenario" if any(defect.probability for defect in own) else "default"
    if named == "scenario":
        return _of_scenario(own)
    if named == "none":
        return Prior((Stratum("good", Fraction(1), _present(own, {}), True),), "no uncertain defect")
    if named == "default":
        return _with_extra(scenario, DEFAULT_PROBABILITY, DEFAULT_PREVALENCES)
    return _with_extra(scenario, *_parsed(named))


def _of_scenario(own: tuple[DefectSpec, ...]) -> Prior:
    uncertain = [k for k, defect in enumerate(own) if 0 < defect.probability < 1]
    if len(uncertain) > _MOST_UNCERTAIN:
        raise InputError(
            f"defects: found {len(uncertain)} with a probability between 0 and 1, "
            f"expected at most {_MOST_UNCERTAIN}, each combination being judged by itself"
        )
    strata = []
    for has in product((False, True), repeat=len(uncertain)):
        weight = Fraction(1)
        present = dict(zip(uncertain, has, strict=True))
        for k, there in present.items():
            weight *= own[k].probability if there else 1 - own[k].probability
        names = [own[k].name for k, there in present.items() if there]
        strata.append(Stratum(" + ".join(names) or "good", weight, _present(own, present), not names))
    told = [f"{own[k].name} {_percent(own[k].probability)}" for k in uncertain]
    certain = [defect.name for defect in own if defect.probability == 1]
    parts = [*told, *(f"{name} for certain" for name in certain)]
    return Prior(tuple(strata), "defects of the scenario: " + (", ".join(parts) or "none"))


def _with_extra(scenario: Scenario, probability: Fraction, prevalences: Sequence[Fraction]) -> Prior:
    cause, told = _cause(scenario)
    extra = [
        {
            "name": f"prior-{_percent(prevalence).replace(' %', 'pc')}",
            "probability": probability / len(prevalences),
            "prevalence": prevalence,
            **cause,
        }
        for prevalence in prevalences
    ]
    own = scenario.document.get("defects", [])
    assert isinstance(own, list)
    defects = scenario.with_({"defects": [*own, *extra]}, source="defect prior").spec.defects
    first = len(own)
    base = {k: defects[k].probability == 1 for k in range(first)}

    def having(number: int | None) -> tuple[DefectSpec, ...]:
        return _present(defects, base | {first + k: k == number for k in range(len(extra))})

    strata = [Stratum("good", 1 - probability, having(None), True)]
    for k, prevalence in enumerate(prevalences):
        weight = probability / len(prevalences)
        strata.append(Stratum(f"{_percent(prevalence)} defect", weight, having(k), False))
    text = (
        f"with a probability of {_percent(probability)} a release has a defect, on "
        f"{' or '.join(map(_percent, prevalences))} of the devices, each as likely: {told}"
    )
    return Prior(tuple(s for s in strata if s.weight), text)


def _cause(scenario: Scenario) -> tuple[dict[str, object], str]:
    """What a chosen defect does, as keys of a defect and in words: it gets past what a device validates.

    Where the validation does not look at it, the device loses its certificate as soon as it has confirmed and
    is not heard of again: whoever counts silence counts it. Where it does, the device crashes later.
    """
    validation = scenario.spec.validation
    if not validation.certificate:
        cause: dict[str, object] = {"effect": "lost-certificate", "visible": False}
        return cause, "a device that confirms it is out of reach and has not told so"
    longest = max(cohort.self_test_ms for cohort in scenario.spec.cohorts)
    onset = longest + validation.bluetooth_ms + validation.probation_ms + HOUR
    cause = {"effect": "crash", "visible": False, "onset": format_duration(onset)}
    return cause, f"a device that confirms it is out of reach {format_duration(onset)} after its first boot"


def _present(defects: tuple[DefectSpec, ...], there: Mapping[int, bool]) -> tuple[DefectSpec, ...]:
    """The same defects in the same places, whose draws depend on them, certain or excluded."""
    return tuple(
        replace(defect, probability=Fraction(there.get(k, defect.probability == 1)))
        for k, defect in enumerate(defects)
    )


def _shares(strata: Sequence[Stratum]) -> list[Fraction]:
    bad = sum(not stratum.good for stratum in strata)
    good = len(strata) - bad
    if not bad or not good:
        return [Fraction(1, len(strata))] * len(strata)
    return [Fraction(1, 2 * (good if stratum.good else bad)) for stratum in strata]


def _parsed(text: str) -> tuple[Fraction, tuple[Fraction, ...]]:
    first, colon, rest = text.partition(":")
    parts = [part.strip() for part in rest.split(",")]
    try:
        if not colon:
            raise ExpectedError(f"one of {', '.join(PRIORS)}, or P:A,B,... such as 5%:0.5%,3%,20%")
        probability, prevalences = share(first.strip()), tuple(map(share, parts))
        if not all(prevalences) or len(set(prevalences)) != len(prevalences):
            raise ExpectedError("different prevalences above 0")
    except ExpectedError as error:
        raise InputError(f"defect prior: found {shown(text)}, expected {error}") from None
    return probability, prevalences


def _percent(amount: Fraction) -> str:
    text = str(format_share(amount * 100))
    return f"{text.removesuffix('.0')} %"
