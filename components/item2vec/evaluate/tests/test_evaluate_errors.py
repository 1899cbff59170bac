"""A model or a parameter that evaluate cannot use is one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import evaluate, successors, walks, write_model


def broken(model: Path, name: str, line: int, text: str) -> None:
    lines = (model / name).read_text().splitlines()
    lines[line - 1] = text
    (model / name).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "line", "text", "message"),
    [
        ("vectors.csv", 3, "i001,0,nan,0", "vectors.csv: line 3: a number of the vector is not"),
        ("vectors.csv", 3, "i001,0,1e99,0", "vectors.csv: line 3: a number of the vector is not"),
        ("vectors.csv", 3, "i001,0,one,0", "line 3: could not convert string to float: 'one'"),
        ("vectors.csv", 3, "other,0,1,0", "not of the same items and length as vectors.csv"),
        ("training.csv", 2, "1,high", "training.csv: could not convert string to float: 'high'"),
        ("model.json", 1, '{"kind": "item2vec", "schema": 99}', "a model of schema 99"),
        ("vectors.csv", 3, "i000,0,1,0", "not of the same items and length as vectors.csv"),
        ("vectors.csv", 1, "id,v0,v1,v2", "vectors.csv: line 1: expected the column item"),
        ("train.csv", 2, "u0,other,0", "train.csv: line 2: item 'other' is not in items.csv"),
        ("train.csv", 1, "user,product,time", "train.csv: line 1: no column 'item'"),
        ("test.csv", 2, "nobody,i000,0", "user 'nobody' has no purchase in train.csv"),
        ("test.csv", 3, "u0,i000,0", "user 'u0' has more than one purchase held out"),
    ],
)
def test_a_malformed_model_is_one_clear_error_and_leaves_no_output(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    line: int,
    text: str,
    message: str,
) -> None:
    model = write_model(tmp_path / "m", walks(3, 3), *successors(3))
    broken(model, name, line, text)
    with pytest.raises(SystemExit) as exit_:
        evaluate(tmp_path, model)
    error, hint = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 1
    assert message in error
    assert hint.startswith("hint: ")
    assert list((tmp_path / "output").iterdir()) == []


@pytest.mark.parametrize(
    "flag",
    [
        "--decay=1.5",
        "--decay=-0.1",
        "--last-items=0",
        "--cooccurrence=-1",
        "--max-users=0",
        "--seed=-1",
    ],
)
def test_a_parameter_out_of_range_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    model = write_model(tmp_path / "m", walks(3, 3), *successors(3))
    with pytest.raises(SystemExit):
        evaluate(tmp_path, model, flag)
    assert f"error: {flag.split('=')[0]} " in capsys.readouterr().err


def test_nothing_held_out_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "m", walks(3, 3), *successors(3))
    (model / "test.csv").write_text("user,item,time\n")
    with pytest.raises(SystemExit):
        evaluate(tmp_path, model)
    assert "test.csv: no purchase to evaluate on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        *("vectors.csv", "context_vectors.csv", "training.csv"),
        *("train.csv", "valid.csv", "items.csv", "model.json"),
    ],
)
def test_a_missing_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    model = write_model(tmp_path / "m", walks(3, 3), *successors(3))
    (model / name).unlink()
    with pytest.raises(SystemExit):
        evaluate(tmp_path, model)
    assert f"no file {name}" in capsys.readouterr().err
