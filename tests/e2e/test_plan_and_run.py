"""`doit plan` promises nothing that `doit run` then refuses: both say the same of what is in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

NO_ENGINE = {"DAINTREE_RUNNER": "docker", "DOCKER_HOST": "unix:///nowhere", "DOCKER_CONTEXT": ""}
# Below a file, nothing can be made.
OBSTACLES = {
    "engine": (NO_ENGINE, "the Docker engine is not running at unix:///nowhere (DOCKER_HOST)"),
    "store": (
        {"DAINTREE_STORE": "corpus.txt/store"},
        "should be a directory of the artifact store",
    ),
    "output": ({}, "/output/words holds 'letter.txt', which no run has put there"),
    "file": ({}, "the output output/words cannot be written: Not a directory"),
    "two outputs": ({}, "the output output/words and that of pipelines/other.json, output/words"),
    "environments": ({"DAINTREE_ENVIRONMENTS": "corpus.txt/e"}, "cannot write to"),
    "snapshots": ({"DAINTREE_SNAPSHOTS": "corpus.txt/s"}, "no snapshot can be made in"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_the_plan_says_what_the_run_would_refuse(project: Project, obstacle: str) -> None:
    env, words = OBSTACLES[obstacle]
    if obstacle == "output":
        project.write("output/words/letter.txt", "dear reader\n")
    if obstacle == "file":
        project.write("output", "dear reader\n")
    if obstacle == "two outputs":
        project.pipeline("other", "text/load", output="output/words")
    planned = project.doit("plan", "words", env=env)
    assert planned.code == 0
    assert words in planned.stdout + planned.stderr
    hints = (planned.stdout + planned.stderr).split("hint: ")[1:] or [""]
    complaint = project.doit("run", "words", env=env).complaint()
    assert words in complaint
    assert hints[0].strip() in complaint
    assert not (project.root / "output/words/words.csv").exists()


def test_what_hits_needs_neither_engine_nor_a_place_to_write(project: Project) -> None:
    project.run("words")
    nowhere = {"DAINTREE_ENVIRONMENTS": "corpus.txt/e", "DAINTREE_SNAPSHOTS": "corpus.txt/s"}
    planned = project.doit("plan", "words", env=nowhere)
    assert planned.stdout.splitlines()[-1].startswith("nothing to run: 3 hits")
    assert planned.stderr == ""
    assert set(project.run("words", env=nowhere).values()) == {"hit"}


def test_a_graphics_card_is_said_to_be_nobodys_on_this_machine(project: Project) -> None:
    spec = "components/text/load/component.yaml"
    project.replace(spec, "params:", "resources: {gpu: 1}\nparams:")
    note = "stage load asks for 1 GPU: "
    assert note in project.doit("plan", "words").stdout
    finished = project.doit("run", "words")
    assert finished.code == 0
    assert finished.stderr.count("asks for 1 GPU: ") == 1
    assert note not in project.doit("plan", "words").stdout


def test_a_plan_for_the_cluster_says_what_a_submission_refuses(project: Project) -> None:
    planned = project.doit("plan", "words", "--runner", "argo")
    assert "warning: doit submit would refuse: the artifact store" in planned.stderr
    assert "is on this machine, where no pod can reach it" in planned.stderr
