"""What a model was trained on, as it lies beside the model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from stageio import read_ids, table

from .schema import check_description


def trained_purchases(directory: Path) -> Counter[str]:
    """How often each item was bought in the data that the model in `directory` was trained on.

    Raises StageError when the model is of another schema, or train.csv is missing or malformed.
    """
    check_description(directory)
    return Counter(read_ids(table(directory, "train.csv"), ["item"])["item"])
