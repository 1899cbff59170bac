from __future__ import annotations

import csv
import dataclasses
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import main
import numpy as np
import pandas as pd
import pytest
import skipgram
import yaml
from gensim.models.word2vec import Word2Vec  # type: ignore[import-untyped]
from hyperparameters import Hyperparameters
from sequences import read_sequences
from skipgram import Sequences, parts_of, train
from stageio import StageError, run, write_table

SMALL = ["--dimension=8", "--epochs=3"]
MODEL_FILES = ("vectors.csv", "context_vectors.csv", "training.csv")


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    write_table(path, pd.DataFrame(rows, columns=header))


def hyperparameters(**changes: Any) -> Hyperparameters:
    description = yaml.safe_load(Path("component.yaml").read_text())
    defaults = {name: param["default"] for name, param in description["params"].items()}
    return Hyperparameters(**{**defaults, "dimension": 8, "epochs": 3, **changes})


def two_worlds(users: int = 40) -> Sequences:
    """Each user buys items of one of two kinds that never meet."""
    draw = random.Random(1)
    return [[f"{'ab'[user % 2]}{draw.randrange(10)}" for _ in range(8)] for user in range(users)]


def write_split(directory: Path, sequences: Sequences, held_out: str = "held-out") -> Path:
    directory.mkdir(parents=True)
    columns = ("user", "item", "time")
    rows = [(f"u{u}", item, t) for u, items in enumerate(sequences) for t, item in enumerate(items)]
    write_rows(directory / "train.csv", columns, rows)
    for part, time in (("valid", 100), ("test", 101)):
        held = [(f"u{user}", held_out, time) for user in range(len(sequences))]
        write_rows(directory / f"{part}.csv", columns, held)
    items = sorted({item for _, item, _ in rows} | {held_out})
    write_rows(directory / "items.csv", ("item", "train_purchases"), [(item, 0) for item in items])
    return directory


def run_train(directory: Path, split: Path, *flags: str) -> Path:
    output = directory / "output"
    run(main.main, argv=["--input", str(split), "--output", str(output), *SMALL, *flags])
    return output


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_every_item_has_both_vectors_also_when_it_was_bought_once(tmp_path: Path) -> None:
    sequences = [*two_worlds(), ["once"], ["ü,\n", "a1"]]
    output = run_train(tmp_path, write_split(tmp_path / "split", sequences))
    items = sorted({item for sequence in sequences for item in sequence})
    for name in ("vectors.csv", "context_vectors.csv"):
        header, *rows = read(output / name)
        assert header == ["item", *(f"v{index}" for index in range(8))]
        assert [row[0] for row in rows] == items


def test_an_id_may_be_a_million_characters_long(tmp_path: Path) -> None:
    item = "x" * 1_000_000
    output = run_train(tmp_path, write_split(tmp_path / "split", [[item, "a", item, "b"]]))
    assert [row[0] for row in read(output / "vectors.csv")[1:]] == ["a", "b", item]


def test_the_parameters_stand_in_the_description(tmp_path: Path) -> None:
    output = run_train(tmp_path, write_split(tmp_path / "split", two_worlds()))
    described = json.loads((output / "model.json").read_text())
    assert described["parameters"] == dataclasses.asdict(hyperparameters())


def test_the_written_vectors_read_back_to_the_same_float32(tmp_path: Path) -> None:
    sequences = two_worlds()
    output = run_train(tmp_path, write_split(tmp_path / "split", sequences))
    model = train(sequences, hyperparameters())
    for name, vectors in (
        ("vectors.csv", model.vectors),
        ("context_vectors.csv", model.context_vectors),
    ):
        written = np.array([row[1:] for row in read(output / name)[1:]], dtype=np.float32)
        assert written.tobytes() == vectors.tobytes()


@pytest.mark.parametrize("value", [1 / 3, 1e-40, -0.0, 3.4028235e38, 16777217.0, 0.1])
def test_nine_digits_tell_float32_numbers_apart(tmp_path: Path, value: float) -> None:
    vectors = np.array([[value]], dtype=np.float32)
    main.write_vectors(tmp_path / "vectors.csv", ["a"], vectors)
    (_, cell) = read(tmp_path / "vectors.csv")[1]
    assert np.float32(cell).tobytes() == vectors.tobytes()


def test_the_split_is_passed_on(tmp_path: Path) -> None:
    split = write_split(tmp_path / "split", two_worlds())
    output = run_train(tmp_path, split)
    for name in ("train.csv", "valid.csv", "test.csv", "items.csv"):
        assert (output / name).read_bytes() == (split / name).read_bytes()
    declared = yaml.safe_load(Path("component.yaml").read_text())["outputs"]
    assert sorted(declared) == sorted(path.name for path in output.iterdir())


def test_the_same_input_gives_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    split = write_split(tmp_path / "split", two_worlds())
    here, there = run_train(tmp_path, split), tmp_path / "there"
    other_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    subprocess.run(
        [sys.executable, "main.py", "--input", split, "--output", there, *SMALL],
        env={**os.environ, "PYTHONHASHSEED": other_seed},
        check=True,
        capture_output=True,
    )
    assert {path.name for path in here.iterdir()} == {path.name for path in there.iterdir()}
    for path in here.iterdir():
        assert path.read_bytes() == (there / path.name).read_bytes()


def test_another_seed_gives_other_vectors() -> None:
    first, second = (train(two_worlds(), hyperparameters(seed=seed)) for seed in (1, 2))
    assert not np.array_equal(first.vectors, second.vectors)


