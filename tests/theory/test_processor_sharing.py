"""The shared link where theory knows the answer: an M/G/1 queue under processor sharing.

With Poisson arrivals, any distribution of sizes and load rho, a transfer of x bytes takes x / (C (1 - rho))
in the mean, whatever the other sizes are (L. Kleinrock, "Queueing Systems", vol. 2, section 4.4). Sizes and
arrivals come from numpy's generator, the link is the one of the clocks.
"""

from math import sqrt

import numpy as np
import pytest

from simlib.engine import INF, FairLink, unit_bits

CAPACITY_BPS = 1_000_000
MEAN_BYTES = 100_000  # a tenth of a second alone
TRANSFERS, WARM_UP, REPLICATIONS = 3_000, 500, 8
STUDENT_995 = 3.499  # of 7 degrees of freedom, two-sided 99 %


def sizes(kind: str, generator: np.random.Generator) -> np.ndarray:
    if kind == "equal":
        return np.full(TRANSFERS, MEAN_BYTES)
    if kind == "exponential":
        drawn = generator.exponential(MEAN_BYTES, TRANSFERS)
    else:  # nine of ten are small, the tenth is large: a squared coefficient of variation of about 7
        large = generator.random(TRANSFERS) < 0.1
        drawn = np.where(
            large,
            generator.exponential(MEAN_BYTES * 6, TRANSFERS),
            generator.exponential(MEAN_BYTES * 4 / 9, TRANSFERS),
        )
    return np.maximum(drawn.astype(np.int64), 1)


def times_in_system(kind: str, load: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes [byte] and times [ms] of transfers that arrive as a Poisson process."""
    generator = np.random.default_rng(seed)
    arrivals = np.cumsum(generator.exponential(MEAN_BYTES / CAPACITY_BPS / load * 1000, TRANSFERS))
    due = np.ceil(arrivals).astype(np.int64)
    work = sizes(kind, generator)
    bits = unit_bits(TRANSFERS, int(work.max()), CAPACITY_BPS, int(due[-1]) * 4)
    link = FairLink([CAPACITY_BPS], CAPACITY_BPS, bits)
    ended = np.zeros(TRANSFERS, dtype=np.int64)
    following = 0
    while following < TRANSFERS or link.active:
        arrival = int(due[following]) if following < TRANSFERS else INF
        finish = link.next_finish()
        now = min(arrival, finish)
        for device in link.pop_finished(now):
            ended[device] = now
        while following < TRANSFERS and due[following] == now:
            link.join(now, following, 0, int(work[following]))
            following += 1
    return work[WARM_UP:], (ended - due)[WARM_UP:]


@pytest.mark.parametrize("load", [0.3, 0.7])
@pytest.mark.parametrize("kind", ["equal", "exponential", "mixed"])
def test_the_mean_transfer_time_is_that_of_processor_sharing(kind, load):
    slowdowns = []
    for seed in range(REPLICATIONS):
        work, spent_ms = times_in_system(kind, load, seed)
        alone_ms = work.mean() / CAPACITY_BPS * 1000
        slowdowns.append((spent_ms.mean() - 0.5) / alone_ms)  # the grid rounds an end up by half on average
    expected = 1 / (1 - load)
    mean, spread = np.mean(slowdowns), np.std(slowdowns, ddof=1)
    half_width = STUDENT_995 * spread / sqrt(REPLICATIONS)
    assert abs(mean - expected) <= max(half_width, 0.01 * expected), (mean, expected, half_width)
    assert half_width < 0.25 * expected  # an interval so wide that it holds anything would show nothing


def test_time_in_the_system_is_proportional_to_size_under_processor_sharing():
    work = np.concatenate([times_in_system("exponential", 0.6, seed)[0] for seed in range(4)])
    spent = np.concatenate([times_in_system("exponential", 0.6, seed)[1] for seed in range(4)])
    small, large = work < MEAN_BYTES / 2, work > MEAN_BYTES * 1.5
    ratios = [spent[part].sum() / work[part].sum() for part in (small, large)]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.12)
