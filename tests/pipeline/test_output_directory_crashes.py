"""The output directory is a whole copy at every moment, even when whoever makes it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from daintree.store.store import Store
from tests.pipeline.conftest import ONE, TWO, KeepRun, content, publish

# Publishes one run's output; is killed right before its n-th change of the file system, where n is given.
PUBLISH = """
import os, signal, sys
from pathlib import Path
from daintree.store.records import index_record_of
from daintree.pipeline.output_directory import publish_output
from daintree.store.store import directory_store

root, location, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = directory_store(root / "store")
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
