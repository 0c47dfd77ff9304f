"""The seam between the envelope and what is inside it.

A codec turns two byte strings into a payload and back. It knows nothing of hashes, bases or devices: those
are the envelope's. It may assume that nobody has vouched for a payload: `apply` must stay within memory
proportional to `result_size_bytes` and refuse what it cannot prove well formed.
"""

from __future__ import annotations

from typing import Protocol


class Codec(Protocol):
    """One way of writing the difference between two byte strings."""

    @property
    def name(self) -> str:
        """The name in an envelope: 1 to 32 characters of a-z, 0-9 and ``-``."""
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
