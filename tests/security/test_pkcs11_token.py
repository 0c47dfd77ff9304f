"""Keys in a token, with SoftHSM2: they do what keys in memory do, and nothing reads their private value."""

from __future__ import annotations

import copy
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from simlib import run
from simlib.cli import main
from simlib.errors import InputError, MissingPartError, Reason, Refused
from simlib.firmware.version import Version
from simlib.scenario import Scenario, consistency
from simlib.security.encryption import decrypt_image
from simlib.security.keyfiles import public_pem
from simlib.security.keys import SIGNATURE_ALGORITHMS, SigningKey, VerifyKey
from simlib.security.signing import sign_image
from simlib.security.stores import MemoryStore, open_store, token_objects
from simlib.security.stores.pkcs11_uri import Pkcs11Uri
from simlib.security.stores.token import _SOFTHSM, Token, TokenAddress
from simlib.security.stores.token_store import DETERMINISTIC, Pkcs11Store, signing_key_at
from simlib.security.verification import verify_image
from simlib.security.wrapping import unwrap_key, wrap_key
from simlib.simulation import run as runs

MISSING = [
    name
    for name, there in (
        ("SoftHSM2", shutil.which("softhsm2-util") and any(Path(p).is_file() for p in _SOFTHSM)),
        ("python-pkcs11", importlib.util.find_spec("pkcs11")),
    )
    if not there
]
needs_token = pytest.mark.skipif(
    bool(MISSING), reason=f"without {' and '.join(MISSING)}: keys are kept in encrypted files"
)
PURPOSE = "release signing key"
PIN = "1234"


@pytest.fixture(scope="module")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two tokens of SoftHSM2 in a temporary folder, and the environment that leads to the first."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(settings))
        patch.setenv("SIMLIB_PKCS11_TOKEN", "simlib tests")
        patch.setenv("SIMLIB_PKCS11_PIN", PIN)
        patch.delenv("SIMLIB_PKCS11_MODULE", raising=False)
        for label in ("simlib tests", "another"):
            command = ["softhsm2-util", "--init-token", "--free", "--label", label]
            subprocess.run([*command, "--pin", PIN, "--so-pin", "5678"], check=True, capture_output=True)
        yield


@pytest.fixture
def token(softhsm: None) -> Iterator[Token]:
    opened = Token(TokenAddress.find())
    yield opened
    opened.close()


@pytest.fixture
def store(token: Token) -> Pkcs11Store:
    return Pkcs11Store(token)


def digest_for(key: SigningKey) -> bytes:
    return bytes(range(key.public().hashes[0].size))


@needs_token
@pytest.mark.parametrize("algorithm", SIGNATURE_ALGORITHMS)
def test_a_scenarios_key_has_the_same_public_half_with_a_token_as_without(
    store: Pkcs11Store, algorithm: str
) -> None:
    expected = MemoryStore().signing_key(algorithm, 7, PURPOSE).public()
    for _ in range(2):  # put there, then found there
        found = store.signing_key(algorithm, 7, PURPOSE)
        assert found.public().der == expected.der
        assert expected.accepts(found.sign(digest_for(found)), digest_for(found))


@needs_token
@pytest.mark.parametrize("algorithm", DETERMINISTIC)
def test_signatures_without_chance_are_byte_for_byte_those_of_a_key_in_memory(
    store: Pkcs11Store, algorithm: str
) -> None:
    ours, theirs = (each.signing_key(algorithm, 7, PURPOSE) for each in (MemoryStore(), store))
    digest = digest_for(ours)
    assert ours.sign(digest, deterministic=True) == theirs.sign(digest, deterministic=True)


@needs_token
@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048"])
def test_signatures_with_chance_differ(store: Pkcs11Store, algorithm: str) -> None:
    key = store.signing_key(algorithm, 7, PURPOSE)
    assert key.sign(digest_for(key)) != key.sign(digest_for(key))


@needs_token
@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384"])
def test_ecdsa_without_chance_is_refused(store: Pkcs11Store, algorithm: str) -> None:
    key = store.signing_key(algorithm, 7, PURPOSE)
    with pytest.raises(InputError, match=r"release.signature: found ecdsa-p.*, expected ed25519 or rsa-…"):
        key.sign(digest_for(key), deterministic=True)


