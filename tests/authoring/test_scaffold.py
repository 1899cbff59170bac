from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.authoring.lock_requirements import staleness
from daintree.authoring.scaffold import new_component, new_pipeline
from daintree.commands.project_tasks import run_component_tests
from daintree.components import discover_components
from daintree.errors import SpecError, UsageError
from daintree.runners.local import LocalRunner
from daintree.runners.runner import Job
from daintree.settings import read_settings
from daintree.spec.pipeline import load_pipeline
from tests.component_version import component_version

if TYPE_CHECKING:
    from tests.conftest import Monorepo

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the real library and two components that are no more than a name."""
    root = tmp_path / "project"
    shutil.copytree(REPOSITORY / "components/lib/stageio", root / "components/lib/stageio")
    shutil.copytree(REPOSITORY / "requirements", root / "requirements")
    for name in ("common/load-jsonl", "common/clean-csv"):
        (root / "components" / name).mkdir(parents=True)
        (root / "components" / name / "Dockerfile").touch()
    return root


def files(directory: Path) -> list[str]:
    return sorted(
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    )


def test_a_new_component_is_whole_and_known(project: Path) -> None:
    written = new_component(project, "shop/rank")
    directory = project / "components/shop/rank"
    assert files(directory) == [
        "component.yaml",
        "main.py",
        "requirements.in",
        "requirements.txt",
        "tests/test_main.py",
    ]
    assert sorted(written) == sorted(directory / path for path in files(directory))
    assert "shop/rank" in discover_components(project)
    assert staleness(project, "shop/rank") == ""
    text = "".join(path.read_text(encoding="utf-8") for path in written)
    assert "COMPONENT_NAME" not in text
    assert "doit lock shop/rank" in text


def test_its_dockerfile_is_written_to_own_on_request(project: Path) -> None:
    new_component(project, "shop/rank")
    [dockerfile] = new_component(project, "shop/rank", dockerfile=True)
    assert dockerfile.read_text().startswith("FROM python:3.11-slim\nCOPY requirements.txt ")
    with pytest.raises(UsageError, match="shop/rank/Dockerfile exists already"):
        new_component(project, "shop/rank", dockerfile=True)
    written = new_component(project, "shop/other", dockerfile=True)
    other = project / "components/shop/other/Dockerfile"
    assert other in written
    assert other.read_bytes() == dockerfile.read_bytes()


def test_a_new_component_passes_its_tests(project: Path, environments: Path) -> None:
    new_component(project, "shop/rank")
    printed: list[str] = []
    code = run_component_tests(project, "shop/rank", environments, printed.append)
    assert code == 0, printed
    assert any("1 passed" in line for line in printed)


def test_a_new_component_runs(project: Path, environments: Path, tmp_path: Path) -> None:
    new_component(project, "shop/rank")
    snapshot = project / "components/shop/rank"
    shutil.copytree(project / "components/lib/stageio", snapshot / "stageio")
    for part in ("input", "output", "scratch"):
        (tmp_path / part).mkdir()
    (tmp_path / "input/records.csv").write_text("a,b\n1,2\n3,\n,\n")
    runner = LocalRunner(read_settings(project)._replace(environments=environments))
    printed: list[str] = []
    version = component_version(
        "shop/rank",
        "",
        "main.py",
    )
    prepared = runner.prepare(version, lambda: snapshot, printed.append)
    job = Job(
        label="new:rank",
        component="shop/rank",
        version="",
        run="",
        prepared=prepared,
        arguments=("--filled", "2"),
        input=str(tmp_path / "input"),
        places={"": tmp_path / "input"},
        output=tmp_path / "output",
        scratch=tmp_path / "scratch",
        log=tmp_path / "log.txt",
    )
    assert runner.execute(job, printed.append).exit_code == 0, printed
    assert printed[-1] == "records.csv: kept 1 of 3 rows"
    assert (tmp_path / "output/records.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("Rank", "shop/rank"),
        ("shop/Rank It", "shop/rank-it"),
        ("shop", "shop/shop"),
        ("a/b/c", "b/c"),
        ("../evil", "shop/evil"),
        ("shop/rank-", "shop/rank"),
        ("shop/größe", "shop/gr-e"),
        ("", "shop/rank"),
    ],
)
def test_names_that_no_component_can_have(project: Path, name: str, proposal: str) -> None:
    before = files(project)
    with pytest.raises(UsageError, match="cannot be a component's name") as failure:
        new_component(project, name)
    assert failure.value.hint.endswith(f"e.g. {proposal}")
    assert files(project) == before


def test_what_exists_is_never_overwritten(project: Path) -> None:
    new_component(project, "shop/rank")
    (project / "components/shop/rank/main.py").write_text("mine")
    before = files(project)
    with pytest.raises(UsageError, match="components/shop/rank exists already"):
        new_component(project, "shop/rank")
    assert files(project) == before
    assert (project / "components/shop/rank/main.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lib/rank", "components/lib is for libraries"),
        ("outer/rank", "outer is a component, and none can lie inside another"),
    ],
)
def test_places_where_no_component_can_be(project: Path, name: str, message: str) -> None:
    (project / "components/outer").mkdir()
    (project / "components/outer/Dockerfile").touch()
    with pytest.raises(UsageError, match=message):
        new_component(project, name)


def test_a_project_without_the_library(project: Path) -> None:
    shutil.rmtree(project / "components/lib")
    with pytest.raises(UsageError, match="there is no library lib/stageio"):
        new_component(project, "shop/rank")


def test_nothing_is_left_where_nothing_can_be_written(project: Path) -> None:
    (project / "components/shop").write_text("a file")
    before = sorted(os.listdir(project))
    with pytest.raises(UsageError, match="components/shop/rank cannot be written: "):
        new_component(project, "shop/rank")
    assert sorted(os.listdir(project)) == before


def test_a_new_pipeline_loads_and_cleans_the_sample(project: Path) -> None:
    assert new_pipeline(project, "rank") == [project / "pipelines/rank.yaml"]
    pipeline = load_pipeline(project, "rank", ())
    assert [stage.component for stage in pipeline.stages] == [
        "common/load-jsonl",
        "common/clean-csv",
    ]
    location = pipeline.sources[""].location
    assert location == "pipelines/samples/purchases.json.gz"
    assert (REPOSITORY / location).is_file()
    assert pipeline.output == "output/rank"


def test_a_new_pipeline_runs_the_components_named(project: Path) -> None:
    new_component(project, "shop/rank")
    [written] = new_pipeline(project, "STAGES", ["shop/rank"])
    assert load_pipeline(project, "STAGES", ()).output == "output/STAGES"
    new_pipeline(project, "rank", ["shop/rank"])
    assert "{name: variant, component: shop/rank, params: " in written.read_text()
    new_pipeline(project, "whole", ["common/load-jsonl", "shop/rank", "common/clean-csv"])
    stages = [stage.component for stage in load_pipeline(project, "rank", ()).stages]
    assert stages == ["common/load-jsonl", "shop/rank"]
    stages = [stage.component for stage in load_pipeline(project, "whole", ()).stages]
    assert stages == ["common/load-jsonl", "shop/rank", "common/clean-csv"]


@pytest.mark.parametrize("name", ["shop/rank", "a b", "-x", "größe", "..", ""])
def test_names_that_no_pipeline_can_have(project: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a pipeline's name"):
        new_pipeline(project, name)
    assert not (project / "pipelines").exists()


def test_a_reserved_name(project: Path) -> None:
    with pytest.raises(UsageError, match="'run' is the name of a doit command or task"):
        new_pipeline(project, "run", reserved={"run", "list"})


@pytest.mark.parametrize("taken", ["rank.yaml", "rank.yml", "rank.json"])
def test_a_pipeline_that_exists(project: Path, taken: str) -> None:
    (project / "pipelines").mkdir()
    (project / "pipelines" / taken).write_text("mine")
    with pytest.raises(UsageError, match=rf"pipelines/{taken} exists already"):
        new_pipeline(project, "rank")
    assert files(project / "pipelines") == [taken]
    assert (project / "pipelines" / taken).read_text() == "mine"


def test_components_of_a_pipeline_must_exist_and_differ_in_name(project: Path) -> None:
    with pytest.raises(UsageError, match="there is no component 'common/clean'") as failure:
        new_pipeline(project, "rank", ["common/clean"])
    assert failure.value.hint == "did you mean 'common/clean-csv'?"
    with pytest.raises(SpecError, match=r"pipelines/rank.yaml.*two stages called 'clean-csv'"):
        new_pipeline(project, "rank", ["common/clean-csv", "common/clean-csv"])
    assert not (project / "pipelines").exists()


def test_a_component_in_a_place_that_git_ignores(monorepo: Monorepo) -> None:
    monorepo.write(".gitignore", "*.pyc\nenv/\n")
    with pytest.raises(UsageError) as caught:
        new_component(monorepo.root, "shop/env")
    assert caught.value.message == "components/shop/env is ignored by git: .gitignore:2"
    assert not (monorepo.root / "components").exists()
