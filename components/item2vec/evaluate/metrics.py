"""Metrics of a ranking in which each case has one right item."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (5, 10, 20)
# How many of the best items are what is recommended.
RECOMMENDED = 10
OF_RANKS = tuple(f"{metric}@{cutoff}" for metric in ("hr", "ndcg", "mrr") for cutoff in CUTOFFS)
OF_SPREAD = (f"coverage@{RECOMMENDED}", f"popularity_bias@{RECOMMENDED}")
NAMES = OF_RANKS + OF_SPREAD
# The fewest purchases of each part of the histories by length.
LENGTHS = (1, 5, 10, 20, 50)

Metrics = dict[str, float]


def summarise(ranks: NDArray[np.int64]) -> Metrics:
    """The mean over all cases of each metric in OF_RANKS, rounded to six digits.

    `ranks` holds the rank of the right item in each case, from 1, for at least one case. A rank up
    to k counts for HR@k as 1, for NDCG@k as 1 / log2(rank + 1), for MRR@k as 1 / rank; one beyond
    counts as 0.
    """
    gains = {"hr": np.ones(len(ranks)), "ndcg": 1 / np.log2(ranks + 1), "mrr": 1 / ranks}
    return {
        f"{metric}@{cutoff}": round(float(np.mean(np.where(ranks <= cutoff, gain, 0))), 6)
        for metric, gain in gains.items()
        for cutoff in CUTOFFS
    }


def by_history_length(
    ranks: NDArray[np.int64], lengths: NDArray[np.int64]
) -> list[dict[str, float]]:
    """The metrics of the cases with short, longer and long histories, shortest first.

    Each part says from how many purchases it goes to how many, and how many cases it has; a part
    without a case is left out.
    """
    parts = []
    for least, most in zip(LENGTHS, (*(length - 1 for length in LENGTHS[1:]), None), strict=True):
        within = (lengths >= least) & (lengths <= (most or lengths.max()))
        if within.any():
            longest = int(lengths[within].max()) if most is None else most
            span = {"from": least, "to": longest, "cases": int(within.sum())}
            parts.append({**span, **summarise(ranks[within])})
    return parts


def spread(
    times: NDArray[np.int64], purchases: NDArray[np.int64], targets: NDArray[np.int64]
) -> Metrics:
    """How widely recommendations spread over the items, given how often each was recommended.

    `coverage` is the share of all items that were recommended at least once. `popularity_bias`
    is the mean number of training purchases of what was recommended, divided by that of what was
    really bought (`targets`): 1 favours popular items no more than the users do.
    """
    bought = float(np.mean(purchases[targets]))
    shown = float(np.sum(purchases * times)) / max(int(times.sum()), 1)
    coverage, bias = float(np.mean(times > 0)), shown / bought if bought else 0.0
    return {name: round(value, 6) for name, value in zip(OF_SPREAD, (coverage, bias), strict=True)}
