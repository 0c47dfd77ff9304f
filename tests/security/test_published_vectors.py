"""Published test vectors, through the functions simlib itself signs, verifies and encrypts with.

AES-CTR from SP 800-38A F.5.5 and RFC 3686, ECDSA from RFC 6979 A.2.5, ECDSA and RSA-PSS from NIST's FIPS
186-3 CAVS files, Ed25519 from the signature file of its authors. Files are those of the cryptography_vectors
package.
"""

from __future__ import annotations

import re
from hashlib import sha256
from importlib import resources

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from simlib.security.encryption import ctr_crypt_from
from simlib.security.keys import SigningKey, VerifyKey
from simlib.security.pss import encode


def vector_file(path: str) -> str:
    return resources.files("cryptography_vectors").joinpath(path).read_text()


def test_aes256_ctr_is_sp_800_38a_f_5_5() -> None:
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    counter = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    plain = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    cipher = bytes.fromhex(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    assert ctr_crypt_from(key, counter, plain) == cipher
    assert ctr_crypt_from(key, counter, cipher[21:], 21) == plain[21:]


def test_aes256_ctr_is_rfc_3686() -> None:
    text = vector_file("ciphers/AES/CTR/aes-256-ctr.txt")
    vectors = re.findall(r"KEY = (\w+)\s+IV = (\w+)\s+PLAINTEXT = (\w+)\s+CIPHERTEXT = (\w+)", text)
    assert len(vectors) == 3
    for vector in vectors:
        key, counter, plain, cipher = map(bytes.fromhex, vector)
        assert ctr_crypt_from(key, counter, plain) == cipher


@pytest.mark.parametrize(
    ("message", "r", "s"),
    [
        (
            b"sample",
            0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
            0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
        ),
        (
            b"test",
            0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
            0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
        ),
    ],
)
def test_deterministic_ecdsa_is_rfc_6979(message: bytes, r: int, s: int) -> None:
    private = ec.derive_private_key(
        0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721, ec.SECP256R1()
    )
    signature = SigningKey("ecdsa-p256", private).sign(sha256(message).digest(), deterministic=True)
    assert signature == encode_dss_signature(r, s)


def test_ecdsa_p256_verdicts_are_those_of_nist() -> None:
    text = vector_file("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp")
    section = text.split("[P-256,SHA-256]")[1].split("[")[0]
    cases = re.findall(r"Msg = (\w+)\nQx = (\w+)\nQy = (\w+)\nR = (\w+)\nS = (\w+)\nResult = ([PF])", section)
    assert {case[-1] for case in cases} == {"P", "F"}
    for message, x, y, r, s, verdict in cases:
        public = ec.EllipticCurvePublicNumbers(int(x, 16), int(y, 16), ec.SECP256R1()).public_key()
        signature = encode_dss_signature(int(r, 16), int(s, 16))
        digest = sha256(bytes.fromhex(message)).digest()
        assert VerifyKey("ecdsa-p256", public).accepts(signature, digest) == (verdict == "P")


def test_ed25519_is_that_of_its_authors() -> None:
    # The file has 1,024 cases, messages of 0 to 1,023 bytes; every 16th is enough here.
    lines = vector_file("asymmetric/Ed25519/sign.input").splitlines()[::16]
    assert len(lines) == 64
    for line in lines:
        secret, _, message, signed, _ = line.split(":")
        private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)[:32])
        key = SigningKey("ed25519", private)
        signature = bytes.fromhex(signed)[:64]
        assert key.sign(bytes.fromhex(message)) == signature
        assert key.public().accepts(signature, bytes.fromhex(message))


def test_the_pss_encoding_is_that_of_nists_rsa_3072_signatures() -> None:
    text = vector_file("asymmetric/RSA/FIPS_186-2/SigVerPSS_186-3.rsp").replace("\r", "")
    section = text.split("[mod = 3072]")[1].split("[mod")[0]
    held = 0
    for part in re.split(r"\nn = ", section)[1:]:
        modulus = int(part.split()[0], 16)
        cases = re.findall(
            r"SHAAlg = SHA256\ne = (\w+)\nd = \w+\n"
            r"Msg = (\w+)\nS = (\w+)\nSaltVal = (\w+)\n.*?Result = ([PF])",
            part,
            re.DOTALL,
        )
        for exponent, message, signature, salt, verdict in cases:
            block = pow(int(signature, 16), int(exponent, 16), modulus).to_bytes(384, "big")
            expected = encode(sha256(bytes.fromhex(message)).digest(), bytes.fromhex(salt), 3071)
            assert (block == expected) == (verdict == "P")
            held += verdict == "P"
    assert held > 0
