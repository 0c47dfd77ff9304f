"""The seam between the envelope and what is inside it.

A codec turns two byte strings into a payload and back. It knows nothing of hashes, bases or devices: those
are the envelope's. It may assume that nobody has vouched for a payload: `apply` must stay within memory
proportional to `result_size_bytes` and refuse what it cannot prove well formed.

What a codec asks of a device it declares in its `Traits`; whether a device has it is told by
`simlib.device.fitness`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Recipe:
    """How each byte of a result is made: ``base[source] + value`` modulo 256, or ``value`` alone.

    `sources` (int32, one a byte of the result) is −1 where the base has no part in it; `values` is uint8.
    """

    sources: NDArray[np.int32]
    values: NDArray[np.uint8]


DecoderSize = Literal["small", "medium", "large"]
"""Size class of a decoder's code in a device's flash: up to 4 KiB, up to 16 KiB, more."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a codec can do on a device, and what its decoder weighs there; its RAM is `Codec.ram_bytes`."""

    takes_base: bool
    """Whether a payload is the difference from a base; otherwise it is the result itself, compressed."""
    streams: bool
    """Whether it is decoded in the order in which it arrives, so that it need not be stored; the base, if
    there is one, can be read anywhere meanwhile."""
    in_place: bool
    """Whether its result can be made over its base, by a `Recipe`."""
    decoder: DecoderSize
    effort_percent: int
    """Work of decoding a byte of the result, in percent of bsdiff4's (the figure `patch` of a core)."""
    source: str
    """Where the figures of the decoder come from: RAM, size class and effort."""


class Codec(Protocol):
    """One way of writing the difference between two byte strings, or of writing one of them shorter."""

    @property
    def name(self) -> str:
        """The name in an envelope: 1 to 32 characters of a-z, 0-9 and ``-``."""
        ...

    @property
    def traits(self) -> Traits:
        """What it can do on a device."""
        ...

    def ram_bytes(self, payload_size_bytes: int, result_size_bytes: int) -> int:
        """What decoding takes on a device that can read base and payload in its flash [byte]."""
        ...

    def diff(self, old: bytes, new: bytes) -> bytes:
        """The payload that turns `old` into `new`."""
        ...

    def apply(self, old: bytes, payload: bytes | memoryview, result_size_bytes: int) -> bytes:
        """The result, exactly `result_size_bytes` long.

        Raises:
            Refused: PATCH_DAMAGED when the payload breaks a rule of its format.
        """
        ...

    def pieces(
        self, old: bytes, payload: bytes | memoryview, result_size_bytes: int
    ) -> Iterator[bytes | memoryview]:
        """The result piece by piece, in order, each as soon as the payload read so far gives it.

        Only of a codec that streams. What was made before a fault in the payload has been given when it is
        found. Raises as `apply` does.
        """
        ...

    def recipe(self, old_size_bytes: int, payload: bytes | memoryview, result_size_bytes: int) -> Recipe:
        """How to make any part of the result from the base's bytes, for one that is made in place.

        Only of a codec whose result can be made so. Raises as `apply` does.
        """
        ...
