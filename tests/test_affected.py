"""`affected` is held against its definition: the versions in a clone of the base and in the working
tree.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest

from tooling.affected import Affected, affected
from tooling.errors import GitError, SpecError, UsageError, VersionError
from tooling.version import discover_components, read_versions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Monorepo

PLATFORM = "linux/amd64"
PIN = "sha256:" + "1" * 64
USES = "uses: [lib/stageio]\n"


def found(
    monorepo: Monorepo,
    base: str | None = None,
    *,
    platform: str = PLATFORM,
    bases: Mapping[str, str] | None = None,
) -> Affected:
    return affected(monorepo.root, base, platform=platform, bases=bases or {})


def reasons(monorepo: Monorepo, base: str | None = None) -> dict[str, list[str]]:
    return {item.name: list(item.reasons) for item in found(monorepo, base).components}


def versions(root: Path, bases: Mapping[str, str]) -> dict[str, str]:
    names = discover_components(root)
    found = read_versions(root, names, platform=PLATFORM, bases=bases)
    return {name: found[name].digest for name in names}


def by_definition(
    monorepo: Monorepo,
    base: str,
    *,
    bases: Mapping[str, str] | None = None,
    bases_before: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The version now ("" when there is none) of each component that has another in a clean clone
    of the base.
    """
    number = len(list(monorepo.root.parent.iterdir()))
    clone = type(monorepo)(monorepo.root.parent / f"clone{number}")
    monorepo.git("clone", "--quiet", "--no-checkout", monorepo.root, clone.root)
    (clone.root / ".git/config").write_bytes((monorepo.root / ".git/config").read_bytes())
    clone.git("checkout", "--quiet", "--detach", base)
    now = versions(monorepo.root, bases or {})
    before = versions(clone.root, bases_before or bases or {})
    return {
        name: now.get(name, "")
        for name in sorted(now.keys() | before.keys())
        if now.get(name) != before.get(name)
    }


def assert_as_defined(monorepo: Monorepo, base: str = "HEAD") -> None:
    expected = by_definition(monorepo, base)
    result = found(monorepo, base)
    assert {item.name: item.version for item in result.components} == expected
    assert all(item.reasons for item in result.components)


@pytest.fixture
def project(monorepo: Monorepo) -> Monorepo:
    """Two components, one of which uses a library through another, committed."""
    monorepo.component("common/clean", {"notes.txt": "x\n", "tests/test_main.py": ""})
    monorepo.write("components/common/clean/run.sh", "#!/bin/sh\n", mode=0o755)
    monorepo.component("train", {"component.yaml": "uses: [lib/models]\n"})
    monorepo.library("lib/models", {"__init__.py": "", "component.yaml": USES})
    monorepo.library("lib/stageio", {"__init__.py": "", "paths.py": ""})
    monorepo.write(".gitignore", "*.log\n")
    monorepo.commit("first")
    return monorepo


Change = Callable[["Monorepo"], object]

