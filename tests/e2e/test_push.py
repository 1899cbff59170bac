"""`doit push`: what a machine has computed for itself becomes everybody's, verified, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.shared_bucket import ALL_HITS

if TYPE_CHECKING:
    from daintree.store.bucket import Bucket
    from tests.e2e.projects import Project

OTHER = ("--set", "count.top=2")


def pushed(project: Project, *arguments: str) -> dict[str, int]:
    """How many runs had each status in a push, which must not fail."""
    runs = project.doit("push", *arguments, "--json").json()["runs"]
    return {
        status: [r["status"] for r in runs].count(status) for status in {r["status"] for r in runs}
    }


def test_runs_of_the_embedded_store_become_hits_for_everybody(
    ran: Project, ours: Project, theirs: Project
) -> None:
    ran.run("words", *OTHER)
    store = ran.environ["DAINTREE_STORE"]
    assert pushed(ours, "--from", store) == {"pushed": 4}
    assert theirs.run("words") == ALL_HITS
    assert theirs.run("words", *OTHER) == ALL_HITS
    assert pushed(ours, "words", "--from", store) == {"known": 4}
    [line] = ours.doit("push", "--from", store).stdout.splitlines()
    assert line == f"0 runs (0 B) pushed to {ours.environ['DAINTREE_STORE']}, 4 known already"


def test_a_pipeline_of_which_nothing_is_known_is_an_error(ours: Project) -> None:
    finished = ours.doit("push", "wrods")
    assert finished.code == 1
    assert "no run of a pipeline 'wrods' is on this machine" in finished.stderr
    assert "hint: did you mean 'words'?" in finished.stderr
    assert pushed(ours, "words") == {}


def test_what_is_not_whole_or_not_of_this_machine_is_listed(
    ran: Project, ours: Project, bucket: Bucket
) -> None:
    store = Path(ran.environ["DAINTREE_STORE"])
    [damaged] = store.glob("text/load/*/*/*/*/*/output/lines.txt")
    damaged.chmod(0o644)
    damaged.write_text("something else")
    finished = ours.doit("push", "--from", str(store))
    assert finished.code == 1
    assert "not shared  output file lines.txt is damaged in the store" in finished.stdout
    assert "2 runs (" in finished.stdout.splitlines()[-1]
    assert not any("text/load" in path for path in bucket.sizes())


def test_what_came_from_the_bucket_stays_in_the_cache(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    ours.run("words")
    theirs.run("words", "--force", "count")
    assert pushed(theirs) == {}
    for place in ("_cache", "text"):
        bucket.delete_below(place)
    finished = theirs.doit("push")
    assert finished.code == 1
    assert "it came from the shared store, which does not have it any more" in finished.stdout


def test_the_cache_of_another_store_gives_nothing(ours: Project, bucket: Bucket) -> None:
    ours.run("words")
    [cache] = Path(ours.environ["DAINTREE_CACHE"]).glob("*/_history")
    other = ours.at(ours.root, DAINTREE_STORE=f"{ours.environ['DAINTREE_STORE']}/other")
    [one, *_] = cache.parent.glob("text/count/*/*/*/*/*/origin.json")
    one.write_bytes(b"{}")
    finished = other.doit("push", "--from", str(cache.parent))
    assert finished.code == 1
    *lines, _ = finished.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.endswith("not shared  it is of another store") for line in lines)
    assert not [path for path in bucket.sizes() if path.startswith("other/")]


def test_a_store_that_is_not_shared_takes_nothing(ran: Project) -> None:
    assert "is not shared: there is nowhere to push to" in ran.doit("push").complaint()
    assert (
        "there is no such directory"
        in ran.at(ran.root, DAINTREE_STORE="s3://bucket", MINIO_ENDPOINT="http://127.0.0.1:9")
        .doit("push", "--from", "nowhere")
        .complaint()
    )
