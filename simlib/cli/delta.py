"""Commands about patches: create, apply, compare, and the codecs that there are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from simlib.cli.delta_plan import plan
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

if TYPE_CHECKING:
    from simlib.delta import CodecComparison, Traits

CODECS: Final = (
    "bsdiff4, detools-heatshrink, detools-crle, detools-lzma, detools-in-place-heatshrink,"
    " detools-in-place-crle, detools-in-place-lzma, hdiffpatch-lzma2, hpatchlite-tuz or zstd-patch-from; the"
    " whole image: full-heatshrink, full-lzma or full-zstd"
)
"""The codecs as the help names them without loading them; a test compares this with the registry."""

_NEEDS: Final = ("ram bytes", "streams", "in place", "decoder", "effort")
_EXAMPLE_PATCH_BYTES: Final = 16 << 10
_EXAMPLE_IMAGE_BYTES: Final = 256 << 10

app = typer.Typer(help="Make, apply and compare patches.", no_args_is_help=True, rich_markup_mode=None)
app.command("plan")(plan)


@app.command("create")
def create(
    old: Annotated[Path, typer.Argument(metavar="OLD")],
    new: Annotated[Path, typer.Argument(metavar="NEW")],
    patch: Annotated[Path, typer.Argument(metavar="PATCH")],
    codec: Annotated[str, typer.Option(help=f"{CODECS}.")] = "bsdiff4",
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
    """Compare every codec's patch with the full file: raw, and as each codec without a base makes it."""
    from simlib.delta.compare import compare as compare_codecs

    rows = compare_codecs(read(old, "the old file"), read(new, "the new file"))
    if json:
        ratios = ("ratio", "ratio_lzma", "ratio_best_full")
        say_json({"codecs": [asdict(row) | {ratio: getattr(row, ratio) for ratio in ratios} for row in rows]})
        return 0
    header = ("", "bytes", "of raw", "of lzma", "of best full", *_NEEDS)
    for title, takes_base in (("patch", True), ("full", False)):
        table = [
            (
                row.codec if row.applied else f"{row.codec} (does not apply)",
                f"{row.patch_bytes:,}",
                f"{row.ratio:.1%}",
                f"{row.ratio_lzma:.1%}",
                f"{row.ratio_best_full:.1%}",
                f"{row.ram_bytes:,}",
                *_needs(row),
            )
            for row in rows
            if row.takes_base == takes_base
        ]
        if not takes_base:
            raw, lzma = rows[0].full_raw_bytes, rows[0].full_lzma_bytes
            sizes = (("raw", raw), ("zlib, level 9", rows[0].full_zlib_bytes), ("lzma, preset 9e", lzma))
            best = rows[0].full_best_bytes
            table += [
                (
                    name,
                    f"{size:,}",
                    f"{size / raw if raw else 0:.1%}",
                    f"{size / lzma:.1%}",
                    f"{size / best:.1%}",
                )
                + ("",) * len(_NEEDS)
                for name, size in sizes
            ]
            say()
        say_table([(title, *header[1:]), *table], indent="")
    return 0


@app.command("codecs")
def codecs(json: Json = False) -> int:
    """List the codecs and what each asks of a device, for a patch of 16 KiB to an image of 256 KiB."""
    from simlib.delta import codec_names, codec_ram_bytes, codec_traits

    traits = {name: codec_traits(name) for name in codec_names()}
    ram = {name: codec_ram_bytes(name, _EXAMPLE_PATCH_BYTES, _EXAMPLE_IMAGE_BYTES) for name in traits}
    if json:
        say_json(
            {"codecs": [{"codec": name, "ram_bytes": ram[name]} | asdict(of) for name, of in traits.items()]}
        )
        return 0
    table = [
        (name, "patch" if of.takes_base else "full", f"{ram[name]:,}", *_needs(of))
        for name, of in traits.items()
    ]
    say_table([("codec", "makes", *_NEEDS), *table], indent="")
    return 0


def _needs(of: CodecComparison | Traits) -> tuple[str, ...]:
    """The columns of what a codec asks of a device, but for its RAM."""
    return (
        "yes" if of.streams else "no",
        "yes" if of.in_place else "no",
        of.decoder,
        f"{of.effort_percent}%",
    )
