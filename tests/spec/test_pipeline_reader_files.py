"""Which files are pipelines, and how one is loaded by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.errors import SpecError, UsageError
from daintree.spec.pipeline import load_pipeline, pipeline_files
from tests.spec.conftest import SHORT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    return tmp_path


def test_pipeline_files_are_found_by_name(project: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.json", "b.json", "README.md", ".yaml", "x.yaml~"):
        (project / "pipelines" / name).write_text("")
    (project / "pipelines" / "samples.yaml").mkdir()
    files = pipeline_files(project)
    assert {name: [path.name for path in paths] for name, paths in files.items()} == {
        "a": ["a.yml"],
        "b": ["b.json", "b.yaml"],
        "c": ["c.json"],
    }
    assert list(files) == ["a", "b", "c"]
    assert pipeline_files(project / "elsewhere") == {}


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_a_pipeline_is_loaded_by_name(project: Path, suffix: str) -> None:
    (project / "pipelines" / f"x{suffix}").write_text('{"source": "s", "stages": ["a"]}')
    pipeline = load_pipeline(project, "x", reserved=())
    assert (pipeline.name, pipeline.file) == ("x", f"pipelines/x{suffix}")


def test_a_broken_file_harms_no_other(project: Path) -> None:
    (project / "pipelines/good.yaml").write_text(SHORT)
    (project / "pipelines/bad.yaml").write_text("[")
    assert load_pipeline(project, "good", reserved=()).name == "good"
    with pytest.raises(SpecError, match=r"^pipelines/bad\.yaml:1: not YAML"):
        load_pipeline(project, "bad", reserved=())


def test_an_unknown_pipeline_suggests_the_nearest(project: Path) -> None:
    (project / "pipelines/item2vec.yaml").write_text(SHORT)
    with pytest.raises(UsageError) as failure:
        load_pipeline(project, "item2vek", reserved=())
    assert failure.value.message == "there is no pipeline 'item2vek' in pipelines/"
    assert failure.value.hint == "did you mean 'item2vec'?"


def test_a_project_without_pipelines_says_how_to_list_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as failure:
        load_pipeline(tmp_path, "x", reserved=())
    assert failure.value.hint == "`doit list` shows the pipelines there are"


def test_two_files_of_one_name_are_an_error(project: Path) -> None:
    for suffix in ("yaml", "json"):
        (project / f"pipelines/x.{suffix}").write_text(SHORT)
    with pytest.raises(SpecError) as failure:
        load_pipeline(project, "x", reserved=())
    assert (
        failure.value.message
        == "pipelines/x.yaml: pipelines/x.json describes a pipeline of the same name"
    )


def test_a_pipeline_is_not_called_like_a_command(project: Path) -> None:
    (project / "pipelines/plan.yaml").write_text(SHORT)
    with pytest.raises(SpecError) as failure:
        load_pipeline(project, "plan", reserved={"plan", "run"})
    assert (
        failure.value.message == "pipelines/plan.yaml: 'plan' is the name of a doit command or task"
    )
    assert failure.value.hint == "rename the file: the pipeline's name is the file's"


@pytest.mark.parametrize("name", ["two words", "größe", "a.b"])
def test_a_pipelines_name_is_a_plain_word(project: Path, name: str) -> None:
    (project / "pipelines" / f"{name}.yaml").write_text(SHORT)
    with pytest.raises(SpecError) as failure:
        load_pipeline(project, name, reserved=())
    assert failure.value.message == f"pipelines/{name}.yaml: {name!r} cannot be a pipeline's name"
    assert failure.value.hint == "letters, digits, - and _"


def test_a_pipeline_is_looked_for_in_its_directory_alone(project: Path) -> None:
    (project / "elsewhere.yaml").write_text(SHORT)
    with pytest.raises(SpecError, match="cannot be a pipeline's name"):
        load_pipeline(project, "../elsewhere", reserved=())
