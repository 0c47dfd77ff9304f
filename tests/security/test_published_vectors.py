"""Published test vectors, through the functions simlib itself signs, verifies and encrypts with.

AES-CTR from SP 800-38A F.5 and RFC 3686, ECDSA from RFC 6979 A.2.5 and A.2.6, ECDSA and RSA-PSS from NIST's
FIPS 186-3 CAVS files, Ed25519 from the signature file of its authors, SHA-2 and AES-KW from NIST's CAVS
files, the exchanges of ECIES from RFC 5903 and RFC 7748. What has no vectors of its own, ECIES around its
exchange and OAEP, is written out here. Files are those of the cryptography_vectors package.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from hashlib import sha256
from importlib import resources

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from simlib.errors import Refused
from simlib.security.algorithms import CURVES
from simlib.security.encryption import ctr_crypt_from, unwrap_key, wrap_key
from simlib.security.hashes import Hash
from simlib.security.keys import DecryptionKey, EncryptionKey, SigningKey, VerifyKey, derive_private
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


def test_aes128_ctr_is_sp_800_38a_f_5_1() -> None:
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    counter = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
    cipher = bytes.fromhex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff")
    assert ctr_crypt_from(key, counter, plain) == cipher
    assert ctr_crypt_from(key, counter, cipher[21:], 21) == plain[21:]


@pytest.mark.parametrize("bits", [128, 256])
def test_aes_ctr_is_rfc_3686(bits: int) -> None:
    text = vector_file(f"ciphers/AES/CTR/aes-{bits}-ctr.txt")
    vectors = re.findall(r"KEY = (\w+)\s+IV = (\w+)\s+PLAINTEXT = (\w+)\s+CIPHERTEXT = (\w+)", text)
    assert len(vectors) == 3
    for vector in vectors:
        key, counter, plain, cipher = map(bytes.fromhex, vector)
        assert ctr_crypt_from(key, counter, plain) == cipher


@pytest.mark.parametrize(
    ("algorithm", "message", "r", "s"),
    [
        (
            "ecdsa-p256",
            b"sample",
            0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
            0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
        ),
        (
            "ecdsa-p256",
            b"test",
            0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
            0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
        ),
        (
            "ecdsa-p384",
            b"sample",
            int(
                "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C"
                "81A648152E44ACF96E36DD1E80FABE46",
                16,
            ),
            int(
                "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94F"
                "A329C145786E679E7B82C71A38628AC8",
                16,
            ),
        ),
        (
            "ecdsa-p384",
            b"test",
            int(
                "8203B63D3C853E8D77227FB377BCF7B7B772E97892A80F36AB775D509D7A5FEB"
                "0542A7F0812998DA8F1DD3CA3CF023DB",
                16,
            ),
            int(
                "DDD0760448D42D8A43AF45AF836FCE4DE8BE06B485E9B61B827C2F13173923E0"
                "6A739F040649A667BF3B828246BAA5A5",
                16,
            ),
        ),
    ],
)
def test_deterministic_ecdsa_is_rfc_6979(algorithm: str, message: bytes, r: int, s: int) -> None:
    scalar = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"
    if algorithm == "ecdsa-p384":
        scalar = (
            "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5"
        )
    private = ec.derive_private_key(int(scalar, 16), CURVES[algorithm])
    key = SigningKey(algorithm, private)
    digest = key.public().hashes[0].digest(message)
    assert key.sign(digest, deterministic=True) == encode_dss_signature(r, s)


@pytest.mark.parametrize(
    ("algorithm", "section"), [("ecdsa-p256", "P-256,SHA-256"), ("ecdsa-p384", "P-384,SHA-384")]
)
def test_ecdsa_verdicts_are_those_of_nist(algorithm: str, section: str) -> None:
    text = vector_file("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp")
    section = text.split(f"[{section}]")[1].split("[")[0]
    cases = re.findall(r"Msg = (\w+)\nQx = (\w+)\nQy = (\w+)\nR = (\w+)\nS = (\w+)\nResult = ([PF])", section)
    assert {case[-1] for case in cases} == {"P", "F"}
    for message, x, y, r, s, verdict in cases:
        numbers = ec.EllipticCurvePublicNumbers(int(x, 16), int(y, 16), CURVES[algorithm])
        key = VerifyKey(algorithm, numbers.public_key())
        signature = encode_dss_signature(int(r, 16), int(s, 16))
        digest = key.hashes[0].digest(bytes.fromhex(message))
        assert key.accepts(signature, digest) == (verdict == "P")


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


@pytest.mark.parametrize("bits", [2048, 3072])
def test_the_pss_encoding_is_that_of_nists_rsa_signatures(bits: int) -> None:
    text = vector_file("asymmetric/RSA/FIPS_186-2/SigVerPSS_186-3.rsp").replace("\r", "")
    section = text.split(f"[mod = {bits}]")[1].split("[mod")[0]
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
            block = pow(int(signature, 16), int(exponent, 16), modulus).to_bytes(bits // 8, "big")
            expected = encode(sha256(bytes.fromhex(message)).digest(), bytes.fromhex(salt), bits - 1)
            assert (block == expected) == (verdict == "P")
            held += verdict == "P"
    assert held > 0


@pytest.mark.parametrize("algorithm", Hash)
def test_the_hashes_are_those_of_nist(algorithm: Hash) -> None:
    text = vector_file(f"hashes/SHA2/{algorithm.value.upper()}ShortMsg.rsp")
    cases = re.findall(r"Len = (\d+)\s+Msg = (\w+)\s+MD = (\w+)", text)
    assert len(cases) >= 65
    for length, message, expected in cases:
        data = bytes.fromhex(message)[: int(length) // 8]
        assert algorithm.digest(data[:3], memoryview(data)[3:]).hex() == expected
        assert algorithm.size == len(expected) // 2


@pytest.mark.parametrize("kek_bits", [128, 256])
def test_aes_kw_is_that_of_nist(kek_bits: int) -> None:
    wraps = vector_file(f"keywrap/kwtestvectors/KW_AE_{kek_bits}.txt")
    unwraps = vector_file(f"keywrap/kwtestvectors/KW_AD_{kek_bits}.txt")
    failures = 0
    for length in (128, 256):
        section = rf"\[PLAINTEXT LENGTH = {length}\]\s(.*?)(?=\[|\Z)"
        of_wraps = re.search(section, wraps.replace("\r", ""), re.DOTALL).group(1)
        of_unwraps = re.search(section, unwraps.replace("\r", ""), re.DOTALL).group(1)
        cases = re.findall(r"K = (\w+)\nP = (\w+)\nC = (\w+)", of_wraps)
        assert len(cases) == 100
        for kek, plain, cipher in (map(bytes.fromhex, case) for case in cases):
            assert wrap_key(plain, EncryptionKey.of(kek)) == cipher
        for kek, cipher, verdict in re.findall(r"K = (\w+)\nC = (\w+)\n(P = \w+|FAIL)", of_unwraps):
            key = DecryptionKey.of(bytes.fromhex(kek))
            if verdict == "FAIL":
                failures += 1
                with pytest.raises(Refused, match="check value"):
                    unwrap_key(bytes.fromhex(cipher), key)
            else:
                assert unwrap_key(bytes.fromhex(cipher), key).hex() == verdict.removeprefix("P = ")
    assert failures > 0


def hkdf(secret: bytes, size: int, hash_name: str) -> bytes:
    """RFC 5869 without a salt, with MCUboot's info, written out."""
    zeros = bytes(hashlib.new(hash_name).digest_size)
    extracted = hmac.digest(zeros, secret, hash_name)
    output = block = b""
    for number in range(1, 5):
        block = hmac.digest(extracted, block + b"MCUBoot_ECIES_v1" + bytes([number]), hash_name)
        output += block
    return output[:size]


