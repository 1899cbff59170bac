"""The output directory: a whole copy at every moment, even when whoever makes it is killed, and nobody else's files lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from tooling.errors import ArtifactDamaged, ArtifactRejected, UsageError
from tooling.manifest import Artifact, IndexRecord, Keys, RunManifest, index_record_of
from tooling.run.output import publish_output
from tooling.store.artifact import hash_artifact
from tooling.store.local import DirectoryStore
from tooling.store.protocol import Store

Files: TypeAlias = Mapping[str, str]
KeepRun: TypeAlias = Callable[[str, Files], IndexRecord]

ONE = {"metrics.csv": "1\n", "sub/größe %20?.txt": "x"}
TWO = {"metrics.csv": "2\n", "vectors.csv": "y"}

# Publishes one run's output; is killed right before its n-th change of the file system, where n is given.
PUBLISH = """
import os, signal, sys
from pathlib import Path
from tooling.manifest import index_record_of
from tooling.run.output import publish_output
from tooling.store.local import DirectoryStore

root, location, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = DirectoryStore(root / "store")
record = index_record_of(store.read_run(location))

def changes(event, arguments):
    if event == "open":
        return isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    return event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "ctypes.dlsym")

def hook(event, arguments):
    global steps
    if changes(event, arguments):
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
publish_output(root / "project/output/x", {"": record}, store, root / "project")
"""


def manifest_of(run: str, output: Artifact) -> RunManifest:
    return RunManifest(
        run=run,
        location=f"c/train/0123/{run}",
        pipeline="x",
        stage="train",
        component="c/train",
        version="sha256:" + "0" * 64,
        environment="image",
        runner="local",
        keys=Keys("", ""),
        output=output,
        result="succeeded",
        started="",
        finished="",
        seconds=1.0,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def keep(store: Store) -> KeepRun:
    """Puts a run with these files as its output into the store."""

    def keep(run: str, files: Files) -> IndexRecord:
        with store.stage(run) as staging:
            for path, text in files.items():
                target = staging.output / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            staging.log.touch()
            manifest = manifest_of(run, hash_artifact(staging.output))
            store.publish_run(staging, manifest)
        return index_record_of(manifest)

    return keep


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def content(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def publish(project: Path, record: IndexRecord, store: Store, name: str = "output/x") -> bool:
    return publish_output(project / name, {"": record}, store, project)


def complaint(directory: Path, record: IndexRecord, store: Store, project: Path) -> UsageError:
    with pytest.raises(UsageError) as failure:
        publish_output(directory, {"": record}, store, project)
    return failure.value


def test_the_output_is_a_copy_that_can_be_written(
    project: Path, store: Store, keep: KeepRun
) -> None:
    assert publish(project, keep("r1", ONE), store)
    assert content(project / "output/x") == ONE
    (project / "output/x/metrics.csv").write_text("mine")
    assert (store.output_path("c/train/0123/r1") / "metrics.csv").read_text() == "1\n"


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
    monkeypatch.setattr("tooling.run.output._exchange", lambda one, other: False)
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


def test_a_directory_of_somebody_elses_files_is_left_alone(
    project: Path, store: Store, keep: KeepRun
) -> None:
    (project / "output/x").mkdir(parents=True)
    (project / "output/x/thesis.txt").write_text("years")
    error = complaint(project / "output/x", keep("r1", ONE), store, project)
    assert (
        error.message
        == f"the output {project}/output/x holds 'thesis.txt', which no run has put there"
    )
    assert error.hint == "name another directory with --output, or move this away"
    assert content(project / "output") == {"x/thesis.txt": "years"}


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_added_to_the_copy_is_never_lost(
    kind: str, project: Path, store: Store, keep: KeepRun
) -> None:
    publish(project, keep("r1", ONE), store)
    added = project / "output/x/sub/notes.txt"
    if kind == "file":
        added.write_text("mine")
    else:
        added.symlink_to(project, target_is_directory=True)
    error = complaint(project / "output/x", keep("r2", TWO), store, project)
    assert "holds 'sub/notes.txt', which no run has put there" in error.message
    assert os.path.lexists(added)
    assert (project / "output/x/metrics.csv").read_text() == "1\n"


def test_a_file_in_the_place_of_the_copy_is_never_lost(
    project: Path, store: Store, keep: KeepRun
) -> None:
    publish(project, keep("r1", ONE), store)
    (project / "output/x").rename(project / "moved")
    (project / "output/x").write_text("mine")
    error = complaint(project / "output/x", keep("r2", TWO), store, project)
    assert error.message == f"the output {project}/output/x is a file, which no run has put there"
    assert (project / "output/x").read_text() == "mine"


@pytest.mark.parametrize("marker", [b"", b"{", b"[]", b"\xff", b'{"digests": {}, "files": {}}'])
def test_without_its_memory_nothing_is_replaced(
    marker: bytes, project: Path, store: Store, keep: KeepRun
) -> None:
    publish(project, keep("r1", ONE), store)
    (project / "output/.x.daintree.json").write_bytes(marker)
    complaint(project / "output/x", keep("r2", TWO), store, project)
    assert content(project / "output/x") == ONE


def test_a_link_is_followed(project: Path, store: Store, keep: KeepRun, tmp_path: Path) -> None:
    (tmp_path / "large-disk").mkdir()
    (project / "output").symlink_to(tmp_path / "large-disk")
    publish(project, keep("r1", ONE), store, "output")
    publish(project, keep("r2", TWO), store, "output")
    assert (project / "output").is_symlink()
    assert content(tmp_path / "large-disk") == TWO


@pytest.mark.parametrize(
    ("directory", "problem"),
    [
        (".", "would replace the project"),
        ("..", "would replace the project"),
        ("/", "would replace "),
        ("link-to-here", "would replace the project"),
        ("../store", "would replace the artifact store"),
        ("../store/_cache/x", "lies in the artifact store"),
        ("link-to-store/x", "lies in the artifact store"),
        ("components/a/b", "lies in the project's components/"),
        ("pipelines", "lies in the project's pipelines/"),
        (".git/x", "lies in the project's .git/"),
        ("output/../components/x", "lies in the project's components/"),
    ],
)
def test_a_directory_that_must_not_be_replaced_is_refused(
    directory: str, problem: str, project: Path, store: Store, keep: KeepRun
) -> None:
    record = keep("r1", ONE)
    (project / "link-to-here").symlink_to(".")
    (project / "link-to-store").symlink_to("../store")
    before = content(project.parent)
    error = complaint(project / directory, record, store, project)
    assert error.message.startswith("the output /")
    assert problem in error.message
    assert error.hint in ("name a directory of its own", "name another directory")
    assert content(project.parent) == before


def test_the_home_directory_is_never_replaced(
    project: Path, store: Store, keep: KeepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home/me"))
    error = complaint(tmp_path / "home", keep("r1", ONE), store, project)
    assert error.message == f"the output {tmp_path}/home would replace your home directory"


@pytest.mark.parametrize("damage", ["flip", "delete"])
def test_a_damaged_output_is_never_handed_on(
    damage: str, project: Path, store: Store, keep: KeepRun
) -> None:
    publish(project, keep("r1", ONE), store)
    two = keep("r2", TWO)
    victim = store.output_path(two.location) / "vectors.csv"
    victim.parent.chmod(0o755)
    victim.unlink()
    if damage == "flip":
        victim.write_text("z")
    with pytest.raises(ArtifactDamaged) as failure:
        publish(project, two, store)
    words = {"flip": "is damaged in the store", "delete": "is missing from the store"}
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
    with pytest.raises(ArtifactRejected):
        publish(project, one, store)
    assert not list(project.parent.rglob("escaped"))


def test_whoever_is_killed_at_whatever_moment_the_next_run_makes_it_whole(
    project: Path, store: Store, keep: KeepRun
) -> None:
    one, two = keep("r1", ONE), keep("r2", TWO)
    directory = project / "output/x"
    for steps in range(1, 40):
        assert publish(project, one, store)
        assert sorted(os.listdir(project / "output")) == [".x.daintree.json", "x"]
        code = _publish_in_a_child(project.parent, two.location, steps)
        assert content(directory) in (ONE, TWO)
        publish(project, two, store)
        assert content(directory) == TWO
        if code == 0:
            break
    assert code == 0
    assert steps > 8


def test_whoever_is_killed_the_first_time_leaves_nothing_in_the_way(
    project: Path, store: Store, keep: KeepRun, tmp_path: Path
) -> None:
    one = keep("r1", ONE)
    for steps in range(1, 40):
        code = _publish_in_a_child(project.parent, one.location, steps)
        if (project / "output/x").exists():
            assert content(project / "output/x") == ONE
        publish(project, one, store)
        assert sorted(os.listdir(project / "output")) == [".x.daintree.json", "x"]
        (project / "output").rename(tmp_path / f"aside{steps}")
        if code == 0:
            break
    assert code == 0
    assert steps > 8


def _publish_in_a_child(root: Path, location: str, steps: int) -> int:
    arguments: list[str | Path] = [sys.executable, "-c", PUBLISH, root, location, str(steps)]
    return subprocess.run(arguments, check=False, cwd=Path(__file__).parents[2]).returncode


def test_runs_at_the_same_time_all_succeed(project: Path, store: Store, keep: KeepRun) -> None:
    records = [keep("r1", ONE), keep("r2", TWO)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda place: publish(project, records[place % 2], store), range(24)))
    assert any(made)
    assert content(project / "output/x") in (ONE, TWO)
    assert sorted(os.listdir(project / "output")) == [".x.daintree.json", "x"]
