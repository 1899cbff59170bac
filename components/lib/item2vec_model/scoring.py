"""What to recommend after a history: item vectors, blended with what was bought after what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from stageio import StageError, read_ids, table

from .vectors import Matrix, Model

Indices = NDArray[np.int64]

# Bounds the memory that counting takes beside what it counts.
PURCHASES_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Scoring:
    """How a history becomes scores. The defaults stand in the component.yaml of who scores.

    A purchase counts `decay` times as much as the one after it, up to `last_items` purchases
    back. `cooccurrence` is the weight of the followers beside the vectors; at 0, the vectors
    score alone.
    """

    decay: float
    last_items: int
    cooccurrence: float

    def check(self) -> None:
        """Raise StageError, which names the flag, for a parameter that is out of its range."""
        if not 0 <= self.decay <= 1:
            raise StageError(f"--decay {self.decay}: out of range", "give 0 to 1")
        if not 1 <= self.last_items <= 10_000:
            raise StageError(f"--last-items {self.last_items}: out of range", "give 1 to 10,000")
        if not 0 <= self.cooccurrence <= 1_000_000:
            raise StageError(
                f"--cooccurrence {self.cooccurrence}: out of range", "give 0 to 1,000,000"
            )


@dataclass(frozen=True)
class Followers:
    """For each item, the items bought after it by the same user, and how much each counts.

    Those of item `i` stand from `starts[i]` to before `starts[i + 1]`, each item once.
    """

    starts: Indices
    items: NDArray[np.int32]
    weights: Matrix

    def add_to(self, counts: Matrix, rows: Indices, items: Indices, weight: float) -> None:
        """Add the followers of each of `items`, times `weight`, to its own one of `rows` of counts."""
        starts, sizes = self.starts[items], self.starts[items + 1] - self.starts[items]
        places = np.arange(sizes.sum()) + np.repeat(starts + sizes - sizes.cumsum(), sizes)
        cells = np.repeat(rows * counts.shape[1], sizes) + self.items[places]
        np.add.at(counts.reshape(-1), cells, np.float32(weight) * self.weights[places])


def followers_of(users: Indices, bought: Indices, items: int, scoring: Scoring) -> Followers:
    """The followers in purchases of `items` items: for each its user, and the item that was bought.

    Purchases of one user stand together, the oldest first. An item bought right after another
    counts 1, one step later `decay`, and so on, up to `last_items` steps.
    """
    ends = np.cumsum(np.bincount(bought, minlength=items))
    cuts = ends[ends.searchsorted(np.arange(PURCHASES_AT_ONCE, len(bought), PURCHASES_AT_ONCE))]
    counts, followers, weights = np.zeros(items, np.int64), [], []
    for places in np.split(np.argsort(bought, kind="stable"), cuts):
        pairs, summed = _pairs(places, users, bought, items, scoring)
        counts += np.bincount(pairs // items, minlength=items)
        followers.append((pairs % items).astype(np.int32))
        weights.append(summed.astype(np.float32))
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Followers(starts, np.concatenate(followers), np.concatenate(weights))


def _pairs(
    places: Indices, users: Indices, bought: Indices, items: int, scoring: Scoring
) -> tuple[Indices, NDArray[np.float64]]:
    """The pairs that begin with the purchases at `places`, sorted, each once, and their weights.

    A pair is a number: that of its first item times `items`, plus that of its second.
    """
    pairs, weights = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for distance in range(1, scoring.last_items + 1):
        places = places[places + distance < len(bought)]
        places = places[users[places] == users[places + distance]]
        if not len(places):
            break
        pairs.append(bought[places] * items + bought[places + distance])
        weights.append(np.full(len(places), scoring.decay ** (distance - 1)))
    unique, of = np.unique(np.concatenate(pairs), return_inverse=True)
    return unique, np.bincount(of, np.concatenate(weights), minlength=len(unique))


@dataclass(frozen=True)
class Scorer:
    """A model with all it takes to score. Histories hold rows of the model, oldest first."""

    model: Model
    followers: Followers
    scoring: Scoring

    def scores(self, histories: Sequence[Sequence[int] | Indices]) -> Matrix:
        """A row for each history: the score of each of the model's items as the next purchase.

        After an empty history, all items score 0.
        """
        vectors = self.vector_scores(histories)
        return self.blend(vectors, self.counts(histories)) if self.scoring.cooccurrence else vectors

    def blend(self, vectors: Matrix, counts: Matrix) -> Matrix:
        """The scores of the vectors, changed in place: plus `cooccurrence` times log(1 + count)."""
        followed = np.flatnonzero(counts > 0)
        gains = np.float32(self.scoring.cooccurrence) * np.log1p(counts.ravel()[followed])
        vectors.reshape(-1)[followed] += gains
        return vectors

    def vector_scores(self, histories: Sequence[Sequence[int] | Indices]) -> Matrix:
        """A row for each history: the score of each item by the vectors alone."""
        result: Matrix = self._queries(histories) @ self.model.context_vectors.T
        return result

    def counts(self, histories: Sequence[Sequence[int] | Indices]) -> Matrix:
        """A row for each history: how often each item followed one of it, decayed by both gaps."""
        counts = np.zeros((len(histories), len(self.model.items)), dtype=np.float32)
        lengths = np.array([*map(len, histories)], dtype=np.int64)
        for back in range(min(lengths.max(initial=0), self.scoring.last_items)):
            rows = np.flatnonzero(lengths > back)
            items = np.array([histories[row][-1 - back] for row in rows], dtype=np.int64)
            self.followers.add_to(counts, rows, items, self.scoring.decay**back)
        return counts

    def _queries(self, histories: Sequence[Sequence[int] | Indices]) -> Matrix:
        queries = np.zeros((len(histories), self.model.vectors.shape[1]), dtype=np.float32)
        decay, last_items = self.scoring.decay, self.scoring.last_items
        for row, history in zip(queries, histories, strict=True):
            if len(history):
                row[:] = self.model.query(history, decay=decay, last_items=last_items)
        return queries


def scorer_of(model: Model, directory: Path, scoring: Scoring) -> Scorer:
    """The scorer of a model, its followers counted in the train.csv in `directory`.

    Raises StageError when a parameter is out of range, or train.csv is missing or malformed.
    Items that the model does not know are left out.
    """
    scoring.check()
    purchases = read_ids(table(directory, "train.csv"), ["user", "item"])
    users, bought = pd.factorize(purchases["user"])[0], purchases["item"].map(model.index)
    order = np.argsort(users, kind="stable")
    order = order[bought.notna().to_numpy()[order]]
    followers = followers_of(
        users[order], bought.to_numpy()[order].astype(np.int64), len(model.items), scoring
    )
    return Scorer(model, followers, scoring)
