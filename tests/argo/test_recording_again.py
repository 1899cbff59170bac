"""A stage recorded again, by two at once, or where another run stands already: its keys lead to one run."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from daintree.argo.workflow_status import read_status
from daintree.errors import StoreUnavailable
from daintree.store.records import index_record_of
from tests.argo.conftest import digest, make_submission, submitted_stage
from tests.argo.executed import SEQUENCE, Shop, edit, index, node_of, statuses


def test_doing_it_twice_writes_nothing_twice(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE)
    shop.record(workflow, SEQUENCE)
    before = shop.objects()
    assert set(statuses(shop.record(workflow, SEQUENCE)).values()) == {"known"}
    assert shop.objects() == before


@pytest.mark.parametrize("lost", ["_history", "_cache"])
def test_what_a_record_step_that_died_has_begun_is_completed(shop: Shop, lost: str) -> None:
    workflow = shop.run(SEQUENCE)
    shop.record(workflow, SEQUENCE)
    before = shop.runs(), index(shop, digest("a"), digest("b"), digest("c"))
    shop.bucket.delete(list(shop.bucket.sizes(lost)))
    shop.record(workflow, SEQUENCE)
    assert (shop.runs(), index(shop, digest("a"), digest("b"), digest("c"))) == before


def test_a_record_step_that_died_before_the_run_was_written_is_begun_again(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE)
    recording = shop.recording(workflow, SEQUENCE, log=_dies)
    with pytest.raises(StoreUnavailable):
        recording.record(SEQUENCE.stages[0])
    assert shop.runs() == {}
    assert set(statuses(shop.record(workflow, SEQUENCE)).values()) == {"recorded"}


def _dies(pod: str) -> bytes | None:
    raise StoreUnavailable("the server is gone")


def test_two_record_steps_at_once_record_one_run(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE)
    together = threading.Barrier(2)
    reports: list[dict[str, Any]] = []

    def record() -> None:
        together.wait()
        reports.append(shop.record(workflow, SEQUENCE))

    threads = [threading.Thread(target=record) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [set(statuses(report).values()) <= {"recorded", "known"} for report in reports] == [
        True
    ] * 2
    assert list(shop.runs()) == ["clean", "count", "load"]
    assert statuses(shop.record(workflow, SEQUENCE)) == dict.fromkeys(
        ("load", "clean", "count"), "known"
    )


def test_another_run_that_was_first_stays_and_the_recipe_names_it(shop: Shop) -> None:
    alone = make_submission(submitted_stage("load", recipe=digest("a")))
    first, second = shop.run(alone, {"load": [({"n": b"one"}, 0)]}), alone
    shop.record(first, alone)
    earlier = shop.runs()["load"]
    # The same submission, which another Workflow ran to other bytes.
    late = msgspec.structs.replace(second, pipeline="words-again")
    report = shop.record(shop.run(late, {"load": [({"n": b"two"}, 0)]}), late)["load"]
    assert report.status == "recorded"
    assert report.why == f"run {earlier.run} stands under its key, and stays"
    assert index(shop, earlier.keys.content, digest("a")) == [index_record_of(earlier)] * 2


def test_only_the_run_that_is_to_make_way_is_replaced(shop: Shop) -> None:
    alone = make_submission(submitted_stage("load", recipe=digest("a")))
    shop.record(shop.run(alone), alone)
    earlier = shop.runs()["load"]
    stage = msgspec.structs.replace(alone.stages[0], replaces=earlier.run)
    forced = msgspec.structs.replace(alone, stages=(stage,), pipeline="words-forced")
    shop.record(shop.run(forced, {"load": [({"n": b"two"}, 0)]}), forced)
    [record, recipe] = index(shop, earlier.keys.content, digest("a"))
    assert record is not None
    assert record == recipe
    assert "words-forced" in record.run
    # Once more: what stands now is not the one that was to make way.
    again = msgspec.structs.replace(forced, pipeline="words-later")
    shop.record(shop.run(again, {"load": [({"n": b"3"}, 0)]}), again)
    assert index(shop, earlier.keys.content) == [record]


def test_a_run_that_is_not_whole_makes_way(shop: Shop) -> None:
    alone = make_submission(submitted_stage("load", recipe=digest("a")))
    shop.record(shop.run(alone), alone)
    earlier = shop.runs()["load"]
    shop.bucket.delete([f"{earlier.location}/output/n"])
    again = msgspec.structs.replace(alone, pipeline="words-again")
    shop.record(shop.run(again), again)
    [record] = index(shop, earlier.keys.content)
    assert record is not None
    assert "words-again" in record.run


def test_what_a_pod_of_the_same_name_has_left_is_not_taken_for_the_output(shop: Shop) -> None:
    # `argo retry` deletes a failed node, and starts it anew under its id: at the same location.
    first = shop.run(SEQUENCE, {"load": [({"n": b"1", "old": b"1"}, 0)]})
    [path] = [path for path in shop.bucket.sizes("text/load") if path.endswith("/n")]
    shop.bucket.put(path, b"2")
    began = max(e["last_modified"] for e in shop.bucket.entries("text/load")).isoformat()
    again = edit(first, lambda w: node_of(w, "load(0)").update(startedAt=began))
    report = shop.record(again, SEQUENCE)["load"]
    assert report.status == "refused"
    assert report.why.startswith("1 of the 2 files of its output were there before its pod began")


def test_what_a_pod_that_was_deleted_at_its_start_has_left_is_not_taken_for_the_output(
    shop: Shop,
) -> None:
    # Argo makes it anew under its name where it has not seen it run; the node keeps its first start.
    workflow = shop.run(SEQUENCE, {"load": [({"n": b"1", "old": b"1"}, 0)]})
    [path] = [path for path in shop.bucket.sizes("text/load") if path.endswith("/n")]
    shop.bucket.put(path, b"2")
    began = max(e["last_modified"] for e in shop.bucket.entries("text/load"))
    pod = read_status(workflow).tasks["load"].attempts[0].pod
    shop.times[pod] = (began, began + timedelta(seconds=1))
    report = shop.record(workflow, SEQUENCE)["load"]
    assert report.status == "refused"
    assert report.why.startswith("1 of the 2 files of its output were there before its pod began")


def test_clocks_that_differ_refuse_nothing(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE)
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    ahead = edit(workflow, lambda w: node_of(w, "load(0)").update(startedAt=later))
    assert shop.record(ahead, SEQUENCE)["load"].status == "recorded"
