"""Commands about images: sign, verify, decrypt, info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simlib.cli.files import Force, Json, read, size, whole_number, write
from simlib.cli.output import say, say_json, say_table

app = typer.Typer(
    help="Sign, verify and look into MCUboot images.", no_args_is_help=True, rich_markup_mode=None
)

Passphrase = Annotated[Path | None, typer.Option(help="File whose first line opens the private key.")]


@app.command("sign")
def sign(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Raw firmware.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The image.")],
    key: Annotated[Path, typer.Option(help="Private key, PEM.")],
    version: Annotated[str, typer.Option(help="X.Y.Z, or X.Y.Z+BUILD.")],
    security_counter: Annotated[str | None, typer.Option(help="Anti-rollback counter of the image.")] = None,
    header_size: Annotated[str, typer.Option(help="Bytes before the payload.")] = "32",
    slot_size: Annotated[str | None, typer.Option(help="Slot the image must fit, or is padded to.")] = None,
    align: Annotated[str, typer.Option(help="Write size of the flash.")] = "4",
    pad: Annotated[
        bool, typer.Option("--pad", help="Pad to the slot, with a trailer that asks for a trial.")
    ] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Pad, with the image confirmed.")] = False,
    encrypt_to: Annotated[Path | None, typer.Option(help="Public ecies-p256 key of the devices.")] = None,
    passphrase_file: Passphrase = None,
    force: Force = False,
) -> int:
    """Make a signed MCUboot image from raw firmware."""
    from simlib.errors import InputError
    from simlib.firmware.image import check_fits_slot, pad_to_slot
    from simlib.firmware.version import Version
    from simlib.security.keyfiles import load_private, load_public
    from simlib.security.keys import EncryptionKey, SigningKey
    from simlib.security.signing import sign_image

    passphrase = (
        None if passphrase_file is None else (read(passphrase_file, "a passphrase").splitlines() or [b""])[0]
    )
    image = sign_image(
        read(source, "raw firmware"),
        Version.parse(version),
        SigningKey.of(load_private(key, passphrase)),
        security_counter=whole_number(security_counter, "--security-counter"),
        header_size=size(header_size, "--header-size") or 0,
        encrypt_to=None if encrypt_to is None else EncryptionKey.of(load_public(encrypt_to)),
    )
    slot_bytes, write_size = size(slot_size, "--slot-size"), size(align, "--align") or 0
    if pad or confirm:
        if slot_bytes is None:
            raise InputError("--pad: found no --slot-size, expected the slot to pad to")
        image = pad_to_slot(image, slot_bytes, write_size=write_size, confirm=confirm)
    elif slot_bytes is not None:
        check_fits_slot(image, slot_bytes, write_size=write_size)
    write(target, image, force=force)
    say(f"{target}  {len(image)} bytes")
    return 0


@app.command("verify")
def verify(
    image: Annotated[Path, typer.Argument(metavar="IMG")],
    key: Annotated[Path, typer.Option(help="Public key, PEM.")],
    decrypt_with: Annotated[Path | None, typer.Option(help="Private ecies-p256 key, PEM.")] = None,
    min_security_counter: Annotated[str | None, typer.Option(help="Least counter to accept.")] = None,
    passphrase_file: Passphrase = None,
    json: Json = False,
) -> int:
    """Verify an image as a device would, strictly. Exit status 1 if it is refused."""
    from simlib.security.keyfiles import load_public
    from simlib.security.keys import VerifyKey
    from simlib.security.verification import verify_image

    data = read(image, "an image")
    verified = verify_image(
        data,
        (VerifyKey.of(load_public(key)),),
        decrypt_with=_decryption_key(decrypt_with, passphrase_file),
        min_security_counter=whole_number(min_security_counter, "--min-security-counter"),
    )
    facts = {
        "verified": True,
        "version": str(verified.version),
        "security_counter": verified.security_counter,
        "image_size": verified.image_size,
        "encrypted": verified.encrypted,
        "signature": verified.key.algorithm,
        "sha256": verified.digest.hex(),
    }
    if json:
        say_json(facts)
    else:
        say(f"{image}: verified, version {verified.version}, {verified.key.algorithm}")
    return 0


@app.command("decrypt")
def decrypt(
    image: Annotated[Path, typer.Argument(metavar="IMG")],
    target: Annotated[Path, typer.Argument(metavar="OUT")],
    decrypt_with: Annotated[Path, typer.Option(help="Private ecies-p256 key, PEM.")],
    passphrase_file: Passphrase = None,
    force: Force = False,
) -> int:
    """Put an image's payload in the clear; header flags and TLVs stay, so hash and signature still hold."""
    from simlib.security.encryption import decrypt_image

    key = _decryption_key(decrypt_with, passphrase_file)
    assert key is not None
    write(target, decrypt_image(read(image, "an encrypted image"), key), force=force)
    say(str(target))
    return 0


@app.command("info")
def info(image: Annotated[Path, typer.Argument(metavar="IMG")], json: Json = False) -> int:
    """Show header and TLVs. Nothing is verified."""
    from simlib.firmware.image import describe_image

    facts = describe_image(read(image, "an image"))
    if json:
        say_json(facts)
        return 0
    tlvs = facts.pop("tlvs")
    header = facts.pop("header")
    say_table([(name, value) for name, value in (facts | header).items()], indent="")
    for tlv in tlvs:
        where = "protected" if tlv["protected"] else "plain"
        say(f"TLV 0x{tlv['type']:02x} {tlv['name']}, {where}, offset {tlv['offset']}: {tlv['value']}")
    return 0


def _decryption_key(path: Path | None, passphrase_file: Path | None):  # type: ignore[no-untyped-def]
    from simlib.security.keyfiles import load_private
    from simlib.security.keys import DecryptionKey

    if path is None:
        return None
    passphrase = (
        None if passphrase_file is None else (read(passphrase_file, "a passphrase").splitlines() or [b""])[0]
    )
    return DecryptionKey.of(load_private(path, passphrase))
