"""Models as train writes them, made by hand, and what evaluate says of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import main
import numpy as np
import pandas as pd
from item2vec_model import write_description
from stageio import run, write_table

PART_COLUMNS = ("user", "item", "time")

Sequences = dict[str, list[str]]
Vectors = dict[str, list[float]]


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    write_table(path, pd.DataFrame(rows, columns=header))


def write_model(
    directory: Path, sequences: Sequences, vectors: Vectors, context_vectors: Vectors
) -> Path:
    """What train writes: of each user's items the last is test, the one before validation."""
    directory.mkdir(parents=True)
    parts = {"train": slice(None, -2), "valid": slice(-2, -1), "test": slice(-1, None)}
    for part, place in parts.items():
        rows = [(user, item, 0) for user, items in sequences.items() for item in items[place]]
        write_rows(directory / f"{part}.csv", PART_COLUMNS, rows)
    items = sorted({item for items in sequences.values() for item in items} | set(vectors))
    write_rows(directory / "items.csv", ("item", "train_purchases"), [(item, 0) for item in items])
    for name, content in (("vectors", vectors), ("context_vectors", context_vectors)):
        width = len(next(iter(content.values())))
        header = ("item", *(f"v{index}" for index in range(width)))
        rows_ = [(item, *vector) for item, vector in content.items()]
        write_rows(directory / f"{name}.csv", header, rows_)
    write_rows(directory / "training.csv", ("epoch", "loss"), [(1, 2.5), (2, 1.25)])
    write_description(directory, {"epochs": 2})
    return directory


def evaluate(directory: Path, model: Path, *flags: str) -> dict[str, Any]:
    """Evaluate a model, with its output below a directory; the document of its metrics."""
    output = directory / "output"
    run(main.main, argv=["--input", str(model), "--output", str(output), *flags])
    document: dict[str, Any] = json.loads((output / "metrics.json").read_text())
    return document


def successors(count: int) -> tuple[Vectors, Vectors]:
    """Vectors by which the item after the last one bought scores 1, every other item 0."""
    unit = np.eye(count).tolist()
    vectors = {f"i{index:03}": unit[index] for index in range(count)}
    return vectors, {f"i{index:03}": unit[index - 1] for index in range(count)}


def walks(count: int, users: int) -> Sequences:
    """Users who each buy five items in their order, from another item on."""
    return {
        f"u{user}": [f"i{(user + step) % count:03}" for step in range(5)] for user in range(users)
    }
