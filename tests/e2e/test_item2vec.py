"""The recommender's own pipeline on its sample: what is held out stays out, and nothing else explains its quality."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import DOIT, REPOSITORY

SAMPLE = REPOSITORY / "pipelines/samples/purchases.json.gz"
QUICK = ("train.epochs=10", "train.dimension=16")
MODEL_FILES = ("vectors.csv", "context_vectors.csv", "training.csv", "train.csv")

Purchases = dict[str, list[dict[str, Any]]]


def histories() -> Purchases:
    """Each user's purchases, oldest first."""
    found: Purchases = {}
    with gzip.open(SAMPLE, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            found.setdefault(record["reviewerID"], []).append(record)
    for purchases in found.values():
        purchases.sort(key=lambda record: record["unixReviewTime"])
    return found


def source(path: Path, purchases: Purchases) -> Path:
    """The purchases as a source of the pipeline."""
    lines = (json.dumps(record) + "\n" for records in purchases.values() for record in records)
    path.write_text("".join(lines))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Run the pipeline on a source with these settings; each stage's output."""

    def run(given: Path, *settings: str) -> dict[str, Path]:
        chosen = [word for setting in (*QUICK, *settings) for word in ("--set", setting)]
        output = ("--output", str(tmp_path / "output"))
        finished = subprocess.run(
            [DOIT, "run", "item2vec", "--source", str(given), *output, *chosen, "--json"],
            cwd=REPOSITORY,
            env={**os.environ, "DAINTREE_STORE": str(tmp_path / "store")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return {s["name"]: Path(s["path"]) for s in json.loads(finished.stdout)["stages"]}

    return run


def metrics(outputs: dict[str, Path]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((outputs["evaluate"] / "metrics.json").read_text())
    return document


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("train.window=1", "train.sample=0.01", "train.shrink_windows=false"),
        ("train.min_count=3", "train.negative=1", "evaluate.cooccurrence=0"),
    ],
)
def test_nothing_of_a_held_out_purchase_reaches_the_model(
    tmp_path: Path, run: Callable[..., dict[str, Path]], settings: tuple[str, ...]
) -> None:
    # Items of their own stand in the places of the last two purchases: any trace of them would show.
    purchases = histories()
    before = run(source(tmp_path / "a.json", purchases), *settings)
    for user, records in purchases.items():
        for place in (-2, -1):
            records[place] = {**records[place], "asin": f"held-out-{user}-{place}"}
    after = run(source(tmp_path / "b.json", purchases), *settings)

    assert (before["train"] / "test.csv").read_bytes() != (after["train"] / "test.csv").read_bytes()
    for name in MODEL_FILES:
        assert (before["train"] / name).read_bytes() == (after["train"] / name).read_bytes(), name
        assert b"held-out" not in (after["train"] / name).read_bytes()
    found = metrics(after)
    assert {model["hr@20"] for model in (found["test"], *found["baselines"].values())} == {0.0}


def test_with_random_last_purchases_hits_fall_to_chance(
    tmp_path: Path, run: Callable[..., dict[str, Path]]
) -> None:
    purchases, draw = histories(), random.Random(1)
    items = sorted({record["asin"] for records in purchases.values() for record in records})
    for records in purchases.values():
        records[-1] = {**records[-1], "asin": draw.choice(items)}

    found = metrics(run(source(tmp_path / "random.json", purchases)))

    # The history has left the ranking, so chance is a little above 10 in 200.
    assert found["valid"]["hr@10"] > 0.6
    for model in (found["test"], *found["baselines"].values()):
        assert model["hr@10"] < 0.1


def test_the_model_foretells_more_than_its_parts_and_than_popularity(
    tmp_path: Path, run: Callable[..., dict[str, Path]]
) -> None:
    found = metrics(run(SAMPLE, "train.epochs=25", "evaluate.fail_below_baseline=true"))

    assert (found["users"], found["items"], found["cases"]) == (600, 200, 600)
    assert found["test"]["hr@10"] > 0.85
    assert found["baselines"]["popularity"]["hr@10"] < 0.1
