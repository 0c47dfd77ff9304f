"""The command that says for which base versions patches are worth building."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simlib.cli.files import Json, if_given, size, whole_number
from simlib.cli.fleet import changed
from simlib.cli.output import say, say_json, say_table
from simlib.scenario.units import parse_duration

if TYPE_CHECKING:
    from simlib.scenario.model import ScenarioSpec
    from simlib.study.skew import Base, Budgets, Choice, Plan

_WHY = {
    "": "yes",
    "too large": "no: too large",
    "no device": "no: nobody runs it",
    "budget": "no: beyond the budget",
}


def plan(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A preset or a file.")],
    storage: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Most that the patches may weigh together.")
    ] = None,
    cpu: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Most of a processor that building them may take.")
    ] = None,
    limit: Annotated[str | None, typer.Option(metavar="K", help="Most patches.")] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the scenario; may be repeated."),
    ] = None,
    json: Json = False,
) -> int:
    """Make a patch from every base that the scenario's fleet runs, and say which are worth it.

    Then what patches for the last K bases alone are worth, and what each rule, and the best set, publishes
    within the budgets. Building times are planned, from rates that were measured once.
    """
    from simlib.study.skew import Budgets
    from simlib.study.skew import plan as made

    budgets = Budgets(
        storage_bytes=if_given(size, storage, "--storage"),
        cpu_ms=if_given(parse_duration, cpu, "--cpu"),
        limit=if_given(whole_number, limit, "--limit"),
    )
    loaded = changed(scenario, {}, assign or [])
    found = made(loaded, budgets)
    if json:
        say_json(_facts(loaded.spec, found, budgets))
    else:
        _explain(loaded.spec, found)
    return 0


def _facts(spec: ScenarioSpec, found: Plan, budgets: Budgets) -> dict[str, object]:
    best = found.choices[-1]
    return {
        "scenario": spec.name,
        "codec": spec.release.codec,
        "full_codec": spec.release.full_codec,
        "whole_bytes": int(found.costs.whole),
        "raw_bytes": int(found.costs.raw),
        "budgets": asdict(budgets),
        "bases": [
            {
                "version": found.labels[-1 - base.lag],
                "lag": base.lag,
                "share": float(base.share),
                "patch_bytes": base.patch_bytes,
                "of_whole": base.patch_bytes / base.whole_bytes,
                "saved_bytes": float(base.saved_bytes),
                "build_ms": base.build_ms,
                "chosen": base.lag in best.lags,
                "why_not": found.why_not(base),
            }
            for base in found.bases
        ],
        "keep": [
            {
                "k": keep.k,
                "relative_bytes": float(keep.relative_bytes),
                "patches_bytes": keep.patches_bytes,
                "storage_bytes": keep.storage_bytes,
                "build_ms": keep.build_ms,
            }
            for keep in found.keep
        ],
        "chosen": list(best.lags),
        "choices": [_choice(choice) for choice in found.choices],
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "rule": choice.rule,
        "lags": list(choice.lags),
        "saved_bytes": float(choice.saved_bytes),
        "relative_bytes": float(choice.relative_bytes),
        "patches_bytes": choice.storage_bytes,
        "build_ms": choice.build_ms,
        "covered": float(choice.covered),
    }


def _explain(spec: ScenarioSpec, found: Plan) -> None:
    whole = int(found.costs.whole)
    form = spec.release.full_codec if whole < found.costs.raw else "raw"
    say(f"{spec.name}: {spec.release.codec} to {found.labels[-1]}; else {whole:,} bytes, {form}\n")
    say_table(
        [
            ("base", "behind", "of fleet", "patch", "of whole", "saves a device", "build s", "publish"),
            *(_base(found, base) for base in found.bases),
        ],
        indent="",
    )
    say()
    say_table(
        [
            ("last K bases", "download of whole", "patches", "all storage", "build s"),
            *(
                (
                    str(keep.k),
                    f"{float(keep.relative_bytes):.1%}",
                    f"{keep.patches_bytes:,}",
                    f"{keep.storage_bytes:,}",
                    f"{keep.build_ms / 1000:.2f}",
                )
                for keep in found.keep
            ),
        ],
        indent="",
    )
    say()
    say_table(
        [
            ("within the budgets", "download of whole", "patches", "build s", "of fleet", "bases"),
            *(
                (
                    choice.rule,
                    f"{float(choice.relative_bytes):.1%}",
                    f"{choice.storage_bytes:,}",
                    f"{choice.build_ms / 1000:.2f}",
                    f"{float(choice.covered):.1%}",
                    " ".join(map(str, choice.lags)) or "none",
                )
                for choice in found.choices
            ),
        ],
        indent="",
    )
    say("\nsizes in bytes; a base that is too large has a patch above release.full_above of the whole image")


def _base(found: Plan, base: Base) -> tuple[str, ...]:
    return (
        found.labels[-1 - base.lag],
        str(base.lag),
        f"{float(base.share):.2%}",
        f"{base.patch_bytes:,}",
        f"{base.patch_bytes / base.whole_bytes:.1%}",
        f"{float(base.saved_bytes):,.0f}",
        f"{base.build_ms / 1000:.2f}",
        _WHY[found.why_not(base)],
    )
