"""What programs read: the JSON of each command, alone on stdout."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
CLEAN = "components/text/clean"


def test_the_plan_of_what_has_not_run(project: Project) -> None:
    plan = project.doit("plan", "words", "--json").json()

    assert list(plan) == ["pipeline", "runner", "stages"]
    assert (plan["pipeline"], plan["runner"]) == ("words", "local")
    keys = ["name", "component", "version", "status", "reason", "key", "run", "last_seconds"]
    for stage in plan["stages"]:
        assert list(stage) == keys
        assert DIGEST.fullmatch(stage["version"])
        assert DIGEST.fullmatch(stage["key"])
        assert stage["run"] is None
        assert stage["last_seconds"] is None
    assert [(s["name"], s["component"], s["status"], s["reason"]) for s in plan["stages"]] == [
        ("load", "text/load", "miss", "no run recorded"),
        ("clean", "text/clean", "pending", "waits for load"),
        ("count", "text/count", "pending", "waits for clean"),
    ]
    assert len({stage["key"] for stage in plan["stages"]}) == 3


def test_the_plan_of_what_has_run(ran: Project) -> None:
    runs = {run["stage"]: run for run in ran.doit("history", "words", "--json").json()["runs"]}

    for stage in ran.doit("plan", "words", "--json").json()["stages"]:
        run = runs[stage["name"]]
        assert (stage["status"], stage["reason"]) == ("hit", "unchanged")
        assert stage["run"] == run["run"]
        assert stage["last_seconds"] == run["seconds"]
        assert stage["version"] == run["version"]
        assert stage["key"] == run["keys"]["recipe"]


def test_planning_runs_and_writes_nothing(project: Project) -> None:
    project.doit("plan", "words", "--json").json()

    assert project.doit("store", "--json").json()["runs"] == 0
    assert not (project.root / "output").exists()
    assert project.git("status", "--porcelain", "--ignored") == ""


def test_a_run_tells_each_stage(ran: Project) -> None:
    report = ran.doit("run", "words", "--set", "count.top=1", "--json").json()

    assert list(report) == ["pipeline", "runner", "stages"]
    assert [stage["status"] for stage in report["stages"]] == ["hit", "hit", "run"]
    for stage in report["stages"]:
        assert list(stage) == ["name", "status", "run", "seconds", "digest", "path"]
        assert DIGEST.fullmatch(stage["digest"])
        assert Path(stage["path"]).is_dir()


@pytest.mark.parametrize("colour", [{}, {"FORCE_COLOR": "1"}, {"NO_COLOR": "1"}])
def test_stdout_holds_the_json_alone_and_no_colour(
    project: Project, colour: dict[str, str]
) -> None:
    project.component("odd/noisy", "print('noise'); (output / 'a').write_text('a')")
    project.pipeline("noisy", "odd/noisy")

    finished = project.doit("run", "noisy", "--json", env=colour)

    assert json.loads(finished.stdout)["stages"][0]["status"] == "run"
    assert "noise" in finished.stderr
    assert "\033" not in finished.stdout + finished.stderr


def nothing(project: Project) -> None: ...


def edit(project: Project) -> None:
    project.replace(f"{CLEAN}/main.py", "cleaned = []", "cleaned = list()")


def stage_edit(project: Project) -> None:
    edit(project)
    project.git("add", "--all")


def add(project: Project) -> None:
    project.write(f"{CLEAN}/words.txt", "one\n")


def delete(project: Project) -> None:
    (project.root / CLEAN / "component.yaml").unlink()


def change_mode(project: Project) -> None:
    (project.root / CLEAN / "main.py").chmod(0o755)


def edit_dockerfile(project: Project) -> None:
    project.replace(f"{CLEAN}/Dockerfile", "3.11-slim", "3.12-slim")


def ignore_a_file(project: Project) -> None:
    project.write(f"{CLEAN}/.dockerignore", "README.md\nrequirements.txt\n")


def edit_tests(project: Project) -> None:
    project.write(f"{CLEAN}/tests/test_clean.py", "\n")


AFFECTED: list[tuple[Callable[[Project], None], list[list[str]]]] = [
    (nothing, []),
    (edit, [["main.py changed"]]),
    (stage_edit, [["main.py changed"]]),
    (add, [["words.txt added"]]),
    (delete, [["component.yaml deleted"]]),
    (change_mode, [["main.py", "mode"]]),
    (edit_dockerfile, [["Dockerfile changed"]]),
    (ignore_a_file, [[".dockerignore"]]),
    (edit_tests, []),
]


@pytest.mark.parametrize(("change", "words"), AFFECTED, ids=[c.__name__ for c, _ in AFFECTED])
def test_affected_names_components_and_reasons(
    project: Project, change: Callable[[Project], None], words: list[list[str]]
) -> None:
    change(project)
    head = project.git("rev-parse", "HEAD").strip()

    report = project.doit("affected", "--json").json()

    assert list(report) == ["base", "chosen", "components"]
    assert report["base"] == head
    is_clean = change is nothing
    assert report["chosen"] == (
        "HEAD, the first commit" if is_clean else "HEAD, as the branch has no upstream"
    )
    assert [component["name"] for component in report["components"]] == ["text/clean"] * len(words)
    for component, expected in zip(report["components"], words, strict=True):
        assert list(component) == ["name", "version", "reasons"]
        assert DIGEST.fullmatch(component["version"])
        reasons = "; ".join(component["reasons"])
        assert all(word in reasons for word in expected)


def test_affected_goes_through_libraries(project: Project) -> None:
    project.replace("components/lib/textio/__init__.py", '"""Write', '"""Just write')

    components = project.doit("affected", "--json").json()["components"]

    assert [component["name"] for component in components] == ["text/clean", "text/load"]
    for component in components:
        assert "lib/textio" in component["reasons"][0]
        assert "__init__.py" in component["reasons"][0]


def test_affected_goes_through_libraries_of_libraries(project: Project) -> None:
    project.write("components/lib/words/__init__.py", "ONE = 1\n")
    project.write("components/lib/textio/component.yaml", "uses: [lib/words]\n")
    project.commit()
    project.write("components/lib/words/__init__.py", "ONE = 2\n")

    components = project.doit("affected", "--json").json()["components"]

    assert [component["name"] for component in components] == ["text/clean", "text/load"]
    assert "lib/words" in components[0]["reasons"][0]


def test_affected_tells_new_and_deleted_components(project: Project) -> None:
    project.component("odd/new", "pass")
    for path in (project.root / "components/text/join").iterdir():
        path.unlink()

    components = project.doit("affected", "--json").json()["components"]

    assert [(c["name"], c["version"] != "") for c in components] == [
        ("odd/new", True),
        ("text/join", False),
    ]
    assert components[1]["reasons"] == ["deleted"]


def test_affected_compares_with_any_commit_in_either_order(project: Project) -> None:
    edit(project)
    project.commit()
    first, second = project.git("rev-parse", "HEAD~1", "HEAD").split()

    assert project.doit("affected", "--base", "HEAD", "--json").json()["components"] == []
    one = project.doit("affected", "--base", "HEAD~1", "--json").json()
    assert one == project.doit("affected", "--json", "--base", "HEAD~1").json()
    assert one["base"] == first
    assert [component["name"] for component in one["components"]] == ["text/clean"]
    alone = project.doit("affected", "--json").json()
    assert alone["chosen"] == "the parent commit, as HEAD has nothing uncommitted"
    assert alone == {**one, "chosen": alone["chosen"]}

    project.git("checkout", "--quiet", first)
    other = project.doit("affected", "--base", second, "--json").json()
    assert other["base"] == second
    assert [(c["name"], c["reasons"]) for c in other["components"]] == [
        (c["name"], c["reasons"]) for c in one["components"]
    ]


def test_affected_compares_with_the_merge_base_of_the_upstream(
    project: Project, tmp_path: Path
) -> None:
    project.git("clone", "--quiet", project.root, tmp_path / "clone")
    base = project.git("rev-parse", "HEAD").strip()
    project.replace("components/text/count/main.py", '"""Count', '"""Now count')
    project.commit()
    clone = project.at(tmp_path / "clone")
    edit(clone)
    clone.commit()
    clone.git("fetch", "--quiet")

    report = clone.doit("affected", "--json").json()

    assert report["base"] == base
    assert [component["name"] for component in report["components"]] == ["text/clean"]


def test_history_tells_each_run(ran: Project) -> None:
    ran.run("words", "--set", "count.top=1")
    runs = ran.doit("history", "words:count", "--json").json()["runs"]

    assert [run["reason"] for run in runs] == ["params.top 3 → 1", "no run recorded"]
    commit = ran.git("rev-parse", "HEAD").strip()
    for run in runs:
        assert run["result"] == "succeeded"
        assert (run["commit"], run["dirty"]) == (commit, False)
        assert run["output"]["count"] == 1
        assert [record["name"] for record in run["inputs"]] == ["clean"]


def test_a_run_shows_whole(ran: Project) -> None:
    brief = ran.doit("history", "words:clean", "--json").json()["runs"][0]
    shown = ran.doit("show", brief["run"], "--json").json()
    text = ran.doit("show", brief["run"][:-2]).stdout

    # A list has the numbers of an output and may shorten long values; a run shown whole has the files themselves.
    assert brief.keys() - shown.keys() == {"metrics", "abridged"}
    assert (brief.pop("metrics"), brief.pop("abridged")) == ({}, False)
    del brief["output"]
    assert {name: shown[name] for name in brief} == brief
    assert [file["path"] for file in shown["output"]["files"]] == ["lines.txt"]
    assert shown["version_files"]
    for word in (brief["run"], shown["output"]["digest"], shown["keys"]["content"], "lines.txt"):
        assert word in text


def test_settings_tell_where_they_come_from(project: Project) -> None:
    project.replace("pyproject.toml", "[tool.daintree]\n", "[tool.daintree]\njobs = 3\n")
    settings = {s["name"]: s for s in project.doit("config", "--json").json()["settings"]}

    assert (settings["jobs"]["value"], settings["jobs"]["origin"]) == (3, "pyproject.toml")
    assert settings["store"]["value"] == project.environ["DAINTREE_STORE"]
    assert settings["store"]["origin"] == "environment (DAINTREE_STORE)"
    assert settings["runner"]["origin"] == "default"


@pytest.mark.parametrize("kind", ["pipeline", "component"])
def test_schemas_are_json_schemas(project: Project, kind: str) -> None:
    schema = project.doit("schema", kind).json()

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
