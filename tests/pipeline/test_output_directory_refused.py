"""The output directory never takes the place of files that no run has put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daintree.store.store import Store
from tests.pipeline.conftest import ONE, TWO, KeepRun, complaint, content, publish


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


LITTER = [
    ".DS_Store",
    "sub/.DS_Store",
    ".ipynb_checkpoints/metrics-checkpoint.csv",
    "Thumbs.db",
    "desktop.ini",
    "._metrics.csv",
    ".metrics.csv.swp",
    "metrics.csv~",
    ".#metrics.csv",
    "__pycache__/read.cpython-311.pyc",
    ".nfs000000000123",
    "~$metrics.xlsx",
    ".fuse_hidden0000000100000001",
    ".idea/workspace.xml",
    ".gitkeep",
    "sub/.gitignore",
    ".ruff_cache/0.12/1",
    "Icon\r",
    ".AppleDouble/metrics.csv",
    ".Trash-1000/files/metrics.csv",
    ".syncthing.metrics.csv.tmp",
    ".dropbox.attr",
    "__MACOSX/._metrics.csv",
    ".fseventsd/0000",
    ".Rhistory",
    ".vs/slnx.sqlite",
    ".stversions/metrics.csv",
    ".sync_0a1b.db",
]


@pytest.mark.parametrize("litter", LITTER)
def test_litter_is_left_alone_and_kept(
    litter: str, project: Path, store: Store, keep: KeepRun
) -> None:
    record = keep("r1", ONE)
    publish(project, record, store)
    path = project / "output/x" / litter
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("left behind")
    assert not publish(project, record, store), "nothing has to be copied for it"
    assert publish(project, keep("r2", TWO), store)
    assert content(project / "output/x") == {**TWO, litter: "left behind"}
    assert publish(project, record, store)
    assert path.read_text() == "left behind"


def test_litter_alone_is_no_reason_to_refuse_a_directory(
    project: Path, store: Store, keep: KeepRun
) -> None:
    (project / "output/x").mkdir(parents=True)
    (project / "output/x/.DS_Store").write_text("left behind")
    publish(project, keep("r1", ONE), store)
    assert content(project / "output/x") == {**ONE, ".DS_Store": "left behind"}


def test_an_output_of_such_a_name_is_an_output(project: Path, store: Store, keep: KeepRun) -> None:
    publish(project, keep("r1", {"notes~": "1", "a.txt": "a"}), store)
    publish(project, keep("r2", {"a.txt": "b"}), store)
    assert content(project / "output/x") == {"a.txt": "b"}


def test_several_files_are_named(project: Path, store: Store, keep: KeepRun) -> None:
    (project / "output/x").mkdir(parents=True)
    for name in "abcde":
        (project / "output/x" / name).touch()
    message = complaint(project / "output/x", keep("r1", ONE), store, project).message
    assert "holds 'a', 'b', 'c' and 2 more, which no run has put there" in message