def test_what_is_held_out_does_not_reach_the_model(tmp_path: Path) -> None:
    first, second = (
        run_train(tmp_path / item, write_split(tmp_path / item / "split", two_worlds(), item))
        for item in ("a1", "b1")
    )
    assert (first / "test.csv").read_bytes() != (second / "test.csv").read_bytes()
    for name in MODEL_FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("changes", [{}, {"shrink_windows": False, "sample": 0.01}])
def test_the_vectors_are_those_of_gensims_own_loop(changes: dict[str, Any]) -> None:
    sequences = two_worlds(users=1500)
    model = train(sequences, hyperparameters(**changes))
    reference = Word2Vec(
        sg=1,
        vector_size=8,
        window=10,
        negative=5,
        alpha=0.05,
        ns_exponent=0.5,
        min_count=1,
        seed=1,
        workers=1,
        sorted_vocab=0,
        **{"sample": 0, **changes},
    )
    counts = {item: sum(s.count(item) for s in sequences) for item in model.items}
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    reference.build_vocab_from_freq(dict(ranked))
    reference.train(sequences, total_examples=len(sequences), epochs=3)
    assert np.array_equal(model.vectors, [reference.wv[item] for item in model.items])


def test_the_loss_of_each_epoch_is_written_and_falls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = write_split(tmp_path / "split", two_worlds(users=400))
    output = run_train(tmp_path, split, "--epochs=5")
    header, *rows = read(output / "training.csv")
    assert header == ["epoch", "loss"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert float(rows[0][1]) > float(rows[-1][1]) > 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"epochs: [{'#' * 20}] 5 of 5 (100 %), loss {float(rows[-1][1]):.4f}"


def test_items_bought_together_score_above_others() -> None:
    model = train(two_worlds(users=400), hyperparameters(epochs=20))
    scores = model.vectors @ model.context_vectors.T
    kinds = np.array([item[0] for item in model.items])
    together = kinds[:, None] == kinds[None, :]
    assert scores[together].min() > scores[~together].max()


def test_rare_items_get_no_vector_with_min_count() -> None:
    model = train([["a", "b", "a", "b"], ["once", "a"]], hyperparameters(min_count=2))
    assert model.items == ["a", "b"]


@pytest.mark.parametrize("sequences", [[["a"]], [["a", "a", "a"]], [["a"], ["b"]]])
def test_one_item_or_no_pair_is_enough(sequences: Sequences) -> None:
    model = train(sequences, hyperparameters())
    assert model.vectors.shape == model.context_vectors.shape == (len(model.items), 8)
    assert np.isfinite(model.vectors).all()


def test_parts_keep_the_order_and_cut_only_long_sequences() -> None:
    sequences = [["a"] * 3, ["b"] * 25, ["c"] * 5, ["d"] * 5, ["e"]]
    assert list(parts_of(sequences, purchases=12, longest=10)) == [
        [["a"] * 3, ["b"] * 10],
        [["b"] * 10, ["b"] * 5],
        [["c"] * 5, ["d"] * 5, ["e"]],
    ]


def test_the_vectors_hardly_depend_on_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = two_worlds(users=400)
    whole = train(sequences, hyperparameters(epochs=20))
    monkeypatch.setattr(skipgram.parts_of, "__defaults__", (500, 10_000))
    parts = train(sequences, hyperparameters(epochs=20))
    assert parts.losses == pytest.approx(whole.losses, rel=0.1)


def test_every_hyperparameter_is_declared_and_has_a_valid_default() -> None:
    declared = yaml.safe_load(Path("component.yaml").read_text())["params"]
    assert set(declared) == {field.name for field in dataclasses.fields(Hyperparameters)}
    hyperparameters().check()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--epochs=0", "--epochs 0: out of range"),
        ("--dimension=0", "--dimension 0: out of range"),
        ("--window=0", "--window 0: out of range"),
        ("--negative=0", "--negative 0: out of range"),
        ("--sample=1", "--sample 1.0: out of range"),
        ("--seed=-1", "--seed -1: out of range"),
        ("--min-alpha=0.5", "--min-alpha 0.5: larger than --alpha 0.05"),
        ("--epochs=ten", "expected int, got 'ten'"),
        ("--min-count=1000", "--min-count 1000: no item has that many purchases"),
    ],
)
def test_a_bad_parameter_is_one_clear_error_and_leaves_no_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, message: str
) -> None:
    split = write_split(tmp_path / "split", two_worlds())
    with pytest.raises(SystemExit) as exit_:
        run_train(tmp_path, split, flag)
    error, hint = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 1
    assert message in error
    assert hint.startswith("hint: ")
    assert not list(tmp_path.glob("output/*"))


@pytest.mark.parametrize(
    ("header", "message"),
    [(("user", "item", "time"), "no purchases"), (("user", "product"), "no column 'item'")],
)
def test_a_table_that_cannot_be_trained_on_is_named(
    tmp_path: Path, header: tuple[str, ...], message: str
) -> None:
    write_rows(tmp_path / "train.csv", header, [])
    with pytest.raises(StageError) as caught:
        read_sequences(tmp_path / "train.csv")
    assert "train.csv" in caught.value.message
    assert message in caught.value.message


def test_a_missing_part_of_the_split_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = write_split(tmp_path / "split", two_worlds())
    (split / "test.csv").unlink()
    with pytest.raises(SystemExit):
        run_train(tmp_path, split)
    assert "no file test.csv" in capsys.readouterr().err
    assert not list(tmp_path.glob("output/*"))
