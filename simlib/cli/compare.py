"""The command `simlib compare`: scenarios, strategies or saved runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from simlib.cli.files import Force, Json, if_given, refuse_existing, whole_number, write
from simlib.cli.fleet import INTERRUPTED, changed
from simlib.cli.output import say, say_json, say_table
from simlib.cli.saved import load_run
from simlib.cli.study import KINDS, content, figure, records
from simlib.errors import InputError
from simlib.scenario.toml_text import shown

if TYPE_CHECKING:
    import pandas as pd

    from simlib.results import Run

SHOWN: Final = ("updated", "bricked", "lost", "time_to_95_ms", "bytes_down", "halted", "exposure_offered")
"""The measures that a person is shown as means; the table has all."""
_LAID_OVER: Final = ("rollout.policy", "rollout.config", "rollout.groups")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("compare")(compare)


@dataclass(frozen=True)
class _Compared:
    """What was found, in the form in which it is printed."""

    baseline: str
    contenders: tuple[str, ...]
    replications: int
    frame: pd.DataFrame
    sentences: list[str]
    seeds: tuple[int, ...] = ()
    moves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def compare(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR_OR_SCENARIO...",
            help="Folders of saved runs, or scenarios: files or presets. The first is the baseline.",
        ),
    ],
    strategies: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Take each scenario under each of these: names, TOML files, services (its own groups "
            "there), or own.",
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the others are compared with.")
    ] = None,
    replications: Annotated[
        str | None, typer.Option(help="Replications of each, under the same seeds; default 20.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option(help="Seed of the first replication; the others follow.")
    ] = None,
    devices: Annotated[str | None, typer.Option(help="Number of devices.")] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of every scenario; may be repeated."),
    ] = None,
    engine: Annotated[str | None, typer.Option(help="The clock, as for simlib run.")] = None,
    workers: Annotated[
        str | None, typer.Option(help="Threads of this machine; default one a processor.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table of replications: .parquet or .csv.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Compare scenarios, strategies or saved runs, seed by seed, with confidence intervals."""
    if out is not None:
        if out.suffix not in KINDS:
            raise InputError(f"--out {out}: found {shown(out.suffix)}, expected {' or '.join(KINDS)}")
        refuse_existing(out, force=force)
    folders = [side for side in sides if _is_folder(side)]
    if folders:
        flags = {
            "--strategies": strategies,
            "--replications": replications,
            "--seed": seed,
            "--devices": devices,
            "--set": assign,
            "--engine": engine,
            "--workers": workers,
        }
        _refuse_what_needs_scenarios(folders, sides, flags)
        found = _of_runs({folder: load_run(Path(folder)) for folder in folders}, baseline)
    else:
        found = _of_scenarios(
            sides,
            None if strategies is None else [name.strip() for name in strategies.split(",")],
            changes=({"devices": devices, "seed": seed}, assign or []),
            baseline=baseline,
            replications=replications,
            engine=engine,
            workers=workers,
        )
    interrupted = bool(found.frame.attrs.get("interrupted"))
    if out is not None:
        write({out: content(found.frame, out.suffix)}, force=force)
    if json:
        _say_json(found, out, interrupted=interrupted)
    else:
        _print(found, out, interrupted=interrupted)
    return INTERRUPTED if interrupted else 0


def _is_folder(side: str) -> bool:
    from simlib.scenario.presets import preset_names

    return side not in preset_names() and Path(side).is_dir()


def _refuse_what_needs_scenarios(
    folders: Sequence[str], sides: Sequence[str], flags: Mapping[str, object]
) -> None:
    scenario = f"a scenario, such as {Path(folders[0]) / 'scenario.toml'}"
    for flag, value in flags.items():
        if value:
            raise InputError(f"{flag}: found the saved run {folders[0]}, expected {scenario}")
    for side in sides:
        if side not in folders:
            raise InputError(f"{side}: found a scenario beside saved runs, expected either; give {scenario}")
    for number, folder in enumerate(folders):
        if folder in folders[:number]:
            raise InputError(f"{folder}: found twice, expected each run once")


