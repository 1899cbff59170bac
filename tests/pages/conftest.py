"""A project whose runs are put into its store by the test, and its pages."""

from __future__ import annotations

import pytest

from daintree.pages.project import Project
from daintree.pages.site import Site
from daintree.settings import read_settings
from tests.conftest import Monorepo

PIPELINE = """\
description: words, counted
source: corpus.txt
output: output/words
stages:
  - {name: load, component: shop/load}
  - {name: left, component: shop/train, params: {epochs: 20}}
  - {name: train, component: shop/train, needs: [load]}
  - {name: join, component: shop/load, needs: [left, train]}
"""
SPEC = """\
description: vectors of words
params:
  epochs: {type: int, default: 50, help: how often}
"""


@pytest.fixture
def shop(monorepo: Monorepo) -> Monorepo:
    """A project with the pipeline `words`, a diamond, of which nothing has run."""
    monorepo.component("shop/load")
    monorepo.component("shop/train", {"component.yaml": SPEC})
    monorepo.write("pipelines/words.yaml", PIPELINE)
    monorepo.write("corpus.txt", "one two two\n")
    monorepo.commit()
    return monorepo


def project_of(shop: Monorepo, **variables: str) -> Project:
    """The project as pages show it, its store beside it."""
    store = str(shop.root.parent / "store")
    environ = {"HOME": str(shop.root.parent), "DAINTREE_STORE": store, **variables}
    return Project(read_settings(shop.root, environ), (), brief=True)


@pytest.fixture
def project(shop: Monorepo) -> Project:
    return project_of(shop)


@pytest.fixture
def site(project: Project) -> Site:
    return Site(project, live=True)
