"""Exactly the stages that succeeded become runs, whatever lies in the bucket: a real MinIO, statuses as clusters return them."""

from __future__ import annotations

import msgspec

from daintree.argo.manifest import TERMINATED
from daintree.argo.submission import SubmittedHit, SubmittedSource
from daintree.pipeline.keys import RECEIPT, content_key, receipt
from daintree.pipeline.sources.bucket import BucketSource
from daintree.store.bucket import Bucket
from daintree.store.records import index_record_of
from tests.argo.conftest import digest, make_submission, submitted_stage
from tests.argo.executed import LOST, SEQUENCE, Shop, index, node_of, statuses
from tests.argo.workflows import compressed, exit_handler
from tests.services.minio import Minio
from tests.services.one_machine_argo import NODE


def test_what_succeeded_is_a_run_that_both_its_keys_lead_to(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE, {"load": [({"a.csv": b"x\n", "deep/er/b": b""}, 0)]})
    pod = shop.recording(workflow, SEQUENCE)._status.tasks["load"].attempts[0].pod
    shop.logs[pod] = b"said\n"
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
    orphans = list(shop.bucket.sizes("text/clean"))
    assert [path.rpartition("/")[2] for path in orphans] == ["n"]


def test_of_an_output_that_was_tried_again_only_the_good_attempt_is_recorded(shop: Shop) -> None:
    lost = [({"first": b"1"}, LOST), ({"second": b"2"}, TERMINATED)]
    workflow = shop.run(SEQUENCE, {"load": [*lost, ({"good": b"3"}, 0)]})
    assert statuses(shop.record(workflow, SEQUENCE))["load"] == "recorded"
    run = shop.runs()["load"]
    assert run.output is not None
    assert run.run.endswith(node_of(workflow, "load(2)")["id"].rpartition("-")[2])
    assert [entry.path for entry in run.output.files] == ["good"]
    assert len(list(shop.bucket.sizes("text/load"))) == len(["first", "second", "good", "run.json"])


def test_a_run_names_the_variables_that_its_stage_asked_for(shop: Shop) -> None:
    submission = make_submission(submitted_stage("load", env=("DB_PASSWORD",)), secret="shop")
    shop.record(shop.run(submission), submission)
    assert shop.runs()["load"].env == ("DB_PASSWORD",)


def test_a_stage_that_the_cluster_lost_each_time_is_not_recorded(shop: Shop) -> None:
    workflow = shop.run(SEQUENCE, {"load": [({"n": b""}, LOST)] * 4})
    reports = shop.record(workflow, SEQUENCE)
    assert (reports["load"].state, reports["load"].why) == ("error", "pod deleted")
    assert shop.runs() == {}


def test_a_stage_that_a_deadline_ended_is_not_recorded_though_its_output_is_there(
    shop: Shop,
) -> None:
    workflow = shop.run(SEQUENCE)
    message = "Pod was active on the node longer than the specified deadline"
    for name in ("count(0)", "count"):
        node_of(workflow, name).update(phase="Failed", message=message)
    reports = shop.record(workflow, SEQUENCE)
    assert statuses(reports) == {"load": "recorded", "clean": "recorded", "count": "absent"}
    assert reports["count"].why == message
    assert list(shop.bucket.sizes("text/count"))


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


def test_a_source_that_changed_meanwhile_is_not_recorded(shop: Shop, minio: Minio) -> None:
    raw = Bucket(f"s3://{minio.bucket()}", minio.access)
    raw.put("in/a", b"1")
    url = f"{raw.url}/in"
    identity = BucketSource(url, "", minio.access).identify()
    source = SubmittedSource(
        identity=identity.identity, digest=str(identity.digest), origin=url, url=url
    )
    submission = msgspec.structs.replace(SEQUENCE, sources=(source,))
    workflow = shop.run(submission)
    raw.put("in/b", b"2")
    reports = shop.record(workflow, submission)
    assert reports["load"].why == f"the source {url} has changed since it was planned"
    assert set(statuses(reports).values()) == {"refused"}
    assert shop.runs() == {}
    raw.delete(["in/b"])
    assert set(statuses(shop.record(workflow, submission)).values()) == {"recorded"}


def test_sources_are_recorded_by_name_and_the_token_is_that_of_the_plan(
    shop: Shop, minio: Minio
) -> None:
    raw = Bucket(f"s3://{minio.bucket()}", minio.access)
    raw.put("in/a", b"1")
    url = f"{raw.url}/in"
    identity = BucketSource(url, "", minio.access).identify()
    ratings = SubmittedSource(
        **{"name": "ratings", "identity": identity.identity, "digest": str(identity.digest)},
        **{"origin": url, "url": url, "endpoint": minio.access.endpoint},
    )
    [corpus] = SEQUENCE.sources
    corpus = msgspec.structs.replace(corpus, name="corpus", final_origin="text/load/run")
    submission = make_submission(
        submitted_stage("join", sources=("ratings", "corpus"), recipe=digest("a")),
        submitted_stage("query", sources=(), refresh="2026-03-01", recipe=digest("b")),
        sources=(ratings, corpus),
    )
    workflow = shop.run(submission)
    reports = shop.record(workflow, submission)
    assert set(statuses(reports).values()) == {"recorded"}, reports
    runs = shop.runs()
    assert [
        (one.name, one.origin, one.final_origin, one.source) for one in runs["join"].inputs
    ] == [
        ("corpus", "corpus.txt", "text/load/run", True),
        ("ratings", url, "", True),
    ]
    query = runs["query"]
    assert (query.refresh, query.inputs) == ("2026-03-01", ())
    assert query.keys.content == content_key(
        version=digest("1"),
        parameters={"top": 3},
        environment="image",
        inputs={},
        refresh="2026-03-01",
    )
    raw.put("in/b", b"2")
    changed = shop.run(msgspec.structs.replace(submission, pipeline="other"))
    again = shop.record(changed, msgspec.structs.replace(submission, pipeline="other"))
    assert statuses(again) == {"join": "refused", "query": "recorded"}


def test_a_receipt_stands_for_the_output_of_a_stage_without(shop: Shop) -> None:
    submission = make_submission(
        submitted_stage("tell", receipt=True, recipe=digest("a")),
        submitted_stage("after", needs=("tell",), empty_needs=("tell",), recipe=digest("b")),
    )
    workflow = shop.run(submission, {"tell": [({}, 0)]})
    assert set(statuses(shop.record(workflow, submission)).values()) == {"recorded"}
    assert set(statuses(shop.record(workflow, submission)).values()) == {"known"}
    tell, after = shop.runs()["tell"], shop.runs()["after"]
    [content] = shop.bucket.get_many([f"{tell.location}/output/{RECEIPT}"])
    assert content == receipt("text/tell", tell.keys.content)
    assert tell.output is not None
    assert [one.digest for one in after.inputs] == [tell.output.digest]
    assert shop.remote.check_all([index_record_of(tell)]) == [None]


def test_what_a_stage_without_output_has_written_is_its_output(shop: Shop) -> None:
    submission = make_submission(submitted_stage("tell", receipt=True, recipe=digest("a")))
    shop.record(shop.run(submission), submission)
    output = shop.runs()["tell"].output
    assert output is not None
    assert [entry.path for entry in output.files] == ["n"]
