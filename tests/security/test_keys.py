"""Keys: files round-trip and guard themselves, derivation is stable and independent, uses are checked."""

from __future__ import annotations

import hashlib
import hmac
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.security.derivation import derive_bytes
from simlib.security.hashes import Hash
from simlib.security.keyfiles import TEST_KEY_MARK, private_pem, public_pem
from simlib.security.keys import (
    ALGORITHMS,
    SIGNATURE_ALGORITHMS,
    DecryptionKey,
    EncryptionKey,
    PrivateKey,
    SigningKey,
    VerifyKey,
    algorithm_of,
    derive_private,
    generate_private,
    load_private,
    load_public,
    public_path,
    save_private,
)
from simlib.security.pss import sign_with_derived_salt


def derived(algorithm: str) -> PrivateKey:
    """The same derived key each time; deriving remembers, and RSA takes a second once."""
    return derive_private(algorithm, 5, "test files")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("passphrase", [None, b"correct horse"], ids=["plain", "passphrase"])
def test_a_key_comes_back_from_its_file(tmp_path: Path, algorithm: str, passphrase: bytes | None) -> None:
    path = tmp_path / "k.pem"
    key = derived(algorithm)
    beside = save_private(path, key, passphrase)
    assert beside == tmp_path / "k.pub.pem"
    assert private_pem(load_private(path, passphrase)) == private_pem(key)
    assert public_pem(load_public(beside)) == public_pem(key.public_key())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (TEST_KEY_MARK.encode() in path.read_bytes()) == (passphrase is None)
    assert b"PRIVATE" not in beside.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k.pem", "k.pub.pem"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_fresh_key_is_of_its_algorithm_and_like_no_other(algorithm: str) -> None:
    one, two = generate_private(algorithm), generate_private(algorithm)
    assert algorithm_of(one) == algorithm_of(one.public_key())
    assert algorithm_of(one) == ("ecdsa-p256" if algorithm == "ecies-p256" else algorithm)
    assert public_pem(one.public_key()) != public_pem(two.public_key())


def test_the_mark_stands_where_other_tools_read_past_it(tmp_path: Path) -> None:
    save_private(tmp_path / "k.pem", derived("ed25519"))
    text = (tmp_path / "k.pem").read_bytes()
    assert text.startswith(b"simlib test key")
    assert isinstance(load_pem_private_key(text, None), ed25519.Ed25519PrivateKey)


def test_nothing_existing_is_overwritten_unless_told_to(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    save_private(path, derived("ed25519"))
    before = path.read_bytes()
    with pytest.raises(InputError, match="--force"):
        save_private(path, derived("x25519"))
    path.unlink()
    with pytest.raises(InputError, match=r"k\.pub\.pem"):
        save_private(path, derived("x25519"))
    assert not path.exists()
    save_private(path, derived("x25519"), force=True)
    assert path.read_bytes() != before


def test_a_place_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a place to write"):
        save_private(tmp_path / "nowhere" / "k.pem", derived("ed25519"))


@pytest.mark.parametrize("completed", [0, 1])
def test_an_interruption_leaves_no_private_key_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, completed: int
) -> None:
    path = tmp_path / "k.pem"
    replace, done = Path.replace, []

    def interrupted(self: Path, target: Path) -> Path:
        if len(done) == completed:
            raise KeyboardInterrupt
        done.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_private(path, derived("ed25519"))
    assert list(tmp_path.iterdir()) == [path][:completed]


def test_the_public_file_has_the_private_ones_name() -> None:
    assert public_path(Path("a/k.pem")) == Path("a/k.pub.pem")
    assert public_path(Path("a/key")) == Path("a/key.pub.pem")
    assert public_path(Path("a/my.key.pem")) == Path("a/my.key.pub.pem")


