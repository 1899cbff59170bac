"""`doit metrics` in a real repository."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

SCORE = (
    "import json; score = float(arguments.score); "
    "(output / 'metrics.json').write_text(json.dumps({'test': {'score': score}, 'loss': -score}))"
)


@pytest.fixture
def scored(project: Project) -> Project:
    """A project whose pipeline has run three times, with other parameters and commits."""
    project.component("odd/score", SCORE, score={"type": "float", "default": 0.5})
    project.pipeline("scored", "text/load", "odd/score")
    project.commit()
    for score in ("0.5", "0.75", "0.25"):
        project.run("scored", "--set", f"score.score={score}")
    return project


def test_the_best_run_comes_first_with_all_that_decided_it(scored: Project) -> None:
    report = scored.doit("metrics", "scored", "--json", "-m", "test.score").json()

    assert report["by"] == "test.score"
    best, second, worst = report["runs"]
    assert [run["metrics"]["test.score"] for run in report["runs"]] == [0.75, 0.5, 0.25]
    assert best["difference"] == {"test.score": 0.25, "loss": -0.25}
    assert worst["difference"] == {"test.score": -0.5, "loss": 0.5}
    assert (best["previous"], second["previous"]) == (second["run"], None)
    assert best["parameters"]["score.score"] == 0.75
    assert set(best["versions"]) == {"load", "score"}
    assert best["commit"] == scored.git("rev-parse", "HEAD").strip()
    assert best["source"] == "corpus.txt"


def test_the_table_and_the_order_from_below(scored: Project) -> None:
    table = scored.doit("metrics", "--lowest", "scored:score").stdout.splitlines()

    assert table[0].split()[:4] == ["run", "stage", "loss", "test.score"]
    assert [line.rpartition("  ")[2] for line in table[1:]] == [
        f"score.score={score}" for score in ("0.75", "0.5", "0.25")
    ]


def test_a_lost_output_hides_no_metrics(scored: Project) -> None:
    runs = scored.doit("metrics", "scored", "--json").json()["runs"]
    for file in scored.root.parent.rglob(f"{runs[0]['run']}/output/metrics.json"):
        file.parent.chmod(0o755)
        file.unlink()

    assert scored.doit("metrics", "scored", "--json").json()["runs"] == runs


def test_csv_is_for_spreadsheets(scored: Project) -> None:
    [head, *rows] = csv.reader(scored.doit("metrics", "scored", "--csv").stdout.splitlines())
    assert head[:4] == ["run", "stage", "loss", "test.score"]
    assert sorted(row[3] for row in rows) == ["0.25", "0.5", "0.75"]


def test_wrong_names_are_one_clear_error(scored: Project) -> None:
    scored.run("words")
    for arguments, message, hint in (
        (["scored", "-m", "test.scor"], "no run has a metric 'test.scor'", "'test.score'?"),
        (["words"], "no run of words has metrics", "a file metrics.json in its output"),
        (["score"], "no run of a pipeline 'score' is recorded", "'scored'?"),
    ):
        complaint = scored.doit("metrics", *arguments).complaint()
        assert message in complaint
        assert hint in complaint
