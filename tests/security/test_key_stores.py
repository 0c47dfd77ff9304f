"""Keys in encrypted files: those of memory, readable with the passphrase only, and never in the way."""

from __future__ import annotations

import multiprocessing
import os
import re
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from simlib import run
from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.security.keyfiles import public_pem
from simlib.security.keys import SIGNATURE_ALGORITHMS, SigningKey, derive_private
from simlib.security.stores import STORES, EncryptedFileStore, MemoryStore, open_store
from simlib.security.stores import passphrase as passphrases
from simlib.security.stores.key_store import KeyStore, check_value, key_name
from simlib.simulation import run as runs

NAME = ("ecdsa-p256", 7, "release signing key")
DIGEST = bytes(range(32))


@pytest.fixture(autouse=True)
def no_passphrase_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (passphrases.PASSPHRASE, passphrases.PASSPHRASE_FILE):
        monkeypatch.delenv(name, raising=False)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("algorithm", SIGNATURE_ALGORITHMS)
def test_a_key_is_the_derived_one_when_it_is_made_and_when_it_is_read_back(
    tmp_path: Path, algorithm: str
) -> None:
    expected = MemoryStore().signing_key(algorithm, 7, "p")
    for _ in range(2):
        found = EncryptedFileStore(tmp_path, b"secret").signing_key(algorithm, 7, "p")
        assert found.public().keyhash == expected.public().keyhash
        digest = bytes(found.public().hashes[0].size)
        assert found.sign(digest, deterministic=True) == expected.sign(digest, deterministic=True)


def test_a_key_that_is_kept_is_read_and_not_derived_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EncryptedFileStore(tmp_path, b"secret").signing_key(*NAME)
    monkeypatch.setattr("simlib.security.stores.encrypted_file.derive_private", None)
    EncryptedFileStore(tmp_path, b"secret").signing_key(*NAME)


@pytest.mark.parametrize("algorithm", ["ecies-p256", "x25519"])
def test_a_decryption_key_is_kept_as_well(tmp_path: Path, algorithm: str) -> None:
    expected = public_pem(MemoryStore().decryption_key(algorithm, 7, "d").private.public_key())
    for _ in range(2):
        found = EncryptedFileStore(tmp_path, b"secret").decryption_key(algorithm, 7, "d")
        assert public_pem(found.private.public_key()) == expected
    assert len(files(tmp_path)) == 1


def test_names_differ_in_each_of_their_parts() -> None:
    names = {
        key_name(*parts)
        for parts in (NAME, ("ed25519", *NAME[1:]), (NAME[0], 8, NAME[2]), (*NAME[:2], "another"))
    }
    assert len(names) == 4


def test_the_file_holds_nothing_that_can_be_read_without_the_passphrase(tmp_path: Path) -> None:
    store = EncryptedFileStore(tmp_path, b"secret")
    key = store.signing_key(*NAME)
    path = store.path_of(*NAME)
    text = path.read_bytes()
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in text
    scalar = key.private.private_numbers().private_value.to_bytes(32, "big")
    assert scalar not in text and scalar.hex().encode() not in text
    with pytest.raises(TypeError):
        load_pem_private_key(text, None)
    with pytest.raises(ValueError, match=r"password|decrypt"):
        load_pem_private_key(text, b"another")
    assert load_pem_private_key(text, b"secret").private_numbers() == key.private.private_numbers()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_files_and_passphrase_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    store = EncryptedFileStore(folder)
    store.signing_key(*NAME)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"keys": 0o700, "passphrase": 0o600, store.path_of(*NAME).name: 0o600}


def test_a_passphrase_is_made_once_and_used_from_then_on(tmp_path: Path) -> None:
    first, second = EncryptedFileStore(tmp_path), EncryptedFileStore(tmp_path)
    first.signing_key(*NAME)
    made = (tmp_path / "passphrase").read_text()
    assert len(made.strip()) >= 40
    second.signing_key("ed25519", 7, "another")
    second.signing_key(*NAME)
    assert (tmp_path / "passphrase").read_text() == made
    assert (first.kind, second.kind) == ("encrypted-file", "encrypted-file")


def test_the_environment_gives_the_passphrase_and_no_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMLIB_KEY_PASSPHRASE", "from outside")
    folder = tmp_path / "keys"
    store = EncryptedFileStore(folder)
    store.signing_key(*NAME)
    assert files(folder) == [store.path_of(*NAME).name]
    load_pem_private_key(store.path_of(*NAME).read_bytes(), b"from outside")


def test_a_file_of_the_environment_gives_the_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p").write_text("first line\nsecond\n")
    monkeypatch.setenv("SIMLIB_KEY_PASSPHRASE_FILE", str(tmp_path / "p"))
    store = EncryptedFileStore(tmp_path / "keys")
    store.signing_key(*NAME)
    load_pem_private_key(store.path_of(*NAME).read_bytes(), b"first line")