BAD_FILES: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing", lambda p: load_private(p / "none.pem"), "No such file"),
    ("missing public", lambda p: load_public(p / "none.pem"), "No such file"),
    ("a folder", lambda p: load_private(p), "directory"),
    ("no PEM", lambda p: load_private(p / "text.pem"), "0 PEM blocks"),
    ("damaged", lambda p: load_private(p / "damaged.pem"), "damaged"),
    ("damaged public", lambda p: load_public(p / "damaged.pem"), "damaged"),
    ("public for private", lambda p: load_private(p / "plain.pub.pem"), "found a public key"),
    ("passphrase missing", lambda p: load_private(p / "locked.pem"), "--passphrase-file"),
    ("passphrase wrong", lambda p: load_private(p / "locked.pem", b"no"), "another passphrase"),
    ("passphrase needless", lambda p: load_private(p / "plain.pem", b"no"), "in the clear"),
    ("passphrase empty", lambda p: save_private(p / "new.pem", derived("ed25519"), b""), "passphrase"),
    (
        "two keys",
        lambda p: load_private(p / "two.pem"),
        "two.pem: .*ed25519 and x25519, expected ecdsa-p256 and",
    ),
    (
        "two public",
        lambda p: load_public(p / "two.pem"),
        "two.pem: .*ed25519 and x25519, expected ecdsa-p256 and",
    ),
    (
        "swapped",
        lambda p: load_private(p / "swapped.pem"),
        "swapped.pem: .*ml-dsa-65 and ecdsa-p256, expected",
    ),
    ("foreign curve", lambda p: load_private(p / "foreign.pem"), "foreign.pem: .*expected a key of one of"),
]


