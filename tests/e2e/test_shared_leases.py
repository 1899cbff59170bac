"""Machines that compute the same at once, with one real MinIO between them: one publishes, whoever is killed or sleeps."""

from __future__ import annotations

import os
import signal

import msgspec

from daintree.store.bucket import Bucket
from daintree.store.records import LeaseRecord, decode, encode, readable
from daintree.store.store import LEASE_SECONDS
from tests.e2e.fifos import Channel, Gate
from tests.e2e.projects import Project
from tests.e2e.shared_bucket import machine, runs_in
from tests.e2e.slow_pipeline import kill, statuses

MACHINES = 10
BRIEF_SECONDS = 0.5


def shorten_leases(bucket: Bucket) -> None:
    """Let each lease that is held promise a moment only, as if most of its time were over; whose it is stays."""
    for path in list(bucket.sizes("_leases")):
        held = readable(decode(LeaseRecord, bucket.get_many([path])[0], path))
        assert held is not None
        if held.seconds:
            assert held.seconds == LEASE_SECONDS
            bucket.put(path, encode(msgspec.structs.replace(held, seconds=BRIEF_SECONDS), path))


def test_many_machines_that_miss_the_same_at_once_compute_it_once(
    waiting: Project, bucket: Bucket, gate: Gate
) -> None:
    machines = [machine(waiting, bucket, f"machine-{n}") for n in range(MACHINES)]
    assert machines[0].run("slow:load") == {"load": "run"}
    runs = [each.start("run", "slow", "--json") for each in machines]
    for run in runs:
        assert run.stderr is not None
        line = next(line for line in run.stderr if line.startswith("wait "))
        assert " run " in line, line
    gate.open()

    ended = [statuses(waiting, run)["wait"] for run in runs]
    assert sorted(ended) == ["hit"] * (MACHINES - 1) + ["run"]
    assert len(runs_in(bucket)) == 2


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
    other = LeaseRecord(nonce="another", machine="another", seconds=300)
    held = list(bucket.sizes("_leases"))
    for path in held:
        bucket.put(path, encode(other, path))
    before = bucket.sizes().keys()
    gate.open()

    complaint = waiting.finish(process).complaint()
    assert "error: stage slow:wait took so long that another run took over its place" in complaint
    assert bucket.sizes().keys() == before
    assert bucket.get_many(held) == [encode(other, path) for path in held]
