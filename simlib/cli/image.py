"""Commands about images: sign, verify, decrypt, info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simlib.cli.files import Force, Json, if_given, naming, read, refuse_existing, size, whole_number, write
from simlib.cli.keyfiles import PassphraseFile, decryption_key, encryption_key, signing_key, verify_key
from simlib.cli.output import say, say_json, say_table
from simlib.errors import InputError, Refused

app = typer.Typer(
    help="Sign, verify and look into MCUboot images.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("sign")
def sign(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Raw firmware.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The image.")],
    key: Annotated[Path, typer.Option(help="Private key, PEM.")],
    version: Annotated[str, typer.Option(help="X.Y.Z, or X.Y.Z+BUILD.")],
    security_counter: Annotated[str | None, typer.Option(help="Anti-rollback counter of the image.")] = None,
    header_size: Annotated[str, typer.Option(help="Bytes before the payload.")] = "32",
    slot_size: Annotated[
        str | None,
        typer.Option(
            help="Slot the image must fit by imgtool's rule (a trailer of 128 sectors), or is padded to."
        ),
    ] = None,
    align: Annotated[str, typer.Option(help="Write size of the flash.")] = "4",
    pad: Annotated[
        bool, typer.Option("--pad", help="Pad to the slot, with a trailer that asks for a trial.")
    ] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Pad, with the image confirmed.")] = False,
    encrypt_to: Annotated[Path | None, typer.Option(help="Public ecies-p256 key of the devices.")] = None,
    passphrase_file: PassphraseFile = None,
    force: Force = False,
) -> int:
    """Make a signed MCUboot image from raw firmware."""
    from simlib.firmware.image import check_fits_slot, pad_to_slot
    from simlib.firmware.trailer import WRITE_SIZES
    from simlib.firmware.version import Version
    from simlib.security.signing import sign_image

    refuse_existing(target, force=force)
    payload = read(source, "raw firmware")
    if not payload:
        raise InputError(f"{source}: found an empty file, expected raw firmware")
    write_size, slot_bytes = size(align, "--align"), if_given(size, slot_size, "--slot-size")
    if write_size not in WRITE_SIZES:
        raise InputError(f"--align: found {align}, expected one of {', '.join(map(str, WRITE_SIZES))}")
    if slot_bytes is None and (pad or confirm):
        flag = "--confirm" if confirm else "--pad"
        raise InputError(f"{flag}: found no --slot-size, expected the slot to pad to")
    image = sign_image(
        payload,
        Version.parse(version),
        signing_key(key, passphrase_file),
        security_counter=if_given(whole_number, security_counter, "--security-counter"),
        header_size=size(header_size, "--header-size"),
        encrypt_to=None if encrypt_to is None else encryption_key(encrypt_to),
    )
    if slot_bytes is not None and (pad or confirm):
        image = pad_to_slot(image, slot_bytes, write_size=write_size, confirm=confirm)
    elif slot_bytes is not None:
        check_fits_slot(image, slot_bytes, write_size=write_size)
    write({target: image}, force=force)
    say(f"{target}  {len(image)} bytes")
    return 0


@app.command("verify")
def verify(
    image: Annotated[Path, typer.Argument(metavar="IMG")],
    key: Annotated[Path, typer.Option(help="Public key, PEM.")],
    decrypt_with: Annotated[Path | None, typer.Option(help="Private ecies-p256 key, PEM.")] = None,
    min_security_counter: Annotated[str | None, typer.Option(help="Least counter to accept.")] = None,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> int:
    """Verify an image as a device would, strictly. Exit status 1 if it is refused."""
    from simlib.security.verification import verify_image

    if passphrase_file is not None and decrypt_with is None:
        raise InputError("--passphrase-file: found no --decrypt-with, expected the private key it opens")
    data = read(image, "an image")
    keys = (verify_key(key),)
    private = None if decrypt_with is None else decryption_key(decrypt_with, passphrase_file)
    least = if_given(whole_number, min_security_counter, "--min-security-counter")
    try:
        with naming(image):
            verified = verify_image(data, keys, decrypt_with=private, min_security_counter=least)
    except Refused as refusal:
        if json:
            say_json({"verified": False, "reason": refusal.reason.value})
        raise
    if json:
        say_json(
            {
                "verified": True,
                "reason": "none",
                "version": str(verified.version),
                "security_counter": verified.security_counter,
                "image_size": verified.image_size,
                "encrypted": verified.encrypted,
                "signature": verified.key.algorithm,
                "sha256": verified.digest.hex(),
            }
        )
    else:
        say(f"{image}: verified, version {verified.version}, {verified.key.algorithm}")
    return 0


@app.command("decrypt")
def decrypt(
    image: Annotated[Path, typer.Argument(metavar="IMG")],
    target: Annotated[Path, typer.Argument(metavar="OUT")],
    decrypt_with: Annotated[Path, typer.Option(help="Private ecies-p256 key, PEM.")],
    passphrase_file: PassphraseFile = None,
    force: Force = False,
) -> int:
    """Put an image's payload in the clear; header flags and TLVs stay, so hash and signature still hold."""
    from simlib.security.encryption import decrypt_image

    refuse_existing(target, force=force)
    data = read(image, "an encrypted image")
    key = decryption_key(decrypt_with, passphrase_file)
    with naming(image):
        clear = decrypt_image(data, key)
    write({target: clear}, force=force)
    say(f"{target}  {len(clear)} bytes")
    return 0


@app.command("info")
def info(image: Annotated[Path, typer.Argument(metavar="IMG")], json: Json = False) -> int:
    """Show header and TLVs. Nothing is verified."""
    from simlib.firmware.image import describe_image

    data = read(image, "an image")
    with naming(image):
        facts = describe_image(data)
    if json:
        say_json(facts)
        return 0
    tlvs, header = facts.pop("tlvs"), facts.pop("header")
    rows = facts | header | {"flags": ", ".join(header["flags"]) or "none"}
    say_table(list(rows.items()), indent="")
    for tlv in tlvs:
        where = "protected" if tlv["protected"] else "plain"
        say(f"TLV 0x{tlv['type']:02x} {tlv['name']}, {where}, offset {tlv['offset']}: {tlv['value']}")
    return 0
