"""A directory that several users share, and file systems that lack something."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daintree.errors import StoreError
from daintree.store.backend import translate_errors
from daintree.store.store import directory_store
from tests.contract.runs import FILES, OTHER_RUN, RUN, fetched, key_of, publish, publish_indexed
from tests.services.availability import unavailable

GROUP, ANA, BEN = 54321, 54322, 54323
ACT = """
import os, sys, tempfile
from pathlib import Path
from tests.contract.runs import publish_indexed, add_source, fetched, key_of
from daintree.store.store import directory_store

# Once as root, who can read every module; then all that is imported later is there.
with tempfile.TemporaryDirectory() as place:
    warm = directory_store(Path(place, "store"))
    with warm.lease(key_of("content"), waiting=lambda: None):
        _, first = publish_indexed(warm, sys.argv[4])
    warm.publish_index(first.content, first, replacing=first)
    add_source(warm, run="source-" + sys.argv[4])
    fetched(warm, first)
os.setgroups([int(sys.argv[2])]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3])); os.umask(int(sys.argv[5], 8))

store = directory_store(Path(sys.argv[1]))
with store.lease(key_of("content"), waiting=lambda: None):
    manifest, record = publish_indexed(store, sys.argv[4])
store.publish_index(key_of("recipe"), record, replacing=store.lookup([key_of("recipe")])[0])
store.write_note("url/a", sys.argv[4].encode())
add_source(store, run="source-" + sys.argv[4])
assert fetched(store, record)
print(record.run)
"""


def as_user(
    store: Path, user: int, run: str, umask: str = "022"
) -> subprocess.CompletedProcess[str]:
    """One user's miss: leases, publishing, replacing, a note and a source, by default with the umask of most machines."""
    command = [sys.executable, "-c", ACT, str(store), str(GROUP), str(user), run, umask]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that a group may write, as an administrator makes it; pytest's own are closed to all others."""
    if os.geteuid() != 0:
        unavailable("only root can become two users")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name, "shared")
        place.mkdir()
        place.parent.chmod(0o755)
        os.chown(place, ANA, GROUP)
        place.chmod(0o2775)
        yield place


@pytest.mark.parametrize("umask", ["002", "022", "077"])
def test_two_users_share_a_directory_of_their_group_whatever_their_umask(
    shared: Path, umask: str
) -> None:
    for user, run in ((ANA, RUN), (BEN, OTHER_RUN), (ANA, RUN.replace("0000Z", "0009Z"))):
        done = as_user(shared, user, run, umask)
        assert done.returncode == 0, done.stderr
    everybody = directory_store(shared)
    assert len(list(everybody.history())) == 3
    [record] = everybody.lookup([key_of("content")])
    assert record is not None
    assert fetched(everybody, record) == FILES
    modes = [path.lstat().st_mode for path in shared.rglob("*") if path.is_dir()]
    assert all(mode & stat.S_IWGRP for mode in modes)


def test_a_directory_of_one_user_says_to_the_other_how_to_share_it(shared: Path) -> None:
    shared.chmod(0o755)
    assert as_user(shared, ANA, RUN).returncode == 0
    done = as_user(shared, BEN, OTHER_RUN)
    assert "StoreError: no permission for" in done.stderr


def test_a_missing_right_has_the_hint_to_share(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as raised, translate_errors("/store"):
        raise PermissionError(errno.EACCES, "Permission denied", "/store/_leases/x")
    error = raised.value
    assert error.message == "no permission for /store/_leases/x in the artifact store /store"
    assert "chgrp -R GROUP DIR; chmod -R g+rwX DIR" in error.hint


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(descriptor: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    store = directory_store(tmp_path / "store")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    message = f"the file system of the artifact store {tmp_path / 'store'} has no file locks"
    with pytest.raises(StoreError, match=message) as raised:
        publish(store)
    assert "mount it with locks" in raised.value.hint
    with (
        pytest.raises(StoreError, match=message),
        store.lease(key_of("content"), waiting=lambda: None),
    ):
        pytest.fail("nobody holds it")


def test_a_read_only_file_system_is_read_and_named_when_it_should_be_written(
    tmp_path: Path,
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        unavailable("a file system cannot be mounted here")
    try:
        manifest, record = publish_indexed(directory_store(disk / "store"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        store = directory_store(disk / "store")
        assert store.lookup([manifest.keys.content]) == [record]
        assert fetched(store, record) == FILES
        with pytest.raises(StoreError, match="is on a read-only file system"):
            publish(store, OTHER_RUN)
        with pytest.raises(StoreError, match="is on a read-only file system"):
            store.publish_index(key_of("x"), record)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
