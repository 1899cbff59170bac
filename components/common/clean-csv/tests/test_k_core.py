from __future__ import annotations

import random

import pandas as pd
import pytest
from main import k_core

Pair = tuple[str, str]


def core(pairs: list[Pair], min_user: int, min_item: int) -> list[Pair]:
    kept = k_core(pd.DataFrame(pairs, columns=["user", "item"]), min_user, min_item)
    return [pairs[row] for row in kept]


def largest_core(pairs: list[Pair], min_user: int, min_item: int) -> list[Pair]:
    """The definition, taken literally: whole rounds until nothing changes."""
    while True:
        users, items = [user for user, _ in pairs], [item for _, item in pairs]
        left = [
            (user, item)
            for user, item in pairs
            if users.count(user) >= min_user and items.count(item) >= min_item
        ]
        if left == pairs:
            return pairs
        pairs = left


def test_taking_out_a_user_may_take_out_an_item_and_so_on() -> None:
    square = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b")]
    tail = [("w", "b"), ("w", "c"), ("x", "c"), ("x", "d")]
    assert core(square + tail, 2, 2) == square
    assert core(tail + square, 2, 2) == square
    assert core(tail, 2, 2) == []


@pytest.mark.parametrize("limits", [(0, 0), (1, 1), (0, 1)])
def test_limits_of_one_or_less_keep_everything(limits: tuple[int, int]) -> None:
    pairs = [("u", "a"), ("v", "b")]
    assert core(pairs, *limits) == pairs


def test_the_limits_are_independent() -> None:
    pairs = [("u", "a"), ("u", "b"), ("v", "a")]
    assert core(pairs, 2, 0) == [("u", "a"), ("u", "b")]
    assert core(pairs, 0, 2) == [("u", "a"), ("v", "a")]


def test_repeated_purchases_count_as_rows() -> None:
    pairs = [("u", "a"), ("u", "a"), ("v", "b")]
    assert core(pairs, 2, 2) == [("u", "a"), ("u", "a")]


def test_no_rows_have_an_empty_core() -> None:
    assert core([], 5, 5) == []


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_core_of_the_definition_in_any_order(seed: int) -> None:
    chance = random.Random(seed)
    pairs = [(f"u{chance.randrange(40)}", f"i{chance.randrange(30)}") for _ in range(120)]
    expected = largest_core(pairs, 3, 4)
    assert core(pairs, 3, 4) == expected
    chance.shuffle(pairs)
    assert sorted(core(pairs, 3, 4)) == sorted(expected)
