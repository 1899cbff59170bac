"""The rank of each target among all items, for any model that scores them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from model import Model
from numpy.typing import NDArray
from split import Cases, Indices

# A row for each history, a column for each item; the higher, the sooner recommended.
ScoreMatrix = NDArray[np.float32] | NDArray[np.float64]
Scores = Callable[[Sequence[Indices]], ScoreMatrix]

# Bounds the memory of a batch: 16 MB of float32.
SCORES_AT_ONCE = 4_000_000


def item2vec_scores(model: Model, decay: float, last_items: int) -> Scores:
    """Scores of the items after a history: its query's dot products with the context vectors.

    The query is the sum of the input vectors of the last `last_items` purchases, each weighing
    `decay` times as much as the one after it. An item without vectors adds nothing to a query and
    is scored below all others.
    """
    weights = (decay ** np.arange(last_items)).astype(np.float32)
    untrained = np.flatnonzero(~model.trained)

    def scores(histories: Sequence[Indices]) -> ScoreMatrix:
        queries = np.empty((len(histories), model.vectors.shape[1]), dtype=np.float32)
        for row, history in enumerate(histories):
            recent = history[::-1][:last_items]
            queries[row] = weights[: len(recent)] @ model.vectors[recent]
        result = queries @ model.context_vectors.T
        result[:, untrained] = -np.inf
        return result

    return scores


def popularity_scores(train_purchases: Indices) -> Scores:
    """The baseline: whatever the history, an item's score is its purchases in training."""

    def scores(histories: Sequence[Indices]) -> ScoreMatrix:
        return np.tile(train_purchases.astype(np.float64), (len(histories), 1))

    return scores


def rank_targets(
    cases: Cases, scores: Scores, items: int, scores_at_once: int = SCORES_AT_ONCE
) -> Indices:
    """The rank of each case's target, from 1, among the items that are not in its history.

    The target itself is always ranked, also when the user has bought it before. Ties count
    against the model: the target comes after all items with the same score, so that a model that
    tells nothing apart gains nothing. An item without a score (-inf) ties with all such items.
    """
    ranks = np.empty(len(cases), dtype=np.int64)
    batch = max(1, scores_at_once // items)
    for start in range(0, len(cases), batch):
        stop = min(start + batch, len(cases))
        histories, targets = cases.histories[start:stop], cases.targets[start:stop]
        ranks[start:stop] = _ranks(scores(histories), histories, targets)
    return ranks


def _ranks(scores: ScoreMatrix, histories: Sequence[Indices], targets: Indices) -> list[int]:
    cases = np.arange(len(histories))
    wanted = scores[cases, targets]
    # NaN is never as high as any score, not even as -inf.
    scores[np.repeat(cases, [len(h) for h in histories]), np.concatenate(histories)] = np.nan
    scores[cases, targets] = wanted
    return [int(np.count_nonzero(row >= score)) for row, score in zip(scores, wanted, strict=True)]
