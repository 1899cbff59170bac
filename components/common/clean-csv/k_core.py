"""The k-core of purchases: the most rows in which every user and every item has enough of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable


def k_core(pairs: Iterable[tuple[str, str]], min_user: int, min_item: int) -> bytearray:
    """For each pair (user, item) 1 where its row is in the core, and 0 where it is not.

    In the core each user is in at least `min_user` rows and each item in at least `min_item`. It
    is the largest such set of rows, so there is only one, whatever the order. Memory grows by nine
    bytes a row, and with the number of users and items.
    """
    users, items = array("I"), array("I")
    user_numbers: dict[str, int] = {}
    item_numbers: dict[str, int] = {}
    for user, item in pairs:
        users.append(user_numbers.setdefault(user, len(user_numbers)))
        items.append(item_numbers.setdefault(item, len(item_numbers)))
    return _peeled(users, items, min_user, min_item)


def _peeled(users: array[int], items: array[int], min_user: int, min_item: int) -> bytearray:
    user_rows, item_rows = _counts(users), _counts(items)
    kept = bytearray(b"\1") * len(users)
    while True:
        before = sum(kept)
        for row, (user, item) in enumerate(zip(users, items, strict=True)):
            if kept[row] and (user_rows[user] < min_user or item_rows[item] < min_item):
                kept[row] = 0
                user_rows[user] -= 1
                item_rows[item] -= 1
        if sum(kept) == before:
            return kept


def _counts(numbers: array[int]) -> list[int]:
    counts = [0] * (max(numbers, default=-1) + 1)
    for number in numbers:
        counts[number] += 1
    return counts