@pytest.mark.parametrize(
    ("call", "message"), [row[1:] for row in BAD_FILES], ids=[row[0] for row in BAD_FILES]
)
def test_a_file_without_the_key_is_bad_input(
    tmp_path: Path, call: Callable[[Path], object], message: str
) -> None:
    save_private(tmp_path / "plain.pem", derived("ed25519"))
    save_private(tmp_path / "locked.pem", derived("ed25519"), b"secret")
    (tmp_path / "text.pem").write_text("not a key")
    (tmp_path / "damaged.pem").write_bytes((tmp_path / "plain.pem").read_bytes().replace(b"MC4C", b"AAAA"))
    for name, pair in (("two", ("ed25519", "x25519")), ("swapped", ("ml-dsa-65", "ecdsa-p256"))):
        (tmp_path / f"{name}.pem").write_bytes(b"".join(private_pem(derived(part)) for part in pair))
    foreign = ec.derive_private_key(12345, ec.SECP521R1())
    (tmp_path / "foreign.pem").write_bytes(
        foreign.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(InputError, match=message) as error:
        call(tmp_path)
    assert "\n" not in str(error.value)


def hkdf_sha256(salt: bytes, secret: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 written out, as the oracle of `derive_bytes`; checked by the RFC's own vectors."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    output = block = b""
    for number in range(1, -(-size // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        output += block
    return output[:size]


@given(st.integers(0, 2**64), st.text(max_size=40), st.integers(1, 200))
def test_derived_bytes_are_hkdf_of_seed_and_purpose(seed: int, purpose: str, size: int) -> None:
    expected = hkdf_sha256(b"simlib derived test key v1", f"seed {seed}".encode(), purpose.encode(), size)
    assert derive_bytes(seed, purpose, size) == expected


def test_the_oracle_is_hkdf() -> None:
    # RFC 5869, test cases 1 and 3
    assert hkdf_sha256(bytes(range(13)), b"\x0b" * 22, bytes(range(0xF0, 0xFA)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert hkdf_sha256(b"", b"\x0b" * 22, b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


# SHA-256 of the SubjectPublicKeyInfo PEM; a change here changes every scenario's bytes.
GOLDEN = {
    "ecdsa-p256": "a93f5fe31180c1b360dc45a49da9f292",
    "ecies-p256": "7c6ae3ea2f75c860fc914646cd9112dd",
    "ecdsa-p384": "ee94a96580c36fc7db5142101fc4b397",
    "ed25519": "2d7592f5351fa9ed074d6ca8a64e1d9f",
    "rsa-2048": "314167c436b201e6f7a05b36454a2623",
    "rsa-3072": "9caea8dc4d6239cdc81d76f825717e32",
    "ml-dsa-44": "ff5822356e3450cd3d70266d18d6eeb1",
    "ml-dsa-65": "98ff8416b981b5c3ea1136e4e7aee3fe",
    "ml-dsa-87": "b163d68fd987a98f5ee3d31a1d595a3b",
    "hybrid-p256-ml-dsa-65": "a1f0f0b558426b5309d6635667e2e25f",
    "x25519": "c45178fcf240e9164202a0782a6dcc70",
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_derived_key_is_the_same_on_every_machine(algorithm: str) -> None:
    assert hashlib.sha256(public_pem(derived(algorithm).public_key())).hexdigest()[:32] == GOLDEN[algorithm]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2**32), st.text(max_size=8)), min_size=2, max_size=5, unique=True))
def test_seeds_purposes_and_algorithms_give_unrelated_keys(sources: list[tuple[int, str]]) -> None:
    for names in (("ecdsa-p256", "ecies-p256"), ("ed25519",), ("x25519",)):
        keys = {
            public_pem(derive_private(name, seed, purpose).public_key())
            for name in names
            for seed, purpose in sources
        }
        assert len(keys) == len(sources) * len(names)


@pytest.mark.parametrize("make", [generate_private, lambda name: derive_private(name, 1, "x")])
def test_an_unknown_algorithm_is_bad_input_that_names_the_known(make: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match=r"'rsa-1024', expected one of ecdsa-p256, .*x25519"):
        make("rsa-1024")


ENCRYPTING = {
    "ecdsa-p256": "ecies-p256",
    "ecies-p256": "ecies-p256",
    "x25519": "x25519",
    "rsa-2048": "rsa-2048",
}


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - set(ENCRYPTING)))
def test_a_key_of_another_algorithm_does_not_encrypt(algorithm: str) -> None:
    key = derived(algorithm)
    for use in (
        lambda: EncryptionKey.of(key),
        lambda: EncryptionKey.of(key.public_key()),
        lambda: DecryptionKey.of(key),
    ):
        with pytest.raises(InputError, match="expected one of ecies-p256, x25519, rsa-2048"):
            use()


@pytest.mark.parametrize("algorithm", ENCRYPTING)
def test_a_key_that_encrypts_says_by_what(algorithm: str) -> None:
    key = derived(algorithm)
    encryption, decryption = EncryptionKey.of(key.public_key()), DecryptionKey.of(key)
    assert encryption == EncryptionKey.of(key) == decryption.public()
    assert encryption.algorithm == decryption.algorithm == ENCRYPTING[algorithm]
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert encryption.fingerprint == hashlib.sha256(der).digest()
    with pytest.raises(InputError, match="found a public key"):
        DecryptionKey.of(key.public_key())


def test_a_shared_key_does_both_and_is_not_shown() -> None:
    for size in (16, 32):
        secret = bytes(range(100, 100 + size))
        key = DecryptionKey.of(secret)
        assert key.public() == EncryptionKey.of(secret)
        assert key.algorithm == key.public().algorithm == "aes-kw"
        assert repr(secret)[2:-1] not in f"{key!r}{key.public()!r}"
        assert key.public().fingerprint not in {hashlib.sha256(secret).digest(), secret}
    for size in (0, 15, 24, 33):
        with pytest.raises(InputError, match=f"found {size} shared bytes"):
            DecryptionKey.of(bytes(size))


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - {"ecies-p256", *SIGNATURE_ALGORITHMS}))
def test_only_the_image_algorithms_sign(algorithm: str) -> None:
    key = derived(algorithm)
    for use in (lambda: SigningKey.of(key), lambda: VerifyKey.of(key), lambda: SigningKey("ed25519", key)):
        with pytest.raises(InputError, match="expected one of"):
            use()


def hash_of(algorithm: str, message: bytes) -> bytes:
    return hashlib.new("sha384" if algorithm == "ecdsa-p384" else "sha256", message).digest()


