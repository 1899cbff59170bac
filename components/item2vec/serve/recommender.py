"""What a model says: items to recommend, and items alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from item2vec_model import Scorer, Scoring, read_model, scorer_of
from numpy.typing import NDArray
from stageio import read_ids, table

# Of what a user bought, in the order of time.
PARTS = ("train.csv", "valid.csv", "test.csv")

BLOCK = 32

Ranked = list[tuple[str, float]]


@dataclass(frozen=True)
class Recommender:
    """A model's scores, its directions for likeness, and what each user bought, oldest first."""

    scorer: Scorer
    directions: NDArray[np.float32]
    histories: dict[str, list[str]]

    @property
    def index(self) -> dict[str, int]:
        """The row of each item."""
        return self.scorer.model.index

    def history(self, user: str) -> list[str]:
        """What a user bought, oldest first; nothing for a user who is not known."""
        return self.histories.get(user, [])

    def known(self, items: Sequence[str]) -> tuple[list[str], list[str]]:
        """Those of `items` that the model knows, and those that it does not, in their order."""
        index = self.index
        known = [item for item in items if item in index]
        return known, [item for item in items if item not in index]

    def recommend(self, items: Sequence[str], k: int, exclude: Sequence[str]) -> Ranked:
        """At most `k` items to buy after `items`, all known: none of these, nor of `exclude`."""
        index = self.index
        history = [index[item] for item in items]
        left_out = [index[item] for item in exclude if item in index]
        [scores] = self.scorer.scores([history])
        return self._best(scores, k, history + left_out)

    def similar(self, item: str, k: int) -> Ranked:
        """At most `k` other items by the cosine of their input vectors with that of `item`."""
        row = self.index[item]
        return self._best(self.directions @ self.directions[row], k, [row])

    def _best(self, scores: NDArray[np.float32], k: int, left_out: Sequence[int]) -> Ranked:
        """The `k` best, equal ones in the order of the items."""
        scores[left_out] = -np.inf
        rows = np.flatnonzero(scores >= _bound(scores, k))
        best = rows[np.argsort(-scores[rows], kind="stable")][:k]
        items, values = self.scorer.model.items, scores[best].tolist()
        ranked = zip(best.tolist(), values, strict=True)
        return [(items[row], score) for row, score in ranked if score > -np.inf]


def _bound(scores: NDArray[np.float32], k: int) -> float:
    """A score that the `k` best reach and few others do; found sooner than the k-th best itself.

    The best of each block: the k-th best of these is reached by `k` scores at least.
    """
    tops = np.maximum.reduceat(scores, np.arange(0, len(scores), BLOCK))
    return float(np.partition(tops, -k)[-k]) if k <= len(tops) else -np.inf


def read_recommender(directory: Path, scoring: Scoring) -> Recommender:
    """The recommender in a directory that item2vec/train wrote.

    Raises StageError when a parameter is out of range or a file is missing or malformed.
    """
    model = read_model(directory)
    norms = np.linalg.norm(model.vectors, axis=1, keepdims=True)
    directions = model.vectors / np.where(norms > 0, norms, 1)
    scorer = scorer_of(model, directory, scoring)
    return Recommender(scorer, directions, _read_histories(directory))


def _read_histories(directory: Path) -> dict[str, list[str]]:
    parts = [read_ids(table(directory, part), ["user", "item"]) for part in PARTS]
    purchases = pd.concat(parts, ignore_index=True)
    histories: dict[str, list[str]] = purchases.groupby("user")["item"].agg(list).to_dict()
    return histories