def _of_scenarios(
    sides: Sequence[str],
    strategies: Sequence[str] | None,
    *,
    changes: tuple[dict[str, str | None], list[str]],
    baseline: str | None,
    replications: str | None,
    engine: str | None,
    workers: str | None,
) -> _Compared:
    from simlib.study.comparison import REPLICATIONS, PairedComparison, labels

    if strategies is not None:
        for text in changes[1]:
            if text.strip().startswith(_LAID_OVER):
                key = text.partition("=")[0].strip()
                raise InputError(f"--set {key}: found --strategies as well, which replaces it, expected one")
    loaded = [changed(side, *changes) for side in sides]
    planned = PairedComparison(
        dict(zip(labels(loaded, sides), loaded, strict=True)),
        strategies or (),
        baseline=baseline,
        replications=REPLICATIONS if replications is None else whole_number(replications, "--replications"),
        engine=engine or "auto",
    )
    frame = planned.run(workers=if_given(whole_number, workers, "--workers"))
    return _Compared(
        baseline=planned.baseline,
        contenders=planned.contenders,
        replications=planned.replications,
        frame=frame,
        sentences=planned.sentences(frame),
        seeds=planned.seeds,
    )


def _of_runs(runs: Mapping[str, Run], baseline: str | None) -> _Compared:
    from simlib.study.comparison import chosen_baseline, frame_of_runs, moved, same_luck, worded

    first = chosen_baseline(tuple(runs), baseline)
    frame = frame_of_runs(runs)
    told = worded(frame, first)
    moves = {}
    for name, run in runs.items():
        if name == first:
            continue
        if not same_luck(runs[first], run):
            told.append(f"{name} and {first} are not the same devices under the same seed: much may be luck")
            continue
        table = moved(runs[first], run)
        moves[name] = records(table)
        count, of = int(table["devices"].sum()), run.summary["devices"]
        told.append(f"{name}: {count:,} of {of:,} devices ended differently{_which(moves[name])}")
    return _Compared(first, tuple(runs), 1, frame, told, moves=moves)


def _which(moves: Sequence[Mapping[str, Any]]) -> str:
    parts = [f"{move['devices']:,} {move['becomes']} instead of {move['outcome']}" for move in moves[:3]]
    return f" ({', '.join(parts)}{', …' if len(moves) > len(parts) else ''})" if parts else ""


def _say_json(found: _Compared, out: Path | None, *, interrupted: bool) -> None:
    from simlib.study.confidence import intervals
    from simlib.study.differences import differences

    answer: dict[str, Any] = {
        "baseline": found.baseline,
        "replications": found.replications,
        "seeds": list(found.seeds),
        "strategies": list(found.contenders),
        "interrupted": interrupted,
        "out": None if out is None else str(out),
        "summary": records(intervals(found.frame)),
        "differences": records(differences(found.frame, baseline=found.baseline)),
        "sentences": found.sentences,
    }
    if found.moves:
        answer["ended_differently"] = found.moves
    say_json(answer)


def _print(found: _Compared, out: Path | None, *, interrupted: bool) -> None:
    from simlib.study.confidence import intervals
    from simlib.study.frame import keys_of

    if found.replications > 1:
        say(f"{found.replications} replications of each under the same seeds")
        say("mean and 95 % confidence interval of the mean\n")
    else:
        say("One run each: what follows has no confidence intervals.\n")
    names = [name for name in SHOWN if name in found.frame.columns]
    summary = intervals(found.frame, names)
    keys = keys_of(found.frame)
    if summary.groupby(keys[0]).ngroups == 1:
        keys = keys[-1:]
    rows: list[Sequence[object]] = [("", *names)]
    for start in range(0, len(summary), len(names)):
        here = list(summary.iloc[start : start + len(names)].itertuples())
        label = ": ".join(str(summary.iloc[start][key]) for key in keys)
        rows.append((label, *(figure(row) for row in here)))
    say_table(rows)
    say(f"\ncompared with {found.baseline}; the time is that until 95 % of the fleet run the new version")
    for sentence in found.sentences:
        say(f"  {sentence}")
    if interrupted:
        say("\nINTERRUPTED: not all replications")
    if out is not None:
        say(f"\n{out}")
