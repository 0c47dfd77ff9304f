"""Synthetic chains kept on disk, so that the next process need not make them again.

A chain follows from its arguments and from the code that makes it, and the name of its file is the hash of
both. Like all of the cache it is a convenience: a file that cannot be read, or is not whole, is made anew,
and one that cannot be written is not missed. Of the files the newest `MOST_FILES` stay.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

from simlib.firmware.cache import cache_dir
from simlib.firmware.files import write_whole

FOLDER: Final = "synthetic"
MOST_FILES: Final = 64
_COUNT: Final = struct.Struct("<I")
_SIZE: Final = struct.Struct("<Q")
_HASH_BYTES: Final = 32


def kept(arguments: object, make: Callable[[], tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """What `make` gives for `arguments`, whose text says all that it depends on; kept on the disk."""
    name = sha256(f"{_makers()}\0{arguments!r}".encode()).hexdigest()
    path = cache_dir() / FOLDER / f"{name}.chain"
    with suppress(OSError):
        if (found := _unpacked(path.read_bytes())) is not None:
            path.touch()
            return found
    made = make()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _packed(made))
        _forget_the_oldest(path.parent)
    return made


@lru_cache(maxsize=1)
def _makers() -> str:
    """A hash of the code that makes chains, and the library that it stands on."""
    root = Path(__file__).parents[1]
    digest = sha256(f"numpy {version('numpy')}".encode())
    for file in (root / "draws.py", *sorted((root / "firmware").rglob("*.py"))):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _packed(chain: tuple[bytes, ...]) -> bytes:
    sizes = b"".join(_SIZE.pack(len(each)) for each in chain)
    content = b"".join((_COUNT.pack(len(chain)), sizes, *chain))
    return sha256(content).digest() + content


def _unpacked(data: bytes) -> tuple[bytes, ...] | None:
    """The chain in a file; None for one that is not whole."""
    content = data[_HASH_BYTES:]
    if len(content) < _COUNT.size or sha256(content).digest() != data[:_HASH_BYTES]:
        return None
    (count,) = _COUNT.unpack_from(content)
    at = _COUNT.size + count * _SIZE.size
    chain = []
    for number in range(count):
        (size,) = _SIZE.unpack_from(content, _COUNT.size + number * _SIZE.size)
        chain.append(content[at : at + size])
        at += size
    return tuple(chain)


def _forget_the_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.chain"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[MOST_FILES:]:
        file.unlink(missing_ok=True)
