"""The vectors of a model, and what they say of the next purchase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from stageio import StageError, place, read_chunks, read_header, table

from .schema import check_description

Matrix = NDArray[np.float32]
Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """The trained items, and a row of each matrix for each of them.

    `index` holds the row of each item.
    """

    items: list[str]
    index: dict[str, int]
    vectors: Matrix
    context_vectors: Matrix

    def query(self, history: Sequence[int], *, decay: float, last_items: int) -> Vector:
        """The query of a history, oldest first: the decayed sum of its last input vectors.

        Each of the last `last_items` items weighs `decay` times as much as the one after it.
        `history` holds rows, at least one.
        """
        recent = history[::-1][:last_items]
        weights = (decay ** np.arange(len(recent))).astype(np.float32)
        return weights @ self.vectors[recent]

    def scores(self, query: Vector) -> Vector:
        """The score of each item as the next purchase after the history of `query`."""
        return self.context_vectors @ query


def read_model(directory: Path) -> Model:
    """The model in `directory`.

    Raises StageError when it is of another schema, a file is missing or malformed, a number is not
    finite, or the files do not hold vectors of one length for the same items in the same order.
    """
    check_description(directory)
    inputs, outputs = table(directory, "vectors.csv"), table(directory, "context_vectors.csv")
    items, vectors = _read(inputs)
    context_items, context_vectors = _read(outputs)
    if items != context_items or vectors.shape != context_vectors.shape:
        raise StageError(
            f"{outputs}: not of the same items and length as {inputs.name}",
            "take both files from one run of train",
        )
    index = {item: row for row, item in enumerate(items)}
    if not items or len(index) < len(items):
        problem = "holds an item twice" if items else "holds no item"
        raise StageError(f"{inputs}: {problem}", "take the file as train writes it")
    return Model(items, index, vectors, context_vectors)


def _read(path: Path) -> tuple[list[str], Matrix]:
    header = read_header(path)
    if header[0] != "item" or len(header) < 2:
        raise StageError(
            f"{path}: line 1: expected the column item, then those of the vector",
            f"there are {', '.join(header[:5])}",
        )
    items: list[str] = []
    vectors = []
    for rows in read_chunks(path):
        items.extend(rows["item"])
        vectors.append(_vectors(path, rows.drop(columns="item")))
    return items, np.concatenate(vectors)


def _vectors(path: Path, rows: pd.DataFrame) -> Matrix:
    try:
        with np.errstate(over="ignore"):
            vectors = rows.to_numpy(object).astype(np.float64).astype(np.float32)
    except ValueError as error:
        wrong = rows.apply(pd.to_numeric, errors="coerce").isna().any(axis=1)
        where = place(path, wrong.idxmax())
        raise StageError(f"{where}: {error}", "take the file as train writes it") from None
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise StageError(
            f"{place(path, rows.index[finite.argmin()])}: a number of the vector is not finite",
            "train with a smaller --alpha",
        )
    return vectors
