"""Commands about public firmware chains: fetch, list."""

from __future__ import annotations

from typing import Annotated

import typer

from simlib.cli.files import Json
from simlib.cli.output import counting, say, say_json

app = typer.Typer(help="Fetch real firmware chains.", no_args_is_help=True, rich_markup_mode=None)


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a chain; `simlib firmware list` shows them.")],
) -> int:
    """Download a pinned chain into the cache; every archive and image is checked against its hash."""
    from simlib.firmware.corpus import fetch as fetch_corpus

    with counting(f"fetch {name}") as update:
        paths = fetch_corpus(name, progress=lambda done, _total, _version: update(done))
    say(f"{name}: {len(paths)} firmwares in {paths[0].parent}")
    return 0


@app.command("list")
def list_(json: Json = False) -> int:
    """List the chains there are pins for, and whether they are in the cache."""
    from simlib.firmware.corpus import corpora

    chains = corpora()
    if json:
        rows = [
            {
                "name": chain.name,
                "title": chain.title,
                "cached": chain.is_cached(),
                "licence": chain.licence,
                "licence_note": chain.licence_note,
                "firmwares": [{"version": pin.version, "size_bytes": pin.size_bytes} for pin in chain.pins],
            }
            for chain in chains
        ]
        say_json({"chains": rows})
        return 0
    for chain in chains:
        state = "in the cache" if chain.is_cached() else f"not fetched: simlib firmware fetch {chain.name}"
        say(f"{chain.name}: {chain.title}, {len(chain.pins)} firmwares, licence {chain.licence} ({state})")
        for pin in chain.pins:
            say(f"  {pin.version:<12} {pin.size_bytes:>9,} bytes")
    return 0
