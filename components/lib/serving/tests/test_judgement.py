from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from serving.judgement import Judgement, Limits, as_json, as_text, judge
from serving.traffic import Served, Traffic
from stageio import StageError

LIMITS = Limits(min_requests=100, max_unknown=0.1, max_psi=0.25, max_psi_answered=0)
TRAINED = {f"i{number:02}": 20 for number in range(20)}
LIKE_TRAINED = Counter(dict.fromkeys(TRAINED, 10))
THE_MOST_FREQUENT = Counter({"i00": 150, "i01": 150})


def served(run: str = "r1", **traffic: Any) -> Served:
    """One model's requests, as a log tells them."""
    like_trained = {"requests": 100, "asked": LIKE_TRAINED, "answered": LIKE_TRAINED}
    return Served("log", by_tenth=False, runs={run: Traffic(**{**like_trained, **traffic})})


def values(judgement: Judgement) -> list[float | None]:
    return [measure.value for measure in judgement.measures]


def test_what_is_served_like_it_was_trained_is_no_alert() -> None:
    judgement = judge(served(unknown=4), "r1", TRAINED, LIMITS)
    assert values(judgement) == [pytest.approx(4 / 204), pytest.approx(0), pytest.approx(0)]
    assert judgement.alerts == []
    assert [tenth.items for tenth in judgement.tenths] == [2] * 10
    assert judgement.tenths[0].trained == 40


def test_more_unknown_items_than_allowed_are_an_alert() -> None:
    judgement = judge(served(unknown=50), "r1", TRAINED, LIMITS)
    assert judgement.alerts == ["unknown items: 0.2000 > 0.1"]


def test_a_share_that_is_just_allowed_is_none() -> None:
    assert judge(served(asked=LIKE_TRAINED, unknown=0), "r1", TRAINED, LIMITS).alerts == []
    exactly = Limits(100, 0.5, 0.25, 0)
    assert judge(served(unknown=200), "r1", TRAINED, exactly).alerts == []


def test_a_drift_to_the_most_frequent_items_is_an_alert() -> None:
    judgement = judge(served(asked=THE_MOST_FREQUENT), "r1", TRAINED, LIMITS)
    (alert,) = judgement.alerts
    assert alert.startswith("stability index, asked: ")
    assert judgement.measures[1].by_chance == pytest.approx(16.919 * (1 / 100 + 1 / 400))


def test_the_answers_drift_is_judged_if_it_is_asked_for() -> None:
    drifted = served(answered=THE_MOST_FREQUENT)
    assert judge(drifted, "r1", TRAINED, LIMITS).alerts == []
    (alert,) = judge(drifted, "r1", TRAINED, Limits(100, 0.1, 0.25, 0.5)).alerts
    assert alert.startswith("stability index, answered: ")


def test_counts_by_tenth_give_the_same_as_counts_by_item() -> None:
    by_item = judge(served(asked=THE_MOST_FREQUENT), "r1", TRAINED, LIMITS)
    counted = served(
        asked=Counter({"1": 300}), answered=Counter({str(t): 20 for t in range(1, 11)})
    )
    counted.by_tenth = True
    assert values(judge(counted, "r1", TRAINED, LIMITS)) == values(by_item)


def test_what_cannot_be_told_is_not_judged_and_said() -> None:
    counted = served(asked=Counter({"known": 300}), answered=Counter())
    counted.by_tenth = True
    judgement = judge(counted, "r1", TRAINED, LIMITS)
    assert values(judgement) == [0, None, None]
    text = as_text(judgement)
    assert "not judged, there is nothing to tell it from: stability index, asked\n" in text
    assert "stability index, answered\n" not in text


def test_a_service_that_is_asked_without_items_has_no_share_of_unknown_ones() -> None:
    judgement = judge(served(asked=Counter()), "r1", TRAINED, LIMITS)
    assert values(judgement)[:2] == [None, None]


def test_items_that_the_training_data_lacks_have_no_tenth() -> None:
    judgement = judge(served(asked=LIKE_TRAINED + Counter(odd=99)), "r1", TRAINED, LIMITS)
    assert sum(tenth.asked for tenth in judgement.tenths) == LIKE_TRAINED.total()


def test_without_training_data_nothing_drifts() -> None:
    assert values(judge(served(), "r1", {}, LIMITS)) == [0, None, None]


@pytest.mark.parametrize(
    ("found", "run", "message"),
    [
        (Served("log", False), "r1", "log: 0 requests were answered by the model of run r1, and"),
        (Served("log", False), "", "log: 0 requests were answered by this model, and it takes 100"),
        (served(requests=99), "r1", "log: 99 requests were answered by the model of run r1, and"),
        (served(), "r2", "it takes 100 to judge; there are 100 of run r1"),
        (Served("log", False, broken=7), "r1", "there are 7 lines that cannot be read"),
    ],
)
def test_too_few_requests_are_not_judged(found: Served, run: str, message: str) -> None:
    with pytest.raises(StageError) as failure:
        judge(found, run, TRAINED, LIMITS)
    assert message in failure.value.message
    assert "--min-requests" in failure.value.hint


@pytest.mark.parametrize(
    ("limits", "flag"),
    [
        (Limits(0, 0.1, 0.25, 0), "--min-requests 0"),
        (Limits(1, -0.1, 0.25, 0), "--max-unknown -0.1"),
        (Limits(1, 0.1, -1, 0), "--max-psi -1"),
        (Limits(1, 0.1, 0, -1), "--max-psi-answered -1"),
    ],
)
def test_a_limit_out_of_range_is_named(limits: Limits, flag: str) -> None:
    with pytest.raises(StageError, match=f"^{flag}: out of range"):
        limits.check()


def test_the_report_for_people() -> None:
    found = served(asked=THE_MOST_FREQUENT, unknown=50, first="2026-03-01T10:15:00.000+00:00")
    found.broken = 3
    text = as_text(judge(found, "r1", TRAINED, LIMITS)).splitlines()
    assert text[:2] == [
        "100 requests to the model of run r1, 2026-03-01T10:15:00Z",
        "3 lines of the log cannot be read",
    ]
    assert text[3].split() == ["measure", "value", "by", "chance", "alert", "above"]
    assert text[4].split() == ["unknown", "items", "0.1429", "-", "0.1"]
    assert text[9].split() == ["1,", "most", "frequent", "2", "10.0%", "100.0%", "10.0%"]
    assert text[-2:] == [
        "alert: unknown items: 0.1429 > 0.1",
        f"alert: {judge(found, 'r1', TRAINED, LIMITS).alerts[1]}",
    ]
    assert as_text(judge(served(), "r1", TRAINED, LIMITS)).endswith("\n\nno alert\n")


def test_the_report_for_programs() -> None:
    report: Any = as_json(judge(served(unknown=50), "r1", TRAINED, LIMITS))
    assert (report["run"], report["requests"], report["broken_lines"]) == ("r1", 100, 0)
    assert report["measures"][0]["alert"] is True
    assert report["alerts"] == ["unknown items: 0.2000 > 0.1"]
    assert report["tenths"][9] == {
        "tenth": 10, "items": 2, "trained": 40, "asked": 20, "answered": 20,
    }  # fmt: skip
