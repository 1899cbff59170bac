"""The rank of each target among all items, for any model that scores them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from item2vec_model import Model
from numpy.typing import NDArray
from split import Cases, Indices
from stageio import StageError

# A row for each history, a column for each item; the higher, the sooner recommended.
ScoreMatrix = NDArray[np.float32] | NDArray[np.float64]
Scores = Callable[[Sequence[Indices]], ScoreMatrix]

# Bounds the memory of a batch: 16 MB of float32.
SCORES_AT_ONCE = 4_000_000


def model_scores(model: Model, row_scores: Scores, items: Mapping[str, int]) -> Scores:
    """The scores of a model as scores of the items of a data set, which the model need not know all.

    An item that the model does not know is left out of a history, and is scored below all others.

    Raises StageError when the model has an item that `items` has not.
    """
    for item in model.items:
        if item not in items:
            raise StageError(
                f"vectors.csv: item {item[:40]!r} is not in items.csv",
                "take the model and the split from one run of train",
            )
    columns = np.array([items[item] for item in model.items])
    rows = np.full(len(items), -1)
    rows[columns] = np.arange(len(columns))

    def scores(histories: Sequence[Indices]) -> ScoreMatrix:
        known = [rows[history][rows[history] >= 0] for history in histories]
        result = np.full((len(histories), len(items)), -np.inf, dtype=np.float32)
        result[:, columns] = row_scores(known)
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


def recommended(
    cases: Cases, scores: Scores, items: int, k: int, scores_at_once: int = SCORES_AT_ONCE
) -> Indices:
    """How many cases have each item among the `k` best of those not in their history."""
    times = np.zeros(items, dtype=np.int64)
    batch = max(1, scores_at_once // items)
    for start in range(0, len(cases), batch):
        histories = cases.histories[start : start + batch]
        table = scores(histories)
        table[_places(histories)] = -np.inf
        best = np.argpartition(table, -min(k, items), axis=1)[:, -min(k, items) :]
        scored = np.isfinite(np.take_along_axis(table, best, axis=1))
        times += np.bincount(best[scored], minlength=items)
    return times


def _ranks(scores: ScoreMatrix, histories: Sequence[Indices], targets: Indices) -> list[int]:
    cases = np.arange(len(histories))
    wanted = scores[cases, targets]
    # NaN is never as high as any score, not even as -inf.
    scores[_places(histories)] = np.nan
    scores[cases, targets] = wanted
    return [int(np.count_nonzero(row >= score)) for row, score in zip(scores, wanted, strict=True)]


def _places(histories: Sequence[Indices]) -> tuple[Indices, Indices]:
    """The cells of a matrix of scores that stand for what was bought already."""
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return rows, np.concatenate(histories)
