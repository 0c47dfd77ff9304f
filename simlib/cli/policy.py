"""Commands about a rollout policy alone: trace, dry-run, export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from simlib.cli.files import Force, Json, if_given, read, refuse_existing, whole_number, write
from simlib.cli.output import complain, say, say_json, say_table
from simlib.errors import InputError
from simlib.scenario.json_text import AN_OBJECT
from simlib.scenario.toml_text import one_line, shown

if TYPE_CHECKING:
    from simlib.rollout.service import Service

DEFAULT_DEVICES: Final = 1000
MOST_DEVICES: Final = 10_000_000
MOST_TOLD: Final = 12
"""Rows of one kind that a person is shown; `--json` has all."""
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000

app = typer.Typer(
    help="Run a rollout policy alone, or take it to its service.", no_args_is_help=True, rich_markup_mode=None
)
Config = Annotated[
    Path,
    typer.Argument(metavar="CONFIG", help='The update service\'s own configuration, JSON, and "service".'),
]
Until = Annotated[str | None, typer.Option(metavar="MS", help="The last millisecond to look at.")]


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="policy")


@app.command("trace")
def trace(
    config: Config,
    devices: Annotated[
        str | None, typer.Option(metavar="N", help=f"Devices in the fleet; default {DEFAULT_DEVICES}.")
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            metavar="EVENTS.csv",
            help="What devices report: time_ms,device,status, rows in any order. "
            "Without it every released device succeeds at once. For aws-iot step_timeout_minutes may be a "
            "fourth column.",
        ),
    ] = None,
    until: Until = None,
    json: Json = False,
) -> int:
    """Run a policy alone: what it releases, what it decides, and when."""
    from simlib.rollout.events import STEP_TIMEOUT, read_events
    from simlib.rollout.trace import trace as traced

    count = _fleet(devices, DEFAULT_DEVICES)
    until_ms = if_given(whole_number, until, "--until")
    service, settings = _configuration(config)
    listed = None
    if events is not None:
        text = _text(events, "events as time_ms,device,status")
        further = (STEP_TIMEOUT,) if service.name == "aws-iot" else ()
        listed = read_events(text, str(events), service.words_of(settings), devices=count, optional=further)
    sizes = service.sizes_of(settings, count, one_line(str(config)))
    made = traced(service.policy(settings, sizes), sizes, listed, until_ms)
    if json:
        say_json(made.document())
        return 0
    say(f"{config}: {service.name}, {count:,} devices in {_groups(sizes)}")
    _say_decisions([decided.document() for decided in made.decisions])
    say("\nreleases")
    rows = [(_clock(r.time_ms), f"{r.count:,}", f"{r.cumulative:,}") for r in made.releases]
    _say_rows(("at", "devices", "so far"), rows)
    return 0


@app.command("dry-run")
def dry_run(
    config: Config,
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG.csv",
            help="What happened: time_ms,device,status, and group (from 1) if devices are not to fill "
            "the policy's groups in order. Status: the service's own words, or offered, started, succeeded, "
            "failed, skipped, silent.",
        ),
    ],
    devices: Annotated[
        str | None, typer.Option(metavar="N", help="Devices in the fleet; default: as the log numbers them.")
    ] = None,
    until: Until = None,
    json: Json = False,
) -> int:
    """Show a policy the report log of a past rollout: what it would have decided, and when."""
    from simlib.rollout import dry_run as dry
    from simlib.rollout.events import GROUP, PLAIN_WORDS, STEP_TIMEOUT, read_events

    given = if_given(whole_number, devices, "--devices")
    until_ms = if_given(whole_number, until, "--until")
    service, settings = _configuration(config)
    rows = read_events(
        _text(log, "a log as time_ms,device,status"),
        str(log),
        {**PLAIN_WORDS, **service.words_of(settings)},
        devices=MOST_DEVICES if given is None else _fleet(devices, given),
        optional=(GROUP, STEP_TIMEOUT) if service.name == "aws-iot" else (GROUP,),
    )
    if not rows:
        raise InputError(f"{log}: found no rows, expected the reports of a past rollout")
    count = 1 + max(row.device for row in rows) if given is None else given
    sizes = service.sizes_of(settings, count, one_line(str(config)))
    groups = dry.groups_in(rows, len(sizes), count, one_line(str(log)))
    if groups is not None:
        sizes = dry.sizes_of(groups, len(sizes))
    made = dry.dry_run(service.policy(settings, sizes), sizes, rows, until_ms, groups).document()
    if json:
        say_json(made)
        return 0
    say(f"{config}: {service.name} on {len(rows):,} rows of {log}, {count:,} devices in {_groups(sizes)}")
    _say_decisions(made["decisions"], dry.COUNTED)
    _say_stop(made["stop"])
    return 0


@app.command("export")
def export(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A TOML file, or the name of a preset.")
    ],
    service: Annotated[str, typer.Option(metavar="NAME", help="The update service.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the configuration there.")] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Write the configuration that gives a real service this rollout, and list what it cannot express.

    The configuration goes to standard output, and what is lost to standard error, unless --out is given.
    """
    from simlib.rollout.export import export as exported
    from simlib.rollout.export import json_text
    from simlib.scenario import Scenario

    _check_service(service, "--service")
    if out is not None:
        refuse_existing(out, force=force)
    made = exported(Scenario.load(scenario).spec, service)
    text = json_text(made.config)
    if out is not None:
        write({out: f"{text}\n".encode()}, force=force)
    lost = [one_line(sentence) for sentence in made.lost]
    if json:
        place = None if out is None else str(out)
        say(json_text({"service": made.service, "config": made.config, "lost": lost, "out": place}))
        return 0
    tell = complain
    if out is None:
        say(text)
    else:
        say(f"{out}  {made.service}")
        tell = say
    for sentence in lost:
        tell(f"cannot be expressed: {sentence}")
    return 0


