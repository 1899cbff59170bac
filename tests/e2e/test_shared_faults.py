"""Clones with caches of their own and one real MinIO between them, when something or somebody fails."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from tests.e2e.conftest import Channel, Gate, Project
from tests.e2e.slow_pipeline import SIDE, WAIT, kill, statuses, with_slow_pipeline
from tests.services.minio import Minio, access_to, free_port, start, stop, variables
from tests.services.proxy import (
    Proxy,
    all_together,
    busy,
    busy_when_done,
    dated,
    reset_when_done,
    stall,
)
from tests.small_disk import fill
from tooling.manifest import decode, encode
from tooling.store.bucket import Bucket
from tooling.store.bucket_lease import LEASE_SECONDS, LeaseRecord

ALL_HITS = {"load": "hit", "clean": "hit", "count": "hit"}
ALL_RUNS = {"load": "run", "clean": "run", "count": "run"}
LOAD = ("words:load", "--json")
MACHINES = 10
STAGES = 10
LARGE_BYTES = 40_000_000
BRIEF_SECONDS = 0.5


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """What the store of these tests holds."""
    return Bucket(f"s3://{minio.bucket()}/store", minio.access)


@pytest.fixture
def waiting(project: Project, channel: Channel, gate: Gate) -> Project:
    """The project with the pipeline `slow`."""
    return with_slow_pipeline(project, channel, gate)


def machine(project: Project, bucket: Bucket, name: str, way: Proxy | None = None) -> Project:
    """The project on a machine of this name, with a cache of its own, which reaches the bucket this way."""
    access = bucket.access
    if way:
        access = msgspec.structs.replace(access, endpoint=way.endpoint)
    cache = Path(project.environ["XDG_CACHE_HOME"]) / name
    return project.elsewhere(
        project.root, DAINTREE_STORE=bucket.url, DAINTREE_CACHE=str(cache), **variables(access)
    )


def runs_in(bucket: Bucket) -> list[str]:
    """The runs whose manifests are in the bucket."""
    return [path for path in bucket.sizes() if path.endswith("/run.json")]


def expire_leases(bucket: Bucket) -> None:
    """Let the time of all leases be over, so that no test waits for it."""
    bucket.delete(bucket.list("_leases"))


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


@pytest.mark.parametrize("content", [b"", b'{"schema":', b'{"schema": 99, "run": "of the future"}'])
def test_index_records_that_cannot_be_read_are_misses_and_repaired(
    project: Project, bucket: Bucket, content: bytes
) -> None:
    assert machine(project, bucket, "ours").run("words") == ALL_RUNS
    for path in bucket.list("_cache"):
        bucket.put(path, content)

    assert machine(project, bucket, "theirs").run("words") == ALL_RUNS
    assert machine(project, bucket, "third").run("words") == ALL_HITS


def test_many_machines_that_miss_the_same_at_once_compute_it_once(
    waiting: Project, bucket: Bucket, gate: Gate
) -> None:
    machines = [machine(waiting, bucket, f"machine-{n}") for n in range(MACHINES)]
    assert machines[0].run("slow:load") == {"load": "run"}
    runs = [each.start("run", "slow", "--json") for each in machines]
    for run in runs:
        assert run.stderr is not None
        said = next(line for line in run.stderr if line.startswith("wait "))
        assert " run " in said, said
    gate.open()

    ended = [statuses(waiting, run)["wait"] for run in runs]
    assert sorted(ended) == ["hit"] * (MACHINES - 1) + ["run"]
    assert len(runs_in(bucket)) == 2


def shorten_leases(bucket: Bucket) -> None:
    """Let each lease that is held promise a moment only, as if most of its time were over; whose it is stays."""
    for path in bucket.list("_leases"):
        held = decode(LeaseRecord, bucket.get([path])[0] or b"")
        assert held is not None
        if held.seconds:
            assert held.seconds == LEASE_SECONDS
            bucket.put(path, encode(msgspec.structs.replace(held, seconds=BRIEF_SECONDS)))


def test_who_is_killed_while_computing_is_waited_for_and_then_taken_over(
    waiting: Project, bucket: Bucket, channel: Channel, gate: Gate
) -> None:
    process = machine(waiting, bucket, "ours").start("run", "slow")
    assert channel.receive() == "here"
    kill(process)
    shorten_leases(bucket)
    gate.open()

    finished = machine(waiting, bucket, "theirs").doit("run", "slow", "--json")

    assert [stage["status"] for stage in finished.json()["stages"]] == ["hit", "run"]
    assert "wait  note  another run computes the same; waiting for its result" in finished.stderr
    assert len(runs_in(bucket)) == 2


def test_who_sleeps_while_computing_is_taken_over_and_comes_too_late(
    waiting: Project, bucket: Bucket, channel: Channel, gate: Gate
) -> None:
    process = machine(waiting, bucket, "ours").start("run", "slow")
    assert channel.receive() == "here"
    os.killpg(process.pid, signal.SIGSTOP)
    shorten_leases(bucket)
    gate.open()
    assert machine(waiting, bucket, "theirs").run("slow") == {"load": "hit", "wait": "run"}
    published = runs_in(bucket)

    os.killpg(process.pid, signal.SIGCONT)

    complaint = waiting.finish(process).complaint()
    assert "error: stage slow:wait took so long that another run took over its place" in complaint
    assert runs_in(bucket) == published


def test_who_lost_the_lease_comes_too_late_to_publish(
    waiting: Project, bucket: Bucket, channel: Channel, gate: Gate
) -> None:
    ours = machine(waiting, bucket, "ours")
    process = ours.start("run", "slow")
    assert channel.receive() == "here"
    # As after a laptop's sleep: its lease has run out, and another holds it.
    taken = encode(LeaseRecord(nonce="another", machine="another", seconds=300))
    held = bucket.list("_leases")
    for path in held:
        bucket.put(path, taken)
    before = bucket.sizes().keys()
    gate.open()

    complaint = waiting.finish(process).complaint()
    assert "error: stage slow:wait took so long that another run took over its place" in complaint
    assert bucket.sizes().keys() == before
    assert bucket.get(held) == [taken for _ in held]


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
    assert f"{bucket.url} is not to be had: {way.endpoint} answers SlowDown; run 2" in complaint
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

        said = f"the artifact store {bucket.url} is not to be had: {minio.access.endpoint} cannot be reached"
        if alone:
            assert finished.code == 0, finished.stderr
            assert f"warning: {said}; going on with the cache alone" in finished.stderr
        else:
            assert f"error: {said}" in finished.complaint()
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

    stranger = machine(project, bucket, "stranger").elsewhere(
        project.root, MINIO_SECRET_KEY="a-secret-that-is-wrong"
    )
    complaint = stranger.doit("run", "words").complaint()
    assert "does not accept the key (SignatureDoesNotMatch)" in complaint
    assert "hint: check MINIO_ACCESS_KEY and MINIO_SECRET_KEY" in complaint
    assert "a-secret-that-is-wrong" not in complaint


def test_an_input_in_a_bucket_that_changes_while_a_stage_reads_it_is_not_published(
    project: Project, bucket: Bucket, channel: Channel, gate: Gate
) -> None:
    source = Bucket(f"s3://{bucket.name}/source", bucket.access)
    source.put("a.txt", b"one")
    project.component("odd/wait", WAIT, channel=SIDE, gate=SIDE)
    params = {"channel": str(channel.path), "gate": str(gate.path)}
    project.pipeline("slow", {"component": "odd/wait", "params": params}, source=source.url)
    ours = machine(project, bucket, "ours")
    process = ours.start("run", "slow")
    assert channel.receive() == "here"
    source.put("a.txt", b"two")
    gate.open()

    complaint = project.finish(process).complaint()
    assert f"error: stage slow:wait: the source {source.url} changed while it was read" in complaint
    assert "hint: run again when whatever writes it is done" in complaint
    assert runs_in(bucket) == []
    assert ours.plan("slow") == {"wait": "miss"}
    assert ours.run("slow") == {"wait": "run"}


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

    assert len(way.asked("^GET .*/_cache/")) == STAGES
    assert len(way.asked("^GET .*list-type=2")) == STAGES
    assert len(way.requests) == 2 * STAGES


def test_a_hit_that_does_not_fit_into_the_cache_is_said_and_comes_whole_when_there_is_room(
    project: Project, bucket: Bucket, small_disk: Path
) -> None:
    ours = machine(project, bucket, "ours")
    ours.run("words")
    theirs = machine(project, bucket, "theirs")
    theirs = theirs.elsewhere(project.root, DAINTREE_CACHE=str(small_disk / "cache"))
    assert theirs.run("words:load") == {"load": "hit"}
    filler = fill(small_disk)

    complaint = theirs.doit("path", "words:clean").complaint()

    assert f"error: the disk of the artifact store {small_disk / 'cache'} is full" in complaint
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
    ours = ours.elsewhere(project.root, DAINTREE_CACHE=str(small_disk / "cache"))

    complaint = ours.doit("run", "large").complaint()

    [error] = [line for line in complaint.splitlines() if line.startswith("error: ")]
    assert "error: stage large:large" in error
    assert "No space left on device" in complaint
    assert ours.plan("large") == {"load": "hit", "large": "miss"}
    assert machine(project, bucket, "theirs").run("large") == {"load": "hit", "large": "run"}