@pytest.mark.parametrize("algorithm", SIGNATURE_ALGORITHMS)
def test_a_signature_holds_for_its_key_and_digest_only(algorithm: str) -> None:
    key = SigningKey.of(derived(algorithm))
    digest = hash_of(algorithm, b"message")
    signature = key.sign(digest)
    assert key.public() == VerifyKey.of(derived(algorithm))
    assert key.public().accepts(signature, digest)
    assert not key.public().accepts(signature, hash_of(algorithm, b"another"))
    assert not SigningKey.of(generate_private(algorithm)).public().accepts(signature, digest)
    for bad in (b"", bytes(64), signature[:-1], signature + b"\0"):
        assert not key.public().accepts(bad, digest)


@pytest.mark.parametrize("algorithm", SIGNATURE_ALGORITHMS)
def test_a_deterministic_signature_holds_and_depends_on_key_and_digest_alone(algorithm: str) -> None:
    key, other = SigningKey.of(derived(algorithm)), SigningKey.of(derive_private(algorithm, 6, "test files"))
    digests = [hash_of(algorithm, bytes([number])) for number in range(4)]
    signatures = [key.sign(digest, deterministic=True) for digest in digests]
    for digest, signature in zip(digests, signatures, strict=True):
        assert key.public().accepts(signature, digest)
        assert key.sign(digest, deterministic=True) == signature
        assert other.sign(digest, deterministic=True) != signature
    assert len(set(signatures)) == len(digests)
    assert not key.public().accepts(signatures[0], digests[1])


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072"])
def test_a_signature_is_deterministic_only_if_asked_for(algorithm: str) -> None:
    key, digest = SigningKey.of(derived(algorithm)), hash_of(algorithm, b"")
    assert len({key.sign(digest) for _ in range(3)} | {key.sign(digest, deterministic=True)}) == 4


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072"])
def test_a_digest_by_another_hash_is_neither_signed_nor_accepted(algorithm: str) -> None:
    key = SigningKey.of(derived(algorithm))
    good = hash_of(algorithm, b"message")
    for size in {0, 31, 32, 48, 64} - {len(good)}:
        with pytest.raises(InputError, match=f"digest: found {size} bytes"):
            key.sign(bytes(size))
        assert not key.public().accepts(key.sign(good), good.ljust(size, b"\0")[:size])


@pytest.mark.parametrize("algorithm", SIGNATURE_ALGORITHMS)
def test_a_key_is_named_by_the_hash_of_its_der_under_each_hash(algorithm: str) -> None:
    key = SigningKey.of(derived(algorithm)).public()
    for name in Hash:
        assert key.keyhash_by(name) == hashlib.new(name, key.der).digest()
    assert key.keyhash == key.keyhash_by(Hash.SHA256)


def test_the_derived_salt_is_the_verifiers_and_unlike_for_every_key_and_digest() -> None:
    salts = set()
    for seed in (5, 6):
        private = derive_private("rsa-3072", seed, "test files")
        assert isinstance(private, rsa.RSAPrivateKey)
        for number in range(3):
            digest = hashlib.sha256(bytes([number])).digest()
            signature = int.from_bytes(sign_with_derived_salt(private, digest), "big")
            public = private.public_key().public_numbers()
            block = pow(signature, public.e, public.n).to_bytes(384, "big")
            salts.add(recovered_salt(block, digest))
    assert len(salts) == 6
    assert all(len(salt) == 32 for salt in salts)


def recovered_salt(block: bytes, digest: bytes) -> bytes:
    """The salt in a 384-byte EMSA-PSS block for 3,071 bits, by RFC 8017 section 9.1.2 written out."""
    masked, hashed, last = block[:351], block[351:383], block[383]
    mask = b"".join(hashlib.sha256(hashed + bytes([0, 0, 0, n])).digest() for n in range(11))[:351]
    padded = bytearray(a ^ b for a, b in zip(masked, mask, strict=True))
    padded[0] &= 0x7F
    salt = bytes(padded[319:])
    assert last == 0xBC
    assert padded[:319] == bytes(318) + b"\x01"
    assert hashed == hashlib.sha256(bytes(8) + digest + salt).digest()
    return salt
