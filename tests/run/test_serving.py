"""Services: which component serves what, and that nothing but a whole run that succeeded is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from tooling.errors import SpecError, UsageError
from tooling.run.serving import Service, find_service, services


def component(root: Path, name: str, description: str | None) -> None:
    directory = root / "components" / name
    directory.mkdir(parents=True)
    (directory / "Dockerfile").write_text("FROM scratch\n")
    if description is not None:
        (directory / "component.yaml").write_text(description)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    component(tmp_path, "shop/rank", None)
    component(tmp_path, "shop/train", "description: trains\n")
    component(tmp_path, "shop/serve", "serves: shop:train\n")
    component(tmp_path, "news/first", "serves: news:train\n")
    component(tmp_path, "news/second", "serves: news:rank\n")
    return tmp_path


def test_a_component_that_serves_says_so_itself(root: Path) -> None:
    assert services(root) == [
        Service("news/first", "news", "train"),
        Service("news/second", "news", "rank"),
        Service("shop/serve", "shop", "train"),
    ]


@pytest.mark.parametrize("name", ["shop", "shop/serve"])
def test_it_is_found_by_its_pipeline_or_by_its_name(root: Path, name: str) -> None:
    assert find_service(root, name).component == "shop/serve"


def test_of_several_one_has_to_be_named(root: Path) -> None:
    with pytest.raises(UsageError) as failure:
        find_service(root, "news")
    assert failure.value.message == "news has several services: news/first, news/second"
    assert find_service(root, "news/second").stage == "rank"


def test_what_is_no_service_is_an_error_with_the_nearest_name(root: Path) -> None:
    with pytest.raises(UsageError) as failure:
        find_service(root, "shop/serv")
    assert failure.value.message == "there is no service of 'shop/serv'"
    assert "shop/serve" in failure.value.hint


def test_a_project_without_services_says_what_makes_one(tmp_path: Path) -> None:
    component(tmp_path, "shop/train", None)
    with pytest.raises(UsageError) as failure:
        find_service(tmp_path, "shop")
    assert failure.value.hint == "a service names what it serves in its component.yaml"


def test_serves_names_a_stage(tmp_path: Path) -> None:
    component(tmp_path, "shop/serve", "serves: shop\n")
    with pytest.raises(SpecError) as failure:
        services(tmp_path)
    assert failure.value.message.startswith("components/shop/serve/component.yaml")
    assert failure.value.message.endswith(": 'shop' names no stage")