CLEAN = "components/common/clean"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: p.write(f"{CLEAN}/main.py", "2"), {"common/clean": ["main.py changed"]}),
        (lambda p: p.write(f"{CLEAN}/new", "2"), {"common/clean": ["new added"]}),
        (
            lambda p: (p.root / CLEAN / "notes.txt").unlink(),
            {"common/clean": ["notes.txt deleted"]},
        ),
        (
            lambda p: (p.root / CLEAN / "run.sh").chmod(0o644),
            {"common/clean": ["run.sh mode changed"]},
        ),
        (
            lambda p: (p.root / CLEAN / "notes.txt").rename(p.root / CLEAN / "größe 1"),
            {"common/clean": ["größe 1 added", "notes.txt deleted"]},
        ),
        (
            lambda p: p.write(f"{CLEAN}/Dockerfile", "FROM python:3.12\n"),
            {"common/clean": ["Dockerfile changed"]},
        ),
        (
            lambda p: p.write(f"{CLEAN}/.dockerignore", "notes.txt\n"),
            {"common/clean": [".dockerignore added", "notes.txt is now left out by .dockerignore"]},
        ),
        (
            lambda p: p.write("components/lib/stageio/paths.py", "x = 1\n"),
            {"train": ["uses lib/stageio, which changed: paths.py"]},
        ),
        (
            lambda p: [
                (p.root / "components/lib/stageio/paths.py").unlink(),
                *(p.write(f"components/lib/stageio/{n}.py", "") for n in range(6)),
            ],
            {
                "train": [
                    "uses lib/stageio, which changed: 0.py added, 1.py added, 2.py added, 3.py"
                    " added, 4.py added and 2 more"
                ]
            },
        ),
        (
            lambda p: p.write("components/train/component.yaml", ""),
            {
                "train": [
                    "component.yaml changed",
                    "no longer uses lib/models",
                    "no longer uses lib/stageio",
                ]
            },
        ),
        (
            lambda p: p.write("components/lib/models/component.yaml", ""),
            {
                "train": [
                    "uses lib/models, which changed: component.yaml",
                    "no longer uses lib/stageio",
                ]
            },
        ),
        (
            lambda p: p.write(f"{CLEAN}/component.yaml", USES),
            {"common/clean": ["component.yaml added", "now uses lib/stageio"]},
        ),
        (lambda p: p.component("new"), {"new": ["new component"]}),
        (lambda p: (p.root / CLEAN / "Dockerfile").unlink(), {"common/clean": ["deleted"]}),
        (lambda p: p.write(f"{CLEAN}/tests/test_main.py", "2"), {}),
        (lambda p: p.write(f"{CLEAN}/x.log", "2"), {}),
        (lambda p: p.write("components/lib/unused/x.py", "2"), {}),
        (lambda p: p.write("README.md", "2"), {}),
        (lambda p: None, {}),
    ],
)
@pytest.mark.parametrize("state", ["in the working tree", "staged", "committed"])
def test_reasons(
    project: Monorepo, change: Change, expected: dict[str, list[str]], state: str
) -> None:
    base = project.git("rev-parse", "HEAD")
    change(project)
    if state == "staged":
        project.git("add", "--all")
    elif state == "committed":
        project.commit()
    assert reasons(project, base) == expected
    assert_as_defined(project, base)


def test_what_dockerignore_lets_in_again(project: Monorepo) -> None:
    project.write(f"{CLEAN}/.dockerignore", "notes.txt\n.dockerignore\n")
    project.commit()
    (project.root / CLEAN / ".dockerignore").unlink()
    assert reasons(project) == {
        "common/clean": ["notes.txt is no longer left out by .dockerignore"],
    }


def test_staged_and_changed_back_is_not_affected(project: Monorepo) -> None:
    original = (project.root / CLEAN / "main.py").read_text()
    project.write(f"{CLEAN}/main.py", "2")
    project.git("add", "--all")
    project.write(f"{CLEAN}/main.py", original)
    assert reasons(project) == {}


def test_deleted_in_the_index_alone_is_not_affected(project: Monorepo) -> None:
    project.git("rm", "--quiet", "--cached", f"{CLEAN}/main.py")
    assert reasons(project) == {}


def test_the_base_is_the_merge_base_with_the_upstream_branch(project: Monorepo) -> None:
    base = project.git("rev-parse", "HEAD")
    project.git("checkout", "--quiet", "-b", "topic", "--track")
    project.write(f"{CLEAN}/main.py", "topic")
    project.commit()
    project.git("checkout", "--quiet", "main")
    project.write("components/train/main.py", "main")
    project.commit()
    project.git("checkout", "--quiet", "topic")
    assert found(project).base == base
    assert list(reasons(project)) == ["common/clean"]
    assert list(reasons(project, "main")) == ["common/clean", "train"]
    assert list(reasons(project, "HEAD")) == []


def test_before_any_commit_everything_is_affected(monorepo: Monorepo) -> None:
    assert found(monorepo) == Affected("", ())
    monorepo.component("b")
    monorepo.component("a")
    assert reasons(monorepo) == {"a": ["no commit yet"], "b": ["no commit yet"]}
    assert {item.name: item.version for item in found(monorepo).components} == versions(
        monorepo.root, {}
    )


def test_an_unknown_base(project: Monorepo) -> None:
    project.git("branch", "develop")
    with pytest.raises(UsageError) as caught:
        found(project, "devel")
    assert caught.value.message == "git knows no commit 'devel'"
    assert caught.value.hint == "did you mean 'develop'?"