def ecies_tail(shared: bytes, content_key: bytes, hash_name: str) -> bytes:
    """What stands behind the point: the MAC of the ciphertext, and the ciphertext."""
    n, mac_bytes = len(content_key), hashlib.new(hash_name).digest_size
    derived = hkdf(shared, n + mac_bytes, hash_name)
    ciphertext = ctr_crypt_from(derived[:n], bytes(16), content_key)
    return hmac.digest(derived[n:], ciphertext, hash_name) + ciphertext


@pytest.mark.parametrize("key_bytes", [16, 32])
def test_ecies_p256_is_built_around_the_exchange_of_rfc_5903(key_bytes: int) -> None:
    mine, theirs = (
        ec.derive_private_key(int(scalar, 16), ec.SECP256R1())
        for scalar in (
            "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
            "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
        )
    )
    shared = bytes.fromhex("D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE")
    content_key = bytes(range(key_bytes))
    wrapped = wrap_key(content_key, EncryptionKey.of(theirs), DecryptionKey.of(mine))
    assert wrapped[:33].hex() == "04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
    assert wrapped[65:] == ecies_tail(shared, content_key, "sha256")
    assert unwrap_key(wrapped, DecryptionKey.of(theirs)) == content_key


@pytest.mark.parametrize("key_bytes", [16, 32])
@pytest.mark.parametrize("hmac_hash", [Hash.SHA256, Hash.SHA512])
def test_ecies_x25519_is_built_around_the_exchange_of_rfc_7748(hmac_hash: Hash, key_bytes: int) -> None:
    text = vector_file("asymmetric/X25519/rfc7748.txt")
    vectors = re.findall(r"INPUT_SCALAR = (\w+)\s+INPUT_U = (\w+)\s+OUTPUT_U = (\w+)", text)
    assert len(vectors) >= 3
    for scalar, point, shared in (map(bytes.fromhex, vector) for vector in vectors):
        private = x25519.X25519PrivateKey.from_private_bytes(scalar)
        public = x25519.X25519PublicKey.from_public_bytes(point)
        content_key = bytes(range(key_bytes))
        wrapped = wrap_key(
            content_key, EncryptionKey.of(public), DecryptionKey.of(private), hmac_hash=hmac_hash
        )
        assert wrapped[:32] == private.public_key().public_bytes_raw()
        assert wrapped[32:] == ecies_tail(shared, content_key, hmac_hash)


@pytest.mark.parametrize("key_bytes", [16, 32])
def test_rsa_wrapping_is_oaep_of_rfc_8017(key_bytes: int) -> None:
    private = derive_private("rsa-2048", 1, "test decryption")
    content_key = bytes(range(key_bytes))
    wrapped = wrap_key(content_key, EncryptionKey.of(private))
    numbers = private.private_numbers()
    block = pow(int.from_bytes(wrapped, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big")
    masked_seed, masked = block[1:33], block[33:]
    seed = bytes(a ^ b for a, b in zip(masked_seed, mgf1(masked, 32), strict=True))
    data = bytes(a ^ b for a, b in zip(masked, mgf1(seed, 223), strict=True))
    assert (block[0], data[:32]) == (0, sha256(b"").digest())
    assert data[32:] == b"\x01".rjust(191 - key_bytes, b"\0") + content_key


def mgf1(seed: bytes, size: int) -> bytes:
    """RFC 8017 appendix B.2.1 with SHA-256, written out."""
    return b"".join(sha256(seed + n.to_bytes(4, "big")).digest() for n in range(8))[:size]
