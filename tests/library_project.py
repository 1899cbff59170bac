"""A project whose components use libraries, what `affected` says of it, and what it has to say by definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from daintree.components import WorkingTree, discover_components, read_versions
from daintree.components.affected import Affected, affected

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Monorepo

CLEAN = "components/common/clean"
PLATFORM = "linux/amd64"
USES = "uses: [lib/stageio]\n"


def affected_since(
    monorepo: Monorepo,
    base: str | None = None,
    *,
    platform: str = PLATFORM,
    bases: Mapping[str, str] | None = None,
) -> Affected:
    """What `affected` finds since the base."""
    return affected(WorkingTree(monorepo.root), base, platform=platform, bases=bases or {})


def reasons(monorepo: Monorepo, base: str | None = None) -> dict[str, list[str]]:
    """Why each affected component is."""
    return {item.name: list(item.reasons) for item in affected_since(monorepo, base).components}


def versions(root: Path, bases: Mapping[str, str]) -> dict[str, str]:
    """The version of each component of a project."""
    names = discover_components(root)
    read = read_versions(root, names, platform=PLATFORM, bases=bases)
    return {name: read[name].digest for name in names}


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
    """`affected` finds what it has to find by definition, and says why."""
    expected = by_definition(monorepo, base)
    result = affected_since(monorepo, base)
    assert {item.name: item.version for item in result.components} == expected
    assert all(item.reasons for item in result.components)


@pytest.fixture
def library_project(monorepo: Monorepo) -> Monorepo:
    """Two components, one of which uses a library through another, committed."""
    monorepo.component("common/clean", {"notes.txt": "x\n", "tests/test_main.py": ""})
    monorepo.write("components/common/clean/run.sh", "#!/bin/sh\n", mode=0o755)
    monorepo.component("train", {"component.yaml": "uses: [lib/models]\n"})
    monorepo.library("lib/models", {"__init__.py": "", "component.yaml": USES})
    monorepo.library("lib/stageio", {"__init__.py": "", "paths.py": ""})
    monorepo.write(".gitignore", "*.log\n")
    monorepo.commit("first")
    return monorepo
