"""`simlib powercut`: the power fails at every flash operation of an update."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from simlib.cli.files import Json, if_given, size, whole_number
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
from simlib.cli.output import advancing, say, say_json, say_table

if TYPE_CHECKING:
    from simlib.device.powercut import PowercutResult

SHOWN_HARMS: Final = 20
"""How many cuts that did harm are named to a person, each with its operation."""


def powercut(
    layout: Annotated[str, typer.Option(help="How the boot loader uses the flash, as swap-move.")],
    image_size: Annotated[str, typer.Option(help="Size of the synthetic firmwares.")],
    payload: Payload = "full",
    codec: Codec = None,
    encrypted: Encrypted = False,
    tear: Annotated[str, typer.Option(help="What a cut leaves: none, partial, garbage, or all.")] = "all",
    second_cut: Annotated[
        str, typer.Option(help="Cut the boot after a cut again: none, all, or so many times, drawn.")
    ] = "none",
    sector_size: SectorSize = "4096",
    slot_size: SlotSize = None,
    download_size: DownloadSize = None,
    write_size: WriteSize = "4",
    erased_value: ErasedValue = "0xFF",
    counter_store: Annotated[
        str, typer.Option(help="Where the security counter is kept: fuses or flash.")
    ] = "fuses",
    seed: Annotated[str, typer.Option(help="Of what is drawn: torn bytes, and which second cuts.")] = "0",
    json: Json = False,
) -> int:
    """Cut the power at every flash operation of an update and of the revert after a failed trial.

    After each cut the device boots, settles and must take a further update.
    """
    from simlib.device.powercut import SweepOptions, sweep

    options = SweepOptions(
        layout=layout,
        image_size_bytes=size(image_size, "--image-size"),
        payload=payload,
        codec=codec,
        encrypted=encrypted,
        tear=tear,
        second_cuts=_second_cuts(second_cut),
        sector_size_bytes=flash_size(sector_size, "--sector-size"),
        slot_size_bytes=if_given(flash_size, slot_size, "--slot-size"),
        download_size_bytes=if_given(flash_size, download_size, "--download-size"),
        write_size_bytes=size(write_size, "--write-size"),
        erased_value=whole_number(erased_value, "--erased-value"),
        counter_store=counter_store,
        seed=whole_number(seed, "--seed"),
    )
    with advancing("operations") as progress:
        result = sweep(options, progress=progress, workers=os.cpu_count() or 1)
    summary = result.summary()
    if json:
        say_json(summary)
    else:
        _print(result, summary)
    return 0


def _second_cuts(text: str) -> int:
    from simlib.device.powercut import SECOND_CUTS_ALL

    if text == "none":
        return 0
    return SECOND_CUTS_ALL if text == "all" else whole_number(text, "--second-cut")


def _print(result: PowercutResult, summary: dict[str, Any]) -> None:
    harmed = [
        (operation, torn)
        for operation in result.operations
        for torn in operation.torn
        if torn.worst.bricked or torn.worst.stuck
    ]
    for operation, torn in harmed[:SHOWN_HARMS]:
        worst = torn.worst
        say(
            f"operation {operation.number}, {operation.phase}, {operation.kind} at {operation.offset} "
            f"({operation.partition}), tear {torn.tear}: {worst.harm}, {worst.detail}"
        )
    if len(harmed) > SHOWN_HARMS:
        say(f"and {len(harmed) - SHOWN_HARMS:,} more")
    rows = [(name, _shown(value)) for name, value in summary.items() if not isinstance(value, dict)]
    for name in ("ops_by_phase", "harms"):
        rows += [(f"{name}.{key}", _shown(value)) for key, value in summary[name].items()]
    say_table(rows, indent="")


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
