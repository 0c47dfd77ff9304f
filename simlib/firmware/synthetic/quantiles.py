"""Integer quantile tables: how a draw of 32 bits becomes a rank or a length.

A table holds cumulative thresholds scaled to 2**32; a draw u picks the first entry above it. The tables are
computed with `decimal`, whose ``ln`` and ``exp`` are correctly rounded by its specification, so they are
the same on every platform; a platform's own ``exp`` and ``log`` never touch a byte of firmware.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from simlib.draws import CERTAIN, GOLDEN, Stream, mix64_array

_DIGITS = 34


def _thresholds(cumulative: Sequence[Decimal]) -> NDArray[np.uint64]:
    total = cumulative[-1]
    return np.array([int(share / total * CERTAIN) for share in cumulative[:-1]] + [CERTAIN], dtype=np.uint64)


@cache
def zipf_table(ranks: int, exponent: str) -> NDArray[np.uint64]:
    """Thresholds of Zipf's law over ranks 0 to `ranks` − 1: rank k has weight (k + 1) ** −`exponent`."""
    with localcontext() as context:
        context.prec = _DIGITS
        power = -Decimal(exponent)
        weights = [(Decimal(rank).ln() * power).exp() for rank in range(1, ranks + 1)]
        return _thresholds(list(accumulate(weights)))


@cache
def lognormal_table(mu: str, sigma: str, longest: int) -> NDArray[np.uint64]:
    """Thresholds of a lognormal length, rounded up to a whole number and cut off at `longest`.

    Entry n − 1 is P(length ≤ n) = Φ((ln n − mu) / sigma), with Φ by its Maclaurin series.
    """
    with localcontext() as context:
        context.prec = _DIGITS
        return _thresholds(
            [_normal_cdf((Decimal(n).ln() - Decimal(mu)) / Decimal(sigma)) for n in range(1, longest + 1)]
        )


def _normal_cdf(z: Decimal) -> Decimal:
    """Φ(z) = 1/2 + φ(z) (z + z³/3 + z⁵/(3·5) + …); Marsaglia, J. Stat. Softw. 11(4), 2004."""
    term = total = z
    square = z * z
    n = 1
    while abs(term) > Decimal("1e-25"):
        n += 2
        term = term * square / n
        total += term
    two_pi = Decimal("6.283185307179586476925286766559005768394")
    return Decimal("0.5") + total * (-square / 2).exp() / two_pi.sqrt()


def pick(table: NDArray[np.uint64], draws: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The entry of `table` that each 32-bit draw falls in, from 0."""
    return np.searchsorted(table, draws, side="right").astype(np.int64)


def block_below(stream: Stream, count: int, span: int) -> NDArray[np.int64]:
    """The next `count` draws of `stream`, each in [0, span)."""
    return (stream.block(count) * np.uint64(span) >> np.uint64(32)).astype(np.int64)


def alike(stream: Stream, about: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A 32-bit draw for each entry, the same for equal entries; two draws of `stream` decide on all."""
    salt = np.uint64(stream.u32() << 32 | stream.u32())
    return mix64_array(about.astype(np.uint64) * np.uint64(GOLDEN) + salt) >> np.uint64(32)


def sample(stream: Stream, population: int, count: int) -> NDArray[np.int64]:
    """`count` distinct numbers in [0, population), ascending; all of them if `count` is larger."""
    order = np.argsort(stream.block(population), kind="stable")
    return np.sort(order[:count]).astype(np.int64)