@needs_token
@pytest.mark.parametrize("generate", [False, True], ids=["derived", "generated"])
@pytest.mark.parametrize("algorithm", [*SIGNATURE_ALGORITHMS, "ecies-p256"])
def test_nothing_reads_the_private_value(token: Token, algorithm: str, generate: bool) -> None:
    """Neither through the token's own interface, as its maker's library has it, nor through ours."""
    store = Pkcs11Store(token, generate=generate)
    if algorithm == "ecies-p256":
        private: Any = store.decryption_key(algorithm, 7, "d").private
    else:
        private = store.signing_key(algorithm, 7, PURPOSE).private
    attributes, exceptions = token.library.Attribute, token.library.exceptions
    held = token.find("PRIVATE_KEY", private._label) + token.find("SECRET_KEY", private._label)
    assert len(held) == (2 if algorithm.startswith("rsa") else 1)
    values = ("VALUE", "PRIVATE_EXPONENT", "PRIME_1", "PRIME_2", "EXPONENT_1", "EXPONENT_2", "COEFFICIENT")
    for each in held:
        assert each[attributes.SENSITIVE] and each[attributes.PRIVATE] and not each[attributes.EXTRACTABLE]
        for name in values:
            with pytest.raises((exceptions.AttributeSensitive, exceptions.AttributeTypeInvalid)):
                each[attributes[name]]
        for change in ({attributes.SENSITIVE: False}, {attributes.EXTRACTABLE: True}):
            for name, value in change.items():
                with pytest.raises(exceptions.PKCS11Error):
                    each[name] = value
    for ask in ("private_numbers", "private_bytes_raw"):
        if hasattr(private, ask):
            with pytest.raises(InputError, match="its private value"):
                getattr(private, ask)()
    with pytest.raises(InputError, match="its private value"):
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert copy.deepcopy(private) is private