def test_outside_a_repository(tmp_path: Path) -> None:
    for base in (None, "main"):
        with pytest.raises(GitError, match="is not in a git repository"):
            affected(tmp_path, base, platform=PLATFORM, bases={})


def pyproject(*, bases: str = "", platform: str = "") -> str:
    text = f'[tool.daintree]\nplatform = "{platform}"\n' if platform else ""
    return f"{text}[tool.daintree.bases]\n{bases}\n"


def test_the_pin_of_a_base_image(project: Monorepo) -> None:
    project.write("components/train/Dockerfile", "FROM debian\n")
    project.write("pyproject.toml", pyproject(bases=f'debian = "{PIN}"'))
    project.commit()
    other = PIN.replace("1", "2")
    project.write("pyproject.toml", pyproject(bases=f'debian = "{other}"'))

    result = found(project, bases={"debian": other})
    assert [(item.name, item.reasons) for item in result.components] == [
        ("train", ("the pin of the base image debian changed",))
    ]
    assert {item.name: item.version for item in result.components} == by_definition(
        project, "HEAD", bases={"debian": other}, bases_before={"debian": PIN}
    )
    # The environment's word, here the same pin in both states, is not what changed.
    assert found(project, bases={"debian": "sha256:" + "3" * 64}).components == ()


def test_the_platform(project: Monorepo) -> None:
    project.write("pyproject.toml", pyproject(platform="linux/arm64"))
    result = found(project, platform="linux/arm64")
    assert [(item.name, item.reasons) for item in result.components] == [
        ("common/clean", ("platform linux/amd64 → linux/arm64",)),
        ("train", ("platform linux/amd64 → linux/arm64",)),
    ]
    assert found(project, platform="linux/s390x").components == ()


@pytest.mark.parametrize(
    "before", ["", "[tool.daintree", "[tool.daintree]\nplatform = 1\n", "tool = 1\n"]
)
def test_a_project_file_that_says_nothing_of_use_before(project: Monorepo, before: str) -> None:
    project.write("pyproject.toml", before)
    project.commit()
    project.write("pyproject.toml", pyproject(bases='x = "' + PIN + '"'))
    assert found(project, bases={"x": PIN}).components == ()


def test_an_affected_component_without_a_version_is_an_error(project: Monorepo) -> None:
    (project.root / CLEAN / "out").symlink_to("/etc/passwd")
    with pytest.raises(VersionError, match="common/clean/out is a link that leaves"):
        found(project)


def test_a_user_of_a_changed_library_without_a_version_is_an_error(project: Monorepo) -> None:
    project.write("components/lib/models/component.yaml", "uses: [lib/nothing]\n")
    with pytest.raises(SpecError, match="uses 'lib/nothing', but there is no such library"):
        found(project)


def test_a_component_that_had_no_version_before(project: Monorepo) -> None:
    (project.root / CLEAN / "out").symlink_to("/etc/passwd")
    project.commit()
    (project.root / CLEAN / "out").unlink()
    assert reasons(project) == {
        "common/clean": [
            "it had no version before: "
            "components/common/clean/out is a link that leaves its directory, to /etc/passwd"
        ]
    }


@pytest.mark.parametrize(
    "attributes",
    [
        "* text=auto",
        "*.txt eol=crlf",
        "*.txt ident",
        "*.txt filter=upper",
        "*.txt text",
        "*.py -text",
    ],
)
def test_attributes_that_convert(project: Monorepo, attributes: str) -> None:
    project.git("config", "filter.upper.clean", "tr a-z A-Z")
    project.git("config", "filter.upper.smudge", "tr A-Z a-z")
    project.write(".gitattributes", f"{attributes}\n")
    assert_as_defined(project)
    project.write(f"{CLEAN}/notes.txt", "one $Id$\n")
    project.commit()
    assert_as_defined(project)

    project.git("rm", "--quiet", "-r", "--cached", "components")
    project.git("reset", "--quiet", "--hard")
    assert reasons(project) == {}
    project.write(f"{CLEAN}/notes.txt", "one\r\n")
    assert_as_defined(project)
    project.git("add", "--all")
    assert_as_defined(project)
    project.write(".gitattributes", "")
    assert_as_defined(project)
    project.write("components/train/main.py", "print(2)\n")
    assert_as_defined(project)


