"""Machines with caches of their own and one real MinIO between them, when a process, the server or a disk fails."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from daintree.store.bucket import Bucket
from tests.e2e.fifos import Channel, Gate
from tests.e2e.projects import Project
from tests.e2e.shared_bucket import ALL_HITS, expire_leases, machine, runs_in
from tests.e2e.slow_pipeline import kill
from tests.services.minio import Minio, access_to, free_port, start, stop
from tests.services.proxy import Proxy, busy, busy_when_done, dated, reset_when_done, stall
from tests.small_disk import fill

LOAD = ("words:load", "--json")
LARGE_BYTES = 40_000_000


@pytest.mark.parametrize("at", ["^PUT .*/output/lines.txt", "^PUT .*/run.json", "^PUT .*/_cache/"])
def test_killed_between_two_writes_there_is_a_whole_hit_or_none(
    project: Project, bucket: Bucket, way: Proxy, at: str
) -> None:
    rule = way.when(at, stall)
    process = machine(project, bucket, "killed", way).start("run", *LOAD)
    rule.wait()
    kill(process)
    expire_leases(bucket)

    theirs = machine(project, bucket, "theirs")
    assert theirs.plan("words")["load"] == "miss"
    assert theirs.run("words:load") == {"load": "run"}
    ours = machine(project, bucket, "killed")
    assert ours.run("words:load") == {"load": "hit"}
    one, two = (each.output("words:load") for each in (ours, theirs))
    assert ours.contents(one) == theirs.contents(two)


def test_killed_in_the_middle_of_a_large_file_nothing_of_it_is_a_hit(
    project: Project, bucket: Bucket, way: Proxy
) -> None:
    project.component("odd/large", f"(output / 'large').write_bytes(bytes({LARGE_BYTES}))")
    project.pipeline("large", "odd/large")
    rule = way.when("partNumber=2", stall)
    process = machine(project, bucket, "killed", way).start("run", "large")
    rule.wait()
    kill(process)
    expire_leases(bucket)
    assert bucket.sizes("odd") == {}

    theirs = machine(project, bucket, "theirs")
    assert theirs.run("large") == {"large": "run"}
    third = machine(project, bucket, "third")
    assert third.run("large") == {"large": "hit"}
    assert third.contents(third.output("large:large")) == {"large": bytes(LARGE_BYTES)}


@pytest.mark.parametrize("fault", [reset_when_done, busy_when_done])
def test_what_was_published_although_each_first_answer_was_lost_is_a_hit(
    project: Project, bucket: Bucket, way: Proxy, fault: object
) -> None:
    rules = [
        way.when(f"^PUT .*{part}", fault, times=1)  # type: ignore[arg-type]
        for part in ("/_leases/", "/lines.txt", "/run.json", "/_history/", "/_cache/")
    ]
    assert machine(project, bucket, "ours", way).run("words:load") == {"load": "run"}
    assert [rule.times for rule in rules] == [0] * len(rules)
    assert len(runs_in(bucket)) == 1
    assert machine(project, bucket, "theirs").run("words:load") == {"load": "hit"}


def test_a_server_that_is_too_busy_to_publish_loses_nothing(
    project: Project, bucket: Bucket, way: Proxy
) -> None:
    rule = way.when("^PUT .*/run.json", busy)
    ours = machine(project, bucket, "ours", way)
    complaint = ours.doit("run", *LOAD).complaint()
    problem = re.escape(f"{bucket.url} is not to be had: {way.endpoint} answers SlowDown")
    assert re.search(
        rf"{problem}, [2-7] times; run 2\S+ is kept in .* and not published", complaint
    )
    assert "hint: run again when the server is back: what is kept is published then" in complaint
    assert runs_in(bucket) == []

    rule.times = 0
    assert ours.run("words:load") == {"load": "hit"}
    assert len(runs_in(bucket)) == 1


@pytest.mark.parametrize("alone", [False, True])
def test_the_server_stops_while_a_stage_runs(
    waiting: Project, channel: Channel, gate: Gate, tmp_path: Path, alone: bool
) -> None:
    directory, port = tmp_path / "minio", free_port()
    directory.mkdir()
    server = start(directory, port)
    try:
        minio = Minio(access_to(port), str(directory), server.pid)
        bucket = Bucket(f"s3://{minio.bucket()}", minio.access)
        ours = machine(waiting, bucket, "ours")
        env = {"DAINTREE_WHEN_UNAVAILABLE": "local" if alone else "fail"}
        process = ours.start("run", "slow", env=env)
        assert channel.receive() == "here"
        stop(server)
        gate.open()

        finished = waiting.finish(process)

        cause = f"the artifact store {bucket.url} is not to be had: {minio.access.endpoint} cannot be reached"
        if alone:
            assert finished.code == 0, finished.stderr
            warning = rf"warning: {re.escape(cause)}, [2-7] times; going on with the cache alone"
            assert len(re.findall(warning, finished.stderr)) == 1
        else:
            assert f"error: {cause}" in finished.complaint()
            assert "hint: run again when the server is back" in finished.stderr
        server = start(directory, port)
        expire_leases(bucket)
        assert ours.run("slow") == {"load": "hit", "wait": "hit"}
        assert machine(waiting, bucket, "theirs").run("slow") == {"load": "hit", "wait": "hit"}
    finally:
        stop(server)


def test_a_clock_that_is_wrong_and_a_key_that_is_wrong_are_told_apart(
    project: Project, bucket: Bucket, way: Proxy
) -> None:
    yesterday = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 24 * 3600))
    way.when("", dated(yesterday))
    complaint = machine(project, bucket, "late", way).doit("run", "words").complaint()
    assert (
        f"error: {way.endpoint} refuses this machine's requests because of its clock" in complaint
    )
    assert "hint: set the clock" in complaint

    stranger = machine(project, bucket, "stranger").at(
        project.root, MINIO_SECRET_KEY="a-secret-that-is-wrong"
    )
    complaint = stranger.doit("run", "words").complaint()
    assert "does not accept the key (SignatureDoesNotMatch)" in complaint
    assert "hint: check MINIO_ACCESS_KEY and MINIO_SECRET_KEY" in complaint
    assert "a-secret-that-is-wrong" not in complaint


def test_a_hit_that_does_not_fit_into_the_cache_is_said_and_comes_whole_when_there_is_room(
    project: Project, bucket: Bucket, small_disk: Path
) -> None:
    ours = machine(project, bucket, "ours")
    ours.run("words")
    theirs = machine(project, bucket, "theirs")
    theirs = theirs.at(project.root, DAINTREE_CACHE=str(small_disk / "cache"))
    assert theirs.run("words:load") == {"load": "hit"}
    filler = fill(small_disk)

    complaint = theirs.doit("path", "words:clean").complaint()

    full = re.escape(f"{small_disk / 'cache'}/{bucket.name}-")
    assert re.search(
        f"error: the disk of the artifact store {full}[0-9a-f]{{16}} is full", complaint
    )
    assert "hint: free some disk space" in complaint
    filler.unlink()
    assert theirs.run("words") == ALL_HITS
    for stage in ALL_HITS:
        one, two = (each.output(f"words:{stage}") for each in (ours, theirs))
        assert ours.contents(one) == theirs.contents(two)


def test_an_output_that_does_not_fit_into_the_cache_is_not_published(
    project: Project, bucket: Bucket, small_disk: Path
) -> None:
    project.component("odd/large", f"(output / 'large').write_bytes(bytes({LARGE_BYTES}))")
    project.pipeline("large", "text/load", "odd/large")
    ours = machine(project, bucket, "ours")
    ours = ours.at(project.root, DAINTREE_CACHE=str(small_disk / "cache"))

    complaint = ours.doit("run", "large").complaint()

    [error] = [line for line in complaint.splitlines() if line.startswith("error: ")]
    assert "error: stage large:large" in error
    assert "No space left on device" in complaint
    assert ours.plan("large") == {"load": "hit", "large": "miss"}
    assert machine(project, bucket, "theirs").run("large") == {"load": "hit", "large": "run"}
