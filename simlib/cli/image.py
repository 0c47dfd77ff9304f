"""Commands about images: sign, verify, decrypt, info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from simlib.cli.files import Force, Json, if_given, naming, read, refuse_existing, size, whole_number, write
from simlib.cli.flash_options import flash_size
from simlib.cli.keyfiles import PassphraseFile, decryption_key, encryption_key, signing_key, verify_key
from simlib.cli.output import say, say_json, say_table
from simlib.errors import InputError, Refused

app = typer.Typer(
    help="Sign, verify and look into MCUboot images.", no_args_is_help=True, rich_markup_mode=None
)

_DECRYPT_HELP: Final = "Private ecies-p256, x25519 or rsa-2048 key, PEM, or a shared AES key, base64."
_KEY_FORMATS: Final = ("hash", "full")
DecryptWith = Annotated[Path | None, typer.Option(help=_DECRYPT_HELP)]
VendorId = Annotated[str | None, typer.Option(help="UUID or domain name of the vendor.")]
ClassId = Annotated[
    str | None, typer.Option(help="UUID of the class of devices, or the name that the vendor gave it.")
]


@app.command("sign")
def sign(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Raw firmware.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The image.")],
    key: Annotated[Path, typer.Option(help="Private key, PEM, or pkcs11:token=LABEL;object=LABEL.")],
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
    sha: Annotated[
        str | None, typer.Option(help="256, 384 or 512, as the key allows; its usual one unless given.")
    ] = None,
    pure: Annotated[
        bool, typer.Option("--pure", help="Sign the image itself instead of its hash (ed25519).")
    ] = False,
    public_key_format: Annotated[
        str, typer.Option(help="hash or full: what the image carries of the public key.")
    ] = "hash",
    encrypt_to: Annotated[
        Path | None,
        typer.Option(help="Public ecies-p256, x25519 or rsa-2048 key of the devices, or a shared AES key."),
    ] = None,
    cipher: Annotated[str | None, typer.Option(help="aes-256 or aes-128.")] = None,
    hmac_sha: Annotated[str | None, typer.Option(help="256, or 512 with an x25519 key.")] = None,
    dependency: Annotated[
        list[str] | None, typer.Option(help="ID:VERSION, another image and the least it must be.")
    ] = None,
    vendor_id: VendorId = None,
    class_id: ClassId = None,
    load_address: Annotated[str | None, typer.Option(help="Where in RAM the image is to run.")] = None,
    rom_fixed: Annotated[str | None, typer.Option(help="Where in flash the image was built to lie.")] = None,
    passphrase_file: PassphraseFile = None,
    force: Force = False,
) -> int:
    """Make a signed MCUboot image from raw firmware."""
    from simlib.firmware.dependency import Dependency
    from simlib.firmware.image import check_fits_slot, pad_to_slot
    from simlib.firmware.trailer import WRITE_SIZES
    from simlib.firmware.version import Version
    from simlib.security.signing import sign_image

    for value, name in ((cipher, "--cipher"), (hmac_sha, "--hmac-sha")):
        if value is not None and encrypt_to is None:
            raise InputError(f"{name}: found no --encrypt-to, expected the key to encrypt to")
    if public_key_format not in _KEY_FORMATS:
        raise InputError(f"--public-key-format: found {public_key_format!r}, expected hash or full")
    vendor, device_class = _identifiers(vendor_id, class_id)
    refuse_existing(target, force=force)
    payload = read(source, "raw firmware")
    if not payload:
        raise InputError(f"{source}: found an empty file, expected raw firmware")
    write_size, slot_bytes = size(align, "--align"), if_given(flash_size, slot_size, "--slot-size")
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
        hash_name=sha,
        pure=pure,
        public_key=public_key_format == "full",
        encrypt_to=None if encrypt_to is None else encryption_key(encrypt_to),
        cipher=cipher or "aes-256",
        hmac_hash=hmac_sha or "sha256",
        dependencies=[Dependency.parse(text) for text in dependency or ()],
        vendor_id=vendor,
        class_id=device_class,
        load_address=if_given(whole_number, load_address, "--load-address"),
        rom_fixed=if_given(whole_number, rom_fixed, "--rom-fixed"),
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
    key: Annotated[list[Path], typer.Option(help="Public key, PEM; one of several will do.")],
    revoked: Annotated[
        list[Path] | None, typer.Option(help="Public key, PEM, whose images are refused.")
    ] = None,
    decrypt_with: DecryptWith = None,
    min_security_counter: Annotated[str | None, typer.Option(help="Least counter to accept.")] = None,
    vendor_id: VendorId = None,
    class_id: ClassId = None,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> int:
    """Verify an image as a device would, strictly. Exit status 1 if it is refused.

    What only a device can judge is shown instead: dependencies, addresses, and a vendor or class that was not
    given.
    """
    from simlib.firmware.identifiers import shown
    from simlib.security.keyring import KeyRing
    from simlib.security.verification import CALLERS, verify_image

    if passphrase_file is not None and decrypt_with is None:
        raise InputError("--passphrase-file: found no --decrypt-with, expected the private key it opens")
    data = read(image, "an image")
    past = [verify_key(path) for path in revoked or ()]
    ring = KeyRing((*map(verify_key, key), *past)).revoking(*past)
    vendor, device_class = _identifiers(vendor_id, class_id)
    private = None if decrypt_with is None else decryption_key(decrypt_with, passphrase_file)
    least = if_given(whole_number, min_security_counter, "--min-security-counter")
    if least is not None and not 0 <= least < 1 << 32:
        raise InputError(f"--min-security-counter: found {least}, expected 0 to {(1 << 32) - 1}")
    try:
        with naming(image):
            verified = verify_image(
                data,
                ring,
                decrypt_with=private,
                min_security_counter=least,
                vendor_id=vendor,
                class_id=device_class,
                evaluates=CALLERS,
            )
    except Refused as refusal:
        if json:
            say_json({"verified": False, "reason": refusal.reason.value})
        raise
    facts = {
        "dependencies": [{"image": each.image, "least": str(each.least)} for each in verified.dependencies],
        "vendor_id": verified.vendor_id and shown(verified.vendor_id),
        "class_id": verified.class_id and shown(verified.class_id),
        "load_address": verified.load_address,
        "rom_fixed": verified.rom_address,
    }
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
                "key": verified.key.keyhash.hex(),
                "pure": verified.pure,
                "hash": verified.hash.value,
                "digest": verified.digest.hex(),
                "sha256": verified.digest.hex() if verified.hash == "sha256" else None,
                **facts,
            }
        )
        return 0
    say(f"{image}: verified, version {verified.version}, {verified.key.algorithm}")
    for each in verified.dependencies:
        say(f"  needs {each}")
    for name in ("vendor_id", "class_id"):
        if facts[name] is not None:
            say(f"  {name.replace('_', ' ')} {facts[name]}")
    for name in ("load_address", "rom_fixed"):
        if facts[name] is not None:
            say(f"  {name.replace('_', ' ')} 0x{facts[name]:x}")
    return 0


@app.command("decrypt")
def decrypt(
    image: Annotated[Path, typer.Argument(metavar="IMG")],
    target: Annotated[Path, typer.Argument(metavar="OUT")],
    decrypt_with: Annotated[Path, typer.Option(help=_DECRYPT_HELP)],
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
    needs = ", ".join(f"image {each['image']} >= {each['least']}" for each in facts["dependencies"])
    rows = facts | header | {"flags": ", ".join(header["flags"]) or "none", "dependencies": needs or "none"}
    say_table(list(rows.items()), indent="")
    for tlv in tlvs:
        where = "protected" if tlv["protected"] else "plain"
        say(f"TLV 0x{tlv['type']:02x} {tlv['name']}, {where}, offset {tlv['offset']}: {tlv['value']}")
    return 0


def _identifiers(vendor: str | None, device_class: str | None) -> tuple[bytes | None, bytes | None]:
    from simlib.firmware.identifiers import class_id_of, vendor_id_of

    vendor_id = None if vendor is None else vendor_id_of(vendor)
    return vendor_id, None if device_class is None else class_id_of(device_class, vendor_id)
