"""`simlib image` and `simlib keys`: what they make holds, what they refuse they refuse in one line."""

from __future__ import annotations

import base64
import os
import stat
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simlib.cli import files

Call = Callable[..., Any]
SIGN = "image sign old.bin x.img --key ecdsa-p256.pem --version 1.0.0"
VERIFY = "image verify old.img --key ecdsa-p256.pub.pem"
WITHOUT_INPUT = ("absent", "folder", os.devnull)


@pytest.mark.parametrize("algorithm", ["ecdsa-p384", "ml-dsa-44", "hybrid-p256-ml-dsa-65"])
def test_every_key_has_its_public_half_beside_it(simlib: Call, here: Path, algorithm: str) -> None:
    assert simlib(f"keys new --algorithm {algorithm} --out k.pem").status == 0
    assert "PUBLIC KEY" in (here / "k.pub.pem").read_text()
    assert "PRIVATE KEY" in (here / "k.pem").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_private_key_is_its_owners_alone_and_other_files_follow_the_umask(simlib: Call, here: Path) -> None:
    before = os.umask(0o027)
    try:
        simlib(SIGN)
    finally:
        os.umask(before)
    assert stat.S_IMODE((here / "x.img").stat().st_mode) == 0o640
    assert stat.S_IMODE((here / "ed25519.pem").stat().st_mode) == 0o600


def test_a_key_under_a_passphrase_is_no_test_key_and_signs_with_it(simlib: Call, here: Path) -> None:
    assert "test key" not in (here / "locked.pem").read_text()
    assert "test key" in (here / "ed25519.pem").read_text()
    signed = simlib("image sign old.bin x.img --key locked.pem --version 1.0.0 --passphrase-file pass.txt")
    assert signed.status == 0
    assert simlib("image verify x.img --key locked.pub.pem").status == 0


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("--algorithm rot13 --out k.pem", ["rot13", "ecdsa-p256"]),
        ("--algorithm ed25519 --out ed25519.pem", ["ed25519.pem", "--force"]),
        ("--algorithm ed25519 --out folder", ["folder"]),
        ("--algorithm ed25519 --out absent/k.pem", ["absent"]),
        ("--algorithm ed25519 --out k.pem --passphrase-file blank.txt", ["blank.txt", "empty"]),
        ("--algorithm ed25519 --out k.pem --passphrase-file empty", ["empty"]),
        ("--algorithm ed25519 --out k.pem --passphrase-file absent", ["absent"]),
        ("--algorithm ed25519", ["--out"]),
    ],
)
def test_a_key_that_cannot_be_made_leaves_nothing(refuses: Call, arguments: str, names: list[str]) -> None:
    refuses(2, f"keys new {arguments}", *names)


def test_a_public_half_in_the_way_leaves_no_private_one(refuses: Call, here: Path) -> None:
    (here / "k.pub.pem").mkdir()
    refuses(2, "keys new --algorithm ed25519 --out k.pem", "k.pub.pem")
    refuses(2, "keys new --algorithm ed25519 --out k.pem --force", "k.pub.pem")


@pytest.mark.parametrize(
    "version", ["1.2", "256.0.0", "1.2.3+x", "1.2.3.4", "-1.0.0", "01.2.3", "", "1.2.65536"]
)
def test_a_version_no_header_can_hold_is_bad_input(refuses: Call, version: str) -> None:
    arguments: list[object] = [
        "image",
        "sign",
        "old.bin",
        "x.img",
        "--key",
        "ed25519.pem",
        "--version",
        version,
    ]
    refuses(2, arguments, "version", "expected")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        *(("--header-size", v) for v in ("-1", "0", "0x10", "1e3", "1 parsec", "65536", "")),
        *(("--security-counter", v) for v in ("-1", "1e3", "4 KiB", "4294967296", "1_0", "+1", "")),
        *(("--slot-size", v) for v in ("0", "-1", "100", "20 KB")),
        *(("--align", v) for v in ("0", "3", "64", "x")),
    ],
)
def test_a_number_that_cannot_be_is_bad_input(refuses: Call, flag: str, value: str) -> None:
    refuses(2, [SIGN, flag, value], flag.strip("-").replace("-", " ").split()[0])


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--header-size", "4 KiB"),
        ("--header-size", "0x20"),
        ("--security-counter", "0x10"),
        ("--align", "8 B"),
    ],
)
def test_numbers_are_taken_in_hexadecimal_and_sizes_with_units(simlib: Call, flag: str, value: str) -> None:
    assert simlib(SIGN, flag, value).status == 0
    header = simlib("image info x.img --json").json
    expected = {"4 KiB": 4096, "0x20": 32, "0x10": 16}.get(value)
    assert expected in {header["header"]["header_size"], header["security_counter"]}


