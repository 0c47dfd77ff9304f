"""Counters in a TPM 2.0: swtpm as a child process, spoken to by tpm2-pytss.

The child gets one end of a pair of sockets and nothing else does, so no port is open and no other program can
reach it. It ends when the other end closes, whichever way this process ends. Its non-volatile memory is files
in a folder: someone who can write there can put an older one back, which a real part does not allow.

Both parts are optional (``simlib.security.counters.open_tpm`` falls back on the model) and loaded when used.
"""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from simlib.errors import InputError, MissingPartError, SimlibError
from simlib.security.counters.monotonic import MonotonicCounter, absent, check_index, taken

_ANSWER_SECONDS: Final = 20.0
_END_SECONDS: Final = 5.0
_COUNTER_BYTES: Final = 8
_SIZE_AT: Final = slice(2, 6)  # of a response's header: where its length stands
_NT_SHIFT: Final = 4  # TPMA_NV: where the kind of an index stands
_LOG: Final = "swtpm.log"
_INSTALL: Final = "the model of it needs nothing"


class SwtpmTpm:
    """A running TPM whose memory is in `folder`, or in a temporary one that goes when it is closed.

    Raises `MissingPartError` without swtpm or tpm2-pytss, `InputError` for a folder that it cannot use.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._program = _program()
        self._library = _library()
        self._own = tempfile.TemporaryDirectory(prefix="simlib-tpm-") if folder is None else None
        self._folder = Path(self._own.name) if self._own is not None else Path(str(folder))
        if not self._folder.is_dir():
            raise InputError(f"{self._folder}: found no folder, expected one for the memory of a TPM")
        self.kind: Final = f"tpm ({_version(self._program)})"
        self._handles: dict[int, Any] = {}  # of counters met since the start: nobody else can change them
        self._start()

    def __enter__(self) -> SwtpmTpm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def define(self, index: int) -> MonotonicCounter:
        """A new counter, with its first increment."""
        check_index(index)
        if self._is_defined(index):
            raise taken(index)
        types, constants = self._library, self._library.constants
        attributes = (
            constants.TPMA_NV.OWNERREAD
            | constants.TPMA_NV.OWNERWRITE
            | constants.TPMA_NV.NO_DA
            | (constants.TPM2_NT.COUNTER << _NT_SHIFT)
        )
        public = types.TPM2B_NV_PUBLIC(
            types.TPMS_NV_PUBLIC(
                nvIndex=index,
                nameAlg=constants.TPM2_ALG.SHA256,
                attributes=attributes,
                dataSize=_COUNTER_BYTES,
            )
        )
        self._handles[index] = self._esapi.nv_define_space(b"", public)
        self._esapi.nv_increment(self._handles[index], auth_handle=constants.ESYS_TR.RH_OWNER)
        return MonotonicCounter(self, index)

    def counter(self, index: int) -> MonotonicCounter:
        """The counter at `index`."""
        self._expect(index)
        return MonotonicCounter(self, index)

    def undefine(self, index: int) -> None:
        """Take a counter away."""
        self._esapi.nv_undefine_space(self._expect(index))
        del self._handles[index]

    def value(self, index: int) -> int:
        """The value of the counter at `index`."""
        owner = self._library.constants.ESYS_TR.RH_OWNER
        read = self._esapi.nv_read(self._expect(index), _COUNTER_BYTES, auth_handle=owner)
        return int.from_bytes(bytes(read), "big")

    def raised(self, index: int) -> int:
        """The value of the counter at `index` after one more increment."""
        owner = self._library.constants.ESYS_TR.RH_OWNER
        self._esapi.nv_increment(self._expect(index), auth_handle=owner)
        return self.value(index)

    def cut_power(self) -> None:
        """Kill the TPM without a shutdown, and start it on what its memory then holds."""
        self._process.kill()
        self._let_go()
        self._start()

    def close(self) -> None:
        """Shut the TPM down; its folder stays unless it was a temporary one."""
        if self._end.alive:
            with suppress(self._library.TSS2_Exception, OSError):
                self._esapi.shutdown(self._library.constants.TPM2_SU.CLEAR)
            self._let_go()
        if self._own is not None:
            self._own.cleanup()

    def _let_go(self) -> None:
        with suppress(self._library.TSS2_Exception):
            self._esapi.close()
        self._handles.clear()
        self._end()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(_ANSWER_SECONDS)
        command = [self._program, "socket", "--tpm2", "--tpmstate", f"dir={self._folder}"]
        command += ["--fd", str(theirs.fileno()), "--flags", "not-need-init,startup-clear"]
        command += ["--log", f"file={self._folder / _LOG},truncate"]
        with theirs:
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._process = process
        self._end = weakref.finalize(self, _end, process, ours)
        try:
            self._wire = _wire(self._library, ours)
            self._esapi = self._library.ESAPI(self._wire)
            self._esapi.get_random(1)
        except (self._library.TSS2_Exception, OSError) as error:
            self._end()
            raise InputError(
                f"{self._folder}: found a TPM that does not answer ({self._complaint() or error}), "
                "expected one to start there"
            ) from error

    def _complaint(self) -> str:
        """The last thing that the TPM wrote into its log."""
        with suppress(OSError):
            lines = (self._folder / _LOG).read_text(encoding="utf-8", errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def _is_defined(self, index: int) -> bool:
        constants = self._library.constants
        _, data = self._esapi.get_capability(constants.TPM2_CAP.HANDLES, index, 1)
        return index in [int(handle) for handle in data.data.handles]

    def _expect(self, index: int) -> Any:
        if index not in self._handles:
            if not self._is_defined(index):
                raise absent(index)
            self._handles[index] = self._esapi.tr_from_tpmpublic(index)
        return self._handles[index]


def _end(process: subprocess.Popen[bytes], ours: socket.socket) -> None:
    """Close the wire, at which the child ends; see that it does."""
    ours.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wire(library: Any, ours: socket.socket) -> Any:
    """How the library's calls reach the TPM: a response's header says how long it is."""

    class Wire(library.PyTCTI):  # type: ignore[misc] # an optional part, so its classes are Any
        def do_transmit(self, command: bytes) -> None:
            ours.sendall(command)

        def do_receive(self, timeout: int) -> bytes:
            header = _exactly(ours, _SIZE_AT.stop)
            return header + _exactly(ours, int.from_bytes(header[_SIZE_AT], "big") - len(header))

    return Wire()


def _exactly(ours: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = ours.recv(size - len(data))
        if not more:
            raise ConnectionResetError("the TPM ended")
        data += more
    return data


def _program() -> str:
    found = shutil.which("swtpm")
    if found is None or os.name != "posix":
        raise MissingPartError(
            f"TPM: found no swtpm, expected it (Debian and Ubuntu: apt install swtpm); {_INSTALL}"
        )
    return found


def _library() -> Any:
    # What the library says on standard error beside its exceptions is silenced, unless somebody wants it.
    os.environ.setdefault("TSS2_LOG", "all+none")
    try:
        return importlib.import_module("tpm2_pytss")
    except (ImportError, OSError):
        raise MissingPartError(
            "TPM: found no tpm2-pytss, expected it (Debian and Ubuntu: apt install libtss2-dev pkg-config; "
            f'then pip install "simlib[hardware]"); {_INSTALL}'
        ) from None


def _version(program: str) -> str:
    """The program's name and version, as in "swtpm 0.7.1"."""
    try:
        text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError as error:
        raise SimlibError(f"{program}: found {error.strerror}, expected a program") from error
    words = text.replace(",", " ").split()
    return f"swtpm {words[words.index('version') + 1]}" if "version" in words[:-1] else "swtpm"
