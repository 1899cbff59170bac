from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from item2vec_model import DESCRIPTION, SCHEMA, check_description, read_model, write_description
from stageio import StageError

VECTORS = "item,v0,v1\na,1,0\nb,0,1\nc,1,1\n"
CONTEXT_VECTORS = "item,v0,v1\na,0,1\nb,1,0\nc,0.5,0.5\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_description(tmp_path)
    (tmp_path / "vectors.csv").write_text(VECTORS)
    (tmp_path / "context_vectors.csv").write_text(CONTEXT_VECTORS)
    return tmp_path


def test_a_description_that_was_written_is_accepted(tmp_path: Path) -> None:
    write_description(tmp_path)
    written = (tmp_path / DESCRIPTION).read_text()
    assert written == '{"kind": "item2vec", "parameters": {}, "schema": 1}\n'
    check_description(tmp_path)


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, str(SCHEMA), None, True])
def test_another_schema_is_refused_by_its_number(tmp_path: Path, schema: object) -> None:
    (tmp_path / DESCRIPTION).write_text(json.dumps({"kind": "item2vec", "schema": schema}))
    with pytest.raises(StageError) as error:
        check_description(tmp_path)
    assert f"a model of schema {schema!r}, and this program knows schema 1" in error.value.message
    assert error.value.hint.startswith("train the model again")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"schema": 1}', "a model of the kind None, expected 'item2vec'"),
    ],
)
def test_what_is_no_description_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / DESCRIPTION).write_text(content)
    with pytest.raises(StageError, match=message):
        check_description(tmp_path)


def test_a_model_from_before_there_were_schemas_is_refused(directory: Path) -> None:
    (directory / DESCRIPTION).unlink()
    with pytest.raises(StageError, match=r"no file model\.json"):
        read_model(directory)


def test_the_rows_are_found_by_item(directory: Path) -> None:
    model = read_model(directory)
    assert model.items == ["a", "b", "c"]
    assert model.vectors[model.index["b"]].tolist() == [0, 1]
    assert model.context_vectors[model.index["c"]].tolist() == [0.5, 0.5]


def test_the_latest_purchase_weighs_most_and_old_ones_nothing(directory: Path) -> None:
    model = read_model(directory)
    a, b, c = (model.index[item] for item in "abc")
    assert model.query([c, a, b], decay=0.5, last_items=2).tolist() == [0.5, 1]
    assert model.query([b], decay=0.5, last_items=10).tolist() == [0, 1]


def test_scores_are_dot_products_with_the_output_vectors(directory: Path) -> None:
    model = read_model(directory)
    assert model.scores(np.array([1, 2], dtype=np.float32)).tolist() == [2, 1, 1.5]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vectors.csv", "item,v0,v1\n", "not of the same items"),
        ("vectors.csv", "id,v0\na,1\n", "line 1: expected the column item"),
        ("vectors.csv", VECTORS.replace("b,0,1", "b,0,nan"), "line 3: a number .* is not finite"),
        ("vectors.csv", VECTORS.replace("b,0,1", "b,0,x"), "line 3: could not convert"),
        ("vectors.csv", VECTORS.replace("b,0,1", "b,0"), "line 3: 2 cells"),
        ("context_vectors.csv", CONTEXT_VECTORS.replace("b", "d"), "not of the same items"),
        ("context_vectors.csv", "item,v0\na,1\nb,1\nc,1\n", "not of the same items and length"),
    ],
)
def test_a_malformed_file_is_named(directory: Path, name: str, content: str, message: str) -> None:
    (directory / name).write_text(content)
    with pytest.raises(StageError, match=message) as error:
        read_model(directory)
    assert name in error.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [("item,v0\na,1\na,1\n", "holds an item twice"), ("item,v0\n", "holds no item")],
)
def test_items_are_there_and_differ(directory: Path, content: str, message: str) -> None:
    for name in ("vectors.csv", "context_vectors.csv"):
        (directory / name).write_text(content)
    with pytest.raises(StageError, match=message):
        read_model(directory)
