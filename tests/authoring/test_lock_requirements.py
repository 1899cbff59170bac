from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import pytest

from daintree.authoring.lock_requirements import (
    library_lock,
    lock,
    stale_locks,
    staleness,
    used_libraries,
)
from daintree.errors import EnvironmentFailed, SpecError, UsageError


class Wheels(Protocol):
    directory: Path

    def add(self, name: str, version: str, **more: Any) -> str: ...


class Project:
    """A project with components and libraries, and what is said while they are locked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: list[str] = []

    def add(
        self, name: str, requirements: str | None = "", *uses: str, component: bool = True
    ) -> Path:
        directory = self.root / "components" / name
        directory.mkdir(parents=True)
        (directory / "component.yaml").write_text(f"uses: [{', '.join(uses)}]\n")
        if requirements is not None:
            (directory / "requirements.in").write_text(requirements)
        if component:
            (directory / "Dockerfile").touch()
        return directory

    def lock(self, name: str, **options: bool) -> bool:
        return lock(self.root, name, self.lines.append, **options)

    def text(self, name: str) -> str:
        return (self.root / "components" / name / "requirements.txt").read_text()

    def pins(self, name: str) -> list[str]:
        lines = self.text(name).splitlines()
        return [line.partition(" ")[0] for line in lines if not line.startswith((" ", "#"))]


@pytest.fixture
def project(tmp_path: Path, wheels: Wheels, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A component that uses a library that uses another, each with a package of its own."""
    monkeypatch.setenv("DAINTREE_ENVIRONMENTS", str(tmp_path / "environments"))
    for name in ("alpha", "beta", "gamma"):
        wheels.add(name, "1.0")
    project = Project(tmp_path / "project")
    project.add("shop/rank", "alpha\n", "lib/tables")
    project.add("lib/tables", "beta\n", "lib/text", component=False)
    project.add("lib/text", "gamma\n", component=False)
    return project


def test_component_and_libraries_make_one_file(project: Project) -> None:
    assert project.lock("shop/rank")
    assert project.pins("shop/rank") == ["alpha==1.0", "beta==1.0", "gamma==1.0"]
    assert not (project.root / "components/lib/tables/requirements.txt").exists()


def test_a_library_gets_its_own(project: Project) -> None:
    project.lock("lib/tables")
    assert project.pins("lib/tables") == ["beta==1.0", "gamma==1.0"]


def test_the_file_says_what_it_is_made_of(project: Project) -> None:
    project.lock("shop/rank")
    header = project.text("shop/rank").splitlines()[:5]
    assert header[0] == "# made by: doit lock shop/rank"
    assert [line.rpartition(" ")[0] for line in header[1:4]] == [
        "# from: components/shop/rank/requirements.in",
        "# from: components/lib/tables/requirements.in",
        "# from: components/lib/text/requirements.in",
    ]
    assert header[4].startswith("# installed size: ")
    assert "# via -r ../../lib/tables/requirements.in" in project.text("shop/rank")


def test_the_file_is_the_same_wherever_the_project_is(project: Project, wheels: Wheels) -> None:
    project.lock("shop/rank")
    moved = Project(project.root.rename(project.root.with_name("elsewhere")))
    text = moved.text("shop/rank")
    (moved.root / "components/shop/rank/requirements.txt").unlink()
    assert moved.lock("shop/rank")
    assert moved.text("shop/rank") == text
    assert str(wheels.directory) not in text
    assert "://" not in text


def test_every_package_has_a_hash_and_what_was_locked_is_installed(project: Project) -> None:
    project.lock("shop/rank")
    assert project.text("shop/rank").count("--hash=sha256:") == 3
    assert project.lines == [
        "resolving what shop/rank requires",
        "installing 3 packages (size not recorded) for shop/rank, the first time only",
        project.lines[2],
    ]
    assert project.lines[2].startswith("installed ")


def test_locking_again_changes_nothing(project: Project) -> None:
    project.lock("shop/rank")
    before = project.text("shop/rank")
    project.lines.clear()
    assert not project.lock("shop/rank")
    assert project.text("shop/rank") == before
    assert project.lines == ["resolving what shop/rank requires"]


