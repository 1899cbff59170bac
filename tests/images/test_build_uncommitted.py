"""Components whose version is not the one that HEAD's files give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daintree.components import TOOLING
from daintree.images.build import uncommitted
from daintree.settings import read_settings

if TYPE_CHECKING:
    from tests.conftest import Monorepo


def test_libraries_and_the_tooling_count(monorepo: Monorepo) -> None:
    monorepo.component("shop/train", {"component.yaml": "uses: [lib/tables]\n"})
    monorepo.library("lib/tables", {"__init__.py": "A = 1\n"})
    monorepo.write("tooling/__init__.py", "")
    monorepo.write("deploy/tooling/Dockerfile", "FROM scratch\n")
    head = monorepo.commit().strip()
    settings = read_settings(monorepo.root, {})
    names = ["shop/train", TOOLING]
    assert uncommitted(settings, names) == (head, {})

    monorepo.library("lib/tables", {"__init__.py": "A = 2\n"})
    monorepo.write("tooling/new.py", "")
    changed = {
        "shop/train": ("uses lib/tables, which changed: __init__.py",),
        TOOLING: ("tooling/new.py added",),
    }
    assert uncommitted(settings, names) == (head, changed)
    for name, reasons in changed.items():
        assert uncommitted(settings, [name]) == (head, {name: reasons})
