from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from item2vec_model import Scoring, write_description
from recommender import Recommender, read_recommender
from stageio import StageError, write_table

MAIN = Path(__file__).parents[1] / "main.py"
# Each item's output vector is the input vector of the item before it: after i001 comes i002.
ITEMS = ["a/b c", *(f"i{number:03}" for number in range(1, 50))]


VECTORS_ALONE = Scoring(decay=0.4, last_items=10, cooccurrence=0)


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    write_table(path, pd.DataFrame(rows, columns=header))


def write_model(directory: Path) -> Path:
    directory.mkdir()
    write_description(directory)
    unit = np.eye(len(ITEMS), dtype=int)
    header = ["item", *(f"v{index}" for index in range(len(ITEMS)))]
    for name, shift in (("vectors", 0), ("context_vectors", 1)):
        rows = [(item, *unit[row - shift]) for row, item in enumerate(ITEMS)]
        write_rows(directory / f"{name}.csv", header, rows)
    parts = {"train": [("u", "i001"), ("u", "i002")], "valid": [("u", "i003")]}
    for part in ("train", "valid", "test"):
        rows = [(user, item, 0) for user, item in parts.get(part, [])]
        write_rows(directory / f"{part}.csv", ("user", "item", "time"), rows)
    return directory


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def recommender(model: Path) -> Recommender:
    return read_recommender(model, VECTORS_ALONE)


def test_the_next_item_comes_first_and_older_ones_weigh_less(recommender: Recommender) -> None:
    ranked = recommender.recommend(["i001", "i010", "i020"], 3, [])
    assert [item for item, _ in ranked] == ["i021", "i011", "i002"]
    assert [score for _, score in ranked] == pytest.approx([1, 0.4, 0.16])


def test_neither_what_was_bought_nor_what_is_excluded_is_recommended(
    recommender: Recommender,
) -> None:
    items = [item for item, _ in recommender.recommend(["i001", "i002"], 50, ["i003", "new"])]
    assert len(items) == len(ITEMS) - 3
    assert not {"i001", "i002", "i003"} & set(items)


def test_equal_scores_stand_in_the_order_of_the_items(recommender: Recommender) -> None:
    ranked = recommender.recommend(["i010"], 4, [])
    assert [item for item, _ in ranked] == ["i011", "a/b c", "i001", "i002"]


@pytest.mark.parametrize("k", [1, 2, 7, 49, 50, 1000])
def test_the_best_are_those_of_a_full_sort(recommender: Recommender, k: int) -> None:
    draw = np.random.default_rng(k)
    scores = draw.integers(0, 20, len(ITEMS)).astype(np.float32)
    order = sorted(range(1, len(ITEMS)), key=lambda row: (-scores[row], row))[:k]
    expected = [(ITEMS[row], float(scores[row])) for row in order]
    assert recommender._best(scores, k, [0]) == expected


def test_similar_items_have_like_directions(model: Path) -> None:
    rows = [("a", 1, 0), ("b", 0, 1), ("c", 9, 1), ("d", 0, 0)]
    for name in ("vectors", "context_vectors"):
        write_rows(model / f"{name}.csv", ("item", "v0", "v1"), rows)
    ranked = read_recommender(model, VECTORS_ALONE).similar("a", 2)
    assert ranked == [("c", pytest.approx(9 / 82**0.5)), ("b", 0)]


def test_a_parameter_out_of_range_is_named(model: Path) -> None:
    with pytest.raises(StageError, match=r"--decay 1\.5: out of range"):
        read_recommender(model, Scoring(1.5, 10, 0))


def test_what_was_bought_after_what_counts_as_well(model: Path) -> None:
    ranked = read_recommender(model, Scoring(0.4, 10, 100)).recommend(["i001"], 2, [])
    assert ranked[0] == ("i002", pytest.approx(1 + 100 * np.log(2)))


