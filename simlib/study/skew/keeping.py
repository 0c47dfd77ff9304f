"""How much keeping patches for the last K bases is worth, by where the costs of a patch are taken from."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

import pandas as pd

from simlib.study.skew.costs import Costs, relative_bytes
from simlib.study.skew.lags import Lags
from simlib.study.skew.measured import continued

PUBLISHED_MEANS: Final = {
    1: Fraction("0.267"),
    2: Fraction("0.448"),
    3: Fraction("0.594"),
    4: Fraction("0.695"),
}
"""The mean bsdiff4 patch over k releases, as a share of the image compressed with LZMA, on 25 public chains.

Chains that are alike count once. `mean_costs` is of the 18 chains that are in ``data/measurements``."""
_COMPRESSION: Final = Fraction("1.6")


def published_costs(longest: int) -> Costs:
    """`PUBLISHED_MEANS`, carried on to `longest` as `simlib.study.skew.measured.continued` does.

    The raw image is 1.6 times the compressed one, as usual for a microcontroller's.
    """
    return Costs(continued(PUBLISHED_MEANS, longest), Fraction(1), _COMPRESSION)


def kept_table(costs: Mapping[str, Costs], lags: Lags, most: int = 8) -> pd.DataFrame:
    """A row (`label`, `k`, `relative_bytes`) for each of `costs` and each K from 0 to `most`.

    Mean download of a device as a share of the compressed image's, by `relative_bytes`; who lags further than
    costs are known takes the whole image.
    """
    rows = []
    for label, cost in costs.items():
        known = lags[: len(cost.patches)]
        beyond = 1 - sum(known)
        for k in range(min(most, len(cost.patches)) + 1):
            share = relative_bytes(known, cost, k) + beyond
            rows.append({"label": label, "k": k, "relative_bytes": float(share)})
    return pd.DataFrame(rows)
