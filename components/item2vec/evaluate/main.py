"""How well a model ranks the purchase that was held out, among all items."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

# One thread sums in one order: the metrics must not depend on the number of cores.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"))

from metrics import NAMES, Metrics, summarise
from model import read_model
from ranking import item2vec_scores, popularity_scores, rank_targets
from split import Split, read_split
from stageio import StageError, run, write_rows


def main(*, input: Path, output: Path, decay: float, last_items: int) -> None:
    """Evaluate the model and the popularity baseline; write metrics.json and metrics.csv.

    Raises StageError when a parameter is out of range, the model or the split is malformed, or
    no purchase is held out.
    """
    check_parameters(decay, last_items)
    split = read_split(input)
    check_cases(input, split)
    model = item2vec_scores(read_model(input, split.items), decay, last_items)
    results = {
        ("item2vec", "test"): summarise(rank_targets(split.test, model, len(split.items))),
        ("item2vec", "valid"): summarise(rank_targets(split.valid, model, len(split.items))),
        ("popularity", "test"): summarise(
            rank_targets(split.test, popularity_scores(split.train_purchases), len(split.items))
        ),
    }
    write_metrics(output, split, results)


def check_parameters(decay: float, last_items: int) -> None:
    """Raise StageError, which names the flag, for a parameter that is out of its range."""
    if not 0 <= decay <= 1:
        raise StageError(f"--decay {decay}: out of range", "give 0 to 1")
    if not 1 <= last_items <= 10_000:
        raise StageError(f"--last-items {last_items}: out of range", "give 1 to 10,000")


def check_cases(input: Path, split: Split) -> None:
    """Raise StageError, which names the file, when a part holds no purchase to look for."""
    for name, cases in (("valid.csv", split.valid), ("test.csv", split.test)):
        if not len(cases):
            raise StageError(
                f"{input / name}: no purchase to evaluate on",
                "purchases are held out of users with three or more of them",
            )


def write_metrics(output: Path, split: Split, results: dict[tuple[str, str], Metrics]) -> None:
    """Write the metrics twice: metrics.json for programs, metrics.csv as a table."""
    document = {
        "test": results["item2vec", "test"],
        "valid": results["item2vec", "valid"],
        "baselines": {"popularity": results["popularity", "test"]},
        "users": split.users,
        "items": len(split.items),
        "cases": len(split.test),
    }
    text = json.dumps(document, indent=2, sort_keys=True)
    (output / "metrics.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    rows = [(*key, *(metrics[name] for name in NAMES)) for key, metrics in results.items()]
    write_rows(output / "metrics.csv", ("model", "part", *NAMES), rows)
    for (name, part), metrics in results.items():
        print(
            f"{name} {part}: HR@10 {metrics['hr@10']:.4f}, NDCG@10 {metrics['ndcg@10']:.4f}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    run(main)
