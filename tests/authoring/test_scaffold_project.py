"""`doit new project`: all of a project or nothing, in an existing directory only what is missing."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from daintree.authoring.lock_requirements import staleness
from daintree.authoring.scaffold import new_project, project_difference
from daintree.components import discover_components, discover_libraries
from daintree.errors import UsageError
from daintree.settings import installed_from, read_settings
from daintree.spec.pipeline import load_pipeline

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody whose name git knows."""
    for variable, text in {"NAME": "Ana", "EMAIL": "ana@shop.example"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{variable}", text)
        monkeypatch.setenv(f"GIT_COMMITTER_{variable}", text)


def output_of(root: Path, *command: str) -> str:
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def files_in(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(directory).parts
    }


@pytest.mark.usefixtures("person")
def test_a_new_project_is_whole_and_committed(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "Our Shop"
    written = new_project(root)
    assert sorted(files_in(root)) == sorted(written.files)
    assert written.commit
    assert output_of(root, "git", "status", "--porcelain") == ""
    assert output_of(root, "git", "rev-parse", "--short", "HEAD").strip() == written.commit
    assert [entry.name for entry in root.parent.iterdir()] == ["Our Shop"]
    names = discover_components(root)
    assert sorted(names) == ["churn/evaluate", "churn/prepare", "churn/train"]
    assert [staleness(root, name) for name in [*names, *discover_libraries(root)]] == [""] * 4
    stages = load_pipeline(root, "churn", frozenset()).stages
    assert [stage.name for stage in stages] == ["prepare", "train", "evaluate"]
    read_settings(root)
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["name"] == "our-shop"
    assert project["dependencies"] == [f"daintree @ {installed_from()}"]


@pytest.mark.usefixtures("person")
def test_what_this_repository_has_as_well_is_the_same(tmp_path: Path) -> None:
    new_project(tmp_path / "shop")
    new = files_in(tmp_path / "shop")
    same = {path for path, content in new.items() if _own(path) == content}
    library = {path for path in new if path.startswith("components/lib/")}
    assert {"components/lib/stageio/__init__.py", "components/lib/stageio/tables.py"} <= library
    assert library <= same
    assert {"compose.yaml", "docs/reference/pipeline.schema.json"} <= same
    assert "requirements/component-tests.txt" in same


def _own(path: str) -> bytes | None:
    file = REPOSITORY / path
    return file.read_bytes() if file.is_file() else None


@pytest.mark.usefixtures("person")
def test_in_a_repository_nothing_is_changed_only_added(tmp_path: Path) -> None:
    output_of(tmp_path, "git", "init", "--quiet")
    (tmp_path / "README.md").write_text("ours\n")
    (tmp_path / "dodo.py").write_text('"""Ours."""\n')
    (tmp_path / ".gitignore").symlink_to("nowhere")
    written = new_project(tmp_path)
    assert (tmp_path / "README.md").read_text() == "ours\n"
    assert (tmp_path / "dodo.py").read_text() == '"""Ours."""\n'
    assert os.readlink(tmp_path / ".gitignore") == "nowhere"
    assert not {"README.md", "dodo.py", ".gitignore"} & {*written.files}
    assert written.different == [".gitignore", "dodo.py"]
    assert written.commit == written.without_commit == ""
    assert "pipelines/churn.yaml" in written.files
    assert new_project(tmp_path).files == []


@pytest.mark.usefixtures("person")
def test_a_team_with_pipelines_gets_no_sample(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/rank.yml").touch()
    written = new_project(tmp_path).files
    assert "components/lib/stageio/tables.py" in written
    assert not [path for path in written if "churn" in path or "customers" in path]


@pytest.mark.usefixtures("person")
def test_the_difference_is_that_of_the_toolings_own_files(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    new_project(root)
    assert project_difference(root) == []
    schema = root / "docs/reference/pipeline.schema.json"
    schema.write_bytes(schema.read_bytes().replace(b"\n", b"\r\n"))
    assert project_difference(root) == [], "the line ends of Windows are no difference"
    (root / "README.md").write_text("ours\n")
    (root / "pipelines/churn.yaml").unlink()
    (root / "compose.yaml").unlink()
    (root / "dodo.py").write_text("import os\n")
    lines = project_difference(root)
    assert [line for line in lines if line.startswith(("---", "+++"))] == [
        "--- /dev/null",
        "+++ b/compose.yaml",
        "--- a/dodo.py",
        "+++ b/dodo.py",
    ]
    assert "-import os" in lines
    assert not (root / "compose.yaml").exists()


@pytest.mark.usefixtures("person")
def test_what_a_gitignore_lacks_is_told_and_can_be_applied(tmp_path: Path) -> None:
    output_of(tmp_path, "git", "init", "--quiet")
    (tmp_path / ".gitignore").write_text("secret/\n__pycache__/\n.venv/")
    assert ".gitignore" in new_project(tmp_path).different
    assert (tmp_path / ".gitignore").read_text() == "secret/\n__pycache__/\n.venv/"
    patch = "".join(f"{line}\n" for line in project_difference(tmp_path))
    subprocess.run(["git", "apply"], cwd=tmp_path, input=patch, text=True, check=True)
    lines = (tmp_path / ".gitignore").read_text().splitlines()
    assert lines[:3] == ["secret/", "__pycache__/", ".venv/"]
    assert {"/output/", ".doit.db*", ".env"} < {*lines}
    assert len(lines) == len({*lines})
    assert new_project(tmp_path).different == project_difference(tmp_path) == []


@pytest.mark.parametrize("place", ["file", "file/shop", "shop/components"])
def test_what_is_no_directory_is_refused_before_anything_is_written(
    tmp_path: Path, place: str
) -> None:
    file = "file" if place.startswith("file") else place
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("a file\n")
    with pytest.raises(UsageError, match="no directory"):
        new_project(tmp_path / place.removesuffix("/components"))
    assert files_in(tmp_path) == {file: b"a file\n"}


def test_without_a_name_in_git_there_is_a_project_but_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "EMAIL"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    written = new_project(tmp_path / "shop")
    assert "pyproject.toml" in written.files
    assert written.commit == ""
    assert "no email was given" in written.without_commit
