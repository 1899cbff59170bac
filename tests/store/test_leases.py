"""Locks that go with their holder, and leave no file behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daintree.errors import StoreError
from daintree.store.leases import (
    HeldLock,
    file_lease,
    held_locks,
    reader_lock,
    remove_idle_locks,
    share,
    try_lock,
)
from daintree.store.records import Holder

HOLD = "import sys; from daintree.store.leases import try_lock; held = try_lock(sys.argv[1]); print(bool(held), flush=True); sys.stdin.read()"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A lock file in a directory that is not there yet."""
    return str(tmp_path / "locks/one")


def test_the_file_is_there_while_the_lock_is_held(path: str) -> None:
    held = try_lock(path)
    assert held is not None
    assert held.still_ours()
    assert os.path.exists(path)
    held.release()
    assert not os.path.exists(path)


def test_one_holds_it_at_a_time(path: str) -> None:
    first = try_lock(path)
    assert first is not None
    assert try_lock(path) is None
    first.release()
    second = try_lock(path)
    assert second is not None
    second.release()


def test_a_file_that_is_left_over_locks_nothing(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).touch()
    held = try_lock(path)
    assert held is not None
    held.release()


def test_a_dead_process_holds_nothing(path: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert try_lock(path) is None
        holder.kill()
        holder.wait()
        held = try_lock(path)
        assert held is not None
        held.release()


def test_a_child_does_not_inherit_it(path: str) -> None:
    held = try_lock(path)
    assert held is not None
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False):
        held.release()
        again = try_lock(path)
        assert again is not None
        again.release()


def test_a_lock_whose_file_was_removed_is_not_ours(path: str) -> None:
    first = try_lock(path)
    assert first is not None
    os.unlink(path)
    assert not first.still_ours()
    second = try_lock(path)
    assert second is not None
    first.release()
    assert second.still_ours(), "what another holds is not removed"
    second.release()


def test_waiting_is_told_again_and_again(path: str) -> None:
    held = try_lock(path)
    assert held is not None
    calls: list[None] = []

    def waiting() -> None:
        calls.append(None)
        if len(calls) == 3:
            held.release()

    with file_lease(path, "/store", waiting) as ours:
        assert ours.still_ours()
    assert len(calls) == 3


def test_a_lock_that_cannot_be_made_is_the_stores_error(tmp_path: Path) -> None:
    (tmp_path / "locks").touch()
    with (
        pytest.raises(StoreError, match="should be a directory of the artifact store /store"),
        file_lease(str(tmp_path / "locks/one"), "/store", pytest.fail),
    ):
        pass


HOLDER = Holder(
    pipeline="words", stage="count", key="sha256:0", user="ana", host="laptop", since=""
)


def locked(path: str) -> HeldLock:
    """The lock, which nobody else holds."""
    held = try_lock(path)
    assert held is not None
    return held


def test_readers_share_it_and_the_last_removes_its_file(path: str) -> None:
    first, second = reader_lock(path), reader_lock(path)
    assert try_lock(path) is None
    first.release_shared()
    assert os.path.exists(path)
    assert try_lock(path) is None
    second.release_shared()
    assert not os.path.exists(path)


def test_a_reader_leaves_the_file_that_another_has_made(path: str) -> None:
    reader = reader_lock(path)
    os.unlink(path)
    other = locked(path)
    reader.release_shared()
    assert other.still_ours()
    other.release()


def test_holders_are_named_as_long_as_they_hold_it(path: str) -> None:
    directory = os.path.dirname(path)
    assert held_locks(directory) == []
    dead = msgspec.structs.replace(HOLDER, stage="a stage with a longer name")
    os.makedirs(directory)
    Path(path).write_bytes(msgspec.json.encode(dead))
    other = locked(f"{directory}/another")
    assert held_locks(directory) == []
    with file_lease(path, "/store", pytest.fail, HOLDER):
        assert held_locks(directory) == [HOLDER]
    assert held_locks(directory) == []
    other.release()


def test_idle_locks_are_removed_and_no_others(path: str) -> None:
    directory = os.path.dirname(path)
    assert remove_idle_locks(directory) == 0
    held = locked(path)
    Path(directory, "idle").touch()
    Path(directory, "below").mkdir()
    Path(directory, "link").symlink_to(path)
    assert remove_idle_locks(directory) == 1
    assert sorted(os.listdir(directory)) == ["below", "link", "one"]
    held.release()


def test_a_group_that_may_write_the_directory_may_lock(path: str) -> None:
    directory = Path(path).parent
    directory.mkdir()
    for mode, expected in ((0o755, 0o644), (0o775, 0o664), (0o777, 0o666)):
        directory.chmod(mode)
        held = locked(path)
        assert os.stat(path).st_mode & 0o777 == expected
        held.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_the_mode_of_another_s_file_is_theirs(tmp_path: Path) -> None:
    tmp_path.chmod(0o775)
    file = tmp_path / "file"
    file.touch(0o644)
    os.chown(file, 12345, -1)
    with file.open("rb") as opened:
        share(str(tmp_path), opened.fileno())
    assert file.stat().st_mode & 0o777 == 0o644
