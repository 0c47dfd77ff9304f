"""The command `simlib optimise`: the rollouts of a scenario that no other beats, time against harm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from simlib.cli.files import Force, Json, check_place, if_given, whole_number, write
from simlib.cli.fleet import INTERRUPTED, changed
from simlib.cli.output import advancing, say, say_json, say_table
from simlib.errors import InputError, SimlibError

if TYPE_CHECKING:
    from simlib.study.optimisation.front import Front, Point
    from simlib.study.optimisation.objectives import Estimate, Measure, Objective
    from simlib.study.optimisation.search import Progress

EXPORTED: Final = ("aws-iot", "hawkbit")
"""The services that each point of the front is written for."""
_DAY_MS: Final = 86_400_000


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("optimise")(optimise)


def optimise(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A TOML file, or the name of a preset.")
    ],
    trials: Annotated[str, typer.Option(help="Rollouts that are tried on the smaller fleet.")] = "200",
    objectives: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Of time_to_95, expected_harmed, p99_harmed, bytes_down, exposure; pNN_MEASURE.",
        ),
    ] = "time_to_95,expected_harmed,p99_harmed",
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help='"P(harmed > 100) < 0.01" or "time_to_95 < 10 d"; may be repeated.'
        ),
    ] = None,
    defect_prior: Annotated[
        str,
        typer.Option(
            metavar="PRIOR",
            help="Releases that may come: auto, scenario, default, none, or P:A,B,... (5%:0.5%,3%,20%).",
        ),
    ] = "auto",
    replications: Annotated[
        str, typer.Option(help="Replications at full size of what may be on the front; 500 or more.")
    ] = "500",
    screen_devices: Annotated[str, typer.Option(help="Devices of the smaller fleet.")] = "12000",
    screen_replications: Annotated[str, typer.Option(help="Replications of a trial.")] = "24",
    front: Annotated[str, typer.Option(help="At most so many rollouts found are judged.")] = "4",
    devices: Annotated[str | None, typer.Option(help="Number of devices.")] = None,
    seed: Annotated[str | None, typer.Option(help="Seed of everything.")] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the scenario; may be repeated."),
    ] = None,
    engine: Annotated[str, typer.Option(help="The clock, as for simlib run.")] = "fused",
    workers: Annotated[
        str | None, typer.Option(help="Threads of this machine; default one a processor.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the front, its scenarios and configurations.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Search for the rollouts that no other beats in time and harm, and judge them at full size."""
    from simlib.study.optimisation.search import optimise as search

    if out is not None:
        check_place(out, "--out")
        if not force and out.is_dir() and any(out.iterdir()):
            raise InputError(f"--out {out}: found a folder that is not empty, expected a new one or --force")
    with _progress() as tell:
        found = search(
            changed(scenario, {"devices": devices, "seed": seed}, assign or []),
            trials=whole_number(trials, "--trials"),
            objectives=[name for name in objectives.split(",") if name.strip()],
            constraints=constraint or [],
            defect_prior=defect_prior,
            replications=whole_number(replications, "--replications"),
            screen_devices=whole_number(screen_devices, "--screen-devices"),
            screen_replications=whole_number(screen_replications, "--screen-replications"),
            front=whole_number(front, "--front"),
            workers=if_given(whole_number, workers, "--workers"),
            engine=engine,
            on_progress=tell,
        )
    answer = found.to_json() | {"out": None if out is None else str(out)}
    if out is not None:
        _write(found, answer, out, force=force)
    if json:
        say_json(answer)
    else:
        _print(found, out)
    return INTERRUPTED if found.interrupted else 0


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar a stage, on a terminal."""
    with advancing("trials") as screened, advancing("replications") as judged:

        def tell(stage: str, done: int, total: int) -> None:
            (screened if stage == "screening" else judged)(done, total)

        yield tell


def _write(found: Front, answer: dict[str, Any], out: Path, *, force: bool) -> None:
    """The front as tables and JSON; of each of its points the scenario and each service's configuration."""
    from simlib.rollout.export import json_text
    from simlib.study.optimisation.front import export_point

    frame = found.frame
    files = {
        "front.parquet": bytes(frame.to_parquet(None, index=False)),
        "front.csv": str(frame.to_csv(index=False, lineterminator="\n")).encode(),
        "trials.csv": str(found.screened.to_csv(index=False, lineterminator="\n")).encode(),
    }
    for point, facts in zip(found.points, answer["front"], strict=True):
        files[f"{point.name}.toml"] = point.scenario.to_toml().encode()
        facts["scenario"], facts["exports"] = f"{point.name}.toml", {}
        for service in EXPORTED:
            try:
                made = export_point(point.scenario, service)
            except SimlibError as error:
                facts["exports"][service] = {"file": None, "error": str(error)}
                continue
            name = f"{point.name}.{service}.json"
            files[name] = f"{json_text(made.config)}\n".encode()
            facts["exports"][service] = {"file": name, "lost": list(made.lost)}
    files["front.json"] = f"{dumps(answer, indent=2)}\n".encode()
    out.mkdir(parents=True, exist_ok=True)
    write({out / name: content for name, content in files.items()}, force=force)


def _print(found: Front, out: Path | None) -> None:
    size, stage = found.scenario.spec.devices, "judged at full size under fresh seeds"
    if not found.judged:
        size, stage = found.screening_devices, "from the first stage alone"
    if found.interrupted:
        stage += ", broken off"
    say(f"{found.scenario.name}: {found.trials} rollouts tried; {size:,} devices, {stage}")
    say(f"releases: {found.prior.text}")
    for objective in found.objectives:
        say(f"{objective.name}: {_statistic(objective)} of {objective.measure.says}")
    say("figures with their 95 % intervals")
    say("\nfront: nothing beats these\n")
    _table(found, found.points)
    if found.others:
        say("\nbeaten\n")
        _table(found, found.others)
    if out is not None:
        say(f"\n{out}")


def _statistic(objective: Objective) -> str:
    return "mean" if objective.at is None else f"{int(objective.at * 100)}th percentile"


def _table(found: Front, points: Sequence[Point]) -> None:
    names = [objective.name for objective in found.objectives]
    rows: list[Sequence[object]] = [("", *names, *(c.text for c in found.constraints))]
    for point in points:
        figures = [_figure(point.estimates[o.name], o.measure) for o in found.objectives]
        kept = [
            f"{'yes' if k.holds else 'no'}{'' if k.sure else '?'} {k.estimate.value:.3g} "
            f"({k.estimate.low:.3g} to {k.estimate.high:.3g})"
            for k in point.kept
        ]
        rows.append((point.name, *figures, *kept))
    say_table(rows)
    for point in points:
        beaten = f" [beaten by {', '.join(point.beaten_by)}]" if point.beaten_by else ""
        n = f"; {point.replications} replications" if point.beaten_by else ""
        say(f"  {point.name}: {point.rollout}{n}{beaten}")


_SHOWN: Final[Mapping[str, tuple[int, str]]] = {
    "ms": (_DAY_MS, " d"),
    "bytes": (1_000_000_000, " GB"),
    "devices": (1, ""),
}


def _figure(estimate: Estimate, measure: Measure) -> str:
    divisor, unit = _SHOWN[measure.unit]
    value, low, high = (each / divisor for each in (estimate.value, estimate.low, estimate.high))
    places = 2 if unit else 0 if value >= 1000 else 1
    missing = f", {estimate.missing:.0%} never" if estimate.missing else ""
    return f"{value:,.{places}f} ({low:,.{places}f} to {high:,.{places}f}){unit}{missing}"