@needs_token
def test_the_private_objects_are_not_even_seen_without_the_pin(token: Token) -> None:
    Pkcs11Store(token).signing_key("ed25519", 7, PURPOSE)
    code = (
        "import pkcs11; from simlib.security.stores.token import TokenAddress; a = TokenAddress.find(); "
        "s = pkcs11.lib(str(a.module)).get_token(token_label=a.label).open(); "
        "print(len(list(s.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
    assert token.find("PRIVATE_KEY")


@needs_token
@pytest.mark.parametrize("algorithm", [*SIGNATURE_ALGORITHMS])
def test_a_generated_key_signs_images_and_is_nobody_elses(token: Token, algorithm: str) -> None:
    key = Pkcs11Store(token, generate=True).signing_key(algorithm, 7, PURPOSE)
    assert key.public().der != MemoryStore().signing_key(algorithm, 7, PURPOSE).public().der
    image = sign_image(b"firmware" * 9, Version(1, 2, 3), key, security_counter=4)
    assert verify_image(image, (key.public(),)).security_counter == 4
    again = Pkcs11Store(token, generate=True).signing_key(algorithm, 7, PURPOSE)
    assert again.public().der == key.public().der
    if algorithm in DETERMINISTIC:
        digest = digest_for(key)
        assert key.sign(digest, deterministic=True) == again.sign(digest, deterministic=True)
        assert key.public().accepts(key.sign(digest, deterministic=True), digest)


@needs_token
def test_a_content_key_is_unwrapped_in_the_token(store: Pkcs11Store) -> None:
    ours, theirs = (each.decryption_key("ecies-p256", 7, "d") for each in (MemoryStore(), store))
    content_key = bytes(range(32))
    wrapped = wrap_key(content_key, ours.public())
    assert unwrap_key(wrapped, theirs) == content_key
    image = sign_image(
        b"firmware" * 9, Version(1, 0, 0), store.signing_key("ed25519", 7, PURPOSE), encrypt_to=ours.public()
    )
    assert decrypt_image(image, theirs) == decrypt_image(image, ours)
    spoilt = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    with pytest.raises(Refused) as refused:
        unwrap_key(spoilt, theirs)
    assert refused.value.reason is Reason.DECRYPTION_FAILED


@needs_token
def test_a_key_does_only_what_it_is_for(store: Pkcs11Store) -> None:
    exchange: Any = store.decryption_key("ecies-p256", 7, "d").private
    with pytest.raises(InputError, match="may not sign, expected it may"):
        exchange.sign(bytes(32), ec.ECDSA(Prehashed(hashes.SHA256())))
    signing: Any = store.signing_key("ecdsa-p256", 7, PURPOSE).private
    with pytest.raises(InputError, match="may not derive_key, expected it may"):
        signing.exchange(ec.ECDH(), signing.public_key())
    with pytest.raises(ValueError, match="found a peer on secp384r1, expected secp256r1"):
        exchange.exchange(ec.ECDH(), ec.generate_private_key(ec.SECP384R1()).public_key())
    rsa_key: Any = store.signing_key("rsa-2048", 7, PURPOSE).private
    with pytest.raises(InputError, match="expected to sign with this RSA key"):
        rsa_key.decrypt(bytes(256), padding.PKCS1v15())
    with pytest.raises(InputError, match="found another RSA scheme, expected PSS"):
        rsa_key.sign(bytes(32), padding.PKCS1v15(), Prehashed(hashes.SHA256()))


@needs_token
def test_a_message_is_hashed_where_it_is_no_digest(store: Pkcs11Store) -> None:
    private: Any = store.signing_key("ecdsa-p256", 7, PURPOSE).private
    private.public_key().verify(
        private.sign(b"message", ec.ECDSA(hashes.SHA256())), b"message", ec.ECDSA(hashes.SHA256())
    )


@needs_token
@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda s: s.signing_key("x25519", 7, "p"), "release.signature: found x25519 with a token"),
        (lambda s: s.decryption_key("x25519", 7, "p"), "release.key_wrap: found x25519 with a token"),
    ],
)
def test_what_a_token_has_not_is_refused(store: Pkcs11Store, ask: Any, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        ask(store)


@needs_token
def test_a_token_without_a_mechanism_is_refused(store: Pkcs11Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Token, "can", lambda self, mechanism: mechanism != "EDDSA")
    store.signing_key("ecdsa-p256", 7, PURPOSE)
    with pytest.raises(
        InputError, match="ed25519: found a token without CKM_EDDSA, expected one that has it"
    ):
        store.signing_key("ed25519", 7, PURPOSE)


@needs_token
def test_another_key_in_its_place_is_found(token: Token) -> None:
    store = Pkcs11Store(token)
    key: Any = store.signing_key("ed25519", 11, PURPOSE).private
    foreign = MemoryStore().signing_key("ed25519", 12, PURPOSE).private
    token_objects.put(token, key._label, b"some id", "ed25519", foreign)
    with pytest.raises(InputError, match=r"found another key under .*, expected the one of this name"):
        store.signing_key("ed25519", 11, PURPOSE)


@needs_token
def test_a_key_that_was_deleted_meanwhile_is_told(token: Token) -> None:
    key = Pkcs11Store(token).signing_key("ed25519", 13, PURPOSE)
    token_objects.remove(token, key.private._label)  # type: ignore[union-attr]
    with pytest.raises(InputError, match="any longer, expected one"):
        key.sign(bytes(32))


@needs_token
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_key_works_in_a_forked_process_too(store: Pkcs11Store) -> None:
    """By a session of its own, as PKCS#11 has it, whether or not a module minds."""
    key = store.signing_key("ed25519", 7, PURPOSE)
    expected = key.sign(bytes(32))
    session = store.token.session
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, key.sign(bytes(32)) + bytes([store.token.session is not session]))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == expected + b"\1"
    os.waitpid(child, 0)
    assert key.sign(bytes(32)) == expected and store.token.session is session


@needs_token
def test_two_stores_of_one_process_share_the_login(token: Token) -> None:
    one, two = Pkcs11Store(token), Pkcs11Store(Token(TokenAddress.find()))
    keys = [each.signing_key("ed25519", 7, PURPOSE) for each in (one, two)]
    assert keys[0].sign(bytes(32)) == keys[1].sign(bytes(32))


