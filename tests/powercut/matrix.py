"""The power-cut sweep of every layout, payload, write size and erased value there is.

python tests/powercut/matrix.py [--image-size BYTES] [--sector-size BYTES] [--second-cuts N|all] [--workers W]
    [--layout NAME ...] [--codec NAME [--download-size BYTES]]

With a codec only the payload that it makes; with a download partition of 0 bytes it is decoded as it arrives.
A line for each sweep as it ends, and the sums. Exit status 1 where a layout other than `single-slot` bricks a
device or leaves one that cannot be updated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from typing import Any

from simlib.delta import codec_traits
from simlib.device import layouts
from simlib.device.powercut import SECOND_CUTS_ALL, SweepOptions, sweep

WRITE_SIZES = (1, 4, 8, 16, 32)
ERASED_VALUES = (0xFF, 0x00)
PAYLOADS = ("full", "delta")


def every_sweep(
    image_size: int,
    sector_size: int,
    second_cuts: int,
    only: tuple[str, ...] = (),
    codec: str | None = None,
    download_size: int | None = None,
) -> Iterator[SweepOptions]:
    """The options of each sweep, every tear mode in each."""
    payloads: tuple[str, ...] = PAYLOADS
    if codec is not None:
        payloads = ("delta",) if codec_traits(codec).takes_base else ("compressed",)
    for name in only or layouts.names():
        layout = layouts.get(name)
        for payload, encrypted, write_size, erased in product(
            payloads, (False, True), WRITE_SIZES, ERASED_VALUES
        ):
            if (payload != "full" and not layout.patches) or (encrypted and not layout.encrypts):
                continue
            if codec is not None and layout.waits and not codec_traits(codec).in_place:
                continue
            if download_size == 0 and (encrypted or layout.waits):
                continue
            yield SweepOptions(
                layout=name,
                image_size_bytes=image_size,
                payload=payload,
                encrypted=encrypted,
                second_cuts=second_cuts,
                sector_size_bytes=sector_size,
                write_size_bytes=write_size,
                erased_value=erased,
                codec=codec,
                download_size_bytes=download_size,
            )


def swept(options: SweepOptions) -> tuple[SweepOptions, dict[str, Any]]:
    """The sums of one sweep."""
    return options, sweep(options).summary()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=6000)
    parser.add_argument("--sector-size", type=int, default=1024)
    parser.add_argument("--second-cuts", default="0")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--layout", action="append", default=[])
    parser.add_argument("--codec")
    parser.add_argument("--download-size", type=int)
    given = parser.parse_args()
    second = SECOND_CUTS_ALL if given.second_cuts == "all" else int(given.second_cuts)
    chosen = tuple(given.layout), given.codec, given.download_size
    todo = list(every_sweep(given.image_size, given.sector_size, second, *chosen))
    sums: dict[str, int] = {}
    harmed = False
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(swept, options) for options in todo]):
            options, found = future.result()
            kind = f"{options.payload}{' encrypted' if options.encrypted else ''}"
            numbers = {key: value for key, value in found.items() if isinstance(value, int)}
            print(
                f"{options.layout:18} {kind:16} write {options.write_size_bytes:2} "
                f"erased 0x{options.erased_value:02x}  "
                + "  ".join(f"{key} {value}" for key, value in numbers.items()),
                flush=True,
            )
            if options.layout != "single-slot":
                harmed |= any(value for key, value in numbers.items() if key.endswith(("bricked", "stuck")))
                for key, value in numbers.items():
                    sums[key] = sums.get(key, 0) + value
    print(f"{len(todo)} sweeps; all layouts but single-slot: {sums}")
    return int(harmed)


if __name__ == "__main__":
    sys.exit(main())
