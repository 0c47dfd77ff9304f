"""The command `simlib study`: one scenario over a grid, replicated, as one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from simlib.cli.files import Force, Json, if_given, refuse_existing, whole_number, write
from simlib.cli.fleet import INTERRUPTED, changed
from simlib.cli.output import say, say_json, say_table
from simlib.errors import InputError, MissingPartError
from simlib.scenario.toml_text import shown

if TYPE_CHECKING:
    import pandas as pd

KINDS: Final = (".parquet", ".csv")
SHOWN: Final = ("updated", "bricked", "halted", "time_to_90_ms", "bytes_down", "bytes_wasted")
"""The measures that a person is shown; the table has all."""
CONNECT_SECONDS: Final = 10
_UNITS: Final = {"ms": (3_600_000, " h"), "bytes": (1_000_000, " MB")}
_OPENING, _CLOSING = "[{", "]}"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("study")(study)


def study(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A TOML file, or the name of a preset.")
    ],
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V1,V2,...", help="Values of a key; may be repeated: the full grid."),
    ] = None,
    replications: Annotated[str, typer.Option(help="Replications at each point.")] = "10",
    engine: Annotated[str, typer.Option(help="The clock, as for simlib run.")] = "auto",
    devices: Annotated[str | None, typer.Option(help="Number of devices.")] = None,
    seed: Annotated[
        str | None, typer.Option(help="Seed of the first replication; the others follow.")
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the scenario; may be repeated."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler whose workers do it.")
    ] = None,
    workers: Annotated[
        str | None, typer.Option(help="Threads of this machine; default one a processor.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table: .parquet or .csv.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Replicate a scenario over a grid of values and give the means with their confidence intervals."""
    from simlib.study import Study

    if scheduler is not None and workers is not None:
        raise InputError("--workers: found --scheduler as well, expected one of them")
    if out is not None:
        if out.suffix not in KINDS:
            raise InputError(f"--out {out}: found {shown(out.suffix)}, expected {' or '.join(KINDS)}")
        refuse_existing(out, force=force)
    threads = if_given(whole_number, workers, "--workers")
    planned = Study(changed(scenario, {"devices": devices, "seed": seed}, assign or []), engine=engine)
    for text in vary or []:
        planned = planned.vary(*_varied(text))
    planned = planned.replicate(whole_number(replications, "--replications"))
    with _cluster(scheduler) as client:
        frame = planned.run(client, workers=threads)
    interrupted = bool(frame.attrs.get("interrupted"))
    if out is not None:
        write({out: content(frame, out.suffix)}, force=force)
    if json:
        summary = planned.summary(frame)
        say_json(
            {
                "scenario": planned.scenario.name,
                "replications": planned.replications,
                "varied": [key for key, _ in planned.varied],
                "interrupted": interrupted,
                "out": None if out is None else str(out),
                "summary": records(summary),
                "rows": records(frame),
            }
        )
    else:
        _print(planned, frame, out)
    return INTERRUPTED if interrupted else 0


def _varied(text: str) -> tuple[str, list[object]]:
    """``KEY=V1,V2,...`` as key and values, each a TOML value or a bare word."""
    from simlib.scenario.overrides import parse_assignment

    key, _, written = text.partition("=")
    if not written.strip():
        raise InputError(f"--vary: found {shown(text)}, expected KEY=V1,V2,...")
    pairs = [parse_assignment(f"{key}={value}", "--vary") for value in _parts(written)]
    return pairs[0][0], [value for _, value in pairs]


def _parts(written: str) -> list[str]:
    """`written` cut at its commas, those in lists, tables and quoted text apart."""
    parts, depth, quote = [""], 0, ""
    for sign in written:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in _OPENING or sign in _CLOSING:
            depth += 1 if sign in _OPENING else -1
        if sign == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """A client of the Dask scheduler at `address`, None without one."""
    if address is None:
        yield None
        return
    if find_spec("distributed") is None:
        raise MissingPartError(
            "distributed: found none, expected it installed: pip install 'dask[distributed]'"
        )
    import distributed
    from distributed.comm.addressing import resolve_address

    dask: Any = distributed
    try:
        resolve_address(address)  # a client of what is no address waits long before it says so
        client = dask.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise InputError(
            f"--scheduler {shown(address)}: found no answer, expected the address of a Dask scheduler, "
            "such as tcp://localhost:8786"
        ) from None
    with client:
        yield client


def content(frame: pd.DataFrame, kind: str) -> bytes:
    if kind == ".parquet":
        return bytes(frame.to_parquet(None, index=False))
    return str(frame.to_csv(index=False, lineterminator="\n")).encode()


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON has them, null for what is missing."""
    plain = frame.astype(object)
    return [dict(row) for row in plain.where(frame.notna(), None).to_dict("records")]


def _print(planned: Any, frame: pd.DataFrame, out: Path | None) -> None:
    say(f"{planned.scenario.name}: {len(frame):,} replications, {planned.replications} a point wanted")
    say("mean and 95 % confidence interval of the mean\n")
    rows: list[Sequence[object]] = [("", *SHOWN)]
    points = planned.points()
    if not frame.empty:
        summary = planned.summary(frame, SHOWN)
        for number in range(len(summary) // len(SHOWN)):
            here = summary.iloc[number * len(SHOWN) : (number + 1) * len(SHOWN)]
            rows.append((points[number].label, *(figure(row) for row in here.itertuples())))
    say_table(rows)
    if out is not None:
        say(f"\n{out}")


def figure(row: Any) -> str:
    if not row.n:
        return "never"
    divisor, unit = 1, ""
    for word, (by, sign) in _UNITS.items():
        if word in row.measure.split("_"):
            divisor, unit = by, sign
    half = "" if row.low != row.low else f" ± {(row.high - row.low) / 2 / divisor:,.3g}"
    some = f" ({row.n} of {row.n + row.missing})" if row.missing else ""
    mean = row.mean / divisor
    return f"{mean:,.{0 if abs(mean) >= 1000 else 3}f}{half}{unit}{some}"
