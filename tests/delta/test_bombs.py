"""A small patch that asks for gigabytes is refused within little memory and little processor time.

Each case runs in a process of its own under RLIMIT_AS and RLIMIT_CPU: going over kills it or makes it fail.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

resource = pytest.importorskip("resource")

ROOT = Path(__file__).parents[2]

CHILD = """
import bz2, resource
from pathlib import Path
from hashlib import sha256
import bsdiff4.core
from simlib.delta import apply_patch
from simlib.delta.envelope import seal
from simlib.errors import Refused

MIB = 1 << 20
OLD = bytes(range(256)) * 4096
encode = bsdiff4.core.encode_int64


def triples(*values):
    return b"".join(encode(value) for triple in values for value in triple)


def repeated(block, count):
    '''bz2 of block * count without ever holding it.'''
    engine = bz2.BZ2Compressor()
    piece = block * (MIB // len(block))
    parts = [engine.compress(piece) for _ in range(len(block) * count // len(piece))]
    return b"".join(parts) + engine.flush()


def patch(control, diff=bz2.compress(b""), extra=bz2.compress(b""), size=MIB, lengths=None):
    control_size, diff_size = lengths or (len(control), len(diff))
    head = b"BSDIFF40" + encode(control_size) + encode(diff_size) + encode(size)
    payload = head + control + diff + extra
    return seal("bsdiff4", OLD, bytes(MIB), payload)


def whole(x, y):
    return bz2.compress(triples((x, y, 0)))


%(recipe)s

limit = 64 * MIB
usage = resource.getrusage(resource.RUSAGE_SELF)
cpu_s = int(usage.ru_utime + usage.ru_stime) + %(cpu_s)d  # the limit counts from the start of the process
resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
try:
    result = apply_patch(OLD, bomb, max_result_bytes=MIB)
    verdict = "applied " + sha256(result).hexdigest()
except Refused as error:
    verdict = str(error.reason)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(len(bomb), grown, verdict)
"""

RECIPES = {
    "a gigabyte of extra block": "bomb = patch(whole(0, MIB), extra=repeated(bytes(1), 1 << 30))",
    "a huge diff block": "bomb = patch(whole(MIB, 0), diff=repeated(bytes(1), 1 << 28))",
    "a huge control block": "bomb = patch(repeated(bytes(1), 1 << 28))",
    "ten million empty triples": "bomb = patch(repeated(bytes(24), 10_000_000), size=MIB)",
    "result of 2^40": "bomb = patch(whole(0, 1 << 40), size=1 << 40)",
    "negative sizes": "bomb = patch(whole(0, MIB), lengths=(-1, -1))",
    "sizes of 2^40": "bomb = patch(whole(0, MIB), lengths=(1 << 40, 1 << 40))",
    "as many triples as are allowed": """
count = MIB // 9
rest = MIB - 9 * count
values = triples((4, 5, 0)) * count + triples((0, rest, 0))
noise = __import__("random").Random(1).randbytes(MIB)
bomb = patch(bz2.compress(values), bz2.compress(noise[: 4 * count]), bz2.compress(noise[4 * count :]))
""",
    "as many hard triples as are allowed": """
source = __import__("random").Random(1)
values, at = [], 0
for _ in range(MIB // 9):
    goal = source.randrange(len(OLD) - 9)
    values.append((4, 5, goal - at - 4))
    at = goal
values.append((0, MIB - 9 * len(values), 0))
noise = source.randbytes(MIB)
cut = 4 * (len(values) - 1)
bomb = patch(bz2.compress(triples(*values)), bz2.compress(noise[:cut]), bz2.compress(noise[cut:]))
""",
}
CPU_S = 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/statm")
@pytest.mark.parametrize("name", RECIPES)
def test_a_bomb_is_refused_within_64_mib(name):
    code = CHILD % {"recipe": textwrap.dedent(RECIPES[name]), "cpu_s": CPU_S}
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    _, grown_kib, verdict = child.stdout.split()
    assert verdict in ("patch-damaged", "result-mismatch")
    assert int(grown_kib) < 64 * 1024
