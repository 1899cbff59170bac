"""Metrics of a ranking in which each case has one right item."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (5, 10, 20)
NAMES = (*(f"{metric}@{cutoff}" for metric in ("hr", "ndcg") for cutoff in CUTOFFS), "mrr")

Metrics = dict[str, float]


def summarise(ranks: NDArray[np.int64]) -> Metrics:
    """The mean over all cases of each metric in NAMES, rounded to six digits.

    `ranks` holds the rank of the right item in each case, from 1, for at least one case. HR@k is
    the share of ranks up to k; NDCG@k counts such a rank as 1 / log2(rank + 1), other ranks as 0;
    MRR is the mean of 1 / rank, without a cutoff.
    """
    gains = 1 / np.log2(ranks + 1)
    means = {"mrr": np.mean(1 / ranks)}
    for cutoff in CUTOFFS:
        within = ranks <= cutoff
        means[f"hr@{cutoff}"] = np.mean(within)
        means[f"ndcg@{cutoff}"] = np.mean(np.where(within, gains, 0))
    return {name: round(float(means[name]), 6) for name in NAMES}