@needs_token
def test_a_wrong_pin_is_refused_in_one_line(softhsm: None) -> None:
    with pytest.raises(InputError, match="found another PIN, expected the token's") as refused:
        Token(TokenAddress.find("another", pin="0000"))
    assert "0000" not in str(refused.value) and "0000" not in repr(TokenAddress.find(pin="0000"))


@needs_token
def test_a_token_that_is_not_there_is_a_missing_part_that_says_how_to_make_it(softhsm: None) -> None:
    with pytest.raises(
        MissingPartError, match=r"token 'nowhere': found none .*softhsm2-util --init-token .*\"file\" needs"
    ):
        Token(TokenAddress.find("nowhere"))


@needs_token
def test_a_file_that_is_no_module_is_told(tmp_path: Path, softhsm: None) -> None:
    (tmp_path / "module.so").write_text("nothing")
    with pytest.raises(MissingPartError, match="expected a PKCS#11 module"):
        Token(TokenAddress.find(module=str(tmp_path / "module.so")))


def test_without_a_module_the_message_says_what_to_install_and_what_does_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simlib.security.stores.token._SOFTHSM", ())
    with pytest.raises(MissingPartError, match=r'apt install softhsm2.*release.keys = "file" needs no token'):
        TokenAddress.find(environment={"SIMLIB_PKCS11_PIN": PIN})
    with pytest.raises(InputError, match="found no such file, expected a PKCS#11 module"):
        TokenAddress.find(environment={"SIMLIB_PKCS11_MODULE": "nowhere.so", "SIMLIB_PKCS11_PIN": PIN})


def test_without_the_library_the_message_says_what_to_install_and_what_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module.so").touch()
    monkeypatch.setenv("SIMLIB_PKCS11_MODULE", str(tmp_path / "module.so"))
    monkeypatch.setenv("SIMLIB_PKCS11_PIN", PIN)
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(MissingPartError, match=r'found no python-pkcs11.*simlib\[hardware\].*"file" needs'):
        open_store("pkcs11")
    monkeypatch.delenv("SIMLIB_PKCS11_PIN")
    with pytest.raises(InputError, match="token: found no PIN, expected one in SIMLIB_PKCS11_PIN"):
        open_store("pkcs11")


# ---- scenarios


def fleet(**release: object) -> Scenario:
    keys = "".join(f"{name} = {str(value).lower()}\n" for name, value in release.items())
    document = f'schema = 1\nname = "token"\ndevices = 20\n[release]\nsize = "64 KiB"\nseed = 7\n{keys}'
    return Scenario.from_toml(document)


def test_what_a_scenario_may_take_is_what_the_store_signs_without_chance() -> None:
    assert consistency.TOKEN_SIGNATURES == DETERMINISTIC
    assert consistency.TOKEN_KEY_WRAPS == (token_objects.EXCHANGE,)


@pytest.mark.parametrize("signature", ["ecdsa-p256", "ecdsa-p384"])
def test_a_scenario_with_a_token_and_ecdsa_is_refused_wherever_it_is_read(signature: str) -> None:
    with pytest.raises(
        InputError, match=r"release.signature: found \"ecdsa-.*, expected ed25519 or rsa-2048 or rsa-3072"
    ):
        fleet(keys='"pkcs11"', signature=f'"{signature}"')


def test_a_scenario_with_a_token_and_x25519_is_refused_if_it_is_encrypted() -> None:
    ask = {"keys": '"pkcs11"', "signature": '"ed25519"', "key_wrap": '"x25519"'}
    with pytest.raises(InputError, match=r"release.key_wrap: found \"x25519\".*, expected ecies-p256"):
        fleet(**ask)
    fleet(**ask, encrypted=False)


@needs_token
@pytest.mark.parametrize("signature", ["ed25519", "rsa-2048"])
def test_a_run_with_a_token_has_the_digest_and_the_bytes_of_one_without(
    softhsm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signature: str
) -> None:
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    made = {}
    for keys in ("file", "pkcs11"):
        scenario = fleet(keys=f'"{keys}"', signature=f'"{signature}"')
        made[keys] = run(scenario, memo=False).summary
        release = runs._release(scenario.spec)
        made[f"{keys} blobs"] = [(a.blob, a.manifest) for a in release.artefacts]
    runs._synthetic.cache_clear()
    assert made["file"]["digest"] == made["pkcs11"]["digest"]
    assert made["file"]["keys"] == "encrypted-file"
    assert re.fullmatch(r"pkcs11 \(SoftHSM \d+\.\d+\)", made["pkcs11"]["keys"])
    ours, theirs = made["file blobs"], made["pkcs11 blobs"]
    assert ours == theirs


