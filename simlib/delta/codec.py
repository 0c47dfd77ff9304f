"""The seam between the envelope and what is inside it.

A codec turns two byte strings into a payload and back. It knows nothing of hashes, bases or devices: those
are the envelope's. It may assume that nobody has vouched for a payload: `apply` must stay within memory
proportional to `result_size_bytes` and refuse what it cannot prove well formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Recipe:
    """How each byte of a result is made: ``base[source] + value`` modulo 256, or ``value`` alone.

    `sources` (int32, one a byte of the result) is −1 where the base has no part in it; `values` is uint8.
    """

    sources: NDArray[np.int32]
    values: NDArray[np.uint8]


class Codec(Protocol):
    """One way of writing the difference between two byte strings."""

    @property
    def name(self) -> str:
        """The name in an envelope: 1 to 32 characters of a-z, 0-9 and ``-``."""
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

    def recipe(self, old_size_bytes: int, payload: bytes | memoryview, result_size_bytes: int) -> Recipe:
        """How to make any part of the result from the base's bytes, for one that is made in place.

        Raises as `apply` does.
        """
        ...
