"""Commands about one device with real bytes: update."""

from __future__ import annotations

import json as json_text
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from simlib.cli.files import Force, Json, size, whole_number, write
from simlib.cli.output import say, say_json, say_table


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(
        help="Take one device through an update.", no_args_is_help=True, rich_markup_mode=None
    )
    group.callback()(device)
    group.command("update")(update)
    app.add_typer(group, name="device")


def device() -> None:
    """Take one device through an update."""


def update(
    old: Annotated[Path, typer.Option("--from", help="Raw binary, or signed image with --key.")],
    new: Annotated[Path, typer.Option("--to", help="Raw binary, or signed image with --key.")],
    layout: Annotated[str, typer.Option(help="swap-move or single-slot.")] = "swap-move",
    payload: Annotated[str, typer.Option(help="full or delta.")] = "full",
    encrypted: Annotated[bool, typer.Option("--encrypted", help="Encrypt what is sent.")] = False,
    key: Annotated[Path | None, typer.Option(help="Key of signed images, private or public, PEM.")] = None,
    sector_size: Annotated[str, typer.Option(help="Erase unit of the flash.")] = "4096",
    slot_size: Annotated[
        str | None, typer.Option(help="Size of a slot; default: the least that will do.")
    ] = None,
    write_size: Annotated[str, typer.Option(help="Write unit of the flash.")] = "4",
    erased_value: Annotated[str, typer.Option(help="What an erased byte reads, 0xFF or 0x00.")] = "0xFF",
    cut_at: Annotated[str | None, typer.Option(help="Flash operation, from 1, in which power fails.")] = None,
    tear: Annotated[str, typer.Option(help="What that operation leaves: none, partial or garbage.")] = "none",
    dump: Annotated[
        Path | None, typer.Option(help="Write the flash here, its partition table beside it.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Take one device through an update on a fresh flash and print its journal."""
    from simlib.device.single import UpdateOptions, partition_table, update_once
    from simlib.errors import InputError
    from simlib.security.keyfiles import load_public
    from simlib.security.keys import VerifyKey

    options = UpdateOptions(
        layout=layout,
        payload=payload,
        encrypted=encrypted,
        sector_size_bytes=size(sector_size, "--sector-size") or 0,
        slot_size_bytes=size(slot_size, "--slot-size"),
        write_size_bytes=size(write_size, "--write-size") or 0,
        erased_value=whole_number(erased_value, "--erased-value") or 0,
        cut_at=whole_number(cut_at, "--cut-at"),
        tear=tear,
    )
    table = None if dump is None else dump.with_suffix(".json")
    if dump is not None and dump == table:
        raise InputError(f"--dump {dump}: found the name of the partition table, expected another ending")
    result = update_once(old, new, options, None if key is None else VerifyKey.of(load_public(key)))
    if dump is not None and table is not None:
        write(
            table,
            (json_text.dumps(partition_table(result.partitions), indent=2) + "\n").encode(),
            force=force,
        )
        write(dump, result.flash, force=force)
    facts = {
        "booted_version": result.booted_version,
        "outcome": result.outcome.value,
        "reason": result.reason.value,
        "flash_ops": result.flash_ops,
        "erases": result.erases,
        "bytes_written": result.bytes_written,
        "energy_uj": result.energy_uj,
        "time_ms": result.time_ms,
    }
    if json:
        say_json(facts | {"journal": [asdict(step) for step in result.journal]})
        return 0
    for step in result.journal:
        say(
            f"{step.phase:<12} {step.time_ns / 1e6:>10.3f} ms {step.ops:>6} ops {step.bytes:>9} bytes "
            f"{step.energy_nj / 1e3:>10.1f} uJ  {step.detail}"
        )
    say_table([(name, value) for name, value in facts.items()], indent="")
    return 0