def test_versions_are_kept_until_they_are_upgraded(project: Project, wheels: Wheels) -> None:
    project.lock("shop/rank")
    wheels.add("alpha", "1.1")
    assert not project.lock("shop/rank")
    assert project.lock("shop/rank", upgrade=True)
    assert project.pins("shop/rank") == ["alpha==1.1", "beta==1.0", "gamma==1.0"]


def test_a_new_requirement_leaves_the_other_versions(project: Project, wheels: Wheels) -> None:
    project.lock("shop/rank")
    wheels.add("beta", "2.0")
    wheels.add("delta", "1.0")
    (project.root / "components/shop/rank/requirements.in").write_text("alpha\ndelta\n")
    assert project.lock("shop/rank")
    assert "beta==1.0" in project.pins("shop/rank")
    assert "delta==1.0" in project.pins("shop/rank")


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("shop/rank/requirements.in", "alpha>=1\n", "components/shop/rank/requirements.in changed"),
        ("lib/text/requirements.in", "gamma>=1\n", "components/lib/text/requirements.in changed"),
        ("shop/rank/component.yaml", "uses: []\n",
         "components/lib/tables/requirements.in is no longer part of it"),
    ],
)  # fmt: skip
def test_check_says_what_changed(project: Project, path: str, content: str, reason: str) -> None:
    project.lock("shop/rank")
    before = project.text("shop/rank")
    assert not project.lock("shop/rank", check=True)
    (project.root / "components" / path).write_text(content)
    project.lines.clear()
    assert project.lock("shop/rank", check=True)
    assert project.lines == [f"components/shop/rank/requirements.txt is out of date: {reason}"]
    assert project.text("shop/rank") == before


def test_check_says_what_is_missing_or_edited(project: Project) -> None:
    assert staleness(project.root, "shop/rank") == "is missing"
    (project.root / "components/shop/rank/requirements.txt").write_text("alpha==1.0\n")
    assert staleness(project.root, "shop/rank") == "was not made by `doit lock`"


def test_comments_and_line_ends_are_no_change(project: Project) -> None:
    project.lock("shop/rank")
    (project.root / "components/shop/rank/requirements.in").write_bytes(b"# first\r\nalpha\r\n")
    assert staleness(project.root, "shop/rank") == ""
    assert not project.lock("shop/rank")


def test_included_files_count(project: Project) -> None:
    directory = project.root / "components/shop/rank"
    (directory / "requirements.in").write_text("alpha\n-c limits.txt\n")
    (directory / "limits.txt").write_text("alpha<2\n")
    project.lock("shop/rank")
    (directory / "limits.txt").write_text("alpha<3\n")
    assert staleness(project.root, "shop/rank").endswith("components/shop/rank/limits.txt changed")
    (directory / "limits.txt").unlink()
    with pytest.raises(
        SpecError, match=r"components/shop/rank/limits.txt: cannot be read: No such"
    ):
        project.lock("shop/rank")


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("--find-links wheels", "'--find-links wheels' names an address", "UV_FIND_LINKS"),
        ("--index-url https://a.example", "names an address", "pip.conf"),
        ("-e ../../lib/text", "is a directory or a file", "make it a library"),
        ("x @ git+https://git.example/x", "is a repository", "build a wheel"),
        ("-r ../../../../more.in", "is not in this project", "copy the file"),
        ("-c https://a.example/c.txt", "is not in this project", "copy the file"),
    ],
)
def test_a_requirement_that_no_lock_can_keep_is_refused(
    project: Project, line: str, message: str, hint: str
) -> None:
    path = project.root / "components/shop/rank/requirements.in"
    path.write_text(f"# names\nalpha\n{line}\n")
    with pytest.raises(SpecError) as failure:
        project.lock("shop/rank")
    assert failure.value.message.startswith("components/shop/rank/requirements.in:3: ")
    assert message in failure.value.message
    assert hint in failure.value.hint
    assert not path.with_name("requirements.txt").exists()


