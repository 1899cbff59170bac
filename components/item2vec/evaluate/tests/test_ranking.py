from __future__ import annotations

import math

import numpy as np
import pytest
from metrics import summarise
from model import Model
from ranking import Scores, item2vec_scores, popularity_scores, rank_targets
from split import Cases, Indices


def indices(*values: int) -> Indices:
    return np.array(values, dtype=np.int64)


def one_case(history: list[int], target: int) -> Cases:
    return Cases([indices(*history)], indices(target))


def fixed(*scores: float) -> Scores:
    return lambda histories: np.tile(np.array(scores), (len(histories), 1))


def rank(history: list[int], target: int, *scores: float) -> int:
    return int(rank_targets(one_case(history, target), fixed(*scores), len(scores))[0])


def test_the_best_score_has_rank_one() -> None:
    assert [rank([0], target, 9.0, 1.0, 3.0, 2.0) for target in (2, 3, 1)] == [1, 2, 3]


def test_items_of_the_history_are_not_ranked() -> None:
    assert rank([0, 2], 3, 9.0, 1.0, 3.0, 2.0) == 1


def test_a_target_that_was_bought_before_is_ranked() -> None:
    assert rank([0, 2], 2, 9.0, 1.0, 3.0, 5.0) == 2


def test_the_target_comes_after_the_items_it_ties_with() -> None:
    assert rank([0], 2, 9.0, 1.0, 1.0, 1.0, 0.0) == 3


def test_a_target_without_a_score_comes_last_of_all_that_are_ranked() -> None:
    assert rank([0, 3], 1, 9.0, -math.inf, -math.inf, -math.inf, -9.0) == 3


def ranked_one_by_one(cases: Cases, scores: Scores) -> list[int]:
    """The rank as its definition says it, item by item."""
    ranks = []
    for history, target in zip(cases.histories, cases.targets, strict=True):
        row = scores([history])[0]
        rivals = set(range(len(row))) - set(history.tolist()) - {int(target)}
        ranks.append(1 + sum(row[rival] >= row[target] for rival in rivals))
    return ranks


@pytest.mark.parametrize("scores_at_once", [1, 70, 1_000_000])
def test_the_ranks_are_those_of_the_definition_in_batches_of_any_size(scores_at_once: int) -> None:
    draw = np.random.default_rng(1)
    histories = [draw.integers(0, 30, size) for size in draw.integers(1, 15, 50)]
    cases = Cases(histories, draw.integers(0, 30, 50))
    # Small whole numbers: sums are exact and ties are frequent.
    vectors, context = (draw.integers(-2, 3, (30, 4)).astype(np.float32) for _ in range(2))
    model = Model(vectors, context, draw.random(30) < 0.8)
    scores = item2vec_scores(model, 0.5, 3)
    ranks = rank_targets(cases, scores, 30, scores_at_once)
    assert ranks.tolist() == ranked_one_by_one(cases, scores)


@pytest.mark.parametrize(
    ("decay", "last_items", "expected"),
    [
        (0.5, 10, [0.25, 0.5, 1.0]),
        (0.5, 2, [0.0, 0.5, 1.0]),
        (1.0, 3, [1.0, 1.0, 1.0]),
        (0.0, 3, [0.0, 0.0, 1.0]),
    ],
)
def test_an_older_purchase_weighs_less_in_the_query(
    decay: float, last_items: int, expected: list[float]
) -> None:
    unit = np.eye(3, dtype=np.float32)
    scores = item2vec_scores(Model(unit, unit, np.ones(3, dtype=np.bool_)), decay, last_items)
    assert scores([indices(0, 1, 2)]).tolist() == [expected]


def test_the_query_is_of_input_vectors_and_the_score_of_context_vectors() -> None:
    vectors = np.array([[1, 0], [0, 1]], dtype=np.float32)
    context = np.array([[2, 3], [5, 7]], dtype=np.float32)
    scores = item2vec_scores(Model(vectors, context, np.ones(2, dtype=np.bool_)), 0.4, 10)
    assert scores([indices(0), indices(1)]).tolist() == [[2, 5], [3, 7]]


def test_an_item_that_was_not_trained_has_no_score() -> None:
    unit = np.eye(2, dtype=np.float32)
    scores = item2vec_scores(Model(unit, unit, np.array([True, False])), 0.4, 10)
    assert scores([indices(0)]).tolist() == [[1.0, -math.inf]]


def test_popularity_ranks_by_training_purchases_whatever_the_history() -> None:
    cases = Cases([indices(0), indices(3), indices(1)], indices(1, 2, 0))
    assert rank_targets(cases, popularity_scores(indices(5, 7, 0, 0)), 4).tolist() == [1, 3, 1]


def test_metrics_of_known_ranks() -> None:
    metrics = summarise(indices(1, 2, 6, 20, 21))
    assert metrics == {
        "hr@5": 0.4,
        "hr@10": 0.6,
        "hr@20": 0.8,
        "ndcg@5": round((1 + 1 / math.log2(3)) / 5, 6),
        "ndcg@10": round((1 + 1 / math.log2(3) + 1 / math.log2(7)) / 5, 6),
        "ndcg@20": round((1 + 1 / math.log2(3) + 1 / math.log2(7) + 1 / math.log2(21)) / 5, 6),
        "mrr": round((1 + 1 / 2 + 1 / 6 + 1 / 20 + 1 / 21) / 5, 6),
    }
