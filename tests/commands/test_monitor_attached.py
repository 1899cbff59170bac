"""Which component serves or monitors which stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.commands.monitor import Attached, attached, find_attached, model_run
from daintree.errors import SpecError, UsageError
from daintree.store.records import NameRecord, named_run_of
from daintree.store.store import directory_store
from tests.contract.runs import OTHER_RUN, RUN, publish


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
    assert attached(root, "serves") == [
        Attached("news/first", "news", "train"),
        Attached("news/second", "news", "rank"),
        Attached("shop/serve", "shop", "train"),
    ]


@pytest.mark.parametrize("name", ["shop", "shop:train", "shop/serve"])
def test_it_is_found_by_its_pipeline_or_by_its_name(root: Path, name: str) -> None:
    assert find_attached(root, "serves", name).component == "shop/serve"


def test_of_several_one_has_to_be_named(root: Path) -> None:
    with pytest.raises(UsageError) as failure:
        find_attached(root, "serves", "news")
    assert failure.value.message == "news has several services: news/first, news/second"
    assert find_attached(root, "serves", "news/second").stage == "rank"


def test_what_is_no_service_is_an_error_with_the_nearest_name(root: Path) -> None:
    with pytest.raises(UsageError) as failure:
        find_attached(root, "serves", "shop/serv")
    assert failure.value.message == "there is no service of 'shop/serv'"
    assert "shop/serve" in failure.value.hint


def test_a_project_without_services_says_what_makes_one(tmp_path: Path) -> None:
    component(tmp_path, "shop/train", None)
    with pytest.raises(UsageError) as failure:
        find_attached(tmp_path, "serves", "shop")
    assert failure.value.hint == "a service names what it serves in its component.yaml"


def test_serves_names_a_stage(tmp_path: Path) -> None:
    component(tmp_path, "shop/serve", "serves: shop\n")
    with pytest.raises(SpecError) as failure:
        attached(tmp_path, "serves")
    assert failure.value.message.startswith("components/shop/serve/component.yaml")
    assert failure.value.message.endswith(": 'shop' names no stage")


def test_monitors_are_found_in_the_same_way(root: Path) -> None:
    component(root, "shop/monitor", "monitors: shop:train\n")
    assert attached(root, "monitors") == [Attached("shop/monitor", "shop", "train")]
    assert find_attached(root, "monitors", "shop").component == "shop/monitor"
    with pytest.raises(UsageError) as failure:
        find_attached(root, "monitors", "xyz")
    assert failure.value.message == "there is no monitor of 'xyz'"
    component(root, "shop/again", "monitors: shop\n")
    with pytest.raises(SpecError, match="'shop' names no stage"):
        attached(root, "monitors")


def test_the_run_that_has_a_name_is_served_though_a_newer_one_is_there(tmp_path: Path) -> None:
    store = directory_store(tmp_path / "store")
    service = Attached("shop/serve", "words", "train")
    first, newer = publish(store, RUN), publish(store, OTHER_RUN)
    record = NameRecord(pipeline="words", name="live", runs={"train": named_run_of(first)})
    assert store.write_name(record, None)
    assert model_run(store, service, "", "live") == first
    assert model_run(store, service, "") == newer
    with pytest.raises(UsageError, match="no run of words has the name 'other'"):
        model_run(store, service, "", "other")