def test_a_padded_image_fills_its_slot_and_still_verifies(simlib: Call, here: Path) -> None:
    for flag, confirmed in (("--pad", False), ("--confirm", True)):
        assert simlib(SIGN, "--slot-size", "32 KiB", flag, "--force").status == 0
        assert (here / "x.img").stat().st_size == 32 << 10
        assert simlib("image info x.img --json").json["trailer"]["image_ok"] is confirmed
        assert simlib("image verify x.img --key ecdsa-p256.pub.pem").status == 0


@pytest.mark.parametrize("flag", ["--pad", "--confirm"])
def test_padding_needs_a_slot(refuses: Call, flag: str) -> None:
    refuses(2, f"{SIGN} {flag}", flag, "--slot-size")


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("ecdsa-p256.pub.pem", ["ecdsa-p256.pub.pem", "private"]),
        ("x25519.pem", ["x25519.pem", "ed25519"]),
        ("locked.pem", ["locked.pem", "--passphrase-file"]),
        ("locked.pem --passphrase-file wrong.txt", ["locked.pem", "passphrase"]),
        ("locked.pem --passphrase-file blank.txt", ["blank.txt", "passphrase"]),
        ("ed25519.pem --passphrase-file pass.txt", ["ed25519.pem", "clear"]),
        ("words.txt", ["words.txt"]),
        ("noise", ["noise"]),
        ("empty", ["empty"]),
        ("folder", ["folder"]),
        ("absent", ["absent"]),
    ],
)
def test_only_a_private_key_that_signs_images_signs(refuses: Call, key: str, names: list[str]) -> None:
    refuses(2, f"image sign old.bin x.img --version 1.0.0 --key {key}", *names)


@pytest.mark.parametrize("key", ["ed25519.pub.pem", "absent", "noise", "words.txt", "blank.txt"])
def test_images_are_encrypted_only_to_a_key_for_that(refuses: Call, key: str) -> None:
    refuses(2, f"{SIGN} --encrypt-to {key}", key)


@pytest.mark.parametrize("cipher", ["aes-128", "aes-256"])
@pytest.mark.parametrize(
    ("to", "key", "more"),
    [
        ("ecies-p256.pub.pem", "ecies-p256.pem", ""),
        ("x25519.pub.pem", "x25519.pem", ""),
        ("x25519.pub.pem", "x25519.pem", "--hmac-sha 512"),
        ("rsa-2048.pub.pem", "rsa-2048.pem", ""),
        ("shared.txt", "shared.txt", ""),
    ],
)
def test_what_is_encrypted_opens_with_the_devices_key(
    simlib: Call, here: Path, cipher: str, to: str, key: str, more: str
) -> None:
    (here / "shared.txt").write_text(base64.b64encode(bytes(range(32))).decode() + "\n")
    assert simlib(f"{SIGN} --encrypt-to {to} --cipher {cipher} {more}").status == 0
    facts = simlib("image info x.img --json").json
    assert facts["header"]["flags"] == [f"ENCRYPTED_{cipher.upper().replace('-', '')}"]
    opened = simlib(f"image verify x.img --key ecdsa-p256.pub.pem --decrypt-with {key} --json")
    assert opened.json["encrypted"] is True
    assert simlib(f"image decrypt x.img y.img --decrypt-with {key}").status == 0
    assert (here / "old.bin").read_bytes() in (here / "y.img").read_bytes()
    assert simlib("image verify x.img --key ecdsa-p256.pub.pem --decrypt-with ecdsa-p256.pem").status == 1


