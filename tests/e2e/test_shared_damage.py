"""What is damaged in a bucket that clones share is never handed on, and repaired for all."""

from __future__ import annotations

import pytest

from daintree.store.bucket import Bucket
from tests.e2e.projects import Project
from tests.e2e.shared_bucket import ALL_HITS, ALL_RUNS, machine


def damage(bucket: Bucket, stage: str, content: bytes | None) -> None:
    """Put `content` in the place of an output file of a stage; None removes it."""
    [path] = [path for path in bucket.sizes() if f"/{stage}/" in path and "/output/" in path]
    if content is None:
        bucket.delete([path])
    else:
        bucket.put(path, content)


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
    assert finished.statuses() == {"load": "hit", "clean": "run", "count": "hit"}
    third = ours.at(theirs.root, DAINTREE_CACHE=theirs.environ["DAINTREE_CACHE"] + "-third")
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
    assert finished.statuses() == {"load": "hit", "clean": "run", "count": "run"}
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
    assert finished.statuses() == {"load": "hit", "clean": "hit", "count": "run"}
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


@pytest.mark.parametrize("content", [b"", b'{"schema":', b'{"schema": 1, "run": "of the past"}'])
def test_index_records_that_cannot_be_read_are_misses_and_repaired(
    project: Project, bucket: Bucket, content: bytes
) -> None:
    assert machine(project, bucket, "ours").run("words") == ALL_RUNS
    for path in list(bucket.sizes("_cache")):
        bucket.put(path, content)

    assert machine(project, bucket, "theirs").run("words") == ALL_RUNS
    assert machine(project, bucket, "third").run("words") == ALL_HITS


def test_index_records_of_a_newer_version_are_misses_with_a_warning_and_stay(
    project: Project, bucket: Bucket
) -> None:
    assert machine(project, bucket, "ours").run("words") == ALL_RUNS
    newer = dict.fromkeys(bucket.sizes("_cache"), b'{"schema": 99, "run": "of the future"}')
    for path, content in newer.items():
        bucket.put(path, content)

    finished = machine(project, bucket, "theirs").doit("run", "words", "--json")
    assert finished.statuses() == ALL_RUNS
    assert "was made by a newer version (schema 99): it counts for nothing" in finished.stderr
    assert dict(zip(newer, bucket.get_many(list(newer)), strict=True)) == newer
