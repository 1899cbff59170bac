"""The tasks that a project's dodo.py offers: those whose tools the project has set up."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.commands.project_tasks import task_lint, task_test


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which is the current directory."""
    (tmp_path / "dodo.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checks(root: Path, pyproject: str) -> dict[str, str]:
    """The checks of `doit lint`, with their commands, for a project with this pyproject.toml."""
    (root / "pyproject.toml").write_text(pyproject)
    return {task["name"]: task["doc"] for task in task_lint()}


def test_a_team_gets_the_checks_that_it_has_set_up(root: Path) -> None:
    assert checks(root, "") == {"locks": "doit lock --check"}
    assert [*checks(root, "[tool.mypy]\n[tool.importlinter]\n")] == ["types", "layers", "locks"]
    (root / "pyproject.toml").unlink()
    assert [task["name"] for task in task_lint()] == ["locks"]


def test_the_format_of_components_is_checked_where_the_setting_says_so(root: Path) -> None:
    assert checks(root, "[tool.ruff]\n") == {
        "format": "ruff format --check . --exclude components,pipelines",
        "rules": "ruff check .",
        "locks": "doit lock --check",
    }
    setting = "[tool.ruff]\n[tool.daintree]\nformat_components = true\n"
    assert checks(root, setting)["format"] == "ruff format --check ."


def test_the_tests_are_those_of_the_project_and_of_its_components(root: Path) -> None:
    for name in ("shop/rank", "shop/score"):
        (root / "components" / name).mkdir(parents=True)
        (root / "components" / name / "Dockerfile").touch()
    assert [task["name"] for task in task_test()] == ["shop/rank", "shop/score"]
    (root / "tests").mkdir()
    assert [task["name"] for task in task_test()] == ["project", "shop/rank", "shop/score"]
