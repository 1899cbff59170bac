"""Staging places of a directory store: whose owner lives they stay, whose owner died they go."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daintree.errors import StoreError
from daintree.store import directory as directory_module
from daintree.store.directory import Directory, dead, reap
from daintree.store.leases import try_lock
from tests.contract.runs import FILES, RUN, fill


def leave_behind(place: Path, run: str, *, lock: bool) -> Path:
    """What a process that was killed leaves."""
    fill(place / run / "run/output", FILES)
    if lock:
        (place / f"{run}.lock").touch()
    return place / run


def test_its_parts_lie_where_publishing_is_one_rename(tmp_path: Path) -> None:
    with Directory(tmp_path).stage(RUN) as staging:
        assert staging.directory == tmp_path / "_staging" / RUN
        assert staging.output == staging.run / "output"
        assert staging.log == staging.run / "log.txt"
        assert not staging.scratch.is_relative_to(staging.run)
        assert sorted(path.name for path in staging.run.iterdir()) == ["output"]
    assert list((tmp_path / "_staging").iterdir()) == []


def test_a_run_is_staged_once_at_a_time(tmp_path: Path) -> None:
    with Directory(tmp_path).stage(RUN) as staging:
        fill(staging.output, FILES)
        with (
            pytest.raises(StoreError, match=f"run {RUN} is being written by another process"),
            Directory(tmp_path).stage(RUN),
        ):
            pass
        assert (staging.output / "a.csv").exists()
    with Directory(tmp_path).stage(RUN) as again:
        assert list(again.output.iterdir()) == []


def test_an_interrupt_stays_one_where_something_cannot_be_removed_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def still_written_to(directory: object) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(directory))

    with monkeypatch.context() as patched:
        patched.setattr(directory_module, "remove_tree", still_written_to)
        with pytest.raises(KeyboardInterrupt), Directory(tmp_path).stage("left"):
            raise KeyboardInterrupt
    assert (tmp_path / "_staging/left").exists()
    with Directory(tmp_path).stage(RUN):
        assert not (tmp_path / "_staging/left").exists()


@pytest.mark.parametrize("lock", [True, False], ids=["with its lock file", "without"])
def test_what_the_dead_left_is_removed_before_another_begins(tmp_path: Path, lock: bool) -> None:
    left = leave_behind(tmp_path / "_staging", "dead", lock=lock)
    with Directory(tmp_path).stage(RUN):
        assert not left.exists()
        assert not (tmp_path / "_staging/dead.lock").exists()


def test_what_cannot_be_listed_is_removed_too(tmp_path: Path) -> None:
    left = leave_behind(tmp_path / "_staging", "dead", lock=True)
    (left / "run/output/deep").chmod(0)
    reap(str(tmp_path / "_staging"))
    assert list((tmp_path / "_staging").iterdir()) == []


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    alive = leave_behind(tmp_path / "_staging", "alive", lock=False)
    held = try_lock(str(tmp_path / "_staging/alive.lock"))
    assert held is not None
    reap(str(tmp_path / "_staging"))
    assert alive.exists()
    held.release()
    reap(str(tmp_path / "_staging"))
    assert not alive.exists()


def test_there_may_be_nothing_to_reap(tmp_path: Path) -> None:
    reap(str(tmp_path / "not made yet"))
    assert not (tmp_path / "not made yet").exists()


def test_a_place_that_cannot_be_made_is_the_stores_error(tmp_path: Path) -> None:
    (tmp_path / "_staging").touch()
    with (
        pytest.raises(StoreError, match="should be a directory of the artifact store"),
        Directory(tmp_path).stage(RUN),
    ):
        pass


def test_what_the_dead_have_left_is_counted_and_what_the_living_write_is_not(
    tmp_path: Path,
) -> None:
    assert dead(str(tmp_path / "nothing")) == []
    with Directory(tmp_path).stage(RUN) as staging:
        fill(staging.output, FILES)
        left = leave_behind(tmp_path / "_staging", "dead", lock=True)
        assert dead(str(tmp_path / "_staging")) == [sum(map(len, FILES.values()))]
        assert left.exists()
        assert (staging.output / "a.csv").exists()
