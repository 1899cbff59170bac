"""`affected` is held against its definition: the versions in a clone of the base and in the working
tree.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from daintree.errors import SpecError, VersionError
from tests.library_project import CLEAN, USES, affected_since, assert_as_defined, reasons

if TYPE_CHECKING:
    from tests.conftest import Monorepo

Change = Callable[["Monorepo"], object]


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
        (
            lambda p: (p.root / CLEAN / "Dockerfile").unlink(),
            {"common/clean": ["Dockerfile changed"]},
        ),
        (
            lambda p: [(p.root / CLEAN / n).unlink() for n in ("Dockerfile", "main.py")],
            {"common/clean": ["deleted"]},
        ),
        (lambda p: p.write(f"{CLEAN}/tests/test_main.py", "2"), {}),
        (lambda p: p.write(f"{CLEAN}/x.log", "2"), {}),
        (lambda p: p.write("components/lib/unused/x.py", "2"), {}),
        (lambda p: p.write("README.md", "2"), {}),
        (lambda p: None, {}),
    ],
)
@pytest.mark.parametrize("state", ["in the working tree", "staged", "committed"])
def test_reasons(
    library_project: Monorepo, change: Change, expected: dict[str, list[str]], state: str
) -> None:
    base = library_project.git("rev-parse", "HEAD")
    change(library_project)
    if state == "staged":
        library_project.git("add", "--all")
    elif state == "committed":
        library_project.commit()
    assert reasons(library_project, base) == expected
    assert_as_defined(library_project, base)


def test_what_dockerignore_lets_in_again(library_project: Monorepo) -> None:
    library_project.write(f"{CLEAN}/.dockerignore", "notes.txt\n.dockerignore\n")
    library_project.commit()
    (library_project.root / CLEAN / ".dockerignore").unlink()
    assert reasons(library_project) == {
        "common/clean": ["notes.txt is no longer left out by .dockerignore"],
    }


def test_an_affected_component_without_a_version_is_an_error(library_project: Monorepo) -> None:
    (library_project.root / CLEAN / "out").symlink_to("/etc/passwd")
    with pytest.raises(VersionError, match="common/clean/out is a link that leaves"):
        affected_since(library_project)


def test_a_user_of_a_changed_library_without_a_version_is_an_error(
    library_project: Monorepo,
) -> None:
    library_project.write("components/lib/models/component.yaml", "uses: [lib/nothing]\n")
    with pytest.raises(SpecError, match="uses 'lib/nothing', but there is no such library"):
        affected_since(library_project)


def test_a_component_that_had_no_version_before(library_project: Monorepo) -> None:
    (library_project.root / CLEAN / "out").symlink_to("/etc/passwd")
    library_project.commit()
    (library_project.root / CLEAN / "out").unlink()
    assert reasons(library_project) == {
        "common/clean": [
            "it had no version before: "
            "components/common/clean/out is a link that leaves its directory, to /etc/passwd"
        ]
    }


def test_one_component_takes_another_in(library_project: Monorepo) -> None:
    library_project.component("common")
    with pytest.raises(
        VersionError, match="components/common/clean is a component inside components/common"
    ):
        affected_since(library_project)


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
def test_any_changes(library_project: Monorepo, seed: int) -> None:
    """Random edits of random files, some committed, some staged, some neither."""
    chance = random.Random(seed)
    base = library_project.git("rev-parse", "HEAD")
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
        file = library_project.root / path
        match chance.randrange(7):
            case 0 | 1 if "components/lib" not in path or name not in ("Dockerfile", "main.py"):
                library_project.write(path, chance.choice(["FROM a\n", "FROM b\n"]))
            case 2:
                file.unlink(missing_ok=True)
            case 3 if file.exists():
                file.chmod(chance.choice([0o644, 0o755]))
            case 4:
                library_project.write(
                    f"{chance.choice(directories)}/.dockerignore",
                    chance.choice(["x\n", "*.txt\n", ""]),
                )
            case 5:
                library_project.git("add", "--all")
            case 6:
                library_project.commit()
    assert_as_defined(library_project, base)
