"""What clones that share a real MinIO ask it for: no more than they need, and as much as they can at once."""

from __future__ import annotations

from pathlib import Path

import msgspec

from daintree.pipeline.session import MOST_FAILURES
from daintree.store.bucket import Bucket
from daintree.store.index import Records
from daintree.store.records import encode
from tests.e2e.projects import Project
from tests.e2e.shared_bucket import ALL_HITS, machine
from tests.services.proxy import Proxy, all_together, proxy

STAGES = 10


def test_a_no_op_with_an_empty_cache_downloads_nothing(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    for project in (ours, theirs):
        project.replace("pipelines/words.yaml", "output: output/words\n", "")
    ours.run("words")
    with proxy(bucket.access.endpoint) as tap:
        tapped = theirs.at(theirs.root, MINIO_ENDPOINT=tap.endpoint)
        assert tapped.run("words") == ALL_HITS
    assert tap.matching("/output/|/run.json|^PUT") == []
    cache = Path(theirs.environ["DAINTREE_CACHE"])
    assert list(cache.rglob("output/*")) == []


def test_a_hit_costs_two_requests_and_a_plan_two_rounds(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    for project in (ours, theirs):
        project.replace("pipelines/words.yaml", "output: output/words\n", "")
    ours.run("words")
    for command in ("plan", "run"):
        with proxy(bucket.access.endpoint) as tap:
            tapped = theirs.at(theirs.root, MINIO_ENDPOINT=tap.endpoint)
            assert tapped.doit(command, "words").code == 0
        lookups, listings = tap.requests[:3], tap.requests[3:]
        assert all(f"GET /{bucket.name}/store/_cache/" in request for request in lookups)
        assert all(f"GET /{bucket.name}?list-type=2" in request for request in listings)
        assert len(listings) == 3


def test_a_plan_in_which_all_is_found_takes_two_rounds_of_a_request_a_stage(
    project: Project, bucket: Bucket, way: Proxy
) -> None:
    stages = [{"component": "text/clean", "name": f"clean-{n}"} for n in range(1, STAGES)]
    project.pipeline("long", "text/load", *stages)
    machine(project, bucket, "ours").run("long")
    # None is answered before all of its round are there: one that waited for another's answer would never come.
    way.when("^GET .*/_cache/", all_together(STAGES), times=STAGES)
    way.when("^GET .*list-type=2", all_together(STAGES), times=STAGES)

    theirs = machine(project, bucket, "theirs", way)
    assert set(theirs.run("long").values()) == {"hit"}

    assert len(way.matching("^GET .*/_cache/")) == STAGES
    assert len(way.matching("^GET .*list-type=2")) == STAGES
    assert len(way.requests) == 2 * STAGES


def test_a_miss_asks_for_one_run_however_many_there_are(
    ours: Project, theirs: Project, bucket: Bucket, way: Proxy
) -> None:
    """Where the latest failed, for a few more."""
    ours.run("words")
    tapped = machine(theirs, bucket, "tapped", way)
    assert tapped.plan("words")["count"] == "hit"
    without = len(way.requests)
    # Three for the last run, three for the nearest.
    for year, failed, most in ((2098, False, 6), (2099, True, 3 + MOST_FAILURES + 2)):
        changed = {"result": "failed", "sketch": ""} if failed else {}
        add_runs(bucket, 100, year, **changed)
        way.requests.clear()
        assert "params.top" in tapped.reasons("words", "--set", "count.top=2")["count"]
        assert len(way.matching("_history|/run.json")) <= most
        # One that is not there is looked up by two keys, and each stage as the other runner would have it.
        assert len(way.requests) <= without + 1 + 3 + most


def test_the_nearest_run_of_anyone_is_named_by_a_listing_and_two_reads(
    ours: Project, theirs: Project, bucket: Bucket, way: Proxy
) -> None:
    ours.run("words")
    theirs.run("words", "--set", "count.top=7", env={"USER": "ben", "LOGNAME": "ben"})
    ours.run("words", "--set", "count.top=9", "clean.fold=false")
    tapped = machine(ours, bucket, "tapped", way)
    reason = tapped.reasons("words", "--set", "count.top=8")["count"]
    assert "params.top 9 → 8" in reason
    assert " of ben: params.top 7 → 8" in reason.partition("; nearest run ")[2]
    # Three for the last run, three for the nearest, whoever has how many.
    assert len(way.matching("_history|/run.json")) == 3 + 3


def add_runs(bucket: Bucket, number: int, year: int, **changed: str) -> None:
    """Add so many entries to the history of `count`, newer than all there are; `stage` may count them."""
    [*_, first] = Records(bucket, print).history("words", "count")
    for index in range(number):
        run = f"{year}0301T101500{index:03d}Z-{index:08x}"
        facts = {name: value.format(index % STAGES) for name, value in changed.items()}
        entry = msgspec.structs.replace(first, run=run, **facts)
        bucket.put(entry.path, encode(entry, entry.path))


def test_a_history_costs_no_more_than_two_requests_a_run_shown(
    ours: Project, bucket: Bucket, way: Proxy
) -> None:
    ours.run("words")
    add_runs(bucket, 300, 2099, stage="s{}")
    tapped = machine(ours, bucket, "tapped", way)
    shown = tapped.doit("history", "--limit", "20").stdout.splitlines()
    assert len(shown) == 1 + 20
    assert len(way.requests) <= 2 * 20
    # The pipelines, the stages of the one, the newest of each stage: s0 to s9 and the three of `words`.
    assert len(way.requests) == 2 + (STAGES + 3) + 20
