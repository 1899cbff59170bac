"""Sources in a bucket and on the web, read by clones that share a store."""

from __future__ import annotations

from daintree.store.bucket import Bucket
from tests.e2e.fifos import Channel, Gate
from tests.e2e.projects import Project
from tests.e2e.shared_bucket import ALL_HITS, ALL_RUNS, machine, runs_in
from tests.e2e.slow_pipeline import SIDE, WAIT
from tests.web_server import web_server


def test_a_source_in_a_bucket_is_read_in_place_and_known_by_its_listing(
    ours: Project, bucket: Bucket
) -> None:
    bucket.put("reviews/a.json", b"{}")
    source = f"{bucket.url}/reviews"
    ours.component("text/fetch", "(output / 'input').write_text(arguments.input)")
    ours.pipeline("remote", "text/fetch", source=source)
    assert ours.run("remote") == {"fetch": "run"}
    assert ours.run("remote") == {"fetch": "hit"}
    assert (ours.output("remote:fetch") / "input").read_text() == source
    bucket.put("reviews/a.json", b"[]")
    assert ours.plan("remote") == {"fetch": "miss"}


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


def test_a_source_on_the_web_that_one_has_fetched_is_not_fetched_by_another(
    ours: Project, theirs: Project
) -> None:
    with web_server() as server:
        url = server.serve("/corpus.txt", b"to be or not\n", headers={"ETag": '"one"'})
        assert ours.run("words", "--source", url) == ALL_RUNS
        assert "GET /corpus.txt" in server.requests()

        assert theirs.plan("words", "--source", url) == ALL_HITS
        assert theirs.run("words", "--source", url) == ALL_HITS
        assert {word.split()[0] for word in server.requests()} == {"HEAD"}
        # Whoever has to read it gets it from the bucket.
        assert theirs.run("words:load", "--source", url, "--set", "load.limit=1") == {"load": "run"}
        assert {word.split()[0] for word in server.requests()} == {"HEAD"}

        server.serve("/corpus.txt", b"something else\n", headers={"ETag": '"two"'})
        assert theirs.run("words", "--source", url) == ALL_RUNS
        assert ours.run("words", "--source", url) == ALL_HITS


def test_a_source_on_the_web_that_is_damaged_in_the_bucket_is_fetched_again(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    with web_server() as server:
        url = server.serve("/corpus.txt", b"to be or not\n", headers={"ETag": '"one"'})
        assert ours.run("words:load", "--source", url) == {"load": "run"}
        [path] = [path for path in bucket.sizes("_sources") if path.endswith("/corpus.txt")]
        bucket.put(path, b"to be or NOT\n")
        server.requests()

        finished = theirs.doit("run", "words", "--source", url, "--set", "load.limit=1", "--json")

        assert finished.statuses() == ALL_RUNS
        warning = (
            "warning: source: output file corpus.txt is damaged in the store; fetching it again"
        )
        assert warning in finished.stderr
        assert "GET /corpus.txt" in server.requests()
        assert bucket.get_many([path]) == [b"to be or not\n"]
