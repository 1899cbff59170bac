"""How what is served differs from the purchases that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from item2vec_model import trained_purchases
from serving import monitor


def main(directory: Path) -> Mapping[str, int]:
    """How often each item was bought in the training data of the model in `directory`."""
    return trained_purchases(directory)


if __name__ == "__main__":
    monitor(main)
