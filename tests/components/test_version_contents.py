"""What a version is made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from daintree.components import VersionedFile, read_versions
from daintree.components.version import gathered
from tests.components.versions import USES, paths, version

if TYPE_CHECKING:
    from tests.conftest import Monorepo

PIN = "sha256:" + "1" * 64


def test_the_digest_of_a_known_version(project: Monorepo) -> None:
    """A version once published must be found again by every later release of the tooling."""
    component = version(project, "user", bases={"python:3.11-slim": PIN})
    assert component.files == (
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
    assert (
        component.digest
        == "sha256:6311e0154a7c6d627245f277972777b70724ef83fa026e690ad5033aa2ead895"
    )


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
    component = version(project, bases={"python:3.11": PIN})
    assert component.bases == (
        ("b", "b"),
        ("busybox@sha256:abc", "busybox@sha256:abc"),
        ("python:3.11", f"python:3.11@{PIN}"),
        ("tool:1", "tool:1"),
    )
    assert component.warnings == (
        "components/a/Dockerfile: the base image b has no pin, so it may change unnoticed"
        " (set its digest in [tool.daintree.bases])",
        "components/a/Dockerfile: the image tool:1 that files are copied from has no pin,"
        " so it may change unnoticed (set its digest in [tool.daintree.bases])",
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
    component = version(project, "user")
    assert paths(component) == [
        "Dockerfile",
        "README.md",
        "component.yaml",
        "main.py",
        "stageio/__init__.py",
        "stageio/paths.py",
    ]
    assert component.libraries == ("lib/stageio",)
    assert component.files[-1].origin == "components/lib/stageio/paths.py"


def test_libraries_of_libraries(project: Monorepo) -> None:
    project.library("lib/deep/base", {"b.py": ""})
    project.write("components/lib/stageio/component.yaml", "uses: [lib/deep/base]\n")
    component = version(project, "user")
    assert component.libraries == ("lib/deep/base", "lib/stageio")
    assert "base/b.py" in paths(component)


def test_links_inside_stay_links(project: Monorepo) -> None:
    (project.root / "components/a/link.py").symlink_to("main.py")
    modes = {file.path: file.mode for file in version(project).files}
    assert modes["link.py"] == "120000"


def test_a_dockerfile_among_the_tests_is_no_component(project: Monorepo) -> None:
    project.write("components/a/tests/image/Dockerfile", "FROM x\n")
    assert paths(version(project)) == ["Dockerfile", "main.py"]


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


def test_a_warning_of_several_components_is_said_once() -> None:
    assert gathered(
        ["a/Dockerfile: no pin", "b/Dockerfile: no digest", "c/Dockerfile: no pin"]
    ) == [
        "a/Dockerfile and 1 more: no pin",
        "b/Dockerfile: no digest",
    ]