@pytest.mark.parametrize(
    "setting", ['required-version = "==0.0.1"', "override-dependencies = ['alpha==9']"]
)
def test_the_settings_of_uv_in_the_project_change_no_lock(project: Project, setting: str) -> None:
    project.lock("shop/rank")
    before = project.text("shop/rank")
    (project.root / "pyproject.toml").write_text(f"[tool.uv]\n{setting}\n")
    (project.root / "components/shop/rank/uv.toml").write_text(f"{setting}\n")
    assert not project.lock("shop/rank", upgrade=True)
    assert project.text("shop/rank") == before


def test_stale_locks_are_named_with_the_command(project: Project) -> None:
    project.lock("shop/rank")
    names = ["shop/rank", "no/component"]
    assert stale_locks(project.root, names) == []
    (project.root / "components/lib/text/requirements.in").write_text("gamma<2\n")
    assert stale_locks(project.root, names) == [
        "components/lib/text/requirements.in changed since the lock: doit lock shop/rank"
    ]


def test_what_does_not_resolve_is_an_error_and_the_old_file_stays(project: Project) -> None:
    project.lock("shop/rank")
    before = project.text("shop/rank")
    (project.root / "components/shop/rank/requirements.in").write_text("alpha>=99\n")
    with pytest.raises(EnvironmentFailed) as failure:
        project.lock("shop/rank")
    assert failure.value.message.startswith(
        "what components/shop/rank/requirements.in, components/lib/tables/requirements.in,"
        " components/lib/text/requirements.in ask for cannot be locked; uv says:\n    error: No solution"
    )
    assert "alpha>=99" in failure.value.message
    assert project.text("shop/rank") == before


def test_what_cannot_be_installed_here_is_not_locked(project: Project, wheels: Wheels) -> None:
    wheels.add("elsewhere", "1.0", tag="py3-none-win32")
    (project.root / "components/shop/rank/requirements.in").write_text("elsewhere\n")
    with pytest.raises(EnvironmentFailed, match="environment for shop/rank could not be made"):
        project.lock("shop/rank")
    assert not (project.root / "components/shop/rank/requirements.txt").exists()


@pytest.mark.parametrize("content", ["", "# nothing but lib/stageio\n"])
def test_no_requirements_make_a_lock_of_nothing(project: Project, content: str) -> None:
    project.add("shop/bare", content)
    assert project.lock("shop/bare")
    assert project.pins("shop/bare") == []
    assert not project.lock("shop/bare")
    assert not project.lock("shop/bare", check=True)


def test_without_requirements_in_nothing_is_done(project: Project) -> None:
    directory = project.add("shop/plain", None)
    assert not project.lock("shop/plain")
    assert not project.lock("shop/plain", check=True)
    assert not (directory / "requirements.txt").exists()


def test_names_that_are_none(project: Project) -> None:
    with pytest.raises(UsageError, match="there is no component or library 'shop/renk'") as failure:
        project.lock("shop/renk")
    assert failure.value.hint == "did you mean 'shop/rank'?"
    project.add("shop/other", "", "lib/tabels")
    with pytest.raises(SpecError, match=r"components/shop/other/component.yaml: uses 'lib/tabels'"):
        project.lock("shop/other")


def test_libraries_are_found_through_libraries(project: Project) -> None:
    assert used_libraries(project.root, "shop/rank") == ("lib/tables", "lib/text")
    assert used_libraries(project.root, "lib/text") == ()


def test_nothing_is_left_beside_the_file(project: Project) -> None:
    project.lock("shop/rank")
    assert sorted(os.listdir(project.root)) == ["components"]
    assert sorted(os.listdir(project.root / "components/shop/rank")) == [
        "Dockerfile",
        "component.yaml",
        "requirements.in",
        "requirements.txt",
    ]


def test_a_new_components_lock_is_what_locking_it_would_write(project: Project) -> None:
    project.lock("lib/tables")
    content = "# nothing yet\n"
    derived = library_lock(project.root, "lib/tables", "shop/new", content)
    project.add("shop/new", content, "lib/tables")
    (project.root / "components/shop/new/requirements.txt").write_text(derived)
    assert not project.lock("shop/new", check=True)
    assert not project.lock("shop/new")
    assert "# made by: doit lock shop/new" in derived
