from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from daintree.components import discover_components, discover_libraries

if TYPE_CHECKING:
    from tests.conftest import Monorepo


def test_components_hold_a_dockerfile_and_libraries_hold_files(monorepo: Monorepo) -> None:
    monorepo.component("common/load-jsonl", {"sub/notes.txt": "x"})
    monorepo.component("item2vec/größe und mehr")
    monorepo.component("flat")
    monorepo.library("lib/stageio", {"__init__.py": "", "inner/x.py": ""})
    monorepo.write("components/README.md", "about components\n")
    monorepo.write("components/common/README.md", "about this group\n")
    monorepo.write("components/.hidden/x", "")
    monorepo.write("components/gone/__pycache__/x.pyc", "")
    assert discover_components(monorepo.root) == [
        "common/load-jsonl",
        "flat",
        "item2vec/größe und mehr",
    ]
    assert discover_libraries(monorepo.root) == ["lib/stageio"]


def test_nothing_below_a_component_is_looked_at(monorepo: Monorepo) -> None:
    monorepo.component("a", {"inner/Dockerfile": "FROM x\n"})
    assert discover_components(monorepo.root) == ["a"]


def test_a_project_without_components(tmp_path: Path) -> None:
    assert discover_components(tmp_path) == []
    assert discover_libraries(tmp_path) == []
