"""imgtool, MCUboot's own tool, and simlib take each other's keys and images, byte for byte where they can."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from imgtool import image as imgtool_image
from imgtool.main import imgtool as imgtool_command

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.dependency import Dependency
from simlib.firmware.identifiers import class_id_of, vendor_id_of
from simlib.firmware.image import ENCRYPTION_TLVS, TlvType, pad_to_slot, parse_image
from simlib.firmware.trailer import trailer_size
from simlib.firmware.version import Version
from simlib.security.encryption import decrypt_image
from simlib.security.keys import DecryptionKey, SigningKey, save_private
from simlib.security.signing import sign_image
from simlib.security.verification import CALLERS, verify_image

IMGTOOL = Path(sys.executable).parent / "imgtool"
PAYLOAD = random.Random(3).randbytes(5_001) + bytes(999)
SLOT = ("--header-size", "512", "--slot-size", "65536", "--pad-header", "--align", "4")
FACTS = ("--version", "2.0.1+9", "--security-counter", "9", "-d", "(1, 1.2.3), (0, 4.5.6+7)")
IDENTIFIERS = ("--vid", "example.org", "--cid", "lamp")
MakeKey = Callable[[str], SigningKey]
MakeDecryption = Callable[[str], DecryptionKey]
WRAPS = ("ecies-p256", "x25519", "x25519-sha512", "rsa-2048", "aes-kw")


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


@dataclass(frozen=True)
class Way:
    """One way to make an image."""

    algorithm: str
    hash_name: str
    pure: bool
    public_key: bool
    cipher: str = ""
    wrap: str = ""

    def __str__(self) -> str:
        form = f"{'pure-' * self.pure}{'key' if self.public_key else 'keyhash'}"
        return "-".join(filter(None, (self.algorithm, self.hash_name, form, self.cipher, self.wrap)))

    @property
    def imgtool_encrypts(self) -> bool:
        """imgtool wants signing and encryption of one kind, but for Ed25519; it has no AES-KW yet."""
        if self.algorithm == "ed25519":
            return self.wrap != "aes-kw"
        return {"ecdsa-p256": "ecies-p256", "ecdsa-p384": ""}.get(self.algorithm, "rsa-2048") == self.wrap


SIGNATURES = [
    *(("ecdsa-p256", "sha256", False), ("ecdsa-p384", "sha384", False), ("rsa-2048", "sha256", False)),
    *(("rsa-3072", "sha256", False), ("ed25519", "sha256", False), ("ed25519", "sha512", False)),
    ("ed25519", "sha512", True),
]
WAYS = [
    Way(*signature, public_key, *encryption)
    for signature in SIGNATURES
    for public_key in (False, True)
    for encryption in [("", ""), *((c, w) for c in ("aes-128", "aes-256") for w in WRAPS)]
]
BOTH = [way for way in WAYS if not way.wrap or way.imgtool_encrypts]


def run(*args: str | Path) -> bool:
    """Whether imgtool, in this process, is content."""
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            imgtool_command.main([str(arg) for arg in args])
    except SystemExit as end:
        return end.code in {None, 0}
    raise AssertionError(said.getvalue())


def test_the_ways_are_all_there_are() -> None:
    for key, hashes in imgtool_image.ALLOWED_KEY_SHA.items():
        if hasattr(key, "generate") and not key.__name__.startswith("X25519"):
            ours = {
                name for algorithm, name, _ in SIGNATURES if algorithm.startswith(THEIR_KEYS[key.__name__])
            }
            assert ours == {f"sha{name}" for name in hashes}
    assert {key.__name__: hashes for key, hashes in imgtool_image.ALLOWED_PURE_KEY_SHA.items()} == {
        "Ed25519": ["512"]
    }
    assert (len(WAYS), len(BOTH)) == (154, 74)


THEIR_KEYS = {"ECDSA256P1": "ecdsa-p256", "ECDSA384P1": "ecdsa-p384", "RSA": "rsa-", "Ed25519": "ed25519"}


@pytest.fixture(scope="module")
def bench(
    tmp_path_factory: pytest.TempPathFactory, signing_key: MakeKey, unwrapping_key: MakeDecryption
) -> Path:
    """A folder with the firmware and every key."""
    folder = tmp_path_factory.mktemp("interop")
    (folder / "fw.bin").write_bytes(PAYLOAD)
    for algorithm, _, _ in SIGNATURES:
        save_private(folder / f"{algorithm}.pem", signing_key(algorithm).private, force=True)
    for wrap in WRAPS:
        private = unwrapping_key(wrap).private
        if not isinstance(private, bytes):
            save_private(folder / f"to-{wrap}.pem", private)
    return folder


@pytest.mark.parametrize(
    "way", WAYS, ids=[f"{n:03}-of-{len(WAYS)}-{way}" for n, way in enumerate(WAYS, start=1)]
)
def test_imgtool_and_simlib_take_each_others_images(
    tmp_path: Path, bench: Path, signing_key: MakeKey, unwrapping_key: MakeDecryption, way: Way
) -> None:
    key, public = signing_key(way.algorithm), bench / f"{way.algorithm}.pub.pem"
    device = unwrapping_key(way.wrap) if way.wrap else None
    vendor = vendor_id_of("example.org")
    own = {"vendor_id": vendor, "class_id": class_id_of("lamp", vendor)}
    ours = sign_image(
        PAYLOAD,
        Version(2, 0, 1, 9),
        key,
        security_counter=9,
        header_size=512,
        dependencies=[Dependency(1, Version(1, 2, 3)), Dependency(0, Version(4, 5, 6, 7))],
        hash_name=way.hash_name,
        pure=way.pure,
        public_key=way.public_key,
        encrypt_to=None if device is None else device.public(),
        cipher=way.cipher or "aes-256",
        hmac_hash="sha512" if way.wrap == "x25519-sha512" else "sha256",
        deterministic=way.public_key,
        **own,
    )

    def check(image: bytes, name: str) -> bytes:
        """Both verifiers take it and refuse it spoilt; what is returned is in the clear."""
        found = verify_image(
            image, [key.public()], decrypt_with=device, evaluates={TlvType.DEPENDENCY}, **own
        )
        assert (found.version, found.security_counter, found.hash) == (Version(2, 0, 1, 9), 9, way.hash_name)
        assert (found.pure, found.encrypted) == (way.pure, device is not None)
        assert [str(each) for each in found.dependencies] == ["image 1 >= 1.2.3", "image 0 >= 4.5.6+7"]
        clear = image if device is None else decrypt_image(image, device)
        assert PAYLOAD in clear
        assert (PAYLOAD[:32] in image) == (device is None)
        path = tmp_path / name
        path.write_bytes(clear)
        assert run("verify", "-k", public, path)
        path.write_bytes(clear[:600] + bytes([clear[600] ^ 1]) + clear[601:])
        assert not run("verify", "-k", public, path)
        with pytest.raises(Refused) as refusal:
            verify_image(*(path.read_bytes(), [key.public()]), plaintext_payload=True, evaluates=CALLERS)
        assert refusal.value.reason is Reason.HASH_MISMATCH
        return clear

    clear = check(ours, "ours.img")
    if way.wrap == "aes-kw":
        return  # imgtool 2.5 reads no such key, so there is nothing to ask it
    options: list[str | Path] = ["--pure"] if way.pure else ["--sha", way.hash_name.removeprefix("sha")]
    if way.public_key:
        options += ["--public-key-format", "full"]
    if device is not None:
        options += [
            "-E",
            bench / f"to-{way.wrap}.pub.pem",
            "--encrypt-keylen",
            way.cipher.removeprefix("aes-"),
        ]
        if way.wrap == "x25519-sha512":
            options += ["--hmac-sha", "512"]
    target = tmp_path / "theirs.img"
    sign = ("sign", "-k", bench / f"{way.algorithm}.pem", *FACTS, *IDENTIFIERS, *SLOT, *options)
    made = run(*sign, bench / "fw.bin", target)
    assert made == (way in BOTH)
    if not made:
        return
    clear_theirs = check(target.read_bytes(), "theirs-clear.img")
    parsed, parsed_theirs = parse_image(clear), parse_image(clear_theirs)
    assert clear[: parsed.hashed_end] == clear_theirs[: parsed.hashed_end]
    unsigned = [
        [tlv for tlv in each.tlvs if tlv.type not in (key.public().signature_tlv, *ENCRYPTION_TLVS)]
        for each in (parsed, parsed_theirs)
    ]
    assert unsigned[0] == unsigned[1]
    assert [tlv.type for tlv in parsed.tlvs] == [tlv.type for tlv in parsed_theirs.tlvs]
    if way.algorithm == "ed25519" and device is None:  # which leaves nothing to chance
        assert ours == target.read_bytes()


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


@pytest.mark.parametrize("flag", ["--load-addr", "--rom-fixed"])
def test_an_address_is_where_imgtool_puts_it(
    tmp_path: Path, firmware: Path, signing_key: MakeKey, flag: str
) -> None:
    key = signing_key("ed25519")
    private, _ = files(tmp_path, key)
    image = tmp_path / "fw.img"
    imgtool("sign", "-k", private, "--version", "1.0.0", *SLOT, flag, "0x20010000", firmware, image)
    name = "load_address" if flag == "--load-addr" else "rom_fixed"
    ours = sign_image(PAYLOAD, Version(1, 0, 0), key, header_size=512, **{name: 0x2001_0000})
    assert ours == image.read_bytes()


@pytest.mark.parametrize(
    ("vendor", "product"),
    [
        ("example.org", "lamp"),
        ("12345678-1234-5678-1234-567812345678", "a lamp"),
        ("12345678123456781234567812345678", "fedcba98-1234-5678-1234-567812345678"),
    ],
)
def test_a_name_stands_for_imgtools_identifier(
    tmp_path: Path, firmware: Path, signing_key: MakeKey, vendor: str, product: str
) -> None:
    private, _ = files(tmp_path, signing_key("ed25519"))
    image = tmp_path / "fw.img"
    sign = ("sign", "-k", private, "--version", "1.0.0", *SLOT)
    imgtool(*sign, "--vid", vendor, "--cid", product, firmware, image)
    parsed = parse_image(image.read_bytes())
    assert parsed.vendor_id == vendor_id_of(vendor)
    assert parsed.class_id == class_id_of(product, vendor_id_of(vendor))


def test_an_aes128_image_fills_a_slot_as_imgtool_says(
    tmp_path: Path, firmware: Path, signing_key: MakeKey, decryption_key: DecryptionKey
) -> None:
    """imgtool reckons with content keys of 16 bytes, which for this cipher they are."""
    key = signing_key("ecdsa-p256")
    private, _ = files(tmp_path, key)
    to = save_private(tmp_path / "e.pem", decryption_key.private)
    signed = sign_image(
        *(PAYLOAD, Version(1, 0, 0), key),
        header_size=512,
        encrypt_to=decryption_key.public(),
        cipher="aes-128",
        deterministic=True,
    )
    longest = len(signed) + 72 - len(parse_image(signed).find(TlvType.ECDSASIG).value)
    image = tmp_path / "fw.img"
    for spare, fits in ((0, True), (-8, False)):
        slot_size = longest + trailer_size(4, encrypted=True, content_key_bytes=16) + spare
        sign = ("sign", "-k", private, "--version", "1.0.0", *SLOT, "-E", to, "--pad")
        imgtool(*sign, "--slot-size", str(slot_size), firmware, image, ok=fits)
        if fits:
            pad_to_slot(signed, slot_size, write_size=4, confirm=False)
            verify_image(image.read_bytes(), [key.public()], decrypt_with=decryption_key)
        else:
            with pytest.raises(InputError, match="slot size"):
                pad_to_slot(signed, slot_size, write_size=4, confirm=False)
