from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from item2vec_model import Followers, Model, Scorer, Scoring, followers_of, scorer_of
from stageio import StageError


def scoring(**changes: float) -> Scoring:
    values = {"decay": 0.5, "last_items": 10, "cooccurrence": 1.0, **changes}
    return Scoring(values["decay"], int(values["last_items"]), values["cooccurrence"])


def a_model(vectors: np.ndarray, context: np.ndarray) -> Model:
    items = [f"i{row}" for row in range(len(vectors))]
    index = {item: row for row, item in enumerate(items)}
    return Model(items, index, vectors.astype(np.float32), context.astype(np.float32))


def followers_in(sequences: list[list[int]], items: int, chosen: Scoring) -> Followers:
    users = np.repeat(np.arange(len(sequences)), np.array([*map(len, sequences)], dtype=int))
    bought = np.array([*chain.from_iterable(sequences)], dtype=np.int64)
    return followers_of(users, bought, items, chosen)


def counts(sequences: list[list[int]], history: list[int], **changes: float) -> list[float]:
    chosen = scoring(**changes)
    unit = np.eye(4)
    followers = followers_in(sequences, 4, chosen)
    (found,) = Scorer(a_model(unit, unit), followers, chosen).counts([history]).tolist()
    return list(found)


def test_what_was_bought_later_counts_less_the_later_it_was() -> None:
    assert counts([[0, 1, 2, 3]], [0]) == [0, 1, 0.5, 0.25]
    assert counts([[0, 1, 2, 3]], [0], last_items=2) == [0, 1, 0.5, 0]
    assert counts([[0, 1, 2, 3]], [0], decay=0) == [0, 1, 0, 0]


def test_what_was_bought_before_does_not_count() -> None:
    assert counts([[0, 1, 2]], [2]) == [0, 0, 0, 0]


def test_an_older_purchase_of_the_history_counts_less() -> None:
    assert counts([[0, 2], [1, 3]], [0, 1]) == [0, 0, 0.5, 1]
    assert counts([[0, 2], [1, 3]], [0, 1], last_items=1) == [0, 0, 0, 1]


def test_users_add_up_and_do_not_run_into_each_other() -> None:
    assert counts([[0, 1], [], [0, 1], [2], [3]], [0]) == [0, 2, 0, 0]
    assert counts([[0, 1], [2]], [1]) == [0, 0, 0, 0]


def test_repeated_purchases_follow_each_other() -> None:
    assert counts([[0, 0, 0]], [0]) == [2.5, 0, 0, 0]


@pytest.mark.parametrize("sequences", [[], [[]], [[0]], [[0], [1]]])
def test_without_a_pair_nothing_follows(sequences: list[list[int]]) -> None:
    assert counts(sequences, [0, 1]) == [0, 0, 0, 0]


def test_the_counts_are_those_of_the_definition() -> None:
    draw = np.random.default_rng(1)
    sequences = [draw.integers(0, 4, size).tolist() for size in draw.integers(0, 9, 50)]
    expected = np.zeros(4)
    for sequence in sequences:
        for place, item in enumerate(sequence):
            for gap, later in enumerate(sequence[place + 1 : place + 4]):
                expected[later] += 0.5**gap * {3: 1, 1: 0.5}.get(item, 0)
    assert counts(sequences, [1, 3], last_items=3) == pytest.approx(expected.tolist())


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_counting_in_parts_gives_the_same_followers(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    draw = np.random.default_rng(2)
    sequences = [draw.integers(0, 5, size).tolist() for size in draw.integers(0, 9, 30)]
    whole = followers_in(sequences, 6, scoring())
    monkeypatch.setattr("item2vec_model.scoring.PURCHASES_AT_ONCE", at_once)
    parts = followers_in(sequences, 6, scoring())
    for name, values in vars(whole).items():
        assert np.array_equal(values, vars(parts)[name]), name


def test_the_score_is_of_the_vectors_and_the_logarithm_of_the_counts() -> None:
    vectors, context = np.array([[1, 0], [0, 1], [0, 0]]), np.array([[2, 3], [5, 7], [0, 0]])
    chosen = scoring(cooccurrence=2)
    followers = followers_in([[0, 2], [0, 2]], 3, chosen)
    scorer = Scorer(a_model(vectors, context), followers, chosen)
    (found,) = scorer.scores([[1, 0]]).tolist()
    assert found == pytest.approx([2 + 1.5, 5 + 3.5, 2 * math.log(3)])


def test_scores_of_many_histories_are_those_of_each() -> None:
    draw = np.random.default_rng(1)
    histories = [draw.integers(0, 6, size).tolist() for size in (1, 4, 9, 0)]
    # Small whole numbers: their sums are exact in any order.
    model = a_model(draw.integers(-2, 3, (6, 4)), draw.integers(-2, 3, (6, 4)))
    chosen = scoring(decay=1)
    scorer = Scorer(model, followers_in(histories, 6, chosen), chosen)
    together = scorer.scores(histories)
    assert together.tolist() == [scorer.scores([history])[0].tolist() for history in histories]
    assert together[3].tolist() == [0] * 6
    assert scorer.scores([]).shape == (0, 6)


def test_the_followers_are_those_of_the_training_part_alone(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("user,item,time\nu,i0,1\nv,i1,1\nu,new,2\nu,i1,3\n")
    for part in ("valid", "test"):
        (tmp_path / f"{part}.csv").write_text("user,item,time\nu,i2,9\n")
    model = a_model(np.eye(3), np.eye(3))
    scorer = scorer_of(model, tmp_path, scoring())
    assert scorer.counts([[0], [1]]).tolist() == [[0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"decay": 1.5}, "--decay 1.5"),
        ({"last_items": 0}, "--last-items 0"),
        ({"cooccurrence": -1.0}, "--cooccurrence -1.0"),
    ],
)
def test_a_parameter_out_of_range_is_named(
    tmp_path: Path, changes: dict[str, float], flag: str
) -> None:
    with pytest.raises(StageError, match=f"{flag}: out of range"):
        scorer_of(a_model(np.eye(2), np.eye(2)), tmp_path, scoring(**changes))


def test_a_table_without_items_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("user,product\nu,a\n")
    with pytest.raises(StageError, match=r"train\.csv: line 1: no column 'item'"):
        scorer_of(a_model(np.eye(2), np.eye(2)), tmp_path, scoring())
