"""The situations that a power cut in one operation may leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simlib.device.powercut.case import SweepOptions
from simlib.device.powercut.cells import Operation, Situation, put, read
from simlib.device.tears import erase_variants, write_variants


def torn_situations(
    options: SweepOptions, tear: str, cells: Sequence[bytes], operation: Operation, number: int
) -> Iterator[Situation]:
    """The device after `operation`, torn, on a flash that held `cells`; once for each way to tear it.

    What is drawn follows from the seed and `number`, as `simlib device update --cut-at` draws it.
    """
    offset, data, seed = operation.offset, operation.data, options.seed << 32 | number
    before = read(cells, offset, len(data))
    if operation.is_erase:
        variants = erase_variants(tear, before, data, seed=seed, offset=offset)
    else:
        unit = options.write_size_bytes
        variants = write_variants(tear, before, data, unit=unit, seed=seed, offset=offset)
    for left in variants:
        after = list(cells)
        put(after, offset, left)
        yield Situation(tuple(after), operation.counter)