@pytest.mark.parametrize("algorithm", ["ecdsa-p384", "rsa-2048"])
def test_further_algorithms_sign_and_say_which_they_are(simlib: Call, algorithm: str) -> None:
    simlib(f"keys new --algorithm {algorithm} --out k.pem")
    assert simlib("image sign old.bin x.img --key k.pem --version 1.0.0").status == 0
    facts = simlib("image verify x.img --key k.pub.pem --json").json
    hash_name = "sha384" if algorithm == "ecdsa-p384" else "sha256"
    assert (facts["signature"], facts["hash"], facts["pure"]) == (algorithm, hash_name, False)
    assert (facts["sha256"] == facts["digest"]) == (hash_name == "sha256")


@pytest.mark.parametrize(
    ("flags", "hash_name", "pure"),
    [("", "sha256", False), ("--sha 512", "sha512", False), ("--pure", "sha512", True)],
)
def test_ed25519_signs_by_either_hash_or_the_image_itself(
    simlib: Call, flags: str, hash_name: str, pure: bool
) -> None:
    sign = f"image sign old.bin x.img --key ed25519.pem --version 1.0.0 {flags}"
    for key_format, record in (("hash", "KEYHASH"), ("full", "PUBKEY")):
        assert simlib(f"{sign} --public-key-format {key_format} --force").status == 0
        facts = simlib("image verify x.img --key ed25519.pub.pem --json").json
        assert (facts["hash"], facts["pure"]) == (hash_name, pure)
        described = simlib("image info x.img --json").json
        assert record in {tlv["name"] for tlv in described["tlvs"]}
        assert (described["hash"], described["pure"]) == (hash_name.upper(), pure)


def test_an_image_says_what_it_needs_who_made_it_and_where_it_goes(simlib: Call) -> None:
    flags = "--vendor-id example.org --class-id lamp --load-address 0x20000000"
    flags += " --dependency 1:1.2.3 --dependency 0:4.5.6+7"
    assert simlib(f"{SIGN} {flags}").status == 0
    vendor = uuid.uuid5(uuid.NAMESPACE_DNS, "example.org")
    needs = [{"image": 1, "least": "1.2.3"}, {"image": 0, "least": "4.5.6+7"}]
    facts = simlib("image verify x.img --key ecdsa-p256.pub.pem --json").json
    assert (facts["dependencies"], facts["load_address"], facts["rom_fixed"]) == (needs, 0x2000_0000, None)
    assert (facts["vendor_id"], facts["class_id"]) == (str(vendor), str(uuid.uuid5(vendor, "lamp")))
    described = simlib("image info x.img --json").json
    for name in ("dependencies", "vendor_id", "class_id"):
        assert described[name] == facts[name]
    text = simlib("image verify x.img --key ecdsa-p256.pub.pem").out
    for line in ("needs image 1 >= 1.2.3", f"vendor id {vendor}", "load address 0x20000000"):
        assert line in text
    assert "image 1 >= 1.2.3, image 0 >= 4.5.6+7" in simlib("image info x.img").out
    assert simlib(f"{SIGN} --rom-fixed 4096 --force").status == 0
    assert simlib("image verify x.img --key ecdsa-p256.pub.pem --json").json["rom_fixed"] == 4096


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--vendor-id example.com", "vendor-mismatch"),
        ("--vendor-id example.org --class-id fan", "class-mismatch"),
        ("--class-id 12345678-1234-5678-1234-567812345678", "class-mismatch"),
    ],
)
def test_an_image_of_another_vendor_or_class_is_refused(
    simlib: Call, refuses: Call, arguments: str, reason: str
) -> None:
    simlib(f"{SIGN} --vendor-id example.org --class-id lamp")
    verify = "image verify x.img --key ecdsa-p256.pub.pem"
    assert simlib(f"{verify} --vendor-id example.org --class-id lamp").status == 0
    refuses(1, f"{verify} {arguments}", "x.img", reason)
    refuses(1, f"{VERIFY} {arguments}", "old.img", "none", "-mismatch")


