"""The order of publishing: whoever dies in between leaves no key that leads nowhere."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from daintree.store.index import publish_recipe, publish_result
from daintree.store.records import IndexRecord, Keys
from tests.contract.runs import record_of

KEYS = Keys(recipe="sha256:recipe", content="sha256:content")
MINE = msgspec.structs.replace(record_of("mine"), inputs={"load": "sha256:1"})
OTHER = msgspec.structs.replace(record_of("other"), inputs={"prepare": "sha256:1"})


class Index:
    """Stage keys in memory; `written` is what was written, in order; dies before a write where it is told to."""

    def __init__(self, dies_before: str = "", **records: IndexRecord) -> None:
        self.records = {f"sha256:{name}": record for name, record in records.items()}
        self.written: list[str] = []
        self._dies_before = dies_before

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        return [self.records.get(key) for key in keys]

    def publish_index(
        self, key: str, record: IndexRecord, *, replacing: IndexRecord | None
    ) -> IndexRecord:
        self.write(key.removeprefix("sha256:"))
        if self.records.get(key) == replacing or replacing is None:
            self.records.setdefault(key, record)
        if replacing is not None and self.records[key] == replacing:
            self.records[key] = record
        return self.records[key]

    def write(self, name: str) -> None:
        if name == self._dies_before:
            raise KeyboardInterrupt
        self.written.append(name)


def publish(index: Index, replacing: IndexRecord | None = None) -> IndexRecord:
    return publish_result(index, KEYS, MINE, replacing=replacing)


def test_the_content_key_comes_first_then_the_recipe() -> None:
    index = Index()
    assert publish(index) == MINE
    assert index.written == ["content", "recipe"]
    assert index.records == {KEYS.content: MINE, KEYS.recipe: MINE}


@pytest.mark.parametrize(("dies_before", "left"), [("content", []), ("recipe", ["content"])])
def test_whoever_dies_leaves_what_the_order_promises(dies_before: str, left: list[str]) -> None:
    index = Index(dies_before)
    with pytest.raises(KeyboardInterrupt):
        publish(index)
    assert index.written == left


def test_the_recipe_names_the_winner_with_the_stage_s_own_names() -> None:
    index = Index(content=OTHER)
    winner = publish(index)
    assert winner == OTHER
    recipe = index.records[KEYS.recipe]
    assert (recipe.run, recipe.inputs) == ("other", {"load": "sha256:1"})


def test_what_makes_way_is_replaced_in_both_keys() -> None:
    index = Index(content=OTHER, recipe=OTHER)
    assert publish(index, replacing=OTHER) == MINE
    assert index.records == {KEYS.content: MINE, KEYS.recipe: MINE}


def test_another_that_came_first_is_not_replaced() -> None:
    index = Index(content=OTHER)
    assert publish(index, replacing=record_of("damaged")) == OTHER


def test_a_recipe_that_says_so_already_is_not_written() -> None:
    index = Index(recipe=MINE)
    publish_recipe(index, KEYS.recipe, MINE)
    assert index.written == []
    publish_recipe(index, KEYS.recipe, OTHER)
    assert index.written == ["recipe"]
