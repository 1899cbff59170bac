"""What cannot have a version, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components import read_versions
from daintree.errors import DaintreeError, GitError, SpecError, UsageError, VersionError
from tests.components.versions import paths, version

if TYPE_CHECKING:
    from tests.conftest import Monorepo


def link(path: str, target: str) -> Callable[[Monorepo], object]:
    return lambda project: (project.root / path).symlink_to(target)


def write(path: str, content: str) -> Callable[[Monorepo], object]:
    return lambda project: project.write(path, content)


@pytest.mark.parametrize(
    ("break_it", "kind", "message"),
    [
        (
            link("components/user/out", "../a/main.py"),
            VersionError,
            "components/user/out is a link that leaves its directory, to ../a/main.py",
        ),
        (
            link("components/lib/stageio/out", "/etc/passwd"),
            VersionError,
            "components/lib/stageio/out is a link that leaves its directory, to /etc/passwd",
        ),
        (
            write("components/user/inner/Dockerfile", "FROM x\n"),
            VersionError,
            "components/user/inner is a component inside components/user",
        ),
        (
            write("components/lib/stageio/inner/Dockerfile", "FROM x\n"),
            VersionError,
            "components/lib/stageio/inner is a component inside components/lib/stageio",
        ),
        (
            write("components/lib/stageio/Dockerfile", "FROM x\n"),
            SpecError,
            "components/user/component.yaml: uses 'lib/stageio', which is a component, ",
        ),
        (
            write("components/user/component.yaml", "uses: [lib/stagio]\n"),
            SpecError,
            "components/user/component.yaml: uses 'lib/stagio', but there is no such library",
        ),
        (
            write("components/user/component.yaml", "uses: [../x]\n"),
            SpecError,
            "components/user/component.yaml: uses '../x', but there is no such library",
        ),
        (
            write("components/lib/stageio/component.yaml", "uses: [lib/nothing]\n"),
            SpecError,
            "components/lib/stageio/component.yaml: uses 'lib/nothing', but there is no",
        ),
        (
            write("components/lib/stageio/component.yaml", "uses: [lib/stageio]\n"),
            SpecError,
            "components/lib/stageio/component.yaml: a circle of libraries: "
            "lib/stageio uses lib/stageio",
        ),
        (
            write("components/user/stageio/x.py", ""),
            VersionError,
            "components/lib/stageio and components/user would both be stageio in components/user",
        ),
        (
            write("components/user/.dockerignore", "[\n"),
            VersionError,
            "components/user/.dockerignore:1: '[' is not a pattern Docker understands: "
            "a [class] that is not closed or empty, or a backslash at the end",
        ),
        (
            write("components/user/component.yaml", "usess: []\n"),
            SpecError,
            "components/user/component.yaml:1: unknown key 'usess'",
        ),
    ],
)
def test_what_has_no_version(
    project: Monorepo,
    break_it: Callable[[Monorepo], object],
    kind: type[DaintreeError],
    message: str,
) -> None:
    break_it(project)
    with pytest.raises(kind) as caught:
        version(project, "user")
    assert type(caught.value) is kind
    assert caught.value.message.startswith(message)


def test_two_libraries_with_one_last_name(project: Monorepo) -> None:
    project.library("other/stageio", {"x.py": ""})
    project.write("components/user/component.yaml", "uses: [lib/stageio, other/stageio]\n")
    with pytest.raises(VersionError) as caught:
        version(project, "user")
    assert caught.value.message == (
        "components/other/stageio and components/lib/stageio would both be stageio "
        "in components/user"
    )
    assert "rename" in caught.value.hint


@pytest.mark.parametrize("special", ["Dockerfile", "component.yaml", ".dockerignore"])
def test_what_is_read_must_be_a_file(project: Monorepo, special: str) -> None:
    (project.root / "components/a" / special).unlink(missing_ok=True)
    (project.root / "components/a" / special).symlink_to("main.py")
    with pytest.raises(VersionError, match=f"components/a/{special} must be a file, not a link"):
        version(project)


def test_the_nearest_name_is_suggested(project: Monorepo) -> None:
    project.component("common/load-jsonl")
    with pytest.raises(UsageError) as caught:
        version(project, "common/load-json")
    assert caught.value.message == "there is no component 'common/load-json'"
    assert caught.value.hint == "did you mean 'common/load-jsonl'?"


def test_the_nearest_library_is_suggested(project: Monorepo) -> None:
    project.write("components/user/component.yaml", "uses: [lib/stagio]\n")
    with pytest.raises(SpecError) as caught:
        version(project, "user")
    assert caught.value.hint == "did you mean 'lib/stageio'?"


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "../a", "a//b", ".", "nothing", "a\0", "*", "\udce9"]
)
def test_names_of_no_component(project: Monorepo, name: str) -> None:
    with pytest.raises(UsageError, match="there is no component"):
        version(project, name)


@pytest.mark.parametrize("name", ["lib", "lib/stageio"])
def test_a_directory_without_a_program_or_a_dockerfile(project: Monorepo, name: str) -> None:
    with pytest.raises(VersionError) as caught:
        version(project, name)
    assert (
        caught.value.message
        == f"components/{name} holds neither main.py nor Dockerfile, so it is no component"
    )


def test_a_dockerfile_that_git_ignores(project: Monorepo) -> None:
    project.write(".gitignore", "components/a/Dockerfile\n")
    with pytest.raises(VersionError) as caught:
        version(project)
    assert caught.value.message == "components/a/Dockerfile is ignored by git: .gitignore:1"
    assert caught.value.hint == "change that rule, or git add --force components/a"


@pytest.mark.parametrize("file", ["main.py", "component.yaml", "requirements.txt"])
def test_a_file_that_means_something_and_that_git_ignores(project: Monorepo, file: str) -> None:
    project.write(f"components/a/{file}", "")
    version(project)
    project.write(".gitignore", f"components/a/{file}\n")
    with pytest.raises(VersionError) as caught:
        version(project)
    assert caught.value.message == f"components/a/{file} is ignored by git: .gitignore:1"
    # One that is committed counts, whatever a rule says.
    project.git("add", "--force", "components/a")
    version(project)


def test_what_a_library_uses_is_not_ignored(project: Monorepo) -> None:
    project.write("components/lib/stageio/component.yaml", "uses: []\n")
    project.write(".gitignore", "components/lib/*/*.yaml\n")
    with pytest.raises(VersionError, match=r"stageio/component\.yaml is ignored by git"):
        version(project, "user")


def test_a_library_that_git_ignores(project: Monorepo) -> None:
    project.write(".gitignore", "# of the virtual environment\n\nlib/\n")
    with pytest.raises(SpecError) as caught:
        version(project, "user")
    assert caught.value.message == (
        "components/user/component.yaml: uses 'lib/stageio', "
        "but components/lib/stageio is ignored by git: .gitignore:3"
    )


def test_a_component_inside_another(project: Monorepo) -> None:
    project.component("a/inner")
    with pytest.raises(VersionError) as caught:
        version(project, "a/inner")
    assert caught.value.message == "components/a/inner lies inside the component a"


def test_submodules(project: Monorepo) -> None:
    project.commit()
    project.git(
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        project.root,
        "components/a/sub",
    )
    with pytest.raises(VersionError) as caught:
        version(project)
    assert caught.value.message == (
        "components/a/sub is a git repository of its own; no version can include it"
    )
    project.write("components/a/.dockerignore", "sub\n")
    assert "sub" not in paths(version(project))


def test_a_component_that_is_itself_a_link(project: Monorepo) -> None:
    (project.root / "components/b").symlink_to("a")
    with pytest.raises(DaintreeError):
        version(project, "b")


def test_outside_a_repository(tmp_path: Path) -> None:
    (tmp_path / "components" / "a").mkdir(parents=True)
    with pytest.raises(GitError, match="is not in a git repository"):
        read_versions(tmp_path, ["a"], platform="linux/amd64", bases={})
