"""What evaluate says of a model: its metrics and the baselines', the verdict, the card and the charts."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import Vectors, evaluate, successors, walks, write_model

OF_RANKS = {f"{metric}@{cutoff}" for metric in ("hr", "ndcg", "mrr") for cutoff in (5, 10, 20)}
METRICS = OF_RANKS | {"coverage@10", "popularity_bias@10"}


def test_the_document_has_the_agreed_form(tmp_path: Path) -> None:
    document = evaluate(tmp_path, write_model(tmp_path / "m", walks(30, 40), *successors(30)))
    assert set(document) == {
        *("test", "valid", "baselines", "users", "items", "cases"),
        "by_history_length",
    }
    assert set(document["test"]) == set(document["valid"]) == METRICS
    assert set(document["baselines"]) == {"popularity", "cooccurrence", "vectors"}
    assert all(set(found) == METRICS for found in document["baselines"].values())
    assert (document["users"], document["items"], document["cases"]) == (40, 30, 40)


def test_of_too_many_users_a_seeded_sample_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "m", walks(30, 40), *successors(30))
    flags = ("--last-items=1", "--max-users=7")
    documents = [evaluate(tmp_path / run, model, *flags, "--seed=3") for run in ("a", "b")]
    assert documents[0] == documents[1]
    assert documents[0]["sample"] == {"users": 7, "of": 40, "seed": 3}
    assert (documents[0]["users"], documents[0]["cases"]) == (40, 7)
    assert documents[0]["test"]["hr@10"] == documents[0]["valid"]["hr@10"] == 1.0
    assert "measured on 7 of 40 users, drawn by --seed 3" in capsys.readouterr().err
    card = (tmp_path / "a" / "output" / "model_card.md").read_text()
    assert "| users they are a sample of (seed 3) | 40 |" in card


def test_the_table_holds_the_same_metrics(tmp_path: Path) -> None:
    document = evaluate(tmp_path, write_model(tmp_path / "m", walks(30, 40), *successors(30)))
    with (tmp_path / "output" / "metrics.csv").open(newline="") as file:
        rows = {(row.pop("model"), row.pop("part")): row for row in csv.DictReader(file)}
    baselines = {(name, "test") for name in ("popularity", "cooccurrence", "vectors")}
    assert set(rows) == {("item2vec", "test"), ("item2vec", "valid"), *baselines}
    for part in ("test", "valid"):
        written = {name: float(cell) for name, cell in rows["item2vec", part].items()}
        assert written == document[part]


def test_a_model_that_knows_the_next_item_is_perfect(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", walks(30, 40), *successors(30))
    document = evaluate(tmp_path, model, "--last-items=1")
    for part in ("test", "valid"):
        assert {name: document[part][name] for name in OF_RANKS} == dict.fromkeys(OF_RANKS, 1.0)


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


def test_the_parts_of_the_blend_are_measured_alone(tmp_path: Path) -> None:
    # The vectors know the next item, the counts of a single user's walk know nothing.
    model = write_model(tmp_path / "m", walks(30, 40), *successors(30))
    (model / "train.csv").write_text(
        "user,item,time\n" + "".join(f"u{user},i{(user + 2) % 30:03},0\n" for user in range(40))
    )
    document = evaluate(tmp_path, model, "--last-items=1")
    assert document["baselines"]["vectors"]["hr@5"] == 1.0
    assert document["baselines"]["cooccurrence"]["mrr@20"] < 0.1


def test_at_weight_zero_the_model_is_its_vectors(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", walks(30, 40), *successors(30))
    document = evaluate(tmp_path, model, "--cooccurrence=0", "--decay=0.9")
    assert document["test"] == document["baselines"]["vectors"]


def test_the_metrics_by_length_of_history_add_up(tmp_path: Path) -> None:
    sequences = walks(30, 40) | {"long": [f"i{n % 30:03}" for n in range(60)]}
    document = evaluate(tmp_path, write_model(tmp_path / "m", sequences, *successors(30)))
    parts = document["by_history_length"]
    assert [(part["from"], part["to"], part["cases"]) for part in parts] == [
        (1, 4, 40),
        (50, 59, 1),
    ]
    mean = sum(part["hr@10"] * part["cases"] for part in parts) / 41
    assert mean == pytest.approx(document["test"]["hr@10"], abs=1e-5)
    with (tmp_path / "output" / "by_history_length.csv").open(newline="") as file:
        assert [int(row["cases"]) for row in csv.DictReader(file)] == [40, 1]


def test_one_item_for_all_is_little_coverage_and_much_bias(tmp_path: Path) -> None:
    hits = {f"i{n}": [0.0] for n in range(40)} | {f"p{n}": [1.0] for n in range(10)}
    sequences = {f"u{n}": [f"i{n}", f"i{(n + 1) % 40}", f"i{(n + 2) % 40}"] for n in range(40)}
    sequences |= {f"v{n}": [f"p{n % 10}"] * 4 for n in range(100)}
    ones = {item: [1.0] for item in hits}
    model = write_model(tmp_path / "m", sequences, ones, hits)
    found = evaluate(tmp_path, model, "--cooccurrence=0")["test"]
    assert found["coverage@10"] < 0.5
    assert found["popularity_bias@10"] > 1


def retrained(model: Path) -> Path:
    """The same model, made as if it had been trained on the validation purchases."""
    _, *rows = (model / "valid.csv").read_text().splitlines(keepends=True)
    (model / "valid.csv").write_text("user,item,time\n")
    with (model / "train.csv").open("a") as file:
        file.writelines(rows)
    return model


def test_a_model_that_saw_the_validation_purchases_is_never_compared(tmp_path: Path) -> None:
    model = retrained(write_model(tmp_path / "m", walks(30, 40), *successors(30)))
    document = evaluate(tmp_path, model, "--last-items=1")
    assert not {"test", "valid"} & set(document)
    assert document["retrained"]["hr@10"] == 1.0
    assert [part["to"] for part in document["by_history_length"]] == [4]
    table = (tmp_path / "output" / "metrics.csv").read_text().splitlines()
    assert all(row.split(",")[1] == "retrained" for row in table[1:])
    card = (tmp_path / "output" / "model_card.md").read_text()
    assert "| item2vec, retrained | 1.0000 | 1.0000 | 1.0000 |" in card.splitlines()
    assert "not to be compared" in card


@pytest.mark.parametrize("saw_validation", [False, True])
def test_a_model_below_popularity_fails_when_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], saw_validation: bool
) -> None:
    # The item looked for scores below all others; by purchases it is the first.
    sequences = {f"u{n}": [f"i{n}", "best", f"i{(n + 1) % 30}", "best"] for n in range(30)}
    vectors = {item: [1.0] for items in sequences.values() for item in items}
    context = vectors | {"best": [-1.0]}
    model = write_model(tmp_path / "m", sequences, vectors, context)
    if saw_validation:
        retrained(model)
    flags = ["--cooccurrence=0"]
    evaluate(tmp_path / "let", model, *flags)
    with pytest.raises(SystemExit) as exit_:
        evaluate(tmp_path / "fail", model, *flags, "--fail-below-baseline")
    assert exit_.value.code == 1
    *_, error, hint = capsys.readouterr().err.splitlines()
    assert "does not beat the popularity baseline: NDCG@10 " in error
    assert hint.startswith("hint: ")
    assert list((tmp_path / "fail" / "output").iterdir()) == []


def test_a_model_above_popularity_passes(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", walks(30, 40), *successors(30))
    assert evaluate(tmp_path, model, "--fail-below-baseline")["test"]["hr@10"] == 1.0


def test_the_card_says_data_parameters_metrics_and_limits_but_no_time(tmp_path: Path) -> None:
    evaluate(tmp_path, write_model(tmp_path / "m", walks(30, 40), *successors(30)))
    card = (tmp_path / "output" / "model_card.md").read_text()
    for line in (
        "| users | 40 |",
        "| items with vectors | 30 |",
        "| train | epochs | 2 |",
        "| evaluate | cooccurrence | 8.0 |",
        "| item2vec, test | 1.0000 | 1.0000 | 1.0000 |",
        "## Limits",
    ):
        assert line in card.splitlines()
    assert "202" not in card


def test_all_outputs_are_declared(tmp_path: Path) -> None:
    evaluate(tmp_path, write_model(tmp_path / "m", walks(30, 40), *successors(30)))
    declared = yaml.safe_load(Path("component.yaml").read_text())["outputs"]
    assert sorted(declared) == sorted(path.name for path in (tmp_path / "output").iterdir())


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", walks(30, 40), *successors(30))
    for name, seed in (("1", "1"), ("2", "2")):
        subprocess.run(
            [sys.executable, "main.py", "--input", model, "--output", tmp_path / name],
            env={**os.environ, "PYTHONHASHSEED": seed, "HOME": str(tmp_path / name / "home")},
            check=True,
            capture_output=True,
        )
    first, second = (tmp_path / name for name in ("1", "2"))
    names = sorted(path.name for path in first.iterdir())
    assert len(names) == 10
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_charts_are_pictures(tmp_path: Path) -> None:
    evaluate(tmp_path, write_model(tmp_path / "m", walks(30, 40), *successors(30)))
    for name in ("metric_by_history_length", "training_loss", "item_map"):
        assert (tmp_path / "output" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (tmp_path / "output" / f"{name}.svg").read_bytes()


def test_one_item_is_enough(tmp_path: Path) -> None:
    sequences = {f"u{n}": ["only"] * 3 for n in range(3)}
    model = write_model(tmp_path / "m", sequences, {"only": [1.0]}, {"only": [1.0]})
    assert evaluate(tmp_path, model)["test"]["hr@5"] == 1.0
