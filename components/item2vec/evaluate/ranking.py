"""The rank of each target among all items, for any model that scores them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Ranking:
    """The rank of each case's target, from 1, and in how many cases each item was recommended."""

    ranks: Indices
    times: Indices


def rank(
    cases: Cases, scores: Scores, items: int, k: int, scores_at_once: int = SCORES_AT_ONCE
) -> Ranking:
    """Rank all items that are not in a case's history; the `k` best of them are recommended.

    The target itself is always ranked, also when the user has bought it before. Ties count
    against the model: the target comes after all items with the same score, so that a model that
    tells nothing apart gains nothing; and of items that tie for the last places none is
    recommended. An item without a score (-inf) ties with all such items, and never is.
    """
    ranks = np.empty(len(cases), dtype=np.int64)
    times = np.zeros(items, dtype=np.int64)
    batch = max(1, scores_at_once // items)
    for start in range(0, len(cases), batch):
        part = slice(start, start + batch)
        histories, targets = cases.histories[part], cases.targets[part]
        table = scores(histories)
        own = np.arange(len(histories)), targets
        wanted = table[own]
        # NaN is never as high as any score, not even as -inf, and sorts behind all.
        table[_places(histories)] = np.nan
        times += _recommended(table, k)
        table[own] = wanted
        rows = zip(table, wanted, strict=True)
        ranks[part] = [np.count_nonzero(row >= score) for row, score in rows]
    return Ranking(ranks, times)


def _recommended(table: ScoreMatrix, k: int) -> Indices:
    """In how many rows each column is among the `k` best: above the one that comes after these."""
    after: Any = -np.inf
    if k < table.shape[1]:
        # NaN where there are no more: then all that have a score.
        after = np.fmax(-np.partition(-table, k, axis=1)[:, k, None], -np.inf)
    return np.count_nonzero(table > after, axis=0)


def _places(histories: Sequence[Indices]) -> tuple[Indices, Indices]:
    """The cells of a matrix of scores that stand for what was bought already."""
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return rows, np.concatenate(histories)
