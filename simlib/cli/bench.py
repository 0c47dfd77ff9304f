"""`simlib bench`: every clock on the same scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from simlib.cli.files import Json, whole_number
from simlib.cli.output import counting, say, say_json, say_table

if TYPE_CHECKING:
    from simlib.study.bench import Benchmark

INTERRUPTED = 130


def bench(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A TOML file, or the name of a preset.")
    ] = "escooter-120k",
    devices: Annotated[str | None, typer.Option(help="Number of devices.")] = None,
    repeats: Annotated[
        str | None,
        typer.Option(help="Runs of each clock; default 5, fewer for one whose runs have taken 10 s."),
    ] = None,
    json: Json = False,
) -> int:
    """Time every clock on the same scenario, in turns, and compare their digests."""
    from simlib.scenario import Scenario
    from simlib.scenario.overrides import parse_assignment
    from simlib.study.bench import bench as measure

    times = None if repeats is None else whole_number(repeats, "--repeats")
    loaded = Scenario.load(scenario)
    if devices is not None:
        changes: dict[str, Any] = dict([parse_assignment(f"devices={devices}", "--devices")])
        loaded = loaded.with_(changes, source="--devices")
    with counting("runs") as on_run:
        found = measure(loaded, repeats=times, on_run=on_run)
    if json:
        say_json(found.to_json())
    else:
        _print(found)
    return INTERRUPTED if found.interrupted else 0


def _print(found: Benchmark) -> None:
    say(f"{found.scenario}: {found.devices:,} devices, seed {found.seed}")
    say("Seconds of the clock alone, each clock in a process of its own, in turns.\n")
    rows: list[tuple[object, ...]] = [
        ("clock", "runs", "least", "median", "most", "events", "events/s", "a device", "an event", "memory")
    ]
    for name, figures in found.engines.items():
        seconds = [f"{each:.4f} s" for each in figures.seconds]
        memory = figures.peak_rss_mb
        rows.append(
            (
                name,
                len(figures.runs),
                *seconds,
                f"{figures.runs[0].events:,}",
                f"{figures.events_per_s:,.0f}",
                f"{figures.us_per_device:,.2f} µs",
                f"{figures.ns_per_event:,.0f} ns",
                "unknown" if memory is None else f"{memory:,.0f} MB",
            )
        )
    say_table(rows)
    say()
    (first, base), *others = found.engines.items()
    for name, figures in others:
        ratio = base.seconds[1] / figures.seconds[1]
        say(f"{name}: {ratio:,.1f} times as fast as {first}, by the medians")
    if len(found.digests) == 1:
        say(f"digest {min(found.digests)[:12]}, the same in every run")
    else:
        for name, figures in found.engines.items():
            say(f"DIGESTS DIFFER: {name} {', '.join(sorted({run.digest[:12] for run in figures.runs}))}")
    if found.interrupted:
        say("INTERRUPTED: not all the runs that were meant to be")
