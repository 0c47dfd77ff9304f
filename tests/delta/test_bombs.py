"""A small patch that asks for much memory is refused within little memory and little processor time.

The patches are made here and handed over as files; each is applied in a process of its own that has done
nothing else, so that its peak is the application's. Going over the limits on address space or processor time
makes that process fail or kills it.
"""

from __future__ import annotations

import bz2
import json
import lzma
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from heatshrink2 import core

from simlib.delta.envelope import seal

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
LIMIT_BYTES = 64 * MIB
NOTHING = bz2.compress(b"")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")

CHILD = """
import bz2, json, resource, sys
from pathlib import Path
from simlib.delta import apply_patch
from simlib.errors import Refused

def status_kib(name):
    # Not ru_maxrss: that one starts with the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name + ":")).split()[1])

def seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

folder, max_result_bytes, limit_bytes, limit_s = Path(sys.argv[1]), *map(int, sys.argv[2:])
old, patch = (folder / "old").read_bytes(), (folder / "patch").read_bytes()
address_space = status_kib("VmSize") * 1024 + limit_bytes
before_kib, before_s = status_kib("VmRSS"), seconds()
cpu_limit = int(before_s) + limit_s  # counted from the start of the process, in whole seconds
resource.setrlimit(resource.RLIMIT_CPU, (cpu_limit, cpu_limit + 1))
resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
try:
    apply_patch(old, patch, max_result_bytes=max_result_bytes)
    verdict = "applied"
except Refused as error:
    verdict = str(error.reason)
after_s, peak_kib = seconds(), status_kib("VmHWM")
for block in sorted(folder.glob("block*")):
    bz2.decompress(block.read_bytes())
print(json.dumps({
    "verdict": verdict,
    "grown_bytes": 1024 * (peak_kib - before_kib),
    "cpu_s": after_s - before_s,
    "bzip2_s": seconds() - after_s,
}))
"""


def applied_alone(folder, old, patch, *, max_result_bytes, limit_s):
    """What applying costs a process that does nothing else, and the verdict."""
    (folder / "old").write_bytes(old)
    (folder / "patch").write_bytes(patch)
    numbers = map(str, (max_result_bytes, LIMIT_BYTES, limit_s))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, folder, *numbers],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


