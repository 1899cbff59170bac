"""The loader that doit calls first: what it refuses, and what it takes out of the garbage collector's sight."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from doit.cmd_base import DodoTaskLoader
from doit.dependency import JSONCodec, SqliteDB

from daintree.commands.doit_adapter import ProjectLoader, StageDatabase
from daintree.commands.run import Run

# Handlers of the exit run last to first: this one runs after the loader's own.
AT_EXIT = """
import atexit, gc
atexit.register(lambda: print("left to the collector:", len(gc.get_objects())))
from daintree.commands.doit_adapter import ProjectLoader
ProjectLoader()
print("frozen at once:", gc.get_freeze_count() > 10_000)
"""


def test_the_collector_looks_at_no_module_and_at_nothing_at_the_exit() -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True)
    assert done.stderr == ""
    at_once, at_exit = done.stdout.splitlines()
    assert at_once == "frozen at once: True"
    assert int(at_exit.rpartition(" ")[2]) < 100


def test_an_empty_word_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["doit", "run", ""])
    with pytest.raises(SystemExit) as ended:
        ProjectLoader()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "error: there is an empty word on the command line\nhint: is a variable in it not set?\n"
    )


def test_k_keeps_going_where_doits_own_loader_stands_in() -> None:
    option, _ = Run(task_loader=DodoTaskLoader()).cmdparser.get_option("-k")
    assert option.name == "keep_going"


def test_a_failed_task_keeps_no_other_process_from_writing(tmp_path: Path) -> None:
    """Until the run that it failed in ends, which may take hours."""

    def database() -> StageDatabase:
        return StageDatabase(SqliteDB(str(tmp_path / "doit.db"), JSONCodec()))

    before = database()
    before.set("failing", "result:", 1)
    before.dump()
    running, other = database(), database()
    running.remove("failing")
    other.set("lint", "result:", 2)
    other.dump()
    assert (running.in_("failing"), running.get("failing", "result:")) == (False, None)
    running.dump()
    after = database()
    assert (after.in_("failing"), after.get("lint", "result:")) == (False, 2)
