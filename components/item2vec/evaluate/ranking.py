"""The rank of each target among all items, for any model that scores them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from item2vec_model import Model
from numpy.typing import NDArray
from split import Cases, Indices
from stageio import StageError

# A row for each history, a column for each item; the higher, the sooner recommended.
ScoreMatrix = NDArray[np.float32] | NDArray[np.float64]
Scores = Callable[[Sequence[Indices]], ScoreMatrix]
# Such rows of several models, by name.
ModelScores = Callable[[Sequence[Indices]], Mapping[str, ScoreMatrix]]

# Bounds the memory of a batch: 4 MB of float32 a model.
SCORES_AT_ONCE = 1_000_000
# Columns of which the best stands for all where the best of a row are looked for.
BLOCK = 16
# Batches ranked side by side. What each gives depends on no other.
THREADS = 2


def model_scores(model: Model, row_scores: ModelScores, items: Mapping[str, int]) -> ModelScores:
    """The scores of a model's items as scores of the items of a data set, which it need not know all.

    An item that the model does not know is left out of a history, and is scored below all others.

    Raises StageError when the model has an item that `items` has not.
    """
    for item in model.items:
        if item not in items:
            raise StageError(
                f"vectors.csv: item {item[:40]!r} is not in items.csv",
                "take the model and the split from one run of train",
            )
    rows = np.full(len(items), -1)
    rows[[items[item] for item in model.items]] = np.arange(len(model.items))

    def placed(scores: ScoreMatrix) -> ScoreMatrix:
        # The row -1 stands for any column here.
        result = scores.take(rows, axis=1, mode="wrap").astype(np.float32, copy=False)
        result[:, rows < 0] = -np.inf
        return result

    def scores(histories: Sequence[Indices]) -> dict[str, ScoreMatrix]:
        known = [rows[history][rows[history] >= 0] for history in histories]
        return {name: placed(table) for name, table in row_scores(known).items()}

    return scores


def popularity_scores(train_purchases: Indices) -> Scores:
    """The baseline: whatever the history, an item's score is its purchases in training."""
    # Up to 16 million purchases of one item, float32 holds them exactly.
    row = train_purchases.astype(np.float32)

    def scores(histories: Sequence[Indices]) -> ScoreMatrix:
        return np.tile(row, (len(histories), 1))

    return scores


@dataclass(frozen=True)
class Ranking:
    """The rank of each case's target, from 1, and in how many cases each item was recommended."""

    ranks: Indices
    times: Indices


def rank(
    cases: Cases, scores: Scores, items: int, k: int, scores_at_once: int = SCORES_AT_ONCE
) -> Ranking:
    """The ranking of one model, as `rank_all` makes it."""
    return rank_all(cases, lambda histories: {"": scores(histories)}, items, k, scores_at_once)[""]


def rank_all(
    cases: Cases, scores: ModelScores, items: int, k: int, scores_at_once: int = SCORES_AT_ONCE
) -> dict[str, Ranking]:
    """For each model, rank all items that are not in a case's history; the `k` best are recommended.

    The target itself is always ranked, also when the user has bought it before. Ties count
    against the model: the target comes after all items with the same score, so that a model that
    tells nothing apart gains nothing; and of items that tie for the last places none is
    recommended. An item without a score (-inf) ties with all such items, and never is.
    """
    batch = max(1, scores_at_once // items)
    parts = [slice(start, start + batch) for start in range(0, len(cases), batch)]

    def ranked(part: slice) -> dict[str, Ranking]:
        histories, targets = cases.histories[part], cases.targets[part]
        tables = scores(histories)
        return {name: _rank_rows(table, histories, targets, k) for name, table in tables.items()}

    ranks: dict[str, list[Indices]] = {}
    times: dict[str, Indices] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for rankings in pool.map(ranked, parts):
            for name, ranking in rankings.items():
                ranks.setdefault(name, []).append(ranking.ranks)
                times[name] = times.get(name, 0) + ranking.times
    return {name: Ranking(np.concatenate(ranks[name]), times[name]) for name in ranks}


def _rank_rows(
    table: ScoreMatrix, histories: Sequence[Indices], targets: Indices, k: int
) -> Ranking:
    """The ranking of a batch, whose scores are overwritten."""
    own, bought = (np.arange(len(histories)), targets), _places(histories)
    wanted = table[own]
    table[bought] = -np.inf
    times = _recommended(table, k)
    # NaN is never as high as any score, not even as -inf.
    table[bought] = np.nan
    table[own] = wanted
    rows = zip(table, wanted, strict=True)
    return Ranking(np.array([np.count_nonzero(row >= score) for row, score in rows]), times)


def _recommended(table: ScoreMatrix, k: int) -> Indices:
    """In how many rows each column is among the `k` best: above the one that comes after these."""
    count, items = table.shape
    after = np.full(count, -np.inf)
    # The best of each block of columns bound that item from below, and leave few to sort.
    if (blocks := items // BLOCK) > k:
        best = table[:, : blocks * BLOCK].reshape(count, BLOCK, blocks).max(axis=1)
        after = np.partition(best, blocks - k - 1, axis=1)[:, blocks - k - 1]
    rows, columns = np.divmod(np.flatnonzero(table > after[:, None]), items)
    scores = table[rows, columns]
    starts = rows.searchsorted(np.arange(count + 1))
    more = np.flatnonzero(np.diff(starts) > k)
    after[more] = scores[np.lexsort((-scores, rows))][starts[more] + k]
    return np.bincount(columns[scores > after[rows]], minlength=items)


def _places(histories: Sequence[Indices]) -> tuple[Indices, Indices]:
    """The cells of a matrix of scores that stand for what was bought already."""
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return rows, np.concatenate(histories)
