"""Commands about patches: create, apply, compare."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from simlib.cli.files import (
    Force,
    Json,
    if_given,
    naming,
    read,
    refuse_existing,
    size,
    write,
)
from simlib.cli.output import say, say_json, say_table
from simlib.errors import Reason, Refused

app = typer.Typer(help="Make, apply and compare patches.", no_args_is_help=True, rich_markup_mode=None)


@app.command("create")
def create(
    old: Annotated[Path, typer.Argument(metavar="OLD")],
    new: Annotated[Path, typer.Argument(metavar="NEW")],
    patch: Annotated[Path, typer.Argument(metavar="PATCH")],
    codec: Annotated[str, typer.Option(help="bsdiff4.")] = "bsdiff4",
    force: Force = False,
) -> int:
    """Make the patch that turns OLD into NEW."""
    from simlib.delta import create_patch

    refuse_existing(patch, force=force)
    old_bytes, new_bytes = read(old, "the old file"), read(new, "the new file")
    made = create_patch(old_bytes, new_bytes, codec)
    write({patch: made}, force=force)
    share = f", {len(made) / len(new_bytes):.1%} of the new file" if new_bytes else ""
    say(f"{patch}  {len(made)} bytes{share}")
    return 0


@app.command("apply")
def apply(
    old: Annotated[Path, typer.Argument(metavar="OLD")],
    patch: Annotated[Path, typer.Argument(metavar="PATCH")],
    out: Annotated[Path, typer.Argument(metavar="OUT")],
    max_size: Annotated[
        str | None, typer.Option(help="Largest result to accept; default: twice OLD, and at least 2 MiB.")
    ] = None,
    force: Force = False,
) -> int:
    """Apply a patch. Exit status 1, and nothing written, if it is damaged or OLD is not its base."""
    from simlib.delta import apply_patch, default_result_limit

    refuse_existing(out, force=force)
    limit = if_given(size, max_size, "--max-size")
    base, patch_bytes = read(old, "the old file"), read(patch, "a patch")
    try:
        with naming(patch):
            result = apply_patch(
                base,
                patch_bytes,
                max_result_bytes=default_result_limit(len(base)) if limit is None else limit,
            )
    except Refused as refusal:
        if refusal.reason is Reason.WRONG_BASE:
            message = str(refusal).removeprefix(f"{refusal.reason}: {patch}: ")
            raise Refused(Reason.WRONG_BASE, f"{old}: {message}, the base of {patch}") from None
        raise
    write({out: result}, force=force)
    say(f"{out}  {len(result)} bytes")
    return 0


@app.command("compare")
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD")],
    new: Annotated[Path, typer.Argument(metavar="NEW")],
    json: Json = False,
) -> int:
    """Compare each codec's patch with the full file, raw and compressed."""
    from simlib.delta.compare import compare as compare_codecs

    rows = compare_codecs(read(old, "the old file"), read(new, "the new file"))
    if json:
        say_json(
            {"codecs": [asdict(row) | {"ratio": row.ratio, "ratio_lzma": row.ratio_lzma} for row in rows]}
        )
        return 0
    header = ("codec", "patch", "full", "full zlib", "full lzma", "of full", "of lzma")
    table = [
        (
            row.codec if row.applied else f"{row.codec} (does not apply)",
            f"{row.patch_bytes:,}",
            f"{row.full_raw_bytes:,}",
            f"{row.full_zlib_bytes:,}",
            f"{row.full_lzma_bytes:,}",
            f"{row.ratio:.1%}",
            f"{row.ratio_lzma:.1%}",
        )
        for row in rows
    ]
    say_table([header, *table], indent="")
    return 0
