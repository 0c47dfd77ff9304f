"""The memo gives back exactly what was put in, or nothing; and no trouble with its file is the caller's."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.device import memo as memo_module
from simlib.device.memo import Memo, code_identity, memo_key
from tests.amounts import examples

KEY, OTHER = memo_key("a"), memo_key("b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "bench.sqlite3"


def test_what_was_put_is_got_by_another_object(path: Path) -> None:
    Memo(path).put(KEY, b"value")
    assert Memo(path).get(KEY) == b"value"
    assert Memo(path).get(OTHER) is None


def test_the_default_file_lies_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "own"))
    Memo.open_default().put(KEY, b"value")
    assert [file.name for file in (tmp_path / "own").iterdir()] == ["bench.sqlite3"]


@pytest.mark.parametrize(
    "damage", [b"", b"not a database, not at all" * 100, bytes(100), b"SQLite format 3\0" + bytes(4000)]
)
def test_a_damaged_file_is_begun_anew(path: Path, damage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    store = Memo(path)
    assert store.get(KEY) is None
    store.put(KEY, b"value")
    store.put(KEY, b"value")  # a first use may have found the damage and cleared it away
    assert Memo(path).get(KEY) == b"value"


@settings(max_examples=examples(40), deadline=None)
@given(st.data())
def test_bytes_spoiled_anywhere_in_the_file_never_give_a_wrong_value(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("spoiled") / "bench.sqlite3"
    store = Memo(path)
    values = {memo_key(str(n)): bytes([n]) * 300 for n in range(40)}
    for key, value in values.items():
        store.put(key, value)
    store.close()
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=30)):
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    spoiled = Memo(path)
    for key, value in values.items():
        assert spoiled.get(key) in (None, value)
    spoiled.put(KEY, b"new")
    spoiled.put(KEY, b"new")
    assert spoiled.get(KEY) in (None, b"new")
    spoiled.close()


def test_a_file_whose_schema_is_no_longer_text_is_begun_anew(path: Path) -> None:
    """sqlite then quotes bytes in its message that Python cannot decode: no error of its own kind."""
    store = Memo(path)
    store.put(KEY, b"value")
    store.close()
    path.write_bytes(
        path.read_bytes().replace(b"key BLOB", b"k\xff\xff BLOB").replace(b"TABLE memo", b"TABLE\xcememo")
    )
    spoiled = Memo(path)
    assert spoiled.get(KEY) is None
    spoiled.put(KEY, b"new")
    assert Memo(path).get(KEY) == b"new"


def test_a_value_moved_to_another_key_is_not_believed(path: Path) -> None:
    Memo(path).put(KEY, b"value")
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE memo SET key = ?", (OTHER,))
    raw.close()
    assert Memo(path).get(OTHER) is None


def test_a_locked_file_is_passed_over_until_it_is_free(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo_module, "_BUSY_SECONDS", 0.05)
    Memo(path).put(KEY, b"value")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    store = Memo(path)
    assert store.get(KEY) is None
    store.put(OTHER, b"lost")
    holder.execute("ROLLBACK")
    holder.close()
    assert store.get(KEY) == b"value", "the file was not touched, and the store uses it again"
    assert store.get(OTHER) is None
    store.put(OTHER, b"kept")
    assert Memo(path).get(OTHER) == b"kept"


@pytest.mark.parametrize("call", ["get", "put"])
def test_a_store_found_busy_in_use_is_used_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(memo_module, "_BUSY_SECONDS", 0.05)
    store = Memo(path)
    store.put(KEY, b"value")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    for _ in range(3):
        if call == "get":
            assert store.get(KEY) is None
        else:
            store.put(OTHER, b"lost")
    holder.execute("ROLLBACK")
    holder.close()
    assert store.get(KEY) == b"value"
    store.put(OTHER, b"kept")
    assert Memo(path).get(OTHER) == b"kept"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to give up root's rights")
def test_a_read_only_store_is_read_and_left_alone() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        path = folder / "bench.sqlite3"
        Memo(path).put(KEY, b"value")
        before = path.read_bytes()
        path.chmod(0o444)
        folder.chmod(0o555)
        child = os.fork()
        if child == 0:
            if os.getuid() == 0:
                os.setuid(65534)  # root may write anything
            store = Memo(path)
            store.put(OTHER, b"lost")
            os._exit(0 if store.get(KEY) == b"value" and store.get(OTHER) is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        folder.chmod(0o755)
        assert path.read_bytes() == before


def test_a_place_where_nothing_can_be_kept_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "bench.sqlite3", tmp_path):
        store = Memo(path)
        store.put(KEY, b"value")
        assert store.get(KEY) is None
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_store_grown_too_large_is_begun_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Memo(path).put(KEY, bytes(5000))
    monkeypatch.setattr(memo_module, "LARGEST_FILE_BYTES", 1000)
    assert Memo(path).get(KEY) is None


def test_a_store_grown_too_large_that_is_in_use_stays_in_use(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows removes no file that another process has open."""
    Memo(path).put(KEY, bytes(5000))
    monkeypatch.setattr(memo_module, "LARGEST_FILE_BYTES", 1000)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError("in use")))
    store = Memo(path)
    assert store.get(KEY) == bytes(5000)
    store.put(OTHER, b"kept")
    assert store.get(OTHER) == b"kept"


