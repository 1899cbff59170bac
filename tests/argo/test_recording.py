"""Exactly the stages that succeeded become runs, whatever lies in the bucket: a real MinIO, statuses as clusters return them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.argo.conftest import digest, make_submission, submitted_stage
from tests.argo.executed import LOST, Shop, edit, node_of, template_of
from tests.argo.workflows import compressed, exit_handler
from tests.services.minio import Minio
from tests.services.one_machine_argo import NODE
from tooling.argo.submission import SubmittedHit, SubmittedSource
from tooling.errors import StoreUnavailable
from tooling.manifest import IndexRecord, index_record_of
from tooling.source.bucket import BucketSource
from tooling.stage_key import content_key
from tooling.store.bucket import Bucket

SEQUENCE = make_submission(
    submitted_stage(
        "load",
        recipe=digest("a"),
        parameters={"top": 3, "threads": 2},
        ineffective=("threads",),
        arguments=(
            "--input",
            "/application/data/input",
            "--output",
            "/application/data/output",
            "--threads=2",
            "--top=3",
        ),
    ),
    submitted_stage("clean", recipe=digest("b"), needs=("load",), outputs=("n",)),
    submitted_stage("count", recipe=digest("c"), needs=("clean",)),
)


@pytest.fixture
def shop(minio: Minio, tmp_path: Path) -> Shop:
    """A store and a cluster."""
    return Shop.make(minio, tmp_path)


def index(shop: Shop, *keys: str) -> list[IndexRecord | None]:
    """What these keys lead to."""
    return shop.remote.records.lookup(keys)


def statuses(reports: dict[str, Any]) -> dict[str, str]:
    """The status of each stage."""
    return {name: report.status for name, report in reports.items()}


def test_what_succeeded_is_a_run_that_both_its_keys_lead_to(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE, {"load": [({"a.csv": b"x\n", "deep/er/b": b""}, 0)]})
    pod = shop.recording(workflow, SEQUENCE)._status.tasks["load"].attempts[0].pod
    shop.said[pod] = b"said\n"
    reports = shop.record(workflow, SEQUENCE)
    assert statuses(reports) == dict.fromkeys(("load", "clean", "count"), "recorded")
    assert (reports["load"].files, reports["load"].bytes) == (2, 2)
    run = shop.runs()["load"]
    name = workflow["metadata"]["name"]
    assert run.output is not None
    assert [entry.path for entry in run.output.files] == ["a.csv", "deep/er/b"]
    assert (run.runner, run.host, run.workflow, run.pod) == ("argo", NODE, name, pod)
    assert (run.image, run.user, run.commit, run.python) == (digest("3"), "ana", "6" * 40, "")
    assert (run.exit_code, run.result, run.reason) == (0, "succeeded", "no run recorded")
    content = content_key(
        version=digest("1"), parameters={"top": 3}, environment="image", inputs={"": digest("5")}
    )
    assert (run.keys.recipe, run.keys.content) == (digest("a"), content)
    assert index(shop, digest("a"), content) == [index_record_of(run)] * 2
    assert shop.remote.read_log(run.location) == b"said\n"
    assert shop.remote.check_all([index_record_of(run)]) == [None]


def test_inputs_are_what_was_recorded_or_hit(shop: Shop) -> None:
    hit = SubmittedHit(name="clean", location="text/clean/1/2026/03/01/run", digest=digest("7"))
    shop.bucket.put(f"{hit.location}/output/lines", b"1")
    submission = make_submission(
        submitted_stage("count", recipe=digest("b"), needs=("clean",)),
        submitted_stage("join_all", task="join-all", recipe=digest("c"), needs=("count", "clean")),
        hits=(hit,),
    )
    assert statuses(shop.record(shop.run(submission), submission)) == {
        "count": "recorded",
        "join_all": "recorded",
    }
    runs = shop.runs()
    count = runs["count"]
    assert count.output is not None
    [read] = count.inputs
    assert (read.name, read.digest, read.origin) == ("clean", digest("7"), hit.location)
    assert [(one.name, one.digest, one.origin) for one in runs["join_all"].inputs] == [
        ("clean", digest("7"), hit.location),
        ("count", count.output.digest, count.location),
    ]


def test_doing_it_twice_writes_nothing_twice(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE)
    shop.record(workflow, SEQUENCE)
    before = shop.objects()
    assert set(statuses(shop.record(workflow, SEQUENCE)).values()) == {"known"}
    assert shop.objects() == before


def test_a_failed_stage_and_what_it_left_behind_are_not_recorded(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE, {"clean": [({"n": b"half"}, 1)]})
    workflow["status"]["nodes"] |= {node["id"]: node for node in exit_handler()}
    reports = shop.record(workflow, SEQUENCE)
    assert statuses(reports) == {"load": "recorded", "clean": "absent", "count": "absent"}
    assert (reports["clean"].state, reports["clean"].why) == ("failed", "main: Error (exit code 1)")
    assert (reports["count"].state, reports["count"].why) == (
        "omitted",
        "omitted: depends condition not met",
    )
    assert list(shop.runs()) == ["load"]
    assert index(shop, digest("b"), digest("c")) == [None, None]
    leftovers = shop.bucket.list("text/clean")
    assert [path.rpartition("/")[2] for path in leftovers] == ["n"]


def test_of_an_output_that_was_tried_again_only_the_good_attempt_is_recorded(shop: Shop) -> None:
    lost = [({"first": b"1"}, LOST), ({"second": b"2"}, LOST)]
    workflow = shop.run(SEQUENCE, {"load": [*lost, ({"good": b"3"}, 0)]})
    assert statuses(shop.record(workflow, SEQUENCE))["load"] == "recorded"
    run = shop.runs()["load"]
    assert run.output is not None
    assert run.run.endswith("-load-2")
    assert [entry.path for entry in run.output.files] == ["good"]
    assert len(shop.bucket.list("text/load")) == len(["first", "second", "good", "run.json"])


def test_a_stage_that_the_cluster_lost_each_time_is_not_recorded(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE, {"load": [({"n": b""}, LOST)] * 3})
    reports = shop.record(workflow, SEQUENCE)
    assert (reports["load"].state, reports["load"].why) == ("error", "pod deleted")
    assert shop.runs() == {}


def test_a_stage_that_a_deadline_ended_is_not_recorded_though_its_output_is_there(
    shop: Shop,
) -> None:
    workflow = shop.run(SEQUENCE)
    said = "Pod was active on the node longer than the specified deadline"
    for name in ("count(0)", "count"):
        node_of(workflow, name).update(phase="Failed", message=said)
    reports = shop.record(workflow, SEQUENCE)
    assert statuses(reports) == {"load": "recorded", "clean": "recorded", "count": "absent"}
    assert reports["count"].why == said
    assert shop.bucket.list("text/count")


def test_a_stage_that_was_never_begun_says_so(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE)
    for name in ("count(0)", "count"):
        del workflow["status"]["nodes"][node_of(workflow, name)["id"]]
    report = shop.record(workflow, SEQUENCE)["count"]
    assert (report.status, report.state, report.why) == (
        "absent",
        "pending",
        "it was never started",
    )


def test_an_output_that_lacks_what_was_promised_is_not_recorded_nor_what_read_it(
    shop: Shop,
) -> None:
    reports = shop.record(shop.run(SEQUENCE, {"clean": [({"other": b"1"}, 0)]}), SEQUENCE)
    assert statuses(reports) == {"load": "recorded", "clean": "refused", "count": "refused"}
    assert reports["clean"].why == "did not write n, which its component.yaml promises"
    assert reports["count"].why == "its input clean was not recorded"
    assert list(shop.runs()) == ["load"]


def test_an_empty_output_is_not_recorded(shop: Shop) -> None:
    reports = shop.record(shop.run(SEQUENCE, {"count": [({}, 0)]}), SEQUENCE)
    assert (reports["count"].status, reports["count"].why) == ("refused", "wrote nothing")


def test_a_name_that_no_store_holds_is_not_recorded(shop: Shop) -> None:
    reports = shop.record(shop.run(SEQUENCE, {"count": [({"a": b"", "A": b""}, 0)]}), SEQUENCE)
    assert reports["count"].status == "refused"
    assert "equal but for case" in reports["count"].why


def test_compressed_nodes_are_recorded_as_well(shop: Shop) -> None:
    workflow = compressed(shop.run(SEQUENCE))
    assert set(statuses(shop.record(workflow, SEQUENCE)).values()) == {"recorded"}


def test_a_log_that_cannot_be_had_keeps_nothing_from_being_recorded(shop: Shop) -> None:
    shop.record(shop.run(SEQUENCE), SEQUENCE)
    assert shop.remote.read_log(shop.runs()["load"].location) is None


@pytest.mark.parametrize("lost", ["_history", "_cache"])
def test_what_a_record_step_that_died_has_begun_is_completed(shop: Shop, lost: str) -> None:
    workflow = shop.run(SEQUENCE)
    shop.record(workflow, SEQUENCE)
    before = shop.runs(), index(shop, digest("a"), digest("b"), digest("c"))
    shop.bucket.delete(shop.bucket.list(lost))
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
    standing = shop.runs()["load"]
    # The same submission, which another Workflow ran to other bytes.
    late = msgspec.structs.replace(second, pipeline="words-again")
    report = shop.record(shop.run(late, {"load": [({"n": b"two"}, 0)]}), late)["load"]
    assert report.status == "recorded"
    assert report.why == f"run {standing.run} stands under its key, and stays"
    assert index(shop, standing.keys.content, digest("a")) == [index_record_of(standing)] * 2


def test_only_the_run_that_is_to_make_way_is_replaced(shop: Shop) -> None:
    alone = make_submission(submitted_stage("load", recipe=digest("a")))
    shop.record(shop.run(alone), alone)
    standing = shop.runs()["load"]
    stage = msgspec.structs.replace(alone.stages[0], replaces=standing.run)
    forced = msgspec.structs.replace(alone, stages=(stage,), pipeline="words-forced")
    shop.record(shop.run(forced, {"load": [({"n": b"two"}, 0)]}), forced)
    [record, recipe] = index(shop, standing.keys.content, digest("a"))
    assert record is not None
    assert record == recipe
    assert "words-forced" in record.run
    # Once more: what stands now is not the one that was to make way.
    again = msgspec.structs.replace(forced, pipeline="words-later")
    shop.record(shop.run(again, {"load": [({"n": b"3"}, 0)]}), again)
    assert index(shop, standing.keys.content) == [record]


def test_a_run_that_is_not_whole_makes_way(shop: Shop) -> None:
    alone = make_submission(submitted_stage("load", recipe=digest("a")))
    shop.record(shop.run(alone), alone)
    standing = shop.runs()["load"]
    shop.bucket.delete([f"{standing.location}/output/n"])
    again = msgspec.structs.replace(alone, pipeline="words-again")
    shop.record(shop.run(again), again)
    [record] = index(shop, standing.keys.content)
    assert record is not None
    assert "words-again" in record.run


def test_a_source_that_changed_meanwhile_is_not_recorded(shop: Shop, minio: Minio) -> None:
    raw = Bucket(f"s3://{minio.bucket()}", minio.access)
    raw.put("in/a", b"1")
    url = f"{raw.url}/in"
    identity = BucketSource(url, "", minio.access).identify()
    source = SubmittedSource(
        identity=identity.identity, digest=str(identity.digest), origin=url, url=url
    )
    submission = msgspec.structs.replace(SEQUENCE, source=source)
    workflow = shop.run(submission)
    raw.put("in/b", b"2")
    reports = shop.record(workflow, submission)
    assert reports["load"].why == f"the source {url} has changed since it was planned"
    assert set(statuses(reports).values()) == {"refused"}
    assert shop.runs() == {}
    raw.delete(["in/b"])
    assert set(statuses(shop.record(workflow, submission)).values()) == {"recorded"}


EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "image": (lambda w: container(w).update(image="other:latest"), "its image is other:latest"),
    "command": (
        lambda w: container(w).update(command=["sh"]),
        "its command had 'sh' where 'python'",
    ),
    "arguments": (
        lambda w: container(w)["args"].append("--top=9"),
        "its arguments had 7 words where 6",
    ),
    "variable": (
        lambda w: container(w)["env"].append({"name": "X", "value": "1"}),
        "its environment",
    ),
    "secret": (lambda w: container(w).update(envFrom=[{}]), "its container has envFrom"),
    "volumes": (lambda w: container(w)["volumeMounts"].pop(), "its volumes are others"),
    "kept volume": (
        lambda w: (
            w["spec"]["volumes"][0].update(emptyDir=None, persistentVolumeClaim={})
            or w["spec"]["volumes"][0].pop("emptyDir")
        ),
        "its volumes are others",
    ),
    "sidecar": (
        lambda w: template_of(w, "text-load").update(sidecars=[{}]),
        "its template has sidecars",
    ),
    "patch": (lambda w: w["spec"].update(podSpecPatch="{}"), "its Workflow has podSpecPatch"),
    "defaults": (
        lambda w: w["spec"].update(templateDefaults={"container": {"env": []}}),
        "templateDefaults have container",
    ),
    "value": (
        lambda w: parameter(w, "top").update(value="9"),
        "its arguments had '--top=9' where '--top=3' was submitted",
    ),
    "source": (
        lambda w: node_of(w, "load(0)")["inputs"]["artifacts"][0].update(s3={"key": "team/other"}),
        "its source was read from elsewhere",
    ),
    "further input": (
        lambda w: node_of(w, "load(0)")["inputs"]["artifacts"].append({"name": "more", "raw": {}}),
        "it has the further input more",
    ),
    "path": (
        lambda w: template_of(w, "text-load")["inputs"]["artifacts"][0].update(path="/in"),
        "its source is at /in",
    ),
    "output path": (
        lambda w: template_of(w, "text-load")["outputs"]["artifacts"][0].update(path="/tmp"),
        "its output is not taken from /application/data/output",
    ),
    "place": (
        lambda w: node_of(w, "load(0)")["outputs"]["artifacts"][0].update(
            s3={"key": "team/text/x"}
        ),
        "its output is at team/text/x, not at team/text/load/",
    ),
    "template": (
        lambda w: node_of(w, "load(0)").update(templateName="mine"),
        "it ran the template 'mine' and not 'text-load'",
    ),
    "memoized": (
        lambda w: node_of(w, "load(0)").update(memoizationStatus={"hit": True}),
        "its output is one that Argo has memoized",
    ),
    "no pod": (lambda w: node_of(w, "load").update(children=[]), "no pod of its own ran"),
}


def container(workflow: dict[str, Any]) -> dict[str, Any]:
    """The container of the template of load."""
    found: dict[str, Any] = template_of(workflow, "text-load")["container"]
    return found


def parameter(workflow: dict[str, Any], name: str) -> dict[str, Any]:
    """A parameter that load ran with."""
    parameters = node_of(workflow, "load(0)")["inputs"]["parameters"]
    return next(one for one in parameters if one["name"] == name)


@pytest.fixture(scope="module")
def ran(minio: Minio, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, dict[str, Any]]:
    """A Workflow that has run; its tests record nothing."""
    shop = Shop.make(minio, tmp_path_factory.mktemp("shop"))
    return shop, shop.run(SEQUENCE)


@pytest.mark.parametrize("name", EDITS)
def test_what_was_edited_by_hand_is_not_recorded_nor_what_read_it(
    ran: tuple[Shop, dict[str, Any]], name: str
) -> None:
    shop, workflow = ran
    change, said = EDITS[name]
    reports = shop.record(edit(workflow, change), SEQUENCE)
    assert reports["load"].why.startswith("it was edited by hand: ")
    assert said in reports["load"].why
    assert set(statuses(reports).values()) == {"refused"}
    assert shop.runs() == {}


def test_an_output_that_the_workflow_does_not_know_of_is_not_looked_for(
    ran: tuple[Shop, dict[str, Any]],
) -> None:
    shop, workflow = ran
    unknown = edit(workflow, lambda w: node_of(w, "load(0)")["outputs"].pop("artifacts"))
    report = shop.record(unknown, SEQUENCE)["load"]
    assert (report.status, report.why) == ("refused", "its Workflow tells of no output")
