"""A full disk, a file that may not be read, a database that is no database: one clear message each."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.small_disk import fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.projects import Project

DROP_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.fixture
def unprivileged() -> tuple[str, ...]:
    """What goes before a command so that permissions bind it, for root too."""
    if os.geteuid() != 0:
        return ()
    probe = [*DROP_OVERRIDE, "true"]
    if not shutil.which("setpriv") or subprocess.run(probe, check=False).returncode:
        pytest.skip("root reads every file, and setpriv cannot take that away here")
    return DROP_OVERRIDE


def test_a_store_on_a_full_disk(project: Project, small_disk: Path) -> None:
    full = project.at(project.root, DAINTREE_STORE=str(small_disk / "store"))
    full.run("words")
    filler = fill(small_disk)

    complaint = full.doit("run", "words", "--force", "clean").complaint()

    assert f"the disk of the artifact store {small_disk / 'store'} is full" in complaint
    filler.unlink()
    assert full.run("words", "--force", "clean") == {"load": "hit", "clean": "run", "count": "hit"}
    assert list((small_disk / "store/_staging").iterdir()) == []


def test_a_stage_that_fills_the_disk(project: Project, small_disk: Path) -> None:
    full = project.at(project.root, DAINTREE_STORE=str(small_disk / "store"))
    full.component("odd/large", "(output / 'large').write_bytes(bytes(4_000_000))")
    full.pipeline("large", "text/load", "odd/large")

    complaint = full.doit("run", "large").complaint()

    assert "large:large" in complaint
    assert "No space left on device" in complaint
    assert full.plan("large") == {"load": "hit", "large": "miss"}
    assert full.run("words") == {"load": "hit", "clean": "run", "count": "run"}


def test_an_output_directory_on_a_full_disk(ran: Project, small_disk: Path) -> None:
    target = small_disk / "words"
    ran.run("words", "--output", str(target))
    filler = fill(small_disk)
    before = ran.contents(target)

    complaint = ran.doit("run", "words", "--set", "count.top=1", "--output", target).complaint()

    assert "No space left on device" in complaint
    assert ran.contents(target) == before
    filler.unlink()
    assert set(os.listdir(small_disk)) <= {"words", ".words.daintree.json"}


def test_a_source_that_may_not_be_read(project: Project, unprivileged: tuple[str, ...]) -> None:
    (project.root / "corpus.txt").chmod(0)

    complaint = project.doit("run", "words", prefix=unprivileged).complaint()

    assert (
        "error: pipelines/words.yaml: the source corpus.txt cannot be read: Permission denied"
        in complaint
    )
    assert "hint: check its permissions" in complaint


def test_a_component_file_that_may_not_be_read(
    project: Project, unprivileged: tuple[str, ...]
) -> None:
    project.write("components/text/clean/secret.txt", "secret").chmod(0)

    complaint = project.doit("run", "words", prefix=unprivileged).complaint()

    assert "components/text/clean/secret.txt" in complaint
    assert "Permission denied" in complaint


def test_a_pipeline_file_that_may_not_be_read(
    project: Project, unprivileged: tuple[str, ...]
) -> None:
    (project.root / "pipelines/words.yaml").chmod(0)

    complaint = project.doit("run", "words", prefix=unprivileged).complaint()

    assert "pipelines/words.yaml: cannot be read: Permission denied" in complaint


def test_a_store_that_may_not_be_written(project: Project, unprivileged: tuple[str, ...]) -> None:
    store = Path(project.environ["DAINTREE_STORE"])
    store.mkdir()
    store.chmod(0o555)

    complaint = project.doit("run", "words", prefix=unprivileged).complaint()

    assert f"no permission for {store}" in complaint
    hint = complaint[complaint.index("hint: ") :]
    assert "or set DAINTREE_STORE, or store in pyproject.toml, to a directory of your own" in hint


def test_a_store_that_is_a_file(project: Project) -> None:
    Path(project.environ["DAINTREE_STORE"]).write_text("no store")

    complaint = project.doit("run", "words").complaint()

    assert project.environ["DAINTREE_STORE"] in complaint


def test_a_stage_output_that_may_not_be_read(
    project: Project, unprivileged: tuple[str, ...]
) -> None:
    project.component("odd/lock", "f = output / 'f'; f.write_text('f'); f.chmod(0)")
    project.pipeline("odd", "odd/lock")

    complaint = project.doit("run", "odd", prefix=unprivileged).complaint()

    assert "odd:lock" in complaint
    assert "'f' cannot be read" in complaint


@pytest.mark.parametrize("content", [b"no database", b"", b"SQLite format 3\0" + b"x" * 4096])
def test_a_broken_database_of_doit_is_made_anew(project: Project, content: bytes) -> None:
    (project.root / ".doit.db").write_bytes(content)
    project.write(
        "dodo.py",
        "def task_hello():\n    return {'actions': ['echo hello'], 'uptodate': [True]}\n",
    )

    first = project.doit("run", "hello")
    second = project.doit("run", "hello")

    assert (first.code, second.code) == (0, 0), first.stderr
    assert "hello" in first.stdout
    assert second.stdout.startswith("-- hello")
    assert project.run("words")["load"] == "run"


def test_a_checkout_that_may_not_be_written_runs_tasks(
    project: Project, unprivileged: tuple[str, ...]
) -> None:
    project.write("dodo.py", "def task_hello():\n    return {'actions': ['echo hello']}\n")
    os.chmod(project.root, 0o555)
    try:
        done = project.doit("run", "hello", prefix=unprivileged)
    finally:
        os.chmod(project.root, 0o755)

    assert (done.code, done.stdout) == (0, ".  hello\n"), done.stderr
    assert f"note: {project.root / '.doit.db'} cannot be written" in done.stderr


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/nowhere/at/all")]
)
def test_a_database_of_doit_that_is_no_file_is_done_without(
    project: Project, make: Callable[[Path], None]
) -> None:
    project.write("dodo.py", "def task_hello():\n    return {'actions': ['echo hello']}\n")
    path = project.root / ".doit.db"
    make(path)

    done = project.doit("run", "hello")

    assert (done.code, done.stdout) == (0, ".  hello\n"), done.stderr
    assert f"note: {path} cannot be written" in done.stderr


def test_a_pipe_closed_by_its_reader_is_no_error(ran: Project) -> None:
    process = ran.start("list", "--all")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    finished = ran.finish(process)

    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("SNAPSHOTS", "hint: free some disk space, or choose another disk: DAINTREE_SNAPSHOTS"),
        ("ENVIRONMENTS", "free some space there, or choose another directory"),
    ],
)
def test_a_full_disk_is_named_with_what_helps(
    project: Project, small_disk: Path, setting: str, words: str
) -> None:
    fill(small_disk)
    env = {f"DAINTREE_{setting}": str(small_disk / "place")}
    assert words in project.doit("run", "words", env=env).complaint()
