from __future__ import annotations

import math

import numpy as np
import pytest
from item2vec_model import Model, Scorer, Scoring, followers_of
from metrics import by_history_length, spread, summarise
from ranking import Scores, model_scores, popularity_scores, rank, rank_all
from split import Cases, Indices
from stageio import StageError


def indices(*values: int) -> Indices:
    return np.array(values, dtype=np.int64)


def one_case(history: list[int], target: int) -> Cases:
    return Cases([indices(*history)], indices(target))


def fixed(*scores: float) -> Scores:
    return lambda histories: np.tile(np.array(scores), (len(histories), 1))


def rank_of(history: list[int], target: int, *scores: float) -> int:
    return int(rank(one_case(history, target), fixed(*scores), len(scores), 1).ranks[0])


def test_the_best_score_has_rank_one() -> None:
    assert [rank_of([0], target, 9.0, 1.0, 3.0, 2.0) for target in (2, 3, 1)] == [1, 2, 3]


def test_items_of_the_history_are_not_ranked() -> None:
    assert rank_of([0, 2], 3, 9.0, 1.0, 3.0, 2.0) == 1


def test_a_target_that_was_bought_before_is_ranked() -> None:
    assert rank_of([0, 2], 2, 9.0, 1.0, 3.0, 5.0) == 2


def test_the_target_comes_after_the_items_it_ties_with() -> None:
    assert rank_of([0], 2, 9.0, 1.0, 1.0, 1.0, 0.0) == 3


def test_a_target_without_a_score_comes_last_of_all_that_are_ranked() -> None:
    assert rank_of([0, 3], 1, 9.0, -math.inf, -math.inf, -math.inf, -9.0) == 3


def ranked_one_by_one(cases: Cases, scores: Scores) -> list[int]:
    """The rank as its definition says it, item by item."""
    ranks = []
    for history, target in zip(cases.histories, cases.targets, strict=True):
        row = scores([history])[0]
        rivals = set(range(len(row))) - set(history.tolist()) - {int(target)}
        ranks.append(1 + sum(row[rival] >= row[target] for rival in rivals))
    return ranks


def small_model(draw: np.random.Generator) -> tuple[Model, Scores]:
    """A model of 25 of 30 items whose vectors are small whole numbers: ties are frequent."""
    items = [f"i{n:02}" for n in range(25)]
    vectors, context = (draw.integers(-2, 3, (25, 4)).astype(np.float32) for _ in range(2))
    model = Model(items, {item: row for row, item in enumerate(items)}, vectors, context)
    scoring = Scoring(decay=0.5, last_items=3, cooccurrence=1)
    users, bought = np.repeat(np.arange(20), 6), draw.integers(0, 25, 120)
    return model, Scorer(model, followers_of(users, bought, 25, scoring), scoring).scores


@pytest.mark.parametrize("scores_at_once", [1, 70, 1_000_000])
def test_the_ranks_are_those_of_the_definition_in_batches_of_any_size(scores_at_once: int) -> None:
    draw = np.random.default_rng(1)
    histories = [draw.integers(0, 30, size) for size in draw.integers(1, 15, 50)]
    cases = Cases(histories, draw.integers(0, 30, 50))
    model, row_scores = small_model(draw)
    items = {f"i{n:02}": n for n in range(30)}
    scores = model_scores(
        model, lambda rows: {"a": row_scores(rows), "b": -row_scores(rows)}, items
    )
    rankings = rank_all(cases, scores, 30, 10, scores_at_once)
    for name in ("a", "b"):
        expected = ranked_one_by_one(cases, lambda rows: scores(rows)[name])  # noqa: B023
        assert rankings[name].ranks.tolist() == expected


def echo(histories: object) -> dict[str, np.ndarray]:
    """Scores that say which rows of the model each history was made of."""
    rows = [[sum(10**row for row in history)] * 2 for history in histories]  # type: ignore[attr-defined]
    return {"echo": np.array(rows, dtype="f4")}


def test_items_are_placed_and_those_unknown_to_the_model_left_out() -> None:
    model = Model(["b", "c"], {"b": 0, "c": 1}, np.ones((2, 1), "f4"), np.ones((2, 1), "f4"))
    scores = model_scores(model, echo, {"a": 0, "b": 1, "c": 2})
    found = scores([indices(2, 0), indices(1, 2, 0), indices(0)])["echo"]
    assert found.tolist() == [[-math.inf, 10, 10], [-math.inf, 11, 11], [-math.inf, 0, 0]]


