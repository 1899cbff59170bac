from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import main
import numpy as np
import pytest
from stageio import run, write_rows

PART_COLUMNS = ("user", "item", "time")
METRICS = {"hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr"}

Sequences = dict[str, list[str]]
Vectors = dict[str, list[float]]


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
    return directory


def evaluate(directory: Path, model: Path, *flags: str) -> dict[str, Any]:
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
    return {
        f"u{user}": [f"i{(user + step) % count:03}" for step in range(5)] for user in range(users)
    }


def test_the_document_has_the_agreed_form(tmp_path: Path) -> None:
    document = evaluate(tmp_path, write_model(tmp_path / "m", walks(30, 40), *successors(30)))
    assert set(document) == {"test", "valid", "baselines", "users", "items", "cases"}
    assert set(document["test"]) == set(document["valid"]) == METRICS
    assert set(document["baselines"]) == {"popularity"}
    assert (document["users"], document["items"], document["cases"]) == (40, 30, 40)


def test_the_table_holds_the_same_metrics(tmp_path: Path) -> None:
    document = evaluate(tmp_path, write_model(tmp_path / "m", walks(30, 40), *successors(30)))
    with (tmp_path / "output" / "metrics.csv").open(newline="") as file:
        rows = {(row.pop("model"), row.pop("part")): row for row in csv.DictReader(file)}
    assert set(rows) == {("item2vec", "test"), ("item2vec", "valid"), ("popularity", "test")}
    for part in ("test", "valid"):
        written = {name: float(cell) for name, cell in rows["item2vec", part].items()}
        assert written == document[part]


def test_a_model_that_knows_the_next_item_is_perfect(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", walks(30, 40), *successors(30))
    document = evaluate(tmp_path, model, "--last-items=1")
    assert document["test"] == document["valid"] == dict.fromkeys(METRICS, 1.0)


def test_with_random_targets_the_metrics_fall_to_chance(tmp_path: Path) -> None:
    draw = random.Random(1)
    sequences = walks(200, 1000)
    for items in sequences.values():
        items[-1] = f"i{draw.randrange(200):03}"
    document = evaluate(tmp_path, write_model(tmp_path / "m", sequences, *successors(200)))
    assert document["valid"]["hr@10"] == 1.0
    assert document["test"]["hr@10"] < 3 * 10 / 200


def test_an_item_that_only_the_test_part_has_is_a_case_that_is_missed(tmp_path: Path) -> None:
    sequences = {**walks(30, 40), "new": ["i000", "i001", "i002", "unseen"]}
    document = evaluate(tmp_path, write_model(tmp_path / "m", sequences, *successors(30)))
    assert (document["cases"], document["items"]) == (41, 31)
    assert document["test"]["hr@20"] == round(40 / 41, 6)


def test_users_who_are_only_in_training_are_no_cases(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", walks(30, 40), *successors(30))
    with (model / "train.csv").open("a") as file:
        file.write("short,i000,0\n")
    document = evaluate(tmp_path, model)
    assert (document["users"], document["cases"]) == (41, 40)


def test_the_popularity_baseline_counts_the_training_part_alone(tmp_path: Path) -> None:
    # Counted in any other part, "late" would be the most popular item, and w and x hits.
    sequences = {f"u{user}": [f"p{n}" for n in range(25)] + ["late", "late"] for user in range(50)}
    sequences |= {"w": ["q", "p0", "late"], "x": ["q", "late", "late"]}
    vectors: Vectors = {item: [1.0] for items in sequences.values() for item in items}
    document = evaluate(tmp_path, write_model(tmp_path / "m", sequences, vectors, vectors))
    assert document["baselines"]["popularity"]["hr@20"] == round(50 / 52, 6)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", walks(30, 40), *successors(30))
    for run_ in ("1", "2"):
        evaluate(tmp_path / run_, model)
    for name in ("metrics.json", "metrics.csv"):
        first, second = (tmp_path / run_ / "output" / name for run_ in ("1", "2"))
        assert first.read_bytes() == second.read_bytes()


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
        ("vectors.csv", 3, "other,0,1,0", "line 3: item 'other' is not in items.csv"),
        ("vectors.csv", 3, "i000,0,1,0", "not of the same items and length as vectors.csv"),
        ("vectors.csv", 1, "id,v0,v1,v2", "vectors.csv: line 1: expected the column item"),
        ("train.csv", 2, "u0,other,0", "train.csv: line 2: item 'other' is not in items.csv"),
        ("train.csv", 1, "user,product,time", "train.csv: line 1: no column 'item'"),
        ("test.csv", 2, "nobody,i000,0", "user 'nobody' has no purchase in train.csv"),
        ("test.csv", 3, "u0,i000,0", "user 'u0' has 2 purchases, expected one"),
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


@pytest.mark.parametrize("flag", ["--decay=1.5", "--decay=-0.1", "--last-items=0"])
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


@pytest.mark.parametrize("name", ["vectors.csv", "context_vectors.csv", "valid.csv", "items.csv"])
def test_a_missing_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    model = write_model(tmp_path / "m", walks(3, 3), *successors(3))
    (model / name).unlink()
    with pytest.raises(SystemExit):
        evaluate(tmp_path, model)
    assert f"no file {name}" in capsys.readouterr().err
