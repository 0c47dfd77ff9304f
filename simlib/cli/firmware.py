"""Commands about public firmware chains: fetch, list, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from simlib.cli.files import Json
from simlib.cli.output import advancing, say, say_json
from simlib.errors import InputError, Reason, Refused

if TYPE_CHECKING:
    from simlib.firmware.corpus import Corpus, State

app = typer.Typer(
    help="Fetch real firmware chains and check them.", no_args_is_help=True, rich_markup_mode=None
)

_NAMES = "Names of chains; `simlib firmware list` shows them."


@app.command("fetch")
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help=f"{_NAMES} Without: those to begin with.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every chain there is.")] = False,
) -> int:
    """Download pinned chains into the cache; every archive and image is checked against its hash."""
    from simlib.firmware.corpus import START, corpora
    from simlib.firmware.corpus import fetch as fetch_corpora

    if everything and names:
        raise InputError(f"--all: found the names {', '.join(names)} as well, expected one or the other")
    wanted = [chain.name for chain in corpora()] if everything else names or START
    with advancing("fetch") as update:
        fetched = fetch_corpora(*wanted, progress=lambda done, total, _what: update(done, total))
    for name, paths in fetched.items():
        say(f"{name}: {len(paths)} firmwares in {paths[0].parent}")
    return 0


@app.command("list")
def list_(json: Json = False) -> int:
    """List the chains there are pins for, and what of them is in the cache."""
    from simlib.firmware.corpus import START, corpora

    chains = corpora()
    if json:
        say_json({"chains": [_described(chain) for chain in chains]})
        return 0
    for chain in chains:
        there = sum(chain.cached_path(pin).is_file() for pin in chain.pins)
        remedy = f"simlib firmware fetch {chain.name}"
        state = f"{there} of them in the cache: {remedy}" if there else f"not fetched: {remedy}"
        state = "in the cache" if there == len(chain.pins) else state
        begin = ", to begin with" if chain.name in START else ""
        facts = f"{len(chain.pins)} firmwares, {chain.architecture}, licence {chain.licence}{begin}"
        say(f"{chain.name}: {chain.title}, {facts} ({state})")
        for pin in chain.pins:
            say(f"  {pin.version:<12} {pin.size_bytes:>9,} bytes")
    for note in dict.fromkeys(chain.licence_note for chain in chains):
        say(f"licence: {note}")
    return 0


@app.command("verify")
def verify(
    names: Annotated[list[str] | None, typer.Argument(help=f"{_NAMES} Without: every chain.")] = None,
    json: Json = False,
) -> int:
    """Check every fetched image against its hash; exit status 1 if one has changed."""
    from simlib.firmware.corpus import State, corpora, corpus, stored_states

    chains = [corpus(name) for name in dict.fromkeys(names)] if names else corpora()
    found = {chain.name: stored_states(chain) for chain in chains}
    if json:
        say_json({"chains": [_checked(chain, found[chain.name]) for chain in chains]})
    else:
        for chain in chains:
            _say_states(chain, found[chain.name])
    changed = [name for name, states in found.items() if State.CHANGED in states]
    if changed:
        count = sum(states.count(State.CHANGED) for states in found.values())
        raise Refused(
            Reason.HASH_MISMATCH,
            f"cache: found {count} firmwares that are not the pinned ones, expected none; "
            f"replace them with: simlib firmware fetch {' '.join(changed)}",
        )
    return 0


def _described(chain: Corpus) -> dict[str, object]:
    from simlib.firmware.corpus import START

    return {
        "name": chain.name,
        "title": chain.title,
        "architecture": chain.architecture,
        "start": chain.name in START,
        "cached": chain.is_cached(),
        "registry": chain.registry,
        "package": chain.package,
        "licence": chain.licence,
        "licence_note": chain.licence_note,
        "firmwares": [
            {
                "version": pin.version,
                "package_version": pin.archive.package_version,
                "size_bytes": pin.size_bytes,
                "cached": chain.cached_path(pin).is_file(),
            }
            for pin in chain.pins
        ],
    }


def _checked(chain: Corpus, states: tuple[State, ...]) -> dict[str, object]:
    firmwares = [
        {"version": pin.version, "state": state, "sha256": pin.sha256, "file": str(chain.cached_path(pin))}
        for pin, state in zip(chain.pins, states, strict=True)
    ]
    return {"name": chain.name, "firmwares": firmwares}


def _say_states(chain: Corpus, states: tuple[State, ...]) -> None:
    from simlib.firmware.corpus import State

    if set(states) == {State.NOT_FETCHED}:
        say(f"{chain.name}: not fetched")
        return
    right, missing = states.count(State.RIGHT), states.count(State.NOT_FETCHED)
    say(f"{chain.name}: {right} of {len(states)} firmwares right{f', {missing} not fetched' * bool(missing)}")
    for pin, state in zip(chain.pins, states, strict=True):
        if state is State.CHANGED:
            say(f"  {pin.version}: changed, {chain.cached_path(pin)}")
