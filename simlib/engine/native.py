"""Machine code: made from LLVM's intermediate representation once, kept on disk, loaded in milliseconds.

What is kept has a name made of the hash of everything it depends on (the caller's sources, LLVM's version,
the processor), so nothing stale or foreign is ever found. A store that cannot be written or read costs a
compilation of some seconds and is no error.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import llvmlite
import llvmlite.binding as llvm

_loaded: dict[str, Library] = {}
_lock = threading.Lock()
SUFFIX: Final = ".simlib-code"


class Library:
    """Loaded machine code. Its functions take and give 64-bit integers; other threads run meanwhile."""

    def __init__(self, code: bytes) -> None:
        machine = _machine()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def function(self, name: str, arguments: int) -> Callable[..., int]:
        """The exported function `name`. Raises `LookupError` if there is none."""
        address = self._engine.get_function_address(name)
        if not address:
            raise LookupError(f"{name}: found no such function, expected an exported one")
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arguments)
        call: Callable[..., int] = kind(address)
        call.library = self  # type: ignore[attr-defined]  # which has to outlive it
        return call


def load(sources: Iterable[Path], build: Callable[[], str], folder: Path | None) -> Library:
    """The library that `build` gives the text of, if no machine code made from the same `sources` is kept.

    `folder` is where machine code is kept; None: nowhere but in this process.
    """
    name = _name(sources)
    with _lock:
        if name not in _loaded:
            _loaded[name] = Library(_machine_code(name, build, folder))
        return _loaded[name]


def is_kept(sources: Iterable[Path], folder: Path) -> bool:
    """Whether loading needs no compilation."""
    return (folder / f"{_name(sources)}{SUFFIX}").is_file()


def _name(sources: Iterable[Path]) -> str:
    machine = (
        f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    )
    digest = sha256(f"{machine} {llvmlite.__version__}".encode())
    for path in sources:
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:32]


def _machine_code(name: str, build: Callable[[], str], folder: Path | None) -> bytes:
    path = None if folder is None else folder / f"{name}{SUFFIX}"
    if path is not None:
        with suppress(OSError):
            checksum, _, code = path.read_bytes().partition(b"\n")
            if code and checksum == _checksum(code):
                return code
    code = compiled(build())
    if path is not None:
        with suppress(OSError):
            _keep(path, _checksum(code) + b"\n" + code)
    return code


def _checksum(code: bytes) -> bytes:
    return sha256(code).hexdigest().encode()


def _keep(path: Path, content: bytes) -> None:
    """Write the file whole or not at all; of two processes that write it at once, one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def compiled(text: str) -> bytes:
    """An object file for this machine's processor, optimised as a whole."""
    module = llvm.parse_assembly(text)
    module.verify()
    machine = _machine()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    manager = passes.getModulePassManager()
    manager.run(module, passes)
    return bytes(machine.emit_object(module))


def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, codemodel="jitdefault", jit=True
    )
