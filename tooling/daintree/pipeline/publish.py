"""Publishing of results: the one order in which a run and the keys that lead to it are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from daintree.store.records import IndexRecord, Keys


class Index(Protocol):
    """Stage keys and the records that they lead to: the part of a store that publishing needs."""

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        """The record of each key, in order; None where there is none."""
        ...

    def publish_index(
        self, key: str, record: IndexRecord, *, replacing: IndexRecord | None
    ) -> IndexRecord:
        """Make `key` lead to `record`, or only replace exactly `replacing`; return the record that is there afterwards."""
        ...


def publish_result(
    index: Index,
    keys: Keys,
    publish_run: Callable[[], IndexRecord],
    *,
    replacing: IndexRecord | None = None,
) -> IndexRecord:
    """Publish a successful run: its files and run record, then its content key, then its recipe key.

    Used for local runs and for what a cluster has computed; a result that is there already is published by
    `publish_recipe` alone. Whoever is killed in between leaves a run that nothing leads to, never a key that leads
    nowhere. `publish_run` writes files and run.json (nothing, where they are there) and returns what leads to them. `replacing` is the record of
    the content key that makes way: a damaged run's, or a forced stage's. Any other record that is there first wins.

    Returns the winner of the content key, which the recipe key names too. Raises StoreError as the store does.
    """
    record = publish_run()
    winner = index.publish_index(keys.content, record, replacing=replacing)
    publish_recipe(index, keys.recipe, msgspec.structs.replace(winner, inputs=record.inputs))
    return winner


def publish_recipe(index: Index, recipe: str, record: IndexRecord) -> bool:
    """Make a recipe key lead to the content key's winner; True where anything was written.

    `record` holds the stage's own names for its inputs. Raises StoreError as the store does.
    """
    current = index.lookup([recipe])[0]
    if current == record:
        return False
    index.publish_index(recipe, record, replacing=current)
    return True