def test_several_keys_may_be_known_and_some_of_them_revoked(simlib: Call, refuses: Call) -> None:
    both = "--key ed25519.pub.pem --key ecdsa-p256.pub.pem"
    assert simlib(f"image verify old.img {both}").status == 0
    assert simlib(f"image verify old.img {both} --revoked ed25519.pub.pem").status == 0
    for keys in (both, "--key ed25519.pub.pem", "--key ecdsa-p256.pub.pem"):
        revoked = f"image verify old.img {keys} --revoked ed25519.pub.pem --revoked ecdsa-p256.pub.pem"
        refuses(1, revoked, "old.img", "key-revoked")
    refuses(2, f"image verify old.img {both} --revoked noise", "noise")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--sha 384", ["hash", "sha256"]),
        ("--sha 512", ["hash", "sha256"]),
        ("--sha x", ["hash", "x"]),
        ("--pure", ["pure", "ecdsa-p256", "ed25519"]),
        ("--public-key-format der", ["--public-key-format", "der"]),
        ("--cipher aes-128", ["--cipher", "--encrypt-to"]),
        ("--hmac-sha 256", ["--hmac-sha", "--encrypt-to"]),
        ("--encrypt-to ecies-p256.pub.pem --cipher aes-192", ["cipher", "aes-192"]),
        ("--encrypt-to ecies-p256.pub.pem --hmac-sha 512", ["HMAC", "x25519"]),
        ("--encrypt-to x25519.pub.pem --hmac-sha 384", ["HMAC", "sha384"]),
        ("--dependency 1.2.3", ["dependency", "1:1.2.3"]),
        ("--dependency 256:1.2.3", ["dependency", "256"]),
        ("--dependency -1:1.2.3", ["dependency", "-1"]),
        ("--dependency 1:1.2", ["version", "1.2"]),
        ("--class-id lamp", ["class id", "vendor id"]),
        ("--vendor-id=", ["vendor id"]),
        ("--load-address 0x100000000", ["load address"]),
        ("--load-address -1", ["--load-address"]),
        ("--rom-fixed x", ["--rom-fixed"]),
        ("--rom-fixed 0 --load-address 0", ["load address"]),
    ],
)
def test_what_no_image_can_be_is_bad_input(refuses: Call, flags: str, names: list[str]) -> None:
    refuses(2, f"{SIGN} {flags}", *names)


@pytest.mark.parametrize("firmware", [*WITHOUT_INPUT, "empty"])
def test_only_firmware_that_is_there_is_signed(refuses: Call, firmware: str) -> None:
    refuses(2, SIGN.replace("old.bin", firmware), firmware)


@pytest.mark.parametrize("out", ["old.img", "folder", "absent/x.img", "old.bin/x.img"])
def test_nothing_is_written_over_or_beside_the_mark(refuses: Call, out: str) -> None:
    refuses(2, SIGN.replace("x.img", out), out)


