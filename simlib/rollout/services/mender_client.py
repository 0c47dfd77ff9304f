"""How a Mender client retries: its polls after a server that does not answer, and its downloads.

Polls back off from a minute, three tries at each level, doubling up to the maximum; a retry count of 0
stands for 3 x ceil(log2(maximum [s]) + 1) tries. A download is retried after a minute each time. Source:
mender-docs, Configuration-options; mender, the client's exponential backoff.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from simlib.scenario.leaves import SECOND

SMALLEST_S: Final = 60
TRIES_A_LEVEL: Final = 3
UPDATE_POLL_S: Final = 1_800
INVENTORY_POLL_S: Final = 28_800
DOWNLOAD_TRIES: Final = 10
MOST_DOWNLOAD_TRIES: Final = 10_000
DOWNLOAD_WAIT_MS: Final = 60 * SECOND
MODULE_TIMEOUT_S: Final = 4 * 3_600


def default_count(most_s: int) -> int:
    """The tries that `RetryPollCount` 0 stands for, with `RetryPollIntervalSeconds` = `most_s`."""
    return TRIES_A_LEVEL * (max(most_s - 1, 0).bit_length() + 1)


def poll_waits_s(most_s: int, count: int = 0) -> Iterator[int]:
    """The waits [s] before each retry; `most_s` is `RetryPollIntervalSeconds`, `count` `RetryPollCount`."""
    for number in range(count or default_count(most_s)):
        level = SMALLEST_S << min(number // TRIES_A_LEVEL, 64)
        yield max(min(level, most_s), SMALLEST_S)