def _configuration(path: Path) -> tuple[Service, Any]:
    """The service a configuration names, and what the rest of it says."""
    from simlib.rollout.registry import service_named
    from simlib.scenario.json_text import read_json

    source = one_line(str(path))
    document = read_json(path, source, "an update service's configuration")
    if "service" not in document:
        raise InputError(f"{source}: service: found no such key, expected {_one_of_services()}")
    name = document.pop("service")
    _check_service(name, f"{source}: service")
    service = service_named(str(name))
    return service, service.read(document, source)


def _check_service(name: object, where: str) -> None:
    from simlib.rollout.registry import service_names

    if name not in service_names():
        raise InputError(f"{where}: found {shown(name, AN_OBJECT)}, expected {_one_of_services()}")


def _one_of_services() -> str:
    from simlib.rollout.registry import service_names

    return f"one of {', '.join(service_names())}"


def _fleet(text: str | None, default: int) -> int:
    count = if_given(whole_number, text, "--devices")
    if count is None:
        return default
    if not 1 <= count <= MOST_DEVICES:
        raise InputError(f"--devices: found {count}, expected 1 to {MOST_DEVICES}")
    return count


def _text(path: Path, what: str) -> str:
    content = read(path, what)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: found bytes that are not text at offset {error.start}, expected {what}"
        ) from None


def _groups(sizes: Sequence[int]) -> str:
    listed = ", ".join(f"{size:,}" for size in sizes[:MOST_TOLD])
    more = ", …" if len(sizes) > MOST_TOLD else ""
    return f"{len(sizes)} group{'s' if len(sizes) != 1 else ''} ({listed}{more})"


def _say_decisions(decisions: Sequence[dict[str, Any]], counted: Sequence[str] = ()) -> None:
    say("\ndecisions")
    rows = [
        (
            _clock(each["time_ms"]),
            each["decision"],
            "all" if each["group"] is None else each["group"],
            *(f"{each[name]:,}" for name in counted),
            each["reason"],
        )
        for each in decisions
    ]
    _say_rows(("at", "decision", "group", *counted, "reason"), rows)


def _say_stop(stop: dict[str, Any] | None) -> None:
    if stop is None:
        say("\nnothing would have stopped this rollout")
        return
    later, spared = stop["later"], stop["spared"]
    say(f"\nthe first stop, {stop['decision']}, after {_clock(stop['time_ms'])}")
    say_table(
        [
            ("offered the release by then", f"{stop['offered']:,}"),
            ("and later, in the log", f"{later['offered']:,}"),
            ("began by then", f"{stop['started']:,}"),
            ("and later", f"{later['started']:,}"),
            ("failed by then", f"{stop['failed']:,}"),
            ("and later", f"{later['failed']:,}"),
            ("devices it would have spared", f"{spared['devices']:,}"),
            ("of them failed in the log", f"{spared['failed']:,}"),
            ("of them began and never reported an end", f"{spared['silent']:,}"),
        ]
    )


def _say_rows(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; of a long one the first rows and the last."""
    if not rows:
        say("  none")
        return
    if len(rows) > MOST_TOLD:
        left = len(rows) - MOST_TOLD
        dots = (f"… {left:,} more", *[""] * (len(header) - 1))
        rows = [*rows[: MOST_TOLD - 1], dots, rows[-1]]
    say_table([header, *rows])


def _clock(time_ms: int) -> str:
    """A time since the start, exact: days, hours, minutes, seconds; milliseconds if there are any."""
    days, rest = divmod(time_ms, _DAY)
    seconds, ms = divmod(rest % _MINUTE, _SECOND)
    text = f"{days} d {rest // _HOUR:02d}:{rest % _HOUR // _MINUTE:02d}:{seconds:02d}"
    return f"{text}.{ms:03d}" if ms else text