def test_bytes_that_git_takes_for_unmodified_are_compared(project: Monorepo) -> None:
    project.write(".gitattributes", "* text=auto\n")
    project.commit()
    project.write(f"{CLEAN}/notes.txt", "x\r\n")
    project.git("add", "--all")
    assert project.git("status", "--porcelain") == ""
    assert reasons(project) == {"common/clean": ["notes.txt changed"]}


@pytest.mark.parametrize("value", ["true", "input"])
def test_autocrlf(project: Monorepo, value: str) -> None:
    project.git("config", "core.autocrlf", value)
    assert_as_defined(project)
    project.write(f"{CLEAN}/notes.txt", "x\r\n")
    assert_as_defined(project)


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_files_that_git_was_told_not_to_look_at(project: Monorepo, flag: str) -> None:
    project.git("update-index", flag, f"{CLEAN}/notes.txt")
    assert reasons(project) == {}
    project.write(f"{CLEAN}/notes.txt", "changed behind git's back\n")
    assert reasons(project) == {"common/clean": ["notes.txt changed"]}


def test_what_a_sparse_checkout_leaves_out_is_not_affected(project: Monorepo) -> None:
    project.git("sparse-checkout", "set", "components/train", "components/lib")
    assert not (project.root / CLEAN).exists()
    assert reasons(project) == {}
    project.write("components/train/main.py", "2")
    assert list(reasons(project)) == ["train"]


def test_a_sparse_checkout_of_a_commit_that_changed_what_it_leaves_out(project: Monorepo) -> None:
    base = project.git("rev-parse", "HEAD")
    project.write(f"{CLEAN}/main.py", "2")
    project.commit()
    expected = by_definition(project, base)
    project.git("sparse-checkout", "set", "components/train", "components/lib")
    assert {item.name: item.version for item in found(project, base).components} == expected


def test_a_project_below_the_top_of_its_repository(monorepo: Monorepo) -> None:
    inner = type(monorepo)(monorepo.root / "deep" / "er")
    inner.component("a", {"x.txt": "1\n"})
    inner.component("b")
    monorepo.component("outside")
    monorepo.commit()
    monorepo.write("components/outside/main.py", "2")
    assert reasons(inner) == {}
    inner.write("components/a/main.py", "2")
    monorepo.write(".gitattributes", "*.txt eol=crlf\n")
    monorepo.commit()
    assert list(reasons(inner, "HEAD~1")) == ["a"]


def test_one_component_takes_another_in(project: Monorepo) -> None:
    project.component("common")
    with pytest.raises(
        VersionError, match="components/common/clean is a component inside components/common"
    ):
        found(project)


def test_many_components_at_once(monorepo: Monorepo) -> None:
    for number in range(60):
        monorepo.component(
            f"group{number % 3}/c{number}", {"component.yaml": USES if number % 2 else ""}
        )
    monorepo.library("lib/stageio", {"x.py": ""})
    monorepo.commit()
    monorepo.write("components/lib/stageio/x.py", "2")
    assert len(reasons(monorepo)) == 30
    assert_as_defined(monorepo)


@pytest.mark.parametrize("seed", range(8))
def test_any_changes(project: Monorepo, seed: int) -> None:
    """Random edits of random files, some committed, some staged, some neither."""
    chance = random.Random(seed)
    base = project.git("rev-parse", "HEAD")
    directories = [
        CLEAN,
        "components/train",
        "components/lib/stageio",
        "components/lib/models",
        "components/new",
    ]
    for _ in range(12):
        name = chance.choice(["main.py", "Dockerfile", "x", "notes.txt", "tests/x"])
        path = f"{chance.choice(directories)}/{name}"
        file = project.root / path
        match chance.randrange(7):
            case 0 | 1 if not path.startswith("components/lib") or not path.endswith("Dockerfile"):
                project.write(path, chance.choice(["FROM a\n", "FROM b\n"]))
            case 2:
                file.unlink(missing_ok=True)
            case 3 if file.exists():
                file.chmod(chance.choice([0o644, 0o755]))
            case 4:
                project.write(
                    f"{chance.choice(directories)}/.dockerignore",
                    chance.choice(["x\n", "*.txt\n", ""]),
                )
            case 5:
                project.git("add", "--all")
            case 6:
                project.commit()
    assert_as_defined(project, base)
