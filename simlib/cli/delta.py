"""Commands about patches: create, apply, compare."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from simlib.cli.files import Force, Json, read, size, write
from simlib.cli.output import say, say_json, say_table

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

    old_bytes, new_bytes = read(old, "the old file"), read(new, "the new file")
    made = create_patch(old_bytes, new_bytes, codec)
    write(patch, made, force=force)
    share = f", {len(made) / len(new_bytes):.1%} of the new file" if new_bytes else ""
    say(f"{patch}  {len(made)} bytes{share}")
    return 0


@app.command("apply")
def apply(
    old: Annotated[Path, typer.Argument(metavar="OLD")],
    patch: Annotated[Path, typer.Argument(metavar="PATCH")],
    out: Annotated[Path, typer.Argument(metavar="OUT")],
    max_size: Annotated[str, typer.Option(help="Largest result to accept.")] = "16 MiB",
    force: Force = False,
) -> int:
    """Apply a patch. Exit status 1, and nothing written, if it is damaged or OLD is not its base."""
    from simlib.delta import apply_patch

    limit = size(max_size, "--max-size") or 0
    result = apply_patch(read(old, "the old file"), read(patch, "a patch"), max_result_bytes=limit)
    write(out, result, force=force)
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
    say_table(
        [
            header,
            *(
                (
                    r.codec,
                    f"{r.patch_bytes:,}",
                    f"{r.full_raw_bytes:,}",
                    f"{r.full_zlib_bytes:,}",
                    f"{r.full_lzma_bytes:,}",
                    f"{r.ratio:.1%}",
                    f"{r.ratio_lzma:.1%}",
                )
                for r in rows
            ),
        ],
        indent="",
    )
    return 0