def test_the_history_of_a_user_has_all_parts_in_order(recommender: Recommender) -> None:
    assert recommender.history("u") == ["i001", "i002", "i003"]
    assert recommender.history("nobody") == []


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a service of the model answers, the same for all tests: none changes it."""
    place = tmp_path_factory.mktemp("service")
    model, output = write_model(place / "model"), place / "output"
    process = subprocess.Popen(
        [sys.executable, MAIN, "--input", model, "--output", output, "--port", "0"],
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("serving "), said + process.stderr.read()
        yield int(said.split("http://127.0.0.1:")[1].split()[0])
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    content = json.dumps(body) if body is not None else None
    connection.request(method, path, content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


def test_recommendations_by_items_and_by_user(port: int) -> None:
    status, answer = ask(port, "POST", "/recommend", {"items": ["i009", "new"], "k": 1})
    expected = {"items": [{"item": "i010", "score": 1.0}], "unknown": ["new"], "run": ""}
    assert (status, answer) == (200, expected)
    status, answer = ask(port, "POST", "/recommend", {"user": "u", "k": 1, "exclude": ["i004"]})
    assert status == 200
    assert answer["items"][0]["item"] == "a/b c"


def test_a_whole_number_may_be_written_with_a_point(port: int) -> None:
    status, answer = ask(port, "POST", "/recommend", {"items": ["i001"], "k": 3.0})
    assert (status, len(answer["items"])) == (200, 3)


def test_similar_takes_any_id(port: int) -> None:
    status, answer = ask(port, "GET", f"/similar/{quote('a/b c', safe='')}?k=3")
    assert status == 200
    assert [scored["item"] for scored in answer["items"]] == ["i001", "i002", "i003"]


@pytest.mark.parametrize(
    ("body", "status", "error", "message"),
    [
        ({"items": ["new"]}, 404, "unknown_items", "the model does not know this"),
        ({"user": "nobody"}, 404, "unknown_user", "the model does not know this"),
        ({"items": ["i001"], "k": 0}, 422, "invalid_request", "items.k: Input should be greater"),
        ({"items": ["i001"], "k": 10**9}, 422, "invalid_request", "items.k: Input should be less"),
        ({"items": ["i001"], "k": float("nan")}, 422, "invalid_request", "items.k: Input should"),
        ({"items": ["i001"], "k": 3.5}, 422, "invalid_request", "items.k: Input should be a valid"),
        (
            {"items": ["i001"], "k": True},
            422,
            "invalid_request",
            "items.k: Input should be a valid",
        ),
        ({"items": ["i001"], "k": "3"}, 422, "invalid_request", "items.k: Input should be a valid"),
        ({"items": []}, 422, "invalid_request", "items.items: List should have at least 1"),
        ({"items": ["i"] * 101}, 422, "invalid_request", "items.items: List should have at most"),
        ({"items": ["i" * 257]}, 422, "invalid_request", "items.items.0: String should have at"),
        ({"user": "u", "items": ["i001"]}, 422, "invalid_request", "items.user: Extra inputs"),
        ({}, 422, "invalid_request", "items.items: Field required"),
        ([], 422, "invalid_request", "items: Input should be a valid dictionary"),
    ],
)
def test_what_cannot_be_answered_is_said_clearly(
    port: int, body: object, status: int, error: str, message: str
) -> None:
    got, answer = ask(port, "POST", "/recommend", body)
    assert (got, answer["error"]) == (status, error)
    assert answer["message"].startswith(message)


def test_an_unknown_item_is_told_from_an_unknown_path(port: int) -> None:
    assert ask(port, "GET", "/similar/new")[1]["error"] == "unknown_item"
    assert ask(port, "GET", "/similar/i001?k=0")[0] == 422
    assert ask(port, "GET", "/other")[1]["error"] == "not_found"


def test_openapi_has_examples(port: int) -> None:
    schemas = ask(port, "GET", "/openapi.json")[1]["components"]["schemas"]
    assert schemas["ByItems"]["properties"]["items"]["items"]["examples"] == ["B0000200"]
    k = schemas["ByItems"]["properties"]["k"]
    assert (k["minimum"], k["maximum"], k["examples"]) == (1, 1000, [10])


def test_a_model_of_another_schema_is_refused_at_start(model: Path, tmp_path: Path) -> None:
    (model / "model.json").write_text('{"kind": "item2vec", "schema": 99}')
    command = [sys.executable, MAIN, "--input", model, "--output", tmp_path / "o", "--port", "0"]
    done = subprocess.run(command, stderr=subprocess.PIPE, encoding="utf-8", timeout=60)
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error.endswith("a model of schema 99, and this program knows schema 1")
    assert hint.startswith("hint: train the model again")
