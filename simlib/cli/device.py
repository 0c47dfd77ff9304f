"""Commands about one device with real bytes: update."""

from __future__ import annotations

import json as json_text
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simlib.cli.files import Force, Json, check_file, if_given, refuse_existing, size, whole_number, write
from simlib.cli.flash_options import (
    Codec,
    DownloadSize,
    Encrypted,
    ErasedValue,
    Payload,
    SectorSize,
    SlotSize,
    WriteSize,
    flash_size,
)
from simlib.cli.keyfiles import verify_key
from simlib.cli.output import say, say_json, say_table
from simlib.errors import InputError

if TYPE_CHECKING:
    from simlib.device.single import UpdateResult

app = typer.Typer(help="Take one device through an update.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def device() -> None:
    """Take one device through an update."""


@app.command("update")
def update(
    old: Annotated[Path, typer.Option("--from", help="Raw binary, or signed image with --key.")],
    new: Annotated[Path, typer.Option("--to", help="Raw binary, or signed image with --key.")],
    layout: Annotated[str, typer.Option(help="How the boot loader uses the flash.")] = "swap-move",
    payload: Payload = "full",
    codec: Codec = None,
    encrypted: Encrypted = False,
    key: Annotated[Path | None, typer.Option(help="Key of signed images, private or public, PEM.")] = None,
    sector_size: SectorSize = "4096",
    slot_size: SlotSize = None,
    download_size: DownloadSize = None,
    write_size: WriteSize = "4",
    erased_value: ErasedValue = "0xFF",
    secondary_size: Annotated[str, typer.Option(help="Size of the second slot; 0: its layout's.")] = "0",
    secondary_sector: Annotated[str, typer.Option(help="Erase unit of the second slot; 0: the same.")] = "0",
    scratch_size: Annotated[str, typer.Option(help="Size of a scratch area; 0: its layout's.")] = "0",
    counter_store: Annotated[
        str, typer.Option(help="Where the security counter is kept: fuses, flash or tpm.")
    ] = "fuses",
    ram: Annotated[str, typer.Option(help="RAM that the update may take; 0: no limit.")] = "0",
    downgrade_prevention: Annotated[
        bool, typer.Option("--downgrade-prevention", help="overwrite-only refuses a lower version.")
    ] = False,
    cut_at: Annotated[str | None, typer.Option(help="Flash operation, from 1, in which power fails.")] = None,
    tear: Annotated[str, typer.Option(help="What that operation leaves: none, partial or garbage.")] = "none",
    dump: Annotated[
        Path | None, typer.Option(help="Write the flash here, its partition table beside it.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Take one device through an update on a fresh flash and print its journal."""
    from simlib.device.single import UpdateOptions, update_once

    options = UpdateOptions(
        layout=layout,
        payload=payload,
        codec=codec,
        encrypted=encrypted,
        sector_size_bytes=flash_size(sector_size, "--sector-size"),
        slot_size_bytes=if_given(flash_size, slot_size, "--slot-size"),
        download_size_bytes=if_given(flash_size, download_size, "--download-size"),
        write_size_bytes=size(write_size, "--write-size"),
        erased_value=whole_number(erased_value, "--erased-value"),
        secondary_size_bytes=flash_size(secondary_size, "--secondary-size"),
        secondary_sector_bytes=flash_size(secondary_sector, "--secondary-sector"),
        scratch_size_bytes=flash_size(scratch_size, "--scratch-size"),
        counter_store=counter_store,
        ram_bytes=size(ram, "--ram"),
        downgrade_prevention=downgrade_prevention,
        cut_at=if_given(whole_number, cut_at, "--cut-at"),
        tear=tear,
    )
    if dump is not None:
        refuse_existing(dump, _table_path(dump), force=force)
    for path in (old, new):
        check_file(path, "firmware")
    result = update_once(old, new, options, None if key is None else verify_key(key))
    if dump is not None:
        write({dump: result.flash, _table_path(dump): _table(result)}, force=force)
    facts = {
        "booted_version": result.booted_version,
        "outcome": result.outcome.value,
        "reason": result.reason.value,
        "codec": result.codec,
        "wire_bytes": result.wire_bytes,
        "flash_ops": result.flash_ops,
        "erases": result.erases,
        "bytes_written": result.bytes_written,
        "most_erases": result.most_erases,
        "ram_bytes": result.ram_bytes,
        "security_counter": result.security_counter,
        "counter_kind": result.counter_kind,
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
    say_table([(name, "none" if value is None else value) for name, value in facts.items()], indent="")
    return 0


def _table_path(dump: Path) -> Path:
    if not dump.name:
        raise InputError(f"--dump {dump}: found a folder, expected a file to write")
    table = dump.with_suffix(".json")
    if table == dump:
        raise InputError(f"--dump {dump}: found the partition table's name, expected another ending")
    return table


def _table(result: UpdateResult) -> bytes:
    from simlib.device.single import partition_table

    return (json_text.dumps(partition_table(result.partitions), indent=2) + "\n").encode()