def repeated(block, count):
    """bz2 of block * count without ever holding it."""
    engine = bz2.BZ2Compressor()
    piece = block * (MIB // len(block))
    parts = [engine.compress(piece) for _ in range(len(block) * count // len(piece))]
    return b"".join(parts) + engine.flush()


def integers(values):
    """bsdiff's numbers: 8 bytes, little endian, sign and magnitude."""
    signed = np.asarray(values, dtype=np.int64)
    return (np.abs(signed).astype("<u8") | (signed < 0).astype("<u8") << np.uint64(63)).tobytes()


def patch_of(control, diff=NOTHING, extra=NOTHING, *, old=None, result_size=MIB, size=None, lengths=None):
    """A sealed patch to a result of zeros; `size` and `lengths` are what its bsdiff4 header says."""
    header = [*(lengths or (len(control), len(diff))), result_size if size is None else size]
    payload = b"BSDIFF40" + integers(header) + control + diff + extra
    return seal("bsdiff4", OLD if old is None else old, bytes(result_size), payload)


def one_triple(x, y):
    return bz2.compress(integers([x, y, 0]))


def detools_of(compression, kind, body):
    """A sealed detools patch to a result of 1 MiB of zeros; `kind` is the number of its compression."""
    payload = bytes([kind]) + detools_number(MIB) + body
    return seal(f"detools-{compression}", OLD, bytes(MIB), payload)


def detools_number(value):
    out = bytearray([value & 0x3F])
    value >>= 6
    while value:
        out[-1] |= 0x80
        out.append(value & 0x7F)
        value >>= 7
    return bytes(out)


def lzma_alone(pieces):
    engine = lzma.LZMACompressor(lzma.FORMAT_ALONE)
    return b"".join(map(engine.compress, pieces)) + engine.flush()


def heatshrunk(pieces):
    encoder = core.Encoder(core.Writer(window_sz2=8, lookahead_sz2=7))
    return b"\x44" + b"".join(map(encoder.fill, pieces)) + encoder.finish()


RESULT = b"\0" + detools_number(0) + detools_number(MIB) + bytes(MIB) + detools_number(0)
LONG_RUN = b"\1" + b"\xff" * 7 + b"\x7f" + b"\0"  # CRLE: 2^56 zeros
OLD = bytes(range(256)) * 4096
BOMBS = {
    "CRLE without end": lambda: detools_of("crle", 2, LONG_RUN),
    "CRLE of many runs": lambda: detools_of("crle", 2, LONG_RUN * 100),
    "an LZMA stream of 256 MB behind its result": lambda: detools_of(
        "lzma", 1, lzma_alone([RESULT, *[bytes(MIB)] * 256])
    ),
    "an LZMA stream of nothing but empty parts": lambda: detools_of("lzma", 1, lzma_alone([bytes(MIB)] * 32)),
    "heatshrink of nothing but empty parts": lambda: detools_of("heatshrink", 4, heatshrunk([bytes(60_000)])),
    "a huge extra block": lambda: patch_of(one_triple(0, MIB), extra=repeated(bytes(1), 1 << 28)),
    "a huge diff block": lambda: patch_of(one_triple(MIB, 0), diff=repeated(bytes(1), 1 << 28)),
    "a huge control block": lambda: patch_of(repeated(bytes(1), 1 << 28)),
    "ten million empty triples": lambda: patch_of(repeated(bytes(24), 10_000_000)),
    "result of 2^40": lambda: patch_of(one_triple(0, 1 << 40), size=1 << 40),
    "negative sizes": lambda: patch_of(one_triple(0, MIB), lengths=(-1, -1)),
    "sizes of 2^40": lambda: patch_of(one_triple(0, MIB), lengths=(1 << 40, 1 << 40)),
}


@linux_only
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_little_memory_and_a_second(tmp_path, name):
    bomb = BOMBS[name]()
    assert len(bomb) < (1_500 if "LZMA" not in name else 50_000)
    found = applied_alone(tmp_path, OLD, bomb, max_result_bytes=MIB, limit_s=2)
    assert found["verdict"] == "patch-damaged"
    assert found["grown_bytes"] < (10 * MIB if "LZMA" not in name else 18 * MIB)  # with the dictionary
    assert found["cpu_s"] <= 1


def most_triples(size, x, y, to_anywhere, old):
    """The blocks of a patch of as many triples as `size` may have, from anywhere in the base or its start."""
    count = size // 9
    source = np.random.default_rng(1)
    goals = source.integers(0, len(old) - 9, count) if to_anywhere else np.zeros(count, dtype=np.int64)
    moves = goals - np.concatenate(([0], goals[:-1])) - x
    triples = np.column_stack((np.full(count, x), np.full(count, y), moves))
    noise = source.bytes(size)
    control = integers(triples.ravel()) + integers([0, size - 9 * count, 0])
    return [bz2.compress(block) for block in (control, noise[: x * count], noise[x * count :])]


@linux_only
@pytest.mark.parametrize(
    ("size", "x", "y", "to_anywhere"),
    [
        *((size, 4, 5, True) for size in (480 << 10, MIB, 2 * MIB, 4 * MIB)),
        (MIB, 9, 0, True),
        (MIB, 0, 9, True),
        (MIB, 4, 5, False),
    ],
)
def test_the_worst_patch_costs_little_more_than_its_result_and_bzip2(tmp_path, size, x, y, to_anywhere):
    old = random.Random(5).randbytes(size)
    blocks = most_triples(size, x, y, to_anywhere, old)
    for number, block in enumerate(blocks):
        (tmp_path / f"block{number}").write_bytes(block)
    patch = patch_of(*blocks, old=old, result_size=size)
    for _ in range(3):  # a busy machine adds to the time, never takes from it
        found = applied_alone(tmp_path, old, patch, max_result_bytes=size, limit_s=20)
        assert found["verdict"] == "result-mismatch"
        assert found["grown_bytes"] < 4 * size + 6 * MIB
        assert found["grown_bytes"] < LIMIT_BYTES // 2
        budget_s = max(1, 2 * found["bzip2_s"])  # where bzip2 alone takes long, the machine is slow
        if found["cpu_s"] <= budget_s:
            break
    assert found["cpu_s"] <= budget_s
