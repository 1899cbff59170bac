"""What a version is made of, and what cannot have one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tooling.errors import DaintreeError, GitError, SpecError, UsageError, VersionError
from tooling.version import ComponentVersion, VersionedFile, read_versions
from tooling.version.component import gathered

if TYPE_CHECKING:
    from tests.conftest import Monorepo

PIN = "sha256:" + "1" * 64
USES = {"component.yaml": "uses: [lib/stageio]\n"}


def version(
    monorepo: Monorepo,
    name: str = "a",
    *,
    platform: str = "linux/amd64",
    bases: Mapping[str, str] | None = None,
) -> ComponentVersion:
    return read_versions(monorepo.root, [name], platform=platform, bases=bases or {})[name]


def paths(found: ComponentVersion) -> list[str]:
    return [file.path for file in found.files]


@pytest.fixture
def project(monorepo: Monorepo) -> Monorepo:
    """A component, and another that uses a library."""
    monorepo.component("a")
    monorepo.component("user", USES)
    monorepo.library("lib/stageio", {"__init__.py": "", "paths.py": "x = 1\n"})
    return monorepo


def test_the_digest_of_a_known_version(project: Monorepo) -> None:
    """A version once published must be found again by every later release of the tooling."""
    found = version(project, "user", bases={"python:3.11-slim": PIN})
    assert found.files == (
        VersionedFile(
            "Dockerfile",
            "100644",
            "3a44de10500b452513691dba6b35c29ccd67f2a7",
            "components/user/Dockerfile",
        ),
        VersionedFile(
            "component.yaml",
            "100644",
            "dd2be6ecfafc3d98bbf54cae51dbe49cfcfd72bc",
            "components/user/component.yaml",
        ),
        VersionedFile(
            "main.py",
            "100644",
            "b917a726c93f902e43291d9009d6488385133b67",
            "components/user/main.py",
        ),
        VersionedFile(
            "stageio/__init__.py",
            "100644",
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
            "components/lib/stageio/__init__.py",
        ),
        VersionedFile(
            "stageio/paths.py",
            "100644",
            "7d4290a117a4ddcc11daae7ea675841033830c8f",
            "components/lib/stageio/paths.py",
        ),
    )
    assert found.digest == "sha256:671a7c52a954eb7887c174d40c1e616fc65dbbd87994df094141783935623195"


def test_several_at_once_are_what_they_are_one_by_one(project: Monorepo) -> None:
    both = read_versions(project.root, ["user", "a"], platform="linux/amd64", bases={})
    assert both == {"user": version(project, "user"), "a": version(project, "a")}
    assert list(both) == ["user", "a"]


def test_none(project: Monorepo) -> None:
    assert read_versions(project.root, [], platform="linux/amd64", bases={}) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.write("components/user/main.py", "print(2)\n"),
        lambda p: p.write("components/user/Dockerfile", "FROM python:3.12\n"),
        lambda p: p.write("components/user/new", ""),
        lambda p: p.write("components/user/tests.py", ""),
        lambda p: p.write("components/user/inner/tests/x", ""),
        lambda p: p.write("components/user/.dockerignore", ""),
        lambda p: p.write(
            "components/user/component.yaml", USES["component.yaml"] + "network: true\n"
        ),
        lambda p: (p.root / "components/user/main.py").chmod(0o755),
        lambda p: (p.root / "components/user/main.py").unlink(),
        lambda p: (p.root / "components/user/main.py").rename(p.root / "components/user/main2.py"),
        lambda p: p.write("components/lib/stageio/paths.py", "x = 2\n"),
        lambda p: p.write("components/lib/stageio/new.py", ""),
        lambda p: (p.root / "components/lib/stageio/paths.py").unlink(),
    ],
)
def test_what_makes_another_version(
    project: Monorepo, change: Callable[[Monorepo], object]
) -> None:
    before = version(project, "user").digest
    other = version(project, "a").digest
    change(project)
    assert version(project, "user").digest != before
    assert version(project, "a").digest == other


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.write("components/user/tests/test_main.py", "assert 2\n"),
        lambda p: p.write("components/lib/stageio/tests/test_paths.py", "assert 2\n"),
        lambda p: p.write("components/user/x.log", "ignored\n"),
        lambda p: os.utime(p.root / "components/user/main.py", (1, 1)),
        lambda p: (p.root / "components/user/main.py").chmod(0o600),
        lambda p: p.write("README.md", "elsewhere\n"),
        lambda p: p.write("components/other/main.py", "another component's\n"),
        lambda p: (p.root / "components/user/empty").mkdir(),
        lambda p: (p.root / "components/user/tests").symlink_to("../../shared-tests"),
    ],
)
def test_what_does_not(project: Monorepo, change: Callable[[Monorepo], object]) -> None:
    project.write(".gitignore", "*.log\n")
    before = version(project, "user")
    change(project)
    assert version(project, "user") == before


def test_platform_base_image_and_build_arguments_count(project: Monorepo) -> None:
    plain = version(project)
    digests = {
        plain.digest,
        version(project, platform="linux/arm64").digest,
        version(project, bases={"python:3.11-slim": PIN}).digest,
        version(project, bases={"python:3.11-slim": PIN[:-1] + "2"}).digest,
    }
    assert len(digests) == 4
    assert version(project, bases={"other": PIN}) == plain


def test_build_arguments_count_even_where_their_file_does_not(project: Monorepo) -> None:
    project.write("components/a/.dockerignore", "component.yaml\n")
    plain = version(project).digest
    project.write("components/a/component.yaml", "build_args: {TAG: '1'}\n")
    assert version(project).digest != plain
    project.write("components/a/component.yaml", "description: x\n")
    assert version(project).digest == plain


def test_base_images_are_pinned_by_reference_or_warned_of(project: Monorepo) -> None:
    project.write(
        "components/a/Dockerfile",
        "ARG TAG=3.11\nFROM python:$TAG\nFROM busybox@sha256:abc\n"
        "FROM b\nCOPY --from=tool:1 /x /x\n",
    )
    found = version(project, bases={"python:3.11": PIN})
    assert found.bases == (
        ("b", "b"),
        ("busybox@sha256:abc", "busybox@sha256:abc"),
        ("python:3.11", f"python:3.11@{PIN}"),
    )
    assert found.warnings == (
        "components/a/Dockerfile: the base image b has no pin, so it may change unnoticed"
        " (set its digest in [tool.daintree.bases])",
        "components/a/Dockerfile: the image tool:1 that files are copied from has no digest,"
        " so it may change unnoticed",
    )


def test_dockerignore_leaves_out_all_but_the_dockerfile(project: Monorepo) -> None:
    project.write("components/a/.dockerignore", "**\n!keep\n")
    project.write("components/a/keep/x", "")
    assert paths(version(project)) == ["Dockerfile", "keep/x"]


def test_a_library_lies_under_its_last_name_and_has_its_own_dockerignore(project: Monorepo) -> None:
    project.write("components/lib/stageio/.dockerignore", "README.md\n.dockerignore\n")
    project.write("components/lib/stageio/README.md", "")
    project.write("components/user/.dockerignore", "paths.py\n.dockerignore\n")
    project.write("components/user/README.md", "")
    found = version(project, "user")
    assert paths(found) == [
        "Dockerfile",
        "README.md",
        "component.yaml",
        "main.py",
        "stageio/__init__.py",
        "stageio/paths.py",
    ]
    assert found.libraries == ("lib/stageio",)
    assert found.files[-1].origin == "components/lib/stageio/paths.py"


def test_libraries_of_libraries(project: Monorepo) -> None:
    project.library("lib/deep/base", {"b.py": ""})
    project.write("components/lib/stageio/component.yaml", "uses: [lib/deep/base]\n")
    found = version(project, "user")
    assert found.libraries == ("lib/deep/base", "lib/stageio")
    assert "base/b.py" in paths(found)


def test_links_inside_stay_links(project: Monorepo) -> None:
    (project.root / "components/a/link.py").symlink_to("main.py")
    found = {file.path: file.mode for file in version(project).files}
    assert found["link.py"] == "120000"


def test_odd_names(monorepo: Monorepo) -> None:
    name = "größe und mehr/C:\\temp ☺"
    monorepo.component(name, {"ein Wort.txt": "", "new\nline": "", "con": ""})
    assert paths(version(monorepo, name)) == [
        "Dockerfile",
        "con",
        "ein Wort.txt",
        "main.py",
        "new\nline",
    ]


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
def test_a_directory_without_a_dockerfile(project: Monorepo, name: str) -> None:
    with pytest.raises(VersionError) as caught:
        version(project, name)
    assert caught.value.message == f"components/{name} holds no Dockerfile, so it is no component"


def test_a_dockerfile_that_git_ignores(project: Monorepo) -> None:
    project.write(".gitignore", "components/a/Dockerfile\n")
    with pytest.raises(VersionError) as caught:
        version(project)
    assert caught.value.message == "components/a/Dockerfile is ignored by git"
    assert caught.value.hint == "git add --force components/a/Dockerfile"


def test_a_component_inside_another(project: Monorepo) -> None:
    project.component("a/inner")
    with pytest.raises(VersionError) as caught:
        version(project, "a/inner")
    assert caught.value.message == "components/a/inner lies inside the component a"


def test_a_dockerfile_among_the_tests_is_no_component(project: Monorepo) -> None:
    project.write("components/a/tests/image/Dockerfile", "FROM x\n")
    assert paths(version(project)) == ["Dockerfile", "main.py"]


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


def test_a_warning_of_several_components_is_said_once() -> None:
    assert gathered(
        ["a/Dockerfile: no pin", "b/Dockerfile: no digest", "c/Dockerfile: no pin"]
    ) == [
        "a/Dockerfile and 1 more: no pin",
        "b/Dockerfile: no digest",
    ]
