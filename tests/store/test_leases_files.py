"""Locks that go with their holder, and leave no file behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daintree.errors import StoreError
from daintree.store.leases import file_lease, try_lock

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
