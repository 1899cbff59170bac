from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import MODEL_RUN, NEWER_RUN, history_entry, write_name, write_run
from serving.provenance import opened
from stageio import StageError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def found(reference: object, store: object = "") -> tuple[str, str, Any]:
    """The model file's content, the run id and the metrics."""
    with opened(str(reference), str(store)) as (directory, provenance):
        return (directory / "model").read_text(), provenance.run_id, provenance.metrics


def test_a_plain_directory_has_no_provenance(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("m")
    assert found(tmp_path) == ("m", "", None)


def test_the_directory_of_a_run_or_its_output_tells_the_run(store: Path) -> None:
    place = write_run(store, MODEL_RUN, "train", {"model": "m"})
    assert found(place) == ("m", MODEL_RUN, None)
    assert found(place / "output") == ("m", MODEL_RUN, None)


def test_a_run_id_is_looked_up(store: Path) -> None:
    write_run(store, MODEL_RUN, "train", {"model": "old"})
    write_run(store, NEWER_RUN, "train", {"model": "new"})
    assert found(MODEL_RUN, store)[:2] == ("old", MODEL_RUN)


def test_a_stage_is_its_latest_run_that_succeeded(store: Path) -> None:
    write_run(store, MODEL_RUN, "train", {"model": "old"})
    write_run(store, NEWER_RUN, "train", {"model": "new"})
    failed = "20260303T101500000Z-0a1b2c3d"
    write_run(store, failed, "train", {}, result="failed")
    assert found("shop:train", store)[:2] == ("new", NEWER_RUN)


def test_a_name_is_followed_when_it_is_moved(store: Path) -> None:
    old = write_run(store, MODEL_RUN, "train", {"model": "old"})
    new = write_run(store, NEWER_RUN, "train", {"model": "new"})
    write_name(store, "production", "train", old)
    assert found("shop:train@production", store)[:2] == ("old", MODEL_RUN)
    write_name(store, "production", "train", new)
    assert found("shop:train@production", store)[:2] == ("new", NEWER_RUN)


def test_a_name_leads_to_exactly_the_run_that_was_named(store: Path) -> None:
    place = write_run(store, MODEL_RUN, "train", {"model": "m"})
    name = write_name(store, "production", "train", place)
    for reference in ("shop:train@other", "shop:rank@production", "news:train@production"):
        with pytest.raises(StageError, match="no run has that name"):
            found(reference, store)
    record = place / "run.json"
    whole, named = record.read_bytes(), name.read_bytes()
    for file, content in ((record, whole + b" "), (name, named.replace(b"train", b"trbin"))):
        before = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(StageError, match="no run has that name"):
            found("shop:train@production", store)
        file.write_bytes(before)
    assert found("shop:train@production", store)[0] == "m"


def test_metrics_are_those_measured_on_this_very_model(store: Path) -> None:
    write_run(store, MODEL_RUN, "train", {"model": "old"})
    write_run(store, NEWER_RUN, "train", {"model": "new"})
    for run, model, value in (
        ("20260301T111500000Z-0a1b2c3d", MODEL_RUN, 1),
        ("20260302T111500000Z-0a1b2c3d", NEWER_RUN, 2),
    ):
        metrics = json.dumps({"hr": value})
        write_run(store, run, "evaluate", {"metrics.json": metrics}, reads=f"sha256:{model}")
    assert found(MODEL_RUN, store)[2] == {"hr": 1}
    assert found("shop:train", store)[2] == {"hr": 2}


@pytest.mark.parametrize("reference", ["20260309T101500000Z-0a1b2c3d", "shop:load", "none:train"])
def test_a_run_that_is_not_there_is_an_error(store: Path, reference: str) -> None:
    write_run(store, MODEL_RUN, "train", {"model": "m"})
    with pytest.raises(StageError, match="no such run that succeeded in "):
        found(reference, store)


def test_a_run_without_a_store_is_an_error() -> None:
    with pytest.raises(StageError, match="a run is looked up in a store, and none is given"):
        found("shop:train")


def test_a_file_that_is_not_what_the_run_wrote_is_refused(store: Path) -> None:
    place = write_run(store, MODEL_RUN, "train", {"model": "m", "other": "o"})
    (place / "output" / "other").write_text("x")
    with pytest.raises(StageError, match=f"other: not the file that run {MODEL_RUN} wrote"):
        found(place)
    (place / "output" / "other").unlink()
    with pytest.raises(StageError, match="other: not the file"):
        found(place)


@pytest.mark.parametrize("location", ["../outside", "/etc", 3, None])
def test_a_history_that_leads_out_of_the_store_is_not_followed(
    store: Path, location: object
) -> None:
    place = write_run(store, MODEL_RUN, "train", {"model": "m"})
    shutil.copytree(place, store.parent / "outside")
    record = history_entry(store, "train", MODEL_RUN)
    record.write_text(json.dumps({"location": location}))
    with pytest.raises(StageError, match="no such run"):
        found(MODEL_RUN, store)


def test_the_same_in_a_bucket(store: Path, s3: Any) -> None:
    write_run(store, MODEL_RUN, "train", {"model": "m"})
    run = "20260301T111500000Z-0a1b2c3d"
    write_run(store, run, "evaluate", {"metrics.json": '{"hr": 1}'}, reads=f"sha256:{MODEL_RUN}")
    bucket = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    for path in store.rglob("*"):
        if path.is_file():
            key = f"ml/{path.relative_to(store).as_posix()}"
            s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    expected = ("m", MODEL_RUN, {"hr": 1})
    assert found("shop:train", f"s3://{bucket}/ml") == expected
    assert found(MODEL_RUN, f"s3://{bucket}/ml") == expected
    place = f"s3://{bucket}/ml/group/train/{MODEL_RUN}"
    assert found(place) == found(f"{place}/output/") == ("m", MODEL_RUN, None)
    with pytest.raises(StageError, match="no such run that succeeded"):
        found("shop:load", f"s3://{bucket}/ml")
    with pytest.raises(StageError, match="no objects there"):
        found(f"s3://{bucket}/nothing")