@pytest.mark.parametrize("k", [1, 10, 199, 200, 300])
@pytest.mark.parametrize("distinct", [2, 9, 1000])
def test_what_is_recommended_is_that_of_the_definition(distinct: int, k: int) -> None:
    draw = np.random.default_rng(k)
    table = draw.integers(0, distinct, (20, 200)).astype(np.float32)
    table[draw.random(table.shape) < 0.1] = -np.inf
    cases = Cases([indices(row, 50 + row) for row in range(20)], draw.integers(0, 200, 20))
    expected = np.zeros(200, int)
    for row, history in zip(table.copy(), cases.histories, strict=True):
        row[history] = -np.inf
        after = np.sort(row)[::-1][k] if k < 200 else -np.inf
        expected += row > after
    ranking = rank(cases, lambda _: table.copy(), 200, k)
    assert ranking.times.tolist() == expected.tolist()


@pytest.mark.parametrize("scores_at_once", [1, 1000])
def test_what_is_recommended_is_the_best_that_was_not_bought(scores_at_once: int) -> None:
    cases = Cases([indices(0), indices(1, 2)], indices(3, 3))
    ranking = rank(cases, fixed(9.0, 8.0, 7.0, 6.0, -math.inf), 5, 2, scores_at_once)
    assert ranking.times.tolist() == [1, 1, 1, 1, 0]


def test_more_is_not_recommended_than_there_is() -> None:
    ranking = rank(one_case([0], 1), fixed(9.0, 8.0, -math.inf), 3, 10)
    assert ranking.times.tolist() == [0, 1, 0]


def test_of_items_that_tie_for_the_last_place_none_is_recommended() -> None:
    scores = fixed(7.0, 9.0, 5.0, 5.0, 1.0)
    assert rank(one_case([0], 1), scores, 5, 2).times.tolist() == [0, 1, 0, 0, 0]
    assert rank(one_case([0], 1), scores, 5, 3).times.tolist() == [0, 1, 1, 1, 0]


def test_what_was_bought_before_is_not_recommended_also_where_it_is_looked_for() -> None:
    assert rank(one_case([0, 2], 2), fixed(9.0, 1.0, 5.0), 3, 1).times.tolist() == [0, 1, 0]


def test_spread_over_the_items() -> None:
    found = spread(indices(4, 0, 0, 2), indices(10, 1, 1, 4), indices(1, 3))
    assert found == {"coverage@10": 0.5, "popularity_bias@10": round((40 + 8) / 6 / 2.5, 6)}


def test_histories_go_to_the_part_of_their_length() -> None:
    parts = by_history_length(indices(1, 30, 30, 1), indices(4, 5, 9, 70))
    assert [(p["from"], p["to"], p["cases"], p["hr@10"]) for p in parts] == [
        (1, 4, 1, 1.0),
        (5, 9, 2, 0.0),
        (50, 70, 1, 1.0),
    ]


def test_popularity_ranks_by_training_purchases_whatever_the_history() -> None:
    cases = Cases([indices(0), indices(3), indices(1)], indices(1, 2, 0))
    assert rank(cases, popularity_scores(indices(5, 7, 0, 0)), 4, 1).ranks.tolist() == [1, 3, 1]


def test_metrics_of_known_ranks() -> None:
    metrics = summarise(indices(1, 2, 6, 20, 21))
    assert metrics == {
        "hr@5": 0.4,
        "hr@10": 0.6,
        "hr@20": 0.8,
        "ndcg@5": round((1 + 1 / math.log2(3)) / 5, 6),
        "ndcg@10": round((1 + 1 / math.log2(3) + 1 / math.log2(7)) / 5, 6),
        "ndcg@20": round((1 + 1 / math.log2(3) + 1 / math.log2(7) + 1 / math.log2(21)) / 5, 6),
        "mrr@5": round((1 + 1 / 2) / 5, 6),
        "mrr@10": round((1 + 1 / 2 + 1 / 6) / 5, 6),
        "mrr@20": round((1 + 1 / 2 + 1 / 6 + 1 / 20) / 5, 6),
    }


def test_an_item_of_the_model_that_the_split_lacks_is_named() -> None:
    model = Model(["a", "b"], {"a": 0, "b": 1}, np.ones((2, 1), "f4"), np.ones((2, 1), "f4"))
    with pytest.raises(StageError, match=r"item .b. is not in items\.csv"):
        model_scores(model, echo, {"a": 0})
