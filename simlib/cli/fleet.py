"""Commands about fleets: run, explain, presets, lab."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simlib.cli.files import Json, check_place, whole_number
from simlib.cli.output import counting, following, say, say_json
from simlib.cli.saved import load_run
from simlib.cli.summary import print_summary
from simlib.errors import InputError, MissingPartError, Reason, Refused

if TYPE_CHECKING:
    from simlib.scenario import Scenario

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("run")(run)
    app.command("explain")(explain)
    app.command("presets")(presets)
    app.command("lab", context_settings={"ignore_unknown_options": True})(lab)


def run(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A TOML file, or the name of a preset.")
    ],
    engine: Annotated[str, typer.Option(help="The clock: auto, simpy, compiled or fused.")] = "auto",
    devices: Annotated[str | None, typer.Option(help="Number of devices.")] = None,
    seed: Annotated[str | None, typer.Option(help="Seed of the scenario.")] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the scenario; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default runs/NAME-SEED-DIGEST.")
    ] = None,
    json: Json = False,
) -> int:
    """Simulate a rollout over a fleet and write its tables."""
    from simlib.results.store import refuse_other_run
    from simlib.simulation.run import engine_for
    from simlib.study import run as simulate

    simulated = changed(scenario, {"devices": devices, "seed": seed}, assign or [])
    engine_for(engine, simulated.spec.devices)
    check_place(out or Path("runs"), "folder" if out is None else "--out")
    if out is not None:
        refuse_other_run(out, simulated.to_toml())
    with counting("bench") as on_case, following("clock", simulated.spec.horizon_ms) as watch:
        result = simulate(simulated, engine=engine, on_case=on_case, watch=watch)
    folder = result.save(out)
    if json:
        say_json(result.summary)
    else:
        print_summary(simulated.spec.title, result.summary, result.groups, folder)
    return INTERRUPTED if "interrupted_at_ms" in result.summary else 0


def explain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    device: Annotated[str, typer.Option(help="Number of the device.")],
    json: Json = False,
) -> int:
    """Replay one device of a run on the bench, byte for byte.

    Exit status 1 if the run's tables are not what its summary or the replay says.
    """
    number = whole_number(device, "--device")
    saved = load_run(folder)
    explanation = saved.explain(number)
    if json:
        say_json(explanation.to_json())
    else:
        say(str(explanation))
    if not explanation.agrees:
        found, expected = (
            ", ".join(f"{name} {pair[side]}" for name, pair in explanation.differs.items()) for side in (0, 1)
        )
        raise Refused(
            Reason.RESULT_MISMATCH,
            f"{folder}: device {number}: found {found}, expected {expected} by the replay",
        )
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
    import signal
    import subprocess
    from importlib.util import find_spec

    if find_spec("jupyterlab") is None:
        raise MissingPartError("jupyterlab: found none, expected it installed: pip install jupyterlab")
    notebooks = Path("notebooks")
    if not notebooks.is_dir():
        raise InputError("notebooks: found no such folder here, expected to be started in the checkout")
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={notebooks.resolve()}"]
    # Ctrl-C reaches JupyterLab too, which asks before it stops: wait for its answer.
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        return subprocess.call([*command, *(arguments or [])])
    finally:
        signal.signal(signal.SIGINT, before)


def changed(named: str, flags: dict[str, str | None], assignments: list[str]) -> Scenario:
    """The scenario with all changes made before it is checked again."""
    from simlib.scenario import Scenario
    from simlib.scenario.overrides import parse_assignment

    changes: dict[str, object] = {}
    for flag, value in flags.items():
        if value is not None:
            changes.update([parse_assignment(f"{flag}={value}", f"--{flag}")])
    sources = [f"--{flag}" for flag in changes]
    for text in assignments:
        key, assigned = parse_assignment(text)
        if flags.get(key) is not None:
            raise InputError(f"--set {key}: found --{key} as well, expected one of them")
        changes[key] = assigned
    if assignments:
        sources.append("--set")
    loaded = Scenario.load(named)
    return loaded.with_(changes, source=", ".join(sources)) if changes else loaded
