from __future__ import annotations

import random

import pytest
from serving.stability import TENTHS, index_by_chance, stability_index, tenths_of


def test_tenths_go_from_the_most_frequent_to_the_rarest() -> None:
    counts = {f"i{number:02}": 10 for number in range(20)}
    tenths = tenths_of(counts)
    assert [tenths[item] for item in sorted(counts)] == [n // 2 + 1 for n in range(20)]


def test_a_tenth_holds_occurrences_and_not_items() -> None:
    counts = {"often": 50, **{f"i{number}": 5 for number in range(10)}}
    tenths = tenths_of(counts)
    assert tenths["often"] == 1
    assert [tenths[f"i{number}"] for number in range(10)] == [6, 6, 7, 7, 8, 8, 9, 9, 10, 10]


def test_equal_items_stand_in_the_order_of_their_names_however_they_come() -> None:
    items = [f"i{number}" for number in range(40)]
    assert tenths_of(dict.fromkeys(items, 1)) == tenths_of(dict.fromkeys(reversed(items), 1))


@pytest.mark.parametrize(
    ("counts", "tenths"),
    [({}, {}), ({"a": 3}, {"a": 1}), ({"a": 0}, {"a": 10}), ({"a": 9, "b": 0}, {"a": 1, "b": 10})],
)
def test_there_may_be_little_or_nothing(counts: dict[str, int], tenths: dict[str, int]) -> None:
    assert tenths_of(counts) == tenths


def test_the_index_of_known_shares() -> None:
    # Shares of 0.5 and 0.5 against 74.5 and 24.5 of 99.
    assert stability_index([50, 50], [74, 24]) == pytest.approx(0.28084, abs=1e-5)


def test_equal_shares_have_no_drift() -> None:
    assert stability_index([100, 300], [10_000, 30_000]) == pytest.approx(0, abs=1e-6)


def test_an_empty_group_is_rare_and_not_impossible() -> None:
    drift = stability_index([100, 100], [1000, 0])
    assert 3 < drift < 5


def test_a_group_without_training_data_is_left_out() -> None:
    assert stability_index([50, 0, 50], [74, 999, 24]) == stability_index([50, 50], [74, 24])


def test_chance_alone_exceeds_its_bound_about_one_time_in_twenty() -> None:
    draw = random.Random(1)
    expected = [1000 + 50 * group for group in range(TENTHS)]
    bound = index_by_chance(expected, 500)
    exceeded = 0
    for _ in range(1000):
        sample = draw.choices(range(TENTHS), expected, k=500)
        exceeded += stability_index(expected, [sample.count(g) for g in range(TENTHS)]) > bound
    assert 25 <= exceeded <= 75


def test_one_group_cannot_drift() -> None:
    assert index_by_chance([7, 0], 100) == 0
