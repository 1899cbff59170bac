"""Two clones with caches of their own and one real MinIO between them."""

from __future__ import annotations

from pathlib import Path

from daintree.store.bucket import Bucket
from tests.e2e.projects import SCRIPT, Project
from tests.e2e.shared_bucket import ALL_HITS, ALL_RUNS, machine, runs_in
from tests.services.minio import Minio, access_to, free_port, read_only, start, stop, variables
from tests.services.proxy import Proxy, reset


def test_what_one_clone_has_computed_the_other_hits(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    assert ours.run("words") == ALL_RUNS
    assert theirs.plan("words") == ALL_HITS
    assert theirs.run("words") == ALL_HITS
    assert len(runs_in(bucket)) == 3
    for stage in ALL_HITS:
        one, two = (project.output(f"words:{stage}") for project in (ours, theirs))
        assert one != two
        assert ours.contents(one) == theirs.contents(two)


def test_all_outputs_come_into_a_fresh_clone_by_one_command(
    ours: Project, theirs: Project, tmp_path: Path
) -> None:
    ours.run("words")
    finished = theirs.doit("pull", "words", "--to", tmp_path / "all")
    assert finished.code == 0, finished.stderr
    for stage in ALL_HITS:
        pulled = ours.contents(tmp_path / "all" / stage / "output")
        assert pulled == ours.contents(ours.output(f"words:{stage}"))


def test_what_was_computed_without_the_bucket_is_published_later_inputs_first(
    ours: Project, theirs: Project, bucket: Bucket, way: Proxy
) -> None:
    ours = machine(ours, bucket, "ours", way)
    outage = way.when("", reset)
    alone = ours.at(ours.root, DAINTREE_WHEN_UNAVAILABLE="local")
    assert alone.run("words") == ALL_RUNS
    assert alone.run("words") == ALL_HITS
    outage.times = 0
    assert ours.plan("words") == ALL_HITS
    assert runs_in(bucket) == []

    assert ours.run("words") == ALL_HITS

    published = way.matching("^PUT .*/run.json")
    assert [line.split("/")[4] for line in published] == ["load", "clean", "count"]
    assert len(runs_in(bucket)) == 3
    assert theirs.run("words") == ALL_HITS
    assert ours.run("words") == ALL_HITS
    assert len(runs_in(bucket)) == 3
    one, two = (project.output("words:count") for project in (ours, theirs))
    assert ours.contents(one) == theirs.contents(two)


def test_the_shared_record_wins_over_the_caches_own(
    ours: Project, theirs: Project, bucket: Bucket, way: Proxy
) -> None:
    ours = machine(ours, bucket, "ours", way)
    for project in (ours, theirs):
        body = "(output / 'lines.txt').write_text(__import__('uuid').uuid4().hex)"
        script = SCRIPT.format(flags='"--limit"', body=body)
        project.write("components/text/load/main.py", script)
    outage = way.when("", reset)
    alone = ours.at(ours.root, DAINTREE_WHEN_UNAVAILABLE="local")
    assert alone.run("words:load") == {"load": "run"}
    outage.times = 0
    assert theirs.run("words:load") == {"load": "run"}

    assert ours.run("words:load") == {"load": "hit"}

    assert len(runs_in(bucket)) == 1
    assert ours.contents(ours.output("words:load")) == theirs.contents(theirs.output("words:load"))


def test_a_key_that_may_only_read_hits_and_says_that_nothing_is_published(
    ours: Project, theirs: Project, bucket: Bucket, minio: Minio
) -> None:
    ours.run("words")
    reader = minio.key(read_only(bucket.name))
    theirs = theirs.at(theirs.root, **variables(reader))
    quiet = theirs.doit("run", "words")
    assert quiet.code == 0
    assert "nothing is published" not in quiet.stderr
    theirs.replace("components/text/clean/main.py", "import argparse", "# mine\nimport argparse")

    finished = theirs.doit("run", "words", "--json")

    assert finished.statuses() == {"load": "hit", "clean": "run", "count": "hit"}
    assert finished.stderr.count(f"note: nothing is published to {bucket.url}, where this key") == 1
    assert len(runs_in(bucket)) == 3
    assert theirs.run("words") == ALL_HITS


def test_a_server_that_is_not_there_is_an_error_or_done_without(
    ours: Project, theirs: Project, tmp_path: Path
) -> None:
    directory, port = tmp_path / "minio", free_port()
    directory.mkdir()
    server = start(directory, port)
    try:
        minio = Minio(access_to(port), str(directory), server.pid)
        bucket = Bucket(f"s3://{minio.bucket()}/store", minio.access)
        ours, theirs = machine(ours, bucket, "ours"), machine(theirs, bucket, "theirs")
        ours.run("words")
        stop(server)

        refused = ours.doit("run", "words").complaint()
        assert f"error: the artifact store {bucket.url} is not to be had" in refused
        assert f"{minio.access.endpoint} cannot be reached" in refused
        assert "DAINTREE_WHEN_UNAVAILABLE=local" in refused

        alone = ours.at(ours.root, DAINTREE_WHEN_UNAVAILABLE="local")
        finished = alone.doit("run", "words", "--json")
        assert finished.statuses() == ALL_HITS
        assert finished.stderr.count("warning: the artifact store") == 1

        # What this machine has never had is no hit, and what it computes is published when the server is back.
        colleague = theirs.at(theirs.root, DAINTREE_WHEN_UNAVAILABLE="local")
        colleague.write("corpus.txt", "Another text\n")
        assert colleague.run("words") == ALL_RUNS
        server = start(directory, port)
        assert theirs.run("words") == ALL_HITS
        assert len(runs_in(bucket)) == 6
    finally:
        stop(server)
