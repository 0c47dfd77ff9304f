"""Results of the bench remembered on disk, so that a case once computed is never computed again.

A key is the hash of everything a result depends on: the inputs, the code that computed it and the
libraries that code stands on. Remembering a pure function is exact, so a hit is as good as a run.

The store is a convenience and never a reason to fail. It cannot be opened, read or written: the bench
computes. Its file is damaged: it is put away and begun anew. A row is damaged: its checksum is wrong and
it counts as absent. Several processes may use it at once (sqlite's own locks): a busy store is waited for
once, and from then on asked again at each use without waiting. It holds nothing secret, and deleting the
file costs time only.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import threading
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from simlib.firmware.cache import cache_dir

COMPUTING_PACKAGES: Final = ("firmware", "security", "delta", "release", "device")
"""The packages whose code a result depends on; beside them simlib's own top-level modules."""
COMPUTING_LIBRARIES: Final = (
    "cryptography",
    "bsdiff4",
    "detools",
    "hdiffpatch",
    "heatshrink2",
    "zstandard",
    "numpy",
)
FILE_NAME: Final = "bench.sqlite3"
LARGEST_FILE_BYTES: Final = 1 << 30
"""A store that has grown beyond this is begun anew, unless it is in use: it remembers code long gone."""
_BUSY_SECONDS: Final = 2.0
_CHECKSUM_BYTES: Final = 16
_TROUBLE: Final = (sqlite3.Error, OSError, ValueError, MemoryError)
"""What sqlite raises for a spoiled file; ValueError where its own message quotes bytes that are no text."""
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UNSOUND: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS memo (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"


class Memo:
    """Bytes under keys of 32 bytes, in one sqlite file. Nothing is opened before the first use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._usable = True
        self._writable = True
        self._patience_seconds = _BUSY_SECONDS

    @classmethod
    def open_default(cls) -> Memo:
        """The one in simlib's cache folder."""
        return cls(cache_dir() / FILE_NAME)

    def get(self, key: bytes) -> bytes | None:
        """What was put under `key`; None where nothing was, or nothing whole."""
        with self._lock:
            try:
                connection = self._open()
                if connection is None:
                    return None
                row = connection.execute("SELECT value FROM memo WHERE key = ?", (key,)).fetchone()
            except _TROUBLE as error:
                self._give_up_or_renew(error)
                return None
        if row is None or not isinstance(row[0], bytes):
            return None
        checksum, value = row[0][:_CHECKSUM_BYTES], row[0][_CHECKSUM_BYTES:]
        return value if checksum == _checksum(key, value) else None

    def put(self, key: bytes, value: bytes) -> None:
        """Keep `value` under `key`; where that is not possible, nothing happens."""
        with self._lock:
            try:
                connection = self._open()
                if connection is None or not self._writable:
                    return
                connection.execute(
                    "INSERT OR REPLACE INTO memo (key, value) VALUES (?, ?)",
                    (key, _checksum(key, value) + value),
                )
            except _TROUBLE as error:
                self._give_up_or_renew(error)

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def _open(self) -> sqlite3.Connection | None:
        if self._process != os.getpid():
            # A connection must not cross a fork (sqlite.org/howtocorrupt.html, 2.6).
            self._connection, self._process = None, os.getpid()
        if self._connection is None and self._usable:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_file() and self.path.stat().st_size > LARGEST_FILE_BYTES:
                with suppress(OSError):  # Windows: somebody has it open. It goes on being used as it is
                    self.path.unlink(missing_ok=True)
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._patience_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            # Losing the last rows, or the whole file, to a power cut of this machine or to a process that was
            # killed in the middle of a write costs a recomputation.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")
            try:
                connection.execute(_SCHEMA)
            except sqlite3.OperationalError as error:
                if _primary_code(error) in _BUSY:
                    raise
                self._writable = False  # a read-only file or folder: what is there may still be read
                connection.execute("SELECT key, value FROM memo LIMIT 1")
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_up_or_renew(self, error: Exception) -> None:
        """Ask a busy store again later; replace an unsound file; only read one that cannot be written; else
        stop using it.
        """
        with suppress(sqlite3.Error):
            self._disconnect()
        primary = _primary_code(error)
        if primary in _BUSY:
            self._patience_seconds = 0.0
            return
        if primary == sqlite3.SQLITE_READONLY:
            self._writable = False
            return
        unsound = primary in _UNSOUND or isinstance(error, ValueError | MemoryError)
        if not unsound or not self._writable:
            self._usable = False
            return
        for name in (self.path, Path(f"{self.path}-journal")):
            try:
                name.unlink(missing_ok=True)
            except OSError:
                self._usable = False

    def _disconnect(self) -> None:
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
        self._connection = None


@lru_cache(maxsize=1)
def code_identity() -> str:
    """SHA-256 over what computes a result: simlib's own source and the versions of what it stands on."""
    root = Path(__file__).parents[1]
    files = sorted(root.glob("*.py"))
    for package in COMPUTING_PACKAGES:
        files += sorted((root / package).rglob("*.py"))
    digest = sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    for library in COMPUTING_LIBRARIES:
        digest.update(f"{library}\0{_version_of(library)}\0".encode())
    digest.update(f"{platform.python_implementation()}\0{platform.python_version_tuple()[:2]}".encode())
    return digest.hexdigest()


def memo_key(*parts: str) -> bytes:
    """The key of a result that depends on `parts` and on `code_identity`."""
    digest = sha256()
    for part in (code_identity(), *parts):
        text = part.encode()
        digest.update(len(text).to_bytes(8, "little"))
        digest.update(text)
    return digest.digest()


def _primary_code(error: Exception) -> int | None:
    """sqlite's primary result code (its extended codes add bits above)."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _checksum(key: bytes, value: bytes) -> bytes:
    return sha256(key + value).digest()[:_CHECKSUM_BYTES]


def _version_of(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"