def change(text: bytes, at: int) -> bytes:
    return text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: b"", "found 0 PEM blocks"),
        (lambda text: text[: len(text) // 2], "found 0 PEM blocks"),
        (lambda text: change(text, text.index(b"KEY-----\n") + 30), "another passphrase or a damaged key"),
        (lambda text: change(text, text.index(b"check") + 8), "found another key than the one of this name"),
        (lambda text: text[text.index(b"-----BEGIN") :], "found another key than the one of this name"),
    ],
    ids=["empty", "cut short", "damaged", "another check value", "no check value"],
)
def test_a_file_that_is_not_right_is_refused_in_one_line(tmp_path: Path, spoil, says: str) -> None:
    store = EncryptedFileStore(tmp_path, b"secret")
    store.signing_key(*NAME)
    path = store.path_of(*NAME)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=re.escape(says)) as refused:
        EncryptedFileStore(tmp_path, b"secret").signing_key(*NAME)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_key_of_another_name_put_in_its_place_is_found(tmp_path: Path) -> None:
    store = EncryptedFileStore(tmp_path, b"secret")
    store.signing_key(*NAME)
    store.signing_key(NAME[0], 8, NAME[2])
    store.path_of(NAME[0], 8, NAME[2]).replace(store.path_of(*NAME))
    with pytest.raises(InputError, match="found another key than the one of this name"):
        store.signing_key(*NAME)


def test_another_passphrase_is_refused(tmp_path: Path) -> None:
    EncryptedFileStore(tmp_path, b"secret").signing_key(*NAME)
    with pytest.raises(InputError, match="found another passphrase or a damaged key, expected a PKCS#8"):
        EncryptedFileStore(tmp_path, b"another").signing_key(*NAME)


def test_keys_whose_passphrase_has_gone_are_refused_and_nothing_is_made(tmp_path: Path) -> None:
    EncryptedFileStore(tmp_path).signing_key(*NAME)
    (tmp_path / "passphrase").unlink()
    with pytest.raises(InputError, match=r"passphrase: found no passphrase beside keys that need one"):
        EncryptedFileStore(tmp_path).signing_key(*NAME)
    assert "passphrase" not in files(tmp_path)


@pytest.mark.parametrize("content", [None, "", "\nsecond"])
def test_a_named_passphrase_file_that_gives_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "p").write_text(content)
    monkeypatch.setenv("SIMLIB_KEY_PASSPHRASE_FILE", str(tmp_path / "p"))
    with pytest.raises(InputError, match=r"found (No such file.*|an empty passphrase), expected"):
        EncryptedFileStore(tmp_path / "keys").signing_key(*NAME)


def test_a_store_that_cannot_be_written_goes_on_in_memory_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = EncryptedFileStore(tmp_path / "file" / "keys")
    expected = SigningKey.of(derive_private(*NAME)).public().keyhash
    assert store.signing_key(*NAME).public().keyhash == expected
    assert store.kind == "memory"


def test_a_full_disk_leaves_nothing_behind_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("simlib.security.stores.encrypted_file.write_whole", full)
    store = EncryptedFileStore(tmp_path, b"secret")
    assert store.signing_key(*NAME).sign(DIGEST, deterministic=True)
    assert (store.kind, files(tmp_path)) == ("memory", [])


def _keep(folder: str) -> bytes:
    return EncryptedFileStore(Path(folder)).signing_key(*NAME).public().keyhash


def test_processes_that_begin_a_store_together_agree_on_its_passphrase(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.map(_keep, [str(tmp_path)] * 6, chunksize=1)
    assert len(set(found)) == 1
    assert len(files(tmp_path)) == 2
    EncryptedFileStore(tmp_path).signing_key(*NAME)


def test_a_slower_process_takes_the_passphrase_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("the other's\n")
    passphrases._make(tmp_path / "passphrase")
    assert passphrases.passphrase_for(tmp_path, {}) == b"the other's"
    assert files(tmp_path) == ["passphrase"]


def test_the_check_value_depends_on_name_and_key() -> None:
    one, other = (derive_private("ed25519", seed, "p").public_key() for seed in (1, 2))
    values = {
        check_value("ed25519", 1, "p", one),
        check_value("ed25519", 1, "p", other),
        check_value("ed25519", 2, "p", one),
        check_value("ed25519", 1, "q", one),
    }
    assert len(values) == 4


def test_stores_are_opened_by_the_names_that_a_scenario_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simlib.scenario.schema import KEY_STORES

    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    assert STORES == KEY_STORES
    store: KeyStore = open_store("file")
    assert isinstance(store, EncryptedFileStore) and store.folder == tmp_path / "keys"
    with pytest.raises(InputError, match=r"release.keys: found 'drawer', expected one of file, pkcs11"):
        open_store("drawer")


def fleet() -> Scenario:
    document = 'schema = 1\nname = "keys"\ndevices = 3\n[release]\nsize = "64 KiB"\nseed = 99\n'
    return Scenario.from_toml(document)


def test_a_run_keeps_its_keys_and_names_the_place_and_its_digest_hangs_on_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for folder in (tmp_path / "good", tmp_path / "bad"):
        runs._synthetic.cache_clear()
        monkeypatch.setenv("SIMLIB_CACHE", str(folder))
        if folder.name == "bad":
            folder.write_text("in the way")
        found.append(run(fleet(), memo=False).summary)
    runs._synthetic.cache_clear()
    assert [summary["keys"] for summary in found] == ["encrypted-file", "memory"]
    assert found[0]["digest"] == found[1]["digest"]
    assert len(list((tmp_path / "good" / "keys").glob("*.pem"))) == 2  # to sign, and the devices' own


def test_a_run_on_a_damaged_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    runs._synthetic.cache_clear()
    run(fleet(), memo=False)
    for path in (tmp_path / "keys").glob("*.pem"):
        path.write_text("nothing")
    runs._synthetic.cache_clear()
    with pytest.raises(InputError, match=r"keys: .*found 0 PEM blocks"):
        run(fleet(), memo=False)
    runs._synthetic.cache_clear()
