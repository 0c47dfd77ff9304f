"""Commands about fleets: run, explain, presets, lab."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from simlib.cli.output import counting, say, say_json, say_table
from simlib.errors import InputError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("run")(run)
    app.command("explain")(explain)
    app.command("presets")(presets)
    app.command("lab")(lab)


def run(
    scenario: Annotated[str, typer.Argument(help="A TOML file, or the name of a preset.")],
    engine: Annotated[str, typer.Option(help="The clock: auto or simpy.")] = "auto",
    devices: Annotated[str | None, typer.Option(help="Number of devices.")] = None,
    seed: Annotated[str | None, typer.Option(help="Seed of the scenario.")] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="A key of the scenario and its value, KEY=VALUE.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default runs/NAME-SEED-DIGEST.")
    ] = None,
    json: Json = False,
) -> int:
    """Simulate a rollout over a fleet and write its tables."""
    from simlib.results.store import refuse_other_run
    from simlib.scenario import Scenario
    from simlib.scenario.overrides import parse_assignment
    from simlib.simulation.run import engine_for
    from simlib.study import run as simulate

    engine_for(engine)
    loaded = Scenario.load(scenario)
    flags = {"devices": devices, "seed": seed}
    for flag, value in flags.items():
        if value is not None:
            loaded = loaded.with_(
                dict([parse_assignment(f"{flag}={value}", f"--{flag}")]), source=f"--{flag}"
            )
    if assign:
        loaded = loaded.with_(dict(parse_assignment(text) for text in assign), source="--set")
    if out is not None:
        refuse_other_run(out, loaded.to_toml())
    with counting("bench") as on_case:
        result = simulate(loaded, engine=engine, on_case=on_case)
    folder = result.save(out)
    if json:
        say_json(result.summary)
    else:
        _print_summary(loaded.spec.title, result.summary, result.groups, folder)
    return 130 if "interrupted_at_ms" in result.summary else 0


def explain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    device: Annotated[int, typer.Option(help="Number of the device.")],
    json: Json = False,
) -> int:
    """Replay one device of a run on the bench, byte for byte."""
    from simlib.results import Run

    explanation = Run.load(folder).explain(device)
    if json:
        say_json(explanation.to_json())
    else:
        say(str(explanation))
    return 0


def presets(json: Json = False) -> int:
    """List the scenarios that come with simlib."""
    from simlib.scenario import Scenario
    from simlib.scenario.presets import preset_names

    specs = [Scenario.load(name).spec for name in preset_names()]
    if json:
        say_json([{"name": s.name, "title": s.title, "devices": s.devices} for s in specs])
    else:
        width = max(len(s.name) for s in specs)
        for spec in specs:
            say(f"{spec.name.ljust(width)}  {spec.devices:>9,} devices  {spec.title}")
    return 0


def lab(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to JupyterLab.")] = None,
) -> int:
    """Open JupyterLab on the notebooks."""
    import subprocess

    notebooks = Path("notebooks")
    if not notebooks.is_dir():
        raise InputError("notebooks: found no such folder here, expected to be started in the checkout")
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={notebooks.resolve()}"]
    return subprocess.call([*command, *(arguments or [])])


def _print_summary(title: str, summary: dict[str, Any], groups: Any, folder: Path) -> None:
    devices = summary["devices"]
    say(f"{summary['scenario']}: {title}")
    say(
        f"{devices:,} devices, seed {summary['seed']}, {summary['engine']} clock, {summary['events']:,} events"
    )
    say()
    say("outcomes")
    say_table(
        [
            (outcome, f"{count:,}", f"{count / devices:.3%}")
            for outcome, count in summary["outcomes"].items()
            if count
        ]
    )
    say()
    say("groups")
    header = (
        "group",
        "offered",
        "updated",
        "reverted",
        "bricked",
        "lost",
        "failed",
        "silent",
        "opened",
        "gate",
    )
    say_table(
        [
            header,
            *(
                (
                    g.group,
                    *(f"{getattr(g, column):,}" for column in header[1:8]),
                    span(g.opened_ms if g.opened_ms >= 0 else None),
                    g.decision,
                )
                for g in groups.itertuples()
            ),
        ]
    )
    say()
    rows = [
        ("half the fleet updated after", span(summary["time_to_50_ms"])),
        ("90 % after", span(summary["time_to_90_ms"])),
        ("95 % after", span(summary["time_to_95_ms"])),
        ("downloaded", f"{summary['bytes_down'] / 1e9:.3f} GB"),
        ("of it wasted", f"{summary['bytes_wasted'] / 1e9:.3f} GB"),
        ("radio energy", f"{summary['energy_radio_uj'] / 1e6:,.0f} J"),
        ("flash energy", f"{summary['energy_flash_uj'] / 1e6:,.0f} J"),
        ("compute energy", f"{summary['energy_compute_uj'] / 1e6:,.0f} J"),
    ]
    if summary["halted"]:
        exposure = summary["exposure_at_halt"]
        rows.append(("HALTED after", span(summary["halted_at_ms"])))
        rows.append(("exposed at the halt", ", ".join(f"{n:,} {what}" for what, n in exposure.items())))
    say_table(rows)
    say()
    seconds = f"{summary['total_s']:.1f} s (bench {summary['bench_s']:.1f}, clock {summary['wall_s']:.1f})"
    say(f"digest {summary['digest'][:16]}…  {seconds}  {folder}")


def span(time_ms: int | None) -> str:
    """A time since the start for a person: days and hours."""
    if time_ms is None:
        return "never"
    minutes = time_ms // 60_000
    days, rest = divmod(minutes, 1440)
    return f"{days} d {rest // 60:02d} h {rest % 60:02d} min"