# ---- addresses


def test_an_address_is_read_as_rfc_7512_has_it(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("secret\nmore\n")
    uri = Pkcs11Uri.parse(
        f"pkcs11:token=My%20token;object=r%C3%A9lease;id=%01%ff?module-path=/a.so&pin-source=file:{tmp_path}/pin"
    )
    assert uri == Pkcs11Uri("My token", "rélease", b"\x01\xff", "/a.so", "secret")
    assert Pkcs11Uri.parse("pkcs11:token=t;id=%00?pin-value=1%3B2") == Pkcs11Uri(
        "t", None, b"\0", None, "1;2"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pkcs12:token=t;object=o", "found 'pkcs12:token=t;object=o', expected pkcs11:token=LABEL"),
        ("pkcs11:object=o", "found no token, expected"),
        ("pkcs11:token=t", "found no object or id, expected"),
        ("pkcs11:token=t;object=o;slot-id=1", "found 'slot-id', expected one of token, object, id, type"),
        ("pkcs11:token=t;object=o;object=p", "found object twice, expected it once"),
        ("pkcs11:token=t;object=o;type=cert", "found type=cert, expected private"),
        ("pkcs11:token=t;object=o?module-name=x", "found 'module-name', expected one of module-path"),
        ("pkcs11:token=t;object=o?pin-source=file:/no/where", "found No such file or directory"),
    ],
)
def test_another_address_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        Pkcs11Uri.parse(text)


@needs_token
@pytest.mark.parametrize("algorithm", SIGNATURE_ALGORITHMS)
def test_an_image_is_signed_from_the_command_line_by_a_key_in_a_token(
    token: Token, tmp_path: Path, algorithm: str
) -> None:
    token_objects.generate(token, f"mine {algorithm}", f"mine {algorithm}".encode(), algorithm)
    (tmp_path / "firmware.bin").write_bytes(b"firmware" * 99)
    where = f"pkcs11:token=simlib%20tests;object=mine%20{algorithm}"
    image, public = tmp_path / "image.bin", tmp_path / "key.pub.pem"
    command = ["image", "sign", str(tmp_path / "firmware.bin"), str(image), "--version", "1.2.3"]
    assert main([*command, "--key", where]) == 0
    key = signing_key_at(Pkcs11Uri.parse(where))
    assert key.algorithm == algorithm
    public.write_bytes(public_pem(key.private.public_key()))
    assert main(["image", "verify", str(image), "--key", str(public)]) == 0
    other = VerifyKey.of(MemoryStore().signing_key(algorithm, 1, "p").private)
    with pytest.raises(Refused):
        verify_image(image.read_bytes(), (other,))


@needs_token
def test_a_key_that_no_address_finds_is_told(token: Token) -> None:
    with pytest.raises(
        InputError, match=r"token 'simlib tests': found 0 private keys 'none', expected exactly"
    ):
        signing_key_at(Pkcs11Uri.parse("pkcs11:token=simlib%20tests;object=none"))


@needs_token
def test_a_key_made_by_another_program_is_found_by_its_id(token: Token) -> None:
    """The private object alone is not enough: the image names the public half."""
    library, attribute = token.library, token.library.Attribute
    private = MemoryStore().signing_key("ecdsa-p256", 3, "p").private
    token_objects.put(token, "foreign", b"\x0a\x0b", "ecdsa-p256", private)
    found = signing_key_at(Pkcs11Uri.parse("pkcs11:token=simlib%20tests;id=%0a%0b"))
    expected = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found.public().der == expected
    (public,) = token.session.get_objects(
        {attribute.CLASS: library.ObjectClass.PUBLIC_KEY, attribute.LABEL: "foreign"}
    )
    public.destroy()
    with pytest.raises(InputError, match="found no public key object 'id 0a0b', expected one"):
        signing_key_at(Pkcs11Uri.parse("pkcs11:token=simlib%20tests;id=%0a%0b"))
