"""imgtool, MCUboot's own tool, and simlib take each other's keys and images, byte for byte where they can."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.image import pad_to_slot, parse_image
from simlib.firmware.trailer import trailer_size
from simlib.firmware.version import Version
from simlib.security.encryption import decrypt_image
from simlib.security.keys import DecryptionKey, SigningKey, save_private
from simlib.security.signing import sign_image
from simlib.security.verification import verify_image

IMGTOOL = Path(sys.executable).parent / "imgtool"
PAYLOAD = random.Random(3).randbytes(5_001) + bytes(999)
SLOT = ("--header-size", "512", "--slot-size", "65536", "--pad-header", "--align", "4")
ALGORITHMS = ["ecdsa-p256", "ed25519", "rsa-3072"]
MakeKey = Callable[[str], SigningKey]


def imgtool(*args: str | Path, ok: bool = True) -> None:
    done = subprocess.run(
        [IMGTOOL, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    path = tmp_path / "fw.bin"
    path.write_bytes(PAYLOAD)
    return path


def files(folder: Path, key: SigningKey) -> tuple[Path, Path]:
    private = folder / "k.pem"
    return private, save_private(private, key.private)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_imgtool_verifies_what_simlib_signed(
    tmp_path: Path, signing_key: MakeKey, algorithm: str, deterministic: bool
) -> None:
    key = signing_key(algorithm)
    _, public = files(tmp_path, key)
    data = sign_image(
        *(PAYLOAD, Version(1, 2, 3, 4), key),
        security_counter=7,
        header_size=512,
        deterministic=deterministic,
    )
    image = tmp_path / "fw.img"
    image.write_bytes(data)
    imgtool("verify", "-k", public, image)
    image.write_bytes(data[:600] + bytes([data[600] ^ 1]) + data[601:])
    imgtool("verify", "-k", public, image, ok=False)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_simlib_verifies_what_imgtool_signed_with_simlibs_key_file(
    tmp_path: Path, firmware: Path, signing_key: MakeKey, algorithm: str
) -> None:
    key = signing_key(algorithm)
    private, _ = files(tmp_path, key)
    image = tmp_path / "fw.img"
    imgtool("sign", "-k", private, "--version", "2.0.1+9", "--security-counter", "9", *SLOT, firmware, image)
    theirs = image.read_bytes()
    verified = verify_image(theirs, [key.public()], min_security_counter=9)
    assert (verified.version, verified.security_counter) == (Version(2, 0, 1, 9), 9)
    with pytest.raises(Refused) as refusal:
        verify_image(theirs, [key.public()], min_security_counter=10)
    assert refusal.value.reason is Reason.SECURITY_COUNTER_LOW
    ours = sign_image(PAYLOAD, Version(2, 0, 1, 9), key, security_counter=9, header_size=512)
    if algorithm == "ed25519":  # the only one of the three that leaves nothing to chance
        assert ours == theirs
    else:
        # header, payload, counter, the area's magic, hash and key hash; then comes the signature
        area, first_records_bytes = parse_image(ours).hashed_end, 2 * (4 + 32)
        assert ours[: area + 2] == theirs[: area + 2]
        records = slice(area + 4, area + 4 + first_records_bytes)
        assert ours[records] == theirs[records]


@pytest.mark.parametrize("erased_value", [0x00, 0xFF])
@pytest.mark.parametrize(
    ("align", "flag"), [(4, "--pad"), (4, "--confirm"), (1, "--confirm"), (16, "--pad"), (32, "--confirm")]
)
def test_a_padded_slot_is_imgtools_byte_for_byte(
    tmp_path: Path, firmware: Path, signing_key: MakeKey, erased_value: int, align: int, flag: str
) -> None:
    key = signing_key("ed25519")
    private, _ = files(tmp_path, key)
    image = tmp_path / "fw.img"
    imgtool(
        *("sign", "-k", private, "--version", "1.0.0", "--header-size", "512", "--slot-size", "65536"),
        *(
            "--pad-header",
            "--align",
            str(align),
            flag,
            "-R",
            "0xff" if erased_value else "0",
            firmware,
            image,
        ),
    )
    signed = sign_image(PAYLOAD, Version(1, 0, 0), key, header_size=512, erased_value=erased_value)
    ours = pad_to_slot(
        signed, 65536, write_size=align, confirm=flag == "--confirm", erased_value=erased_value
    )
    assert ours == image.read_bytes()
    verify_image(ours, [key.public()], erased_value=erased_value)


@pytest.mark.parametrize(("max_sectors", "fits"), [(128, True), (192, True), (193, False)])
def test_what_fits_a_slot_is_what_imgtool_says(
    tmp_path: Path, firmware: Path, signing_key: MakeKey, max_sectors: int, fits: bool
) -> None:
    key = signing_key("ed25519")
    private, _ = files(tmp_path, key)
    signed = sign_image(PAYLOAD, Version(1, 0, 0), key, header_size=512)
    slot_size = len(signed) + trailer_size(4, encrypted=False, max_sectors=192)
    image = tmp_path / "fw.img"
    imgtool(
        *("sign", "-k", private, "--version", "1.0.0", *SLOT, "--slot-size", str(slot_size)),
        *("--max-sectors", str(max_sectors), "--pad", firmware, image),
        ok=fits,
    )
    if fits:
        ours = pad_to_slot(signed, slot_size, write_size=4, confirm=False, max_sectors=max_sectors)
        assert ours == image.read_bytes()
    else:
        with pytest.raises(InputError, match="slot size"):
            pad_to_slot(signed, slot_size, write_size=4, confirm=False, max_sectors=max_sectors)


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ed25519"])
def test_simlib_opens_what_imgtool_encrypted_and_imgtool_takes_it_in_the_clear(
    tmp_path: Path, firmware: Path, signing_key: MakeKey, decryption_key: DecryptionKey, algorithm: str
) -> None:
    key = signing_key(algorithm)
    private, public = files(tmp_path, key)
    to = save_private(tmp_path / "e.pem", decryption_key.private)
    image = tmp_path / "fw.img"
    imgtool(
        *("sign", "-k", private, "--version", "2.0.1", *SLOT, "-E", to, "--encrypt-keylen", "256"),
        *(firmware, image),
    )
    theirs = image.read_bytes()
    assert PAYLOAD[:32] not in theirs
    assert verify_image(theirs, [key.public()], decrypt_with=decryption_key).encrypted
    clear = decrypt_image(theirs, decryption_key)
    assert PAYLOAD in clear
    (tmp_path / "clear.img").write_bytes(clear)
    imgtool("verify", "-k", public, tmp_path / "clear.img")


def test_imgtool_verifies_what_simlib_encrypted_and_decrypted(
    tmp_path: Path, signing_key: MakeKey, decryption_key: DecryptionKey
) -> None:
    key = signing_key("ecdsa-p256")
    _, public = files(tmp_path, key)
    data = sign_image(PAYLOAD, Version(1, 0, 0), key, header_size=512, encrypt_to=decryption_key.public())
    image = tmp_path / "fw.img"
    image.write_bytes(data)
    imgtool("verify", "-k", public, image, ok=False)
    image.write_bytes(decrypt_image(data, decryption_key))
    imgtool("verify", "-k", public, image)


def test_an_aes128_image_of_imgtool_is_refused_by_name(
    tmp_path: Path, firmware: Path, signing_key: MakeKey, decryption_key: DecryptionKey
) -> None:
    key = signing_key("ecdsa-p256")
    private, _ = files(tmp_path, key)
    to = save_private(tmp_path / "e.pem", decryption_key.private)
    image = tmp_path / "fw.img"
    imgtool("sign", "-k", private, "--version", "2.0.1", *SLOT, "-E", to, firmware, image)
    with pytest.raises(Refused, match="ENCRYPTED_AES128") as refusal:
        verify_image(image.read_bytes(), [key.public()], decrypt_with=decryption_key)
    assert refusal.value.reason is Reason.HEADER_INVALID