def _fill(path: Path, first: int) -> None:
    store = Memo(path)
    for n in range(first, first + 60):
        store.put(n.to_bytes(32, "big"), str(n).encode())


def test_several_processes_may_write_at_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(path, first)) for first in (0, 30)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    store = Memo(path)
    assert [store.get(n.to_bytes(32, "big")) for n in range(90)] == [str(n).encode() for n in range(90)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_a_connection_of_its_own(path: Path) -> None:
    store = Memo(path)
    store.put(KEY, b"value")
    parents = store._connection
    child = os.fork()
    if child == 0:
        store.put(OTHER, b"child")
        os._exit(0 if store.get(KEY) == b"value" and store._connection is not parents else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.get(OTHER) == b"child"


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_different_parts_have_different_keys(one: list[str], other: list[str]) -> None:
    assert (memo_key(*one) == memo_key(*other)) == (one == other)


def _identity_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(memo_module, "__file__", str(root / "device" / "memo.py"))
    code_identity.cache_clear()
    return code_identity()


def test_the_identity_follows_code_and_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in (*memo_module.COMPUTING_PACKAGES, "rollout"):
        (tmp_path / package / "inner").mkdir(parents=True)
        (tmp_path / package / "inner" / "code.py").write_text("x = 1\n")
    (tmp_path / "errors.py").write_text("")
    try:
        seen = {_identity_in(tmp_path, monkeypatch)}
        assert {_identity_in(tmp_path, monkeypatch)} == seen
        for package in memo_module.COMPUTING_PACKAGES:
            (tmp_path / package / "inner" / "code.py").write_text("x = 2\n")
            seen.add(_identity_in(tmp_path, monkeypatch))
        (tmp_path / "errors.py").write_text("y = 3\n")
        seen.add(_identity_in(tmp_path, monkeypatch))
        (tmp_path / "device" / "more.py").write_text("")
        seen.add(_identity_in(tmp_path, monkeypatch))
        last = len(seen)
        (tmp_path / "rollout" / "inner" / "code.py").write_text("x = 2\n")
        seen.add(_identity_in(tmp_path, monkeypatch))
        assert last == len(memo_module.COMPUTING_PACKAGES) + 3
        assert len(seen) == last, "code that computes no transition does not count"
        for library in memo_module.COMPUTING_LIBRARIES:
            real = memo_module._version_of
            monkeypatch.setattr(
                memo_module,
                "_version_of",
                lambda name, real=real, it=library: "0" if name == it else real(name),
            )
            seen.add(_identity_in(tmp_path, monkeypatch))
        assert len(seen) == last + len(memo_module.COMPUTING_LIBRARIES)
    finally:
        code_identity.cache_clear()
