"""Synthetic chains kept on disk: the same bytes, made once, and never in the way."""

from __future__ import annotations

import pytest

from simlib.firmware import kept as kept_module
from simlib.firmware.kept import kept


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    return tmp_path / "synthetic"


class Maker:
    def __init__(self, *chain: bytes) -> None:
        self.chain, self.times = chain, 0

    def __call__(self) -> tuple[bytes, ...]:
        self.times += 1
        return self.chain


@pytest.mark.parametrize("chain", [(b"one", b"", b"three" * 1000), (), (b"",)])
def test_a_chain_is_made_once_for_its_arguments(cache, chain):
    make = Maker(*chain)
    assert kept((1, "a"), make) == kept((1, "a"), make) == chain
    assert make.times == 1
    assert kept((1, "b"), make) == chain
    assert make.times == 2
    assert len(list(cache.iterdir())) == 2


def test_other_code_makes_it_anew(cache, monkeypatch):
    make = Maker(b"one")
    kept(1, make)
    monkeypatch.setattr(kept_module, "_makers", lambda: "other code")
    kept(1, make)
    assert make.times == 2


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b[:3], lambda b: b"", lambda b: b[:-1] + b"x"])
def test_a_file_that_is_not_whole_is_made_anew(cache, spoil):
    make = Maker(b"one", b"two")
    kept(1, make)
    (file,) = cache.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    assert kept(1, make) == (b"one", b"two")
    assert make.times == 2
    assert kept(1, make) == (b"one", b"two")
    assert make.times == 2


def test_a_cache_that_cannot_be_written_is_not_missed(cache):
    cache.write_bytes(b"a file where the folder would be")
    make = Maker(b"one")
    assert kept(1, make) == kept(1, make) == (b"one",)
    assert make.times == 2


def test_the_newest_files_stay(cache, monkeypatch):
    monkeypatch.setattr(kept_module, "MOST_FILES", 2)
    makers = [Maker(bytes([n])) for n in range(4)]
    for n, make in enumerate(makers):
        kept(n, make)
    assert len(list(cache.iterdir())) == 2
