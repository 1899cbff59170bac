"""Item vectors from purchase sequences; the output is all that evaluation and serving need."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from hyperparameters import Hyperparameters
from item2vec_model import write_description
from sequences import read_sequences
from skipgram import Matrix, Model, train
from stageio import run, table, write_table

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
    losses = pd.Series(model.losses, name="loss").map("{:.6f}".format)
    losses.index = losses.index + 1
    write_table(output / "training.csv", losses.rename_axis("epoch").reset_index())


def write_vectors(path: Path, items: Sequence[str], vectors: Matrix) -> None:
    """Write a row an item: its id, then the components of its vector."""
    # Nine significant digits tell any two float32 numbers apart.
    table = pd.DataFrame(vectors).map("{:.9g}".format).add_prefix("v")
    table.insert(0, "item", items)
    write_table(path, table)


if __name__ == "__main__":
    run(main)
