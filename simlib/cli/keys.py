"""Commands about keys: new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simlib.cli.files import Force, refuse_existing
from simlib.cli.keyfiles import PassphraseFile, passphrase
from simlib.cli.output import say

app = typer.Typer(help="Make keys.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def keys() -> None:
    """Make keys."""


@app.command("new")
def new(
    algorithm: Annotated[
        str,
        typer.Option(
            help="To sign images: ecdsa-p256, ecdsa-p384, ed25519, rsa-2048, rsa-3072. To encrypt them: "
            "ecies-p256, x25519, rsa-2048. Others: ml-dsa-44, ml-dsa-65, ml-dsa-87, hybrid-p256-ml-dsa-65."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Private key file; its public half goes to NAME.pub.pem.")],
    passphrase_file: PassphraseFile = None,
    force: Force = False,
) -> int:
    """Make a key pair with the operating system's generator."""
    from simlib.security.keys import generate_private, public_path, save_private

    secret = passphrase(passphrase_file)
    refuse_existing(out, public_path(out), force=force)
    public = save_private(out, generate_private(algorithm), secret, force=force)
    say(f"{out}  {public}")
    return 0
