"""The output directory: a whole copy of what the last run wrote, and never of damaged files."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daintree.errors import ArtifactDamaged
from daintree.pipeline.output_directory import origins_of, publish_output
from daintree.store.store import Store
from tests.pipeline.conftest import ONE, TWO, KeepRun, content, publish


def test_the_output_is_a_copy_that_can_be_written(
    project: Path, store: Store, keep: KeepRun
) -> None:
    assert publish(project, keep("r1", ONE), store)
    assert content(project / "output/x") == ONE
    (project / "output/x/metrics.csv").write_text("mine")
    assert (Path(store.address("c/train/0123/r1")) / "metrics.csv").read_text() == "1\n"


def test_several_stages_get_a_directory_each(project: Path, store: Store, keep: KeepRun) -> None:
    records = {"train": keep("r1", ONE), "evaluate": keep("r2", TWO)}
    assert publish_output(project / "out", records, store, project)
    expected = {f"train/{path}": text for path, text in ONE.items()}
    expected |= {f"evaluate/{path}": text for path, text in TWO.items()}
    assert content(project / "out") == expected


def test_another_output_replaces_the_one_before(project: Path, store: Store, keep: KeepRun) -> None:
    one, two = keep("r1", ONE), keep("r2", TWO)
    assert publish(project, one, store)
    assert publish(project, two, store)
    assert content(project / "output/x") == TWO
    assert sorted(os.listdir(project / "output")) == [".x.daintree.json", "x"]


def test_where_directories_cannot_be_exchanged_they_are_renamed(
    project: Path, store: Store, keep: KeepRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daintree.pipeline.output_directory._exchange", lambda one, other: False)
    publish(project, keep("r1", ONE), store)
    publish(project, keep("r2", TWO), store)
    assert content(project / "output/x") == TWO
    assert sorted(os.listdir(project / "output")) == [".x.daintree.json", "x"]


def test_nothing_is_copied_twice(project: Path, store: Store, keep: KeepRun) -> None:
    one = keep("r1", ONE)
    publish(project, one, store)
    inode = (project / "output/x/metrics.csv").stat().st_ino
    assert not publish(project, one, store)
    assert not publish(project, keep("r2", ONE), store)
    assert (project / "output/x/metrics.csv").stat().st_ino == inode


def test_the_marker_names_the_run_also_of_files_that_are_there_already(
    project: Path, store: Store, keep: KeepRun
) -> None:
    directory = project / "output/x"
    assert origins_of(directory) == ({}, False)
    for record in (keep("r1", ONE), keep("r2", ONE)):
        publish(project, record, store)
        origins, intact = origins_of(directory)
        assert (origins[""].run, origins[""].location) == (record.run, record.location)
        assert intact
    (directory / "metrics.csv").write_text("9\n")
    assert origins_of(directory) == (origins, False)
    assert origins_of(Path("/")) == ({}, False)


def test_the_marker_names_the_combination_of_a_sweep(
    project: Path, store: Store, keep: KeepRun
) -> None:
    records, directory = {"": keep("r1", ONE)}, project / "output/x"
    for combination in ({}, {"train.epochs": 10}, {"train.epochs": 10, "load.strict": True}):
        publish_output(directory, records, store, project, combination)
        origins, intact = origins_of(directory)
        assert intact
        assert (origins[""].run, origins[""].combination) == ("r1", combination)


@pytest.mark.parametrize("change", ["edit", "delete", "remove"])
def test_a_copy_that_was_changed_is_made_again(
    change: str, project: Path, store: Store, keep: KeepRun
) -> None:
    one = keep("r1", ONE)
    publish(project, one, store)
    path = project / "output/x/metrics.csv"
    if change == "edit":
        path.write_text("9\n")
    elif change == "delete":
        path.unlink()
    else:
        for file in (path, project / "output/x/sub/größe %20?.txt"):
            file.unlink()
        (project / "output/x/sub").rmdir()
        (project / "output/x").rmdir()
    assert publish(project, one, store)
    assert content(project / "output/x") == ONE


def test_an_empty_directory_is_taken(project: Path, store: Store, keep: KeepRun) -> None:
    (project / "output/x").mkdir(parents=True)
    assert publish(project, keep("r1", ONE), store)
    assert content(project / "output/x") == ONE


def test_a_link_is_followed(project: Path, store: Store, keep: KeepRun, tmp_path: Path) -> None:
    (tmp_path / "large-disk").mkdir()
    (project / "output").symlink_to(tmp_path / "large-disk")
    publish(project, keep("r1", ONE), store, "output")
    publish(project, keep("r2", TWO), store, "output")
    assert (project / "output").is_symlink()
    assert content(tmp_path / "large-disk") == TWO


@pytest.mark.parametrize("damage", ["flip", "delete"])
def test_a_damaged_output_is_never_handed_on(
    damage: str, project: Path, store: Store, keep: KeepRun
) -> None:
    publish(project, keep("r1", ONE), store)
    two = keep("r2", TWO)
    victim = store.output_path(two) / "vectors.csv"
    victim.parent.chmod(0o755)
    victim.unlink()
    if damage == "flip":
        victim.write_text("z")
    with pytest.raises(ArtifactDamaged) as failure:
        publish(project, two, store)
    words = {"flip": "is damaged in the store", "delete": "missing from the store"}
    assert failure.value.message == f"output file vectors.csv {words[damage]}"
    assert (failure.value.file, failure.value.hint) == ("vectors.csv", "run again")
    assert failure.value.kind == {"flip": "damaged", "delete": "missing"}[damage]
    assert content(project / "output/x") == ONE
    assert sorted(os.listdir(project / "output")) == [".x.daintree.json", "x"]


def test_a_run_without_its_manifest_is_missing(project: Path, store: Store, keep: KeepRun) -> None:
    one = keep("r1", ONE)
    manifest = Path(store.url) / one.location / "run.json"
    manifest.parent.chmod(0o755)
    manifest.unlink()
    with pytest.raises(ArtifactDamaged, match=r"^run r1 has lost its run\.json$"):
        publish(project, one, store)
    assert not (project / "output/x").exists()


def test_a_manifest_cannot_lead_out_of_the_directory(
    project: Path, store: Store, keep: KeepRun
) -> None:
    one = keep("r1", ONE)
    path = Path(store.url) / one.location / "run.json"
    path.parent.chmod(0o755)
    content = path.read_bytes().replace(b'"metrics.csv"', b'"../../../escaped"')
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(ArtifactDamaged):
        publish(project, one, store)
    assert not list(project.parent.rglob("escaped"))


def test_runs_at_the_same_time_all_succeed(project: Path, store: Store, keep: KeepRun) -> None:
    records = [keep("r1", ONE), keep("r2", TWO)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda place: publish(project, records[place % 2], store), range(24)))
    assert any(made)
    assert content(project / "output/x") in (ONE, TWO)
    assert sorted(os.listdir(project / "output")) == [".x.daintree.json", "x"]
