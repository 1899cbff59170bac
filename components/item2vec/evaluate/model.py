"""Reads the vectors that training wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from stageio import StageError, numbered_rows, table

Matrix = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Model:
    """A row of each matrix for each item of the data set, and which items were trained.

    The rows of an item that was not trained are zero.
    """

    vectors: Matrix
    context_vectors: Matrix
    trained: Mask


def read_model(directory: Path, items: Mapping[str, int]) -> Model:
    """The model in `directory`, its rows in the order of `items`.

    Raises StageError when a file is missing or malformed, when a number is not finite, and when
    the files do not hold vectors of one length for the same items.
    """
    inputs, outputs = table(directory, "vectors.csv"), table(directory, "context_vectors.csv")
    vectors, trained = _read_vectors(inputs, items)
    context_vectors, trained_context = _read_vectors(outputs, items)
    if vectors.shape != context_vectors.shape or not np.array_equal(trained, trained_context):
        raise StageError(
            f"{outputs}: not of the same items and length as {inputs.name}",
            "take both files from one run of train",
        )
    return Model(vectors, context_vectors, trained)


def _read_vectors(path: Path, items: Mapping[str, int]) -> tuple[Matrix, Mask]:
    rows = numbered_rows(path)
    _, header = next(rows)
    if header[0] != "item" or len(header) < 2:
        raise StageError(
            f"{path}: line 1: expected the column item, then those of the vector",
            f"there are {', '.join(header[:5])}",
        )
    vectors = np.zeros((len(items), len(header) - 1), dtype=np.float32)
    trained = np.zeros(len(items), dtype=np.bool_)
    for line, (item, *cells) in rows:
        if item not in items:
            raise StageError(
                f"{path}: line {line}: item {item[:40]!r} is not in items.csv",
                "take the model and the split from one run of train",
            )
        vectors[items[item]] = _vector(f"{path}: line {line}", cells)
        trained[items[item]] = True
    return vectors, trained


def _vector(place: str, cells: list[str]) -> Matrix:
    try:
        with np.errstate(over="ignore"):
            vector = np.array(list(map(float, cells)), dtype=np.float32)
    except ValueError as error:
        raise StageError(f"{place}: {error}", "take the file as train writes it") from None
    if not np.isfinite(vector).all():
        raise StageError(
            f"{place}: a number of the vector is not finite", "train with a smaller --alpha"
        )
    return vector
