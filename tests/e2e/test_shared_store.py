"""Two clones with caches of their own and one real MinIO between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import SCRIPT, Project
from tests.services.minio import Minio, read_only, variables
from tests.services.proxy import proxy
from tests.web_server import web_server
from tooling.s3_access import S3Access
from tooling.store.bucket import Bucket

ALL_HITS = {"load": "hit", "clean": "hit", "count": "hit"}
ALL_RUNS = {"load": "run", "clean": "run", "count": "run"}


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """What the store of these tests holds."""
    return Bucket(f"s3://{minio.bucket()}/store", minio.access)


@pytest.fixture
def ours(project: Project, bucket: Bucket) -> Project:
    """The project with its store in the bucket."""
    return shared(project, project.root, bucket.access, bucket, "ours")


@pytest.fixture
def theirs(ours: Project, bucket: Bucket, tmp_path: Path) -> Project:
    """A clone of the project, as a colleague has it: the same store, another cache."""
    ours.git("clone", "--quiet", ours.root, tmp_path / "clone")
    return shared(ours, tmp_path / "clone", bucket.access, bucket, "theirs")


def shared(project: Project, root: Path, access: S3Access, bucket: Bucket, name: str) -> Project:
    """The project in another working tree, reaching the bucket with this key, with the cache of this name."""
    cache = Path(project.environ["XDG_CACHE_HOME"]) / name
    return project.elsewhere(
        root, DAINTREE_STORE=bucket.url, DAINTREE_CACHE=str(cache), **variables(access)
    )


def runs_in(bucket: Bucket) -> list[str]:
    """The runs whose manifests are in the bucket."""
    return [path for path in bucket.sizes() if path.endswith("/run.json")]


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


def damage(bucket: Bucket, stage: str, content: bytes | None) -> None:
    """Put `content` in the place of an output file of a stage; None removes it."""
    [path] = [path for path in bucket.sizes() if f"/{stage}/" in path and "/output/" in path]
    if content is None:
        bucket.delete([path])
    else:
        bucket.put(path, content)


def test_a_no_op_with_an_empty_cache_downloads_nothing(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    for project in (ours, theirs):
        project.replace("pipelines/words.yaml", "output: output/words\n", "")
    ours.run("words")
    finished = theirs.doit("run", "words")
    assert finished.code == 0, finished.stderr
    assert f"{bucket.url}/" in finished.stdout
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
            tapped = theirs.elsewhere(theirs.root, MINIO_ENDPOINT=tap.endpoint)
            assert tapped.doit(command, "words").code == 0
        lookups, listings = tap.requests[:3], tap.requests[3:]
        assert all(f"GET /{bucket.name}/store/_cache/" in request for request in lookups)
        assert all(f"GET /{bucket.name}?list-type=2" in request for request in listings)
        assert len(listings) == 3


def test_all_outputs_come_into_a_fresh_clone_by_one_command(
    ours: Project, theirs: Project, tmp_path: Path
) -> None:
    ours.run("words")
    finished = theirs.doit("pull", "words", "--to", tmp_path / "all")
    assert finished.code == 0, finished.stderr
    for stage in ALL_HITS:
        pulled = ours.contents(tmp_path / "all" / stage / "output")
        assert pulled == ours.contents(ours.output(f"words:{stage}"))


@pytest.mark.parametrize(
    ("content", "word"), [(None, "missing"), (b"", "damaged"), (b"{}", "damaged")]
)
def test_damage_that_a_listing_shows_is_repaired_for_all(
    ours: Project, theirs: Project, bucket: Bucket, content: bytes | None, word: str
) -> None:
    ours.run("words")
    damage(bucket, "clean", content)
    assert theirs.plan("words") == {"load": "hit", "clean": "miss", "count": "pending"}

    finished = theirs.doit("run", "words", "--json")

    assert word in finished.stderr
    assert _statuses(finished.json()) == {"load": "hit", "clean": "run", "count": "hit"}
    third = ours.elsewhere(theirs.root, DAINTREE_CACHE=theirs.environ["DAINTREE_CACHE"] + "-third")
    assert third.run("words") == ALL_HITS
    assert third.contents(third.output("words:clean")) == ours.contents(ours.output("words:clean"))


def test_a_flipped_byte_is_never_handed_on(ours: Project, theirs: Project, bucket: Bucket) -> None:
    ours.run("words")
    whole = ours.contents(ours.output("words:clean"))
    [content] = whole.values()
    damage(bucket, "clean", bytes([content[0] ^ 1]) + content[1:])
    assert theirs.plan("words") == ALL_HITS

    theirs.replace(
        "components/text/count/main.py", "import argparse", "# another count\nimport argparse"
    )
    finished = theirs.doit("run", "words", "--json")

    assert "warning: stage clean: output file" in finished.stderr
    assert "is damaged in the store; computing it again" in finished.stderr
    assert _statuses(finished.json()) == {"load": "hit", "clean": "run", "count": "run"}
    assert theirs.contents(theirs.output("words:clean")) == whole
    assert theirs.run("words") == {"load": "hit", "clean": "hit", "count": "hit"}


def test_an_output_that_cannot_be_fetched_whole_is_said_and_then_computed_again(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    ours.run("words")
    [content] = ours.contents(ours.output("words:count")).values()
    damage(bucket, "count", content[:-1] + b"?")

    refused = theirs.doit("path", "words:count").complaint()
    assert "damaged in the store" in refused
    assert theirs.plan("words") == {"load": "hit", "clean": "hit", "count": "miss"}
    finished = theirs.doit("run", "words", "--output", "here", "--json")
    assert _statuses(finished.json()) == {"load": "hit", "clean": "hit", "count": "run"}
    assert list(theirs.contents(theirs.root / "here").values()) == [content]


def test_an_output_directory_is_filled_after_a_repair(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    ours.run("words")
    [content] = ours.contents(ours.output("words:count")).values()
    damage(bucket, "count", content[:-1] + b"?")

    finished = theirs.doit("run", "words", "--output", "here")

    assert finished.code == 0, finished.stderr
    assert "warning: stage count: output file" in finished.stderr
    assert list(theirs.contents(theirs.root / "here").values()) == [content]


def test_what_was_computed_without_the_bucket_is_published_later_inputs_first(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    alone = ours.elsewhere(ours.root, DAINTREE_STORE=ours.environ["DAINTREE_CACHE"])
    assert alone.run("words") == ALL_RUNS
    assert ours.plan("words") == ALL_HITS
    assert runs_in(bucket) == []

    assert ours.run("words") == ALL_HITS

    assert len(runs_in(bucket)) == 3
    assert theirs.run("words") == ALL_HITS
    assert ours.run("words") == ALL_HITS
    assert len(runs_in(bucket)) == 3
    one, two = (project.output("words:count") for project in (ours, theirs))
    assert ours.contents(one) == theirs.contents(two)


def test_the_shared_record_wins_over_the_caches_own(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    for project in (ours, theirs):
        body = "(output / 'lines.txt').write_text(__import__('uuid').uuid4().hex)"
        script = SCRIPT.format(flags='"--limit"', body=body)
        project.write("components/text/load/main.py", script)
    alone = ours.elsewhere(ours.root, DAINTREE_STORE=ours.environ["DAINTREE_CACHE"])
    assert alone.run("words:load") == {"load": "run"}
    assert theirs.run("words:load") == {"load": "run"}

    assert ours.run("words:load") == {"load": "hit"}

    assert len(runs_in(bucket)) == 1
    assert ours.contents(ours.output("words:load")) == theirs.contents(theirs.output("words:load"))


def test_a_key_that_may_only_read_hits_and_says_that_nothing_is_published(
    ours: Project, theirs: Project, bucket: Bucket, minio: Minio
) -> None:
    ours.run("words")
    reader = minio.key(read_only(bucket.name))
    theirs = theirs.elsewhere(theirs.root, **variables(reader))
    quiet = theirs.doit("run", "words")
    assert quiet.code == 0
    assert "nothing is published" not in quiet.stderr
    theirs.replace("components/text/clean/main.py", "import argparse", "# mine\nimport argparse")

    finished = theirs.doit("run", "words", "--json")

    assert _statuses(finished.json()) == {"load": "hit", "clean": "run", "count": "hit"}
    assert finished.stderr.count(f"note: nothing is published to {bucket.url}, where this key") == 1
    assert len(runs_in(bucket)) == 3
    assert theirs.run("words") == ALL_HITS


def test_a_server_that_is_not_there_is_an_error_or_done_without(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    ours.run("words")
    away = ours.elsewhere(ours.root, MINIO_ENDPOINT="http://127.0.0.1:9")
    refused = away.doit("run", "words").complaint()
    assert f"error: the artifact store {bucket.url} is not to be had" in refused
    assert "http://127.0.0.1:9 cannot be reached" in refused
    assert "DAINTREE_WHEN_UNAVAILABLE=local" in refused

    near = away.elsewhere(away.root, DAINTREE_WHEN_UNAVAILABLE="local")
    finished = near.doit("run", "words", "--json")
    assert _statuses(finished.json()) == ALL_HITS
    assert finished.stderr.count("warning: the artifact store") == 1

    # What this machine has never had is no hit, and what it computes is published when the server is back.
    far = near.elsewhere(theirs.root, DAINTREE_CACHE=theirs.environ["DAINTREE_CACHE"])
    far.write("corpus.txt", "Another text\n")
    assert far.run("words") == ALL_RUNS
    theirs = theirs.elsewhere(theirs.root)
    assert theirs.run("words") == ALL_HITS
    assert len(runs_in(bucket)) == 6


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

        assert _statuses(finished.json()) == ALL_RUNS
        said = "warning: source: output file corpus.txt is damaged in the store; fetching it again"
        assert said in finished.stderr
        assert "GET /corpus.txt" in server.requests()
        assert bucket.get([path]) == [b"to be or not\n"]


def _statuses(report: object) -> dict[str, str]:
    assert isinstance(report, dict)
    return {stage["name"]: stage["status"] for stage in report["stages"]}
