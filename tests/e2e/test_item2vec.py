"""The recommender's own pipeline on its sample: what is held out stays out, and nothing else explains its quality."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.e2e.projects import DOIT, REPOSITORY

SAMPLE = REPOSITORY / "pipelines/samples/purchases.json.gz"
TOKEN = "a-token"
QUICK = ("train.epochs=10", "train.dimension=16")
MODEL_FILES = ("vectors.csv", "context_vectors.csv", "training.csv", "train.csv")

Purchases = dict[str, list[dict[str, Any]]]


def histories() -> Purchases:
    """Each user's purchases, oldest first."""
    read: Purchases = {}
    with gzip.open(SAMPLE, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            read.setdefault(record["reviewerID"], []).append(record)
    for purchases in read.values():
        purchases.sort(key=lambda record: record["unixReviewTime"])
    return read


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
    ("settings", "held_out"),
    [
        ((), (-2, -1)),
        (("train.window=1", "train.sample=0.01", "train.shrink_windows=false"), (-2, -1)),
        (("train.min_count=3", "train.negative=1", "evaluate.cooccurrence=0"), (-2, -1)),
        (("preprocess.validation=false",), (-1,)),
    ],
)
def test_nothing_of_a_held_out_purchase_reaches_the_model(
    tmp_path: Path,
    run: Callable[..., dict[str, Path]],
    settings: tuple[str, ...],
    held_out: tuple[int, ...],
) -> None:
    # Items of their own stand in the places of what is held out: any trace of them would show.
    purchases = histories()
    before = run(source(tmp_path / "a.json", purchases), *settings)
    for user, records in purchases.items():
        for place in held_out:
            records[place] = {**records[place], "asin": f"held-out-{user}-{place}"}
    after = run(source(tmp_path / "b.json", purchases), *settings)

    assert (before["train"] / "test.csv").read_bytes() != (after["train"] / "test.csv").read_bytes()
    for name in MODEL_FILES:
        assert (before["train"] / name).read_bytes() == (after["train"] / name).read_bytes(), name
        assert b"held-out" not in (after["train"] / name).read_bytes()
    measured = metrics(after)
    own = measured["test"] if -2 in held_out else measured["retrained"]
    assert {model["hr@20"] for model in (own, *measured["baselines"].values())} == {0.0}


def test_with_random_last_purchases_hits_fall_to_chance(
    tmp_path: Path, run: Callable[..., dict[str, Path]]
) -> None:
    purchases, draw = histories(), random.Random(1)
    items = sorted({record["asin"] for records in purchases.values() for record in records})
    for records in purchases.values():
        records[-1] = {**records[-1], "asin": draw.choice(items)}

    measured = metrics(run(source(tmp_path / "random.json", purchases)))

    # The history has left the ranking, so chance is a little above 10 in 200.
    assert measured["valid"]["hr@10"] > 0.6
    for model in (measured["test"], *measured["baselines"].values()):
        assert model["hr@10"] < 0.1


def test_the_model_foretells_more_than_its_parts_and_than_popularity(
    tmp_path: Path, run: Callable[..., dict[str, Path]]
) -> None:
    measured = metrics(run(SAMPLE, "train.epochs=25", "evaluate.fail_below_baseline=true"))

    assert (measured["users"], measured["items"], measured["cases"]) == (600, 200, 600)
    assert measured["test"]["hr@10"] > 0.85
    assert measured["baselines"]["popularity"]["hr@10"] < 0.1


@contextmanager
def served(place: Path, target: str) -> Iterator[str]:
    """The address of a service of a pipeline's runs, whose store lies in a directory, with `TOKEN` to reload it."""
    (place / "token").write_text(TOKEN)
    arguments = ["--port=0", f"--output={place}", f"reload_token_file={place / 'token'}"]
    process = subprocess.Popen(
        [DOIT, "serve", target, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "DAINTREE_STORE": str(place / "store")},
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stderr is not None
        line = next((line for line in process.stderr if line.startswith("serving ")), "")
        assert line, "the service ended before it listened"
        yield line.partition(" at ")[2].split()[0]
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def service(tmp_path: Path, run: Callable[..., dict[str, Path]]) -> Iterator[str]:
    """The address of a service of the sample's model."""
    run(SAMPLE)
    with served(tmp_path, "item2vec") as address:
        yield address


def test_a_service_of_a_name_follows_it_when_it_is_reloaded(
    tmp_path: Path, run: Callable[..., dict[str, Path]]
) -> None:
    def named() -> str:
        record = subprocess.run(
            [DOIT, "name", "item2vec", "production", "--json"],
            cwd=REPOSITORY,
            env={**os.environ, "DAINTREE_STORE": str(tmp_path / "store")},
            capture_output=True,
            check=True,
        )
        return str(json.loads(record.stdout)["runs"]["train"]["run"])

    def answer(path: str, method: str = "GET") -> dict[str, Any]:
        token = {"Authorization": f"Bearer {TOKEN}"}
        with urlopen(Request(address + path, method=method, headers=token), timeout=60) as response:
            document: dict[str, Any] = json.load(response)
        return document

    run(SAMPLE)
    first = named()
    with served(tmp_path, "item2vec@production") as address:
        run(SAMPLE, "train.seed=2")
        # A newer run is another's; only the name is followed.
        assert answer("/reload", "POST") == {"before": first, "now": first}
        second = named()
        assert answer("/reload", "POST") == {"before": first, "now": second}
        assert answer("/model")["run"] == second != first


def test_the_service_does_what_its_openapi_says(tmp_path: Path, service: str) -> None:
    # Of each route: the examples, the limits of each value, and what is drawn, right and wrong.
    finished = subprocess.run(
        [
            *(DOIT.with_name("schemathesis"), "run", f"{service}/openapi.json"),
            *("--header", f"Authorization: Bearer {TOKEN}"),
            *("--max-examples", "25", "--seed", "1", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    assert re.search(r"(\d+) generated, \1 passed", finished.stdout), finished.stdout
    # The examples are items that the sample's model knows.
    assert "Missing test data" not in finished.stdout