def test_force_writes_over_a_file_but_never_a_folder(simlib: Call, refuses: Call) -> None:
    assert simlib(SIGN.replace("x.img", "new.img"), "--force").status == 0
    assert simlib("image info new.img --json").json["version"] == "1.0.0"
    refuses(2, SIGN.replace("x.img", "folder") + " --force", "folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_force_puts_no_file_in_the_place_of_a_pipe_or_device(refuses: Call, here: Path) -> None:
    # A pipe stands for devices here: were the check ever lost, the test would replace the machine's own.
    os.mkfifo(here / "pipe")
    refuses(2, SIGN.replace("x.img", "pipe") + " --force", "pipe")
    assert (here / "pipe").is_fifo()


def test_a_file_too_large_to_be_firmware_is_not_read_through(
    refuses: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE_BYTES", 10_000)
    refuses(2, SIGN, "old.bin", "10000")
    refuses(2, VERIFY, "old.img", "10000")


def test_a_verified_image_is_described_in_one_object(simlib: Call) -> None:
    facts = simlib(VERIFY, "--json").json
    assert facts["verified"] is True
    assert (facts["version"], facts["security_counter"], facts["encrypted"]) == ("1.0.0", 3, False)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("old.img --key ed25519.pub.pem", "key-unknown"),
        ("old.img --key rsa-2048.pub.pem", "key-unknown"),
        ("secret.img --key ecdsa-p256.pub.pem --decrypt-with x25519.pem", "decryption-failed"),
        ("old.img --key ecdsa-p256.pub.pem --min-security-counter 4", "security-counter-low"),
        ("secret.img --key ecdsa-p256.pub.pem", "decryption-failed"),
        ("secret.img --key ecdsa-p256.pub.pem --decrypt-with ecdsa-p256.pem", "decryption-failed"),
        ("noise --key ecdsa-p256.pub.pem", "not-an-image"),
        ("empty --key ecdsa-p256.pub.pem", "truncated"),
    ],
)
def test_a_refused_image_is_named_with_the_reason(refuses: Call, arguments: str, reason: str) -> None:
    image = arguments.split(maxsplit=1)[0]
    assert refuses(1, f"image verify {arguments}", image, reason).out == ""
    assert refuses(1, f"image verify {arguments} --json", image).json == {"verified": False, "reason": reason}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        *((f"{path} --key ecdsa-p256.pub.pem", path) for path in WITHOUT_INPUT),
        *((f"old.img --key {key}", key) for key in ("x25519.pub.pem", "noise", "absent")),
        ("secret.img --key ecdsa-p256.pub.pem --decrypt-with ecies-p256.pub.pem", "ecies-p256.pub.pem"),
        ("secret.img --key ecdsa-p256.pub.pem --decrypt-with ed25519.pem", "ed25519.pem"),
        ("secret.img --key ecdsa-p256.pub.pem --decrypt-with words.txt", "words.txt"),
        ("old.img --key ecdsa-p256.pub.pem --min-security-counter -1", "--min-security-counter"),
        ("old.img --key ecdsa-p256.pub.pem --passphrase-file pass.txt", "--decrypt-with"),
    ],
)
def test_what_cannot_be_verified_with_is_bad_input(refuses: Call, arguments: str, name: str) -> None:
    refuses(2, f"image verify {arguments}", name)


def test_a_decrypted_image_holds_the_payload_and_verifies(simlib: Call, here: Path) -> None:
    assert (here / "old.bin").read_bytes()[:64] not in (here / "secret.img").read_bytes()
    assert simlib("image decrypt secret.img x.img --decrypt-with ecies-p256.pem").status == 0
    assert (here / "old.bin").read_bytes() in (here / "x.img").read_bytes()
    verify = "image verify secret.img --key ecdsa-p256.pub.pem --decrypt-with ecies-p256.pem"
    assert simlib(verify, "--json").json["encrypted"] is True


@pytest.mark.parametrize(
    ("status", "arguments", "name"),
    [
        (1, "old.img x.img --decrypt-with ecies-p256.pem", "old.img"),
        (1, "secret.img x.img --decrypt-with ecdsa-p256.pem", "secret.img"),
        (1, "noise x.img --decrypt-with ecies-p256.pem", "noise"),
        (2, "secret.img x.img --decrypt-with ecies-p256.pub.pem", "ecies-p256.pub.pem"),
        (2, "secret.img old.img --decrypt-with ecies-p256.pem", "old.img"),
        (2, "secret.img x.img", "--decrypt-with"),
        (2, "absent x.img --decrypt-with ecies-p256.pem", "absent"),
    ],
)
def test_what_cannot_be_decrypted_leaves_nothing(
    refuses: Call, status: int, arguments: str, name: str
) -> None:
    refuses(status, f"image decrypt {arguments}", name)


@pytest.mark.parametrize(
    ("status", "path"),
    [(1, "noise"), (1, "empty"), (1, "words.txt"), *((2, path) for path in WITHOUT_INPUT)],
)
def test_only_images_are_described(refuses: Call, status: int, path: str) -> None:
    refuses(status, f"image info {path}", path)


def test_the_description_in_lines_names_every_tlv_of_the_description_in_json(simlib: Call) -> None:
    text = simlib("image info secret.img").out
    facts = simlib("image info secret.img --json").json
    assert [tlv["name"] for tlv in facts["tlvs"]] == [
        line.split(",")[0].split()[2] for line in text.splitlines() if line.startswith("TLV")
    ]
    assert "ENCRYPTED_AES256" in text
