"""Item vectors from purchase sequences; the output is all that evaluation and serving need."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperparameters import Hyperparameters
from item2vec_model import write_description
from sequences import read_sequences
from skipgram import Matrix, Model, train
from stageio import run, table, write_rows

SPLIT_FILES = ("train.csv", "valid.csv", "test.csv", "items.csv")


def main(*, input: Path, output: Path, **parameters: Any) -> None:
    """Train on train.csv alone, write the model, and pass the split on beside it.

    Raises StageError when a parameter is out of range, a file of the split is missing or
    malformed, or there is nothing to train on.
    """
    hyperparameters = Hyperparameters(**parameters)
    hyperparameters.check()
    sequences = read_sequences(table(input, "train.csv"))
    for name in SPLIT_FILES:
        shutil.copyfile(table(input, name), output / name)
    write_model(output, train(sequences, hyperparameters))
    write_description(output, parameters)


def write_model(output: Path, model: Model) -> None:
    """Write both vectors of each item, sorted by item, and the loss of each epoch."""
    write_vectors(output / "vectors.csv", model.items, model.vectors)
    write_vectors(output / "context_vectors.csv", model.items, model.context_vectors)
    losses = ((epoch, f"{loss:.6f}") for epoch, loss in enumerate(model.losses, start=1))
    write_rows(output / "training.csv", ("epoch", "loss"), losses)


def write_vectors(path: Path, items: Sequence[str], vectors: Matrix) -> None:
    """Write a row an item: its id, then the components of its vector."""
    header = ("item", *(f"v{index}" for index in range(vectors.shape[1])))
    # Nine significant digits tell any two float32 numbers apart.
    digits = "{:.9g}".format
    rows = (
        (item, *map(digits, vector.tolist())) for item, vector in zip(items, vectors, strict=True)
    )
    write_rows(path, header, rows)


if __name__ == "__main__":
    run(main)
