"""A source that is the output of a run with a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.errors import DaintreeError, SourceError, SpecError
from daintree.pipeline.sources.local import LocalSource
from daintree.pipeline.sources.named import NamedSource, is_named_source
from daintree.spec.pipeline import SourceSpec
from daintree.store.records import NameRecord, RunManifest, named_run_of
from daintree.store.store import Store, directory_store
from tests.contract.runs import FILES, OTHER_RUN, RUN, contents, fill, publish

SOURCE = "words:train@production"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return directory_store(tmp_path / "store")


def name(store: Store, run: RunManifest, stage: str = "train") -> None:
    """Let words@production lead to this run."""
    old = store.records.read_name("words", "production")
    record = NameRecord(pipeline="words", name="production", runs={stage: named_run_of(run)})
    assert store.write_name(record, old)


def pipeline(root: Path, name: str, source: str, stages: str = "[c/train]") -> None:
    file = root / "pipelines" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"source: {source}\nstages: {stages}\n")


def source(tmp_path: Path, store: Store, location: str = SOURCE) -> NamedSource:
    return NamedSource(location, "", tmp_path, "reader", store)


def test_it_is_known_by_what_the_run_wrote_as_a_copy_of_that_is(
    tmp_path: Path, store: Store
) -> None:
    run = publish(store)
    name(store, run)
    identity = source(tmp_path, store).identify()
    assert (identity.origin, identity.final_origin) == (SOURCE, run.location)
    fill(tmp_path / "copy", FILES)
    spec = SourceSpec(location="copy")
    copy = LocalSource(tmp_path / "copy", spec, tmp_path, store).identify()
    assert (identity.identity, identity.digest) == (copy.identity, copy.digest)


def test_a_stage_gets_the_files_of_the_run(tmp_path: Path, store: Store) -> None:
    run = publish(store)
    name(store, run)
    named = source(tmp_path, store)
    (tmp_path / "input").mkdir()
    [(part, place)] = named.files(tmp_path / "input").items()
    assert (part, str(place)) == ("", store.address(run.location))
    assert contents(tmp_path / "input") == FILES
    assert named.unchanged()


def test_the_name_is_resolved_once(tmp_path: Path, store: Store) -> None:
    first, second = publish(store, RUN), publish(store, OTHER_RUN, {"new": b"1"})
    name(store, first)
    planned = source(tmp_path, store)
    before = planned.identify()
    name(store, second)
    assert planned.fetch() == planned.identify() == before
    assert source(tmp_path, store).identify().final_origin == second.location


def test_without_a_stage_it_is_the_pipelines_last(tmp_path: Path, store: Store) -> None:
    pipeline(tmp_path, "words", "data.csv", "[c/load, c/train]")
    run = publish(store)
    name(store, run)
    identity = source(tmp_path, store, "words@production").identify()
    assert identity.final_origin == run.location


def test_a_damaged_output_is_not_read(tmp_path: Path, store: Store) -> None:
    run = publish(store)
    name(store, run)
    named = source(tmp_path, store)
    named.identify()
    file = Path(store.address(run.location), "a.csv")
    file.chmod(0o644)
    file.write_bytes(b"y\n1\n")
    (tmp_path / "input").mkdir()
    assert not named.unchanged()
    with pytest.raises(SourceError) as failure:
        named.files(tmp_path / "input")
    assert "a.csv" in failure.value.message
    assert failure.value.hint


def test_an_unknown_name_is_an_error_of_the_source(tmp_path: Path, store: Store) -> None:
    with pytest.raises(SourceError, match="no run of words has the name 'production'"):
        source(tmp_path, store).identify()


def test_a_sha256_cannot_be_declared(tmp_path: Path, store: Store) -> None:
    with pytest.raises(SourceError, match="sha256 cannot be declared"):
        NamedSource(SOURCE, "0" * 64, tmp_path, "reader", store)


@pytest.mark.parametrize(
    ("files", "location", "circle"),
    [
        ({}, "reader@x", "reader → reader"),
        ({"words": "reader:train@x"}, "words@y", "reader → words → reader"),
        ({"a": "b@x", "b": "reader@x"}, "a:train@z", "reader → a → b → reader"),
        ({"a": "b@x", "b": "a@x"}, "a@z", "a → b → a"),
    ],
)
def test_a_circle_is_an_error(
    tmp_path: Path, store: Store, files: dict[str, str], location: str, circle: str
) -> None:
    for reader, read in files.items():
        pipeline(tmp_path, reader, read)
    with pytest.raises(SpecError) as failure:
        source(tmp_path, store, location)
    assert failure.value.message.endswith(f"goes round in a circle: {circle}")


def test_a_line_of_pipelines_is_none(tmp_path: Path, store: Store) -> None:
    pipeline(tmp_path, "a", "b@x")
    pipeline(tmp_path, "b", "data.csv")
    with pytest.raises(DaintreeError, match="no run of a has the name"):
        source(tmp_path, store, "a:train@x").identify()


@pytest.mark.parametrize("text", ["data", "a/b@c", "./a@b", "https://x/a@b", "s3://a@b", "a@b@c"])
def test_other_sources_are_no_names(tmp_path: Path, text: str) -> None:
    assert not is_named_source(text, tmp_path)


def test_a_file_of_that_name_has_to_be_told_apart(tmp_path: Path) -> None:
    assert is_named_source("data@2024", tmp_path)
    (tmp_path / "data@2024").touch()
    with pytest.raises(SourceError) as failure:
        is_named_source("data@2024", tmp_path)
    assert failure.value.hint == "write ./data@2024 for the file"
    assert not is_named_source("./data@2024", tmp_path)
