"""How much work the codecs' decoders are: instructions for each byte of the result, counted by callgrind.

    python benchmarks/decoders.py [--chain pybricks_cityhub]

Each library's own decoder, in C, takes a patch or a compressed image to the end once and five times; a fourth
of the difference is one run without the interpreter's start. The counted process imports nothing but the
library, hashes with a fixed seed and collects no garbage, so that a count is the same each time, whatever
else the machine does. The last table has the instructions of both pairs together, in percent of bsdiff4's:
the figure that a codec's traits give, rounded. How the codecs compare depends on the pair: a full image costs
the same for any base, a patch the more the more it holds. CRLE has no decoder in C here: it copies. valgrind
has to be installed.
"""

from __future__ import annotations

import argparse
import gc
import lzma
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

KIB = 1 << 10
FEW, MANY = 1, 5


def detools_body(payload: bytes) -> bytes:
    """The compressed part of a sequential payload: behind a byte and the result's size."""
    at = 1
    while payload[at] & 0x80:
        at += 1
    return payload[at + 1 :]


def decoder(name: str, old: bytes, payload: bytes) -> Callable[[], object]:
    """What the library does to decode `payload`; imports are done before it is counted."""
    match name:
        case "bsdiff4":
            import bsdiff4

            return lambda: bsdiff4.patch(old, payload)
        case "hdiffpatch-lzma2":
            import hdiffpatch

            return lambda: hdiffpatch.apply(old, payload)
        case "hpatchlite-tuz":
            import hdiffpatch

            return lambda: hdiffpatch.apply_lite(old, payload)
        case "zstd-patch-from" | "full-zstd":
            import zstandard

            raw = zstandard.DICT_TYPE_RAWCONTENT
            base = zstandard.ZstdCompressionDict(old, dict_type=raw) if old else None
            return lambda: zstandard.ZstdDecompressor(dict_data=base).decompress(payload)
        case "full-lzma":
            filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 128 * KIB}]
            return lambda: lzma.decompress(payload[2:], lzma.FORMAT_RAW, filters=filters)
        case "detools-lzma":
            return lambda: lzma.decompress(detools_body(payload))
    from heatshrink2 import core

    window, lookahead = (11, 4) if name == "full-heatshrink" else (8, 7)
    body = payload if name == "full-heatshrink" else detools_body(payload)[1:]

    def heatshrink() -> None:
        engine = core.Encoder(core.Reader(window_sz2=window, lookahead_sz2=lookahead))
        engine.fill(body)
        engine.finish()

    return heatshrink


COUNTED = (
    "bsdiff4",
    "detools-heatshrink",
    "detools-lzma",
    "hdiffpatch-lzma2",
    "hpatchlite-tuz",
    "zstd-patch-from",
    "full-heatshrink",
    "full-lzma",
    "full-zstd",
)


def instructions(name: str, old: bytes, payload: bytes) -> int:
    """Of one decoding, by callgrind."""
    with tempfile.NamedTemporaryFile(suffix=".pickle") as file:
        file.write(pickle.dumps((name, old, payload)))
        file.flush()
        counts = []
        for times in (FEW, MANY):
            child = (sys.executable, "-B", __file__, "--child", file.name, str(times))
            command = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *child)
            environment = {**os.environ, "PYTHONHASHSEED": "0"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            counts.append(int(re.search(r"Collected : (\d+)", done.stderr)[1]))
    return (counts[1] - counts[0]) // (MANY - FEW)


def pairs(chain: str | None) -> list[tuple[str, bytes, bytes]]:
    """Two pairs of firmwares, near and far apart."""
    from simlib.firmware.corpus import load_corpus
    from simlib.firmware.synthetic import synthetic_chain

    if chain is not None:
        images = [firmware.payload for firmware in load_corpus(chain)]
        return [(f"{chain} {n}", images[n], images[n + 1]) for n in (0, 2)]
    images = synthetic_chain(1, [192 * KIB] * 3, ("minor", "toolchain"))
    return [("a minor step", images[0], images[1]), ("a toolchain step", images[1], images[2])]


def decode(file: Path, times: int) -> None:
    """What the counted process does."""
    run = decoder(*pickle.loads(file.read_bytes()))
    gc.disable()
    for _ in range(times):
        run()


def report(chain: str | None) -> None:
    """Print a table for each pair and one for both together."""
    from simlib.delta.registry import CODECS

    together: Counter[str] = Counter()
    for title, old, new in pairs(chain):
        print(f"\n{title}: {len(new):,} bytes")
        print(f"{'codec':<22}{'payload':>10}{'per byte':>10}{'percent':>9}")
        counts: dict[str, int] = {}
        for name in COUNTED:
            base = old if CODECS[name].traits.takes_base else b""
            payload = CODECS[name].diff(base, new)
            counts[name] = instructions(name, base, payload)
            share = counts[name] / counts["bsdiff4"]
            print(f"{name:<22}{len(payload):>10,}{counts[name] / len(new):>10.1f}{share:>9.0%}", flush=True)
        together.update(counts)
    print(f"\ntogether\n{'codec':<22}{'percent':>9}{'traits':>9}")
    for name, count in together.items():
        print(f"{name:<22}{count / together['bsdiff4']:>9.0%}{CODECS[name].traits.effort_percent:>8}%")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chain", help="a fetched corpus; otherwise synthetic firmware")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        decode(Path(options.child[0]), int(options.child[1]))
    else:
        report(options.chain)


if __name__ == "__main__":
    main()
