"""Guarantees of every backend: small objects, whole or not at all, created once, replaced exactly."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from daintree.store.backend import MAX_RECORD_BYTES, Backend, Unreadable
from daintree.store.bucket import Bucket
from daintree.store.directory import Directory
from tests.contract.workers import at_once
from tests.services.minio import running_server

Make = Callable[[Path], Backend]


def directory(path: Path) -> Backend:
    """A directory that is not there yet."""
    return Directory(path / "deep/store")


def bucket(path: Path) -> Backend:
    """A prefix of a fresh bucket."""
    server = running_server()
    return Bucket(f"s3://{server.bucket()}/a/prefix", server.access)


BACKENDS: dict[str, Make] = {"bucket": bucket, "directory": directory}


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Each backend, empty."""
    return BACKENDS[request.param](tmp_path)


def paths(backend: Backend, prefix: str = "") -> list[str]:
    """The paths of a listing, without the directory's own marks."""
    return [entry.path for entry in backend.list(prefix) if entry.path not in ("_store", "_lock")]


def test_an_empty_one_holds_nothing(backend: Backend) -> None:
    assert backend.get_many(["a", "b/c"]) == [None, None]
    assert backend.get_many([]) == []
    assert paths(backend) == paths(backend, "_cache") == []
    assert list(backend.children("")) == list(backend.children("_history")) == []
    backend.delete(["never there"])
    backend.delete_below("never/there")


def test_an_object_is_created_once(backend: Backend) -> None:
    assert backend.create("a/b", b"first")
    assert not backend.create("a/b", b"second")
    assert backend.get_many(["a/b", "a/c"]) == [b"first", None]


def test_one_of_many_creates(backend: Backend) -> None:
    created = at_once(8, lambda number: backend.create("a", str(number).encode()))
    assert created.count(True) == 1
    assert backend.get_many(["a"]) == [str(created.index(True)).encode()]


def test_exactly_the_content_that_was_read_is_replaced(backend: Backend) -> None:
    backend.put("a", b"old")
    assert not backend.replace("a", b"other", b"new")
    assert not backend.replace("a", None, b"new")
    assert backend.get_many(["a"]) == [b"old"]
    assert backend.replace("a", b"old", b"new")
    assert not backend.replace("missing", b"old", b"new")
    assert backend.get_many(["a", "missing"]) == [b"new", None]


def test_one_of_many_replaces(backend: Backend) -> None:
    backend.put("a", b"old")
    replaced = at_once(8, lambda number: backend.replace("a", b"old", str(number).encode()))
    assert replaced.count(True) == 1
    assert backend.get_many(["a"]) == [str(replaced.index(True)).encode()]


def test_the_last_writer_wins(backend: Backend) -> None:
    for content in (b"long ago", b"", b"now"):
        backend.put("a/b", content)
    assert backend.get_many(["a/b"]) == [b"now"]


def test_names_come_back_as_they_are(backend: Backend) -> None:
    names = ["with space", "%20", "größe", "a?b*c", "back\\slash", "..a", "h#x", "_x", "{y}"]
    for name in names:
        backend.put(f"shop/{name}/run.json", name.encode())
    listed = paths(backend, "shop")
    assert sorted(listed) == sorted(f"shop/{name}/run.json" for name in names)
    assert backend.get_many(listed) == [path.split("/")[1].encode() for path in listed]


def test_a_listing_is_in_the_order_of_its_paths(backend: Backend) -> None:
    written = ["a.b/x", "a/b", "a/b.c", "a/b/c", "a/z", "a0", "b"]
    for path in [p for p in written if p != "a/b"][::-1]:
        backend.put(path, path.encode())
    assert paths(backend) == ["a.b/x", "a/b.c", "a/b/c", "a/z", "a0", "b"]
    assert paths(backend, "a") == ["a/b.c", "a/b/c", "a/z"]
    assert {e.path: e.size for e in backend.list("a")} == {"a/b.c": 5, "a/b/c": 5, "a/z": 3}


def test_children_are_the_directories(backend: Backend) -> None:
    for path in ("h/p/s/1", "h/p/t/2", "h/q/s/3", "h/file"):
        backend.put(path, b"x")
    assert list(backend.children("h")) == ["p", "q"]
    assert list(backend.children("h/p")) == ["s", "t"]
    assert list(backend.children("h/p/s")) == []


def test_a_listing_of_thousands_is_whole(backend: Backend) -> None:
    at_once(8, lambda n: [backend.put(f"many/{n}-{m:03}", b"x") for m in range(140)])
    listed = paths(backend, "many")
    assert len(listed) == 8 * 140
    assert listed == sorted(listed)


def test_what_is_removed_is_gone_and_nothing_else(backend: Backend) -> None:
    for path in ("a/x", "a/y/z", "ab/x", "b"):
        backend.put(path, b"x")
    backend.delete(["b", "a/x"])
    assert paths(backend) == ["a/y/z", "ab/x"]
    backend.delete_below("a")
    assert paths(backend) == ["ab/x"]


def test_an_object_over_the_limit_is_not_read_and_can_be_replaced(backend: Backend) -> None:
    backend.put("a", bytes(2 << 20))
    [large] = backend.get_many(["a"], 1 << 20)
    assert large == Unreadable("irregular", f"is {2 << 20} bytes large, which no record is")
    assert backend.get_many(["a"], MAX_RECORD_BYTES) == [bytes(2 << 20)]
    assert backend.replace("a", large, b"small")
    assert backend.get_many(["a"]) == [b"small"]


def test_a_reader_has_the_old_or_the_new_and_never_a_part(backend: Backend) -> None:
    old, new = b"o" * 100_000, b"n" * 200_000
    backend.put("a", old)
    seen: set[int] = set()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            [content] = backend.get_many(["a"])
            assert content in (old, new)
            assert isinstance(content, bytes)
            seen.add(len(content))

    reader = threading.Thread(target=read)
    reader.start()
    for content in (new, old) * 5:
        backend.put("a", content)
    ended.set()
    reader.join()
    assert seen <= {len(old), len(new)}
    assert seen


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "link to nothing", "socket"])
def test_what_is_no_file_is_unreadable_and_holds_up_nobody(tmp_path: Path, kind: str) -> None:
    backend = Directory(tmp_path)
    (tmp_path / "real").write_bytes(b"x")
    place = tmp_path / "a"
    if kind == "directory":
        (place / "below").mkdir(parents=True)
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "socket":
        import socket

        socket.socket(socket.AF_UNIX).bind(os.path.relpath(place))
    else:
        place.symlink_to(tmp_path / ("real" if kind == "link" else "nothing"))
    [unreadable] = backend.get_many(["a"])
    assert isinstance(unreadable, Unreadable)
    assert unreadable.reason == ("directory" if kind == "directory" else "irregular")
    assert not backend.create("a", b"x")
    if kind != "directory":
        assert backend.replace("a", unreadable, b"record")
        assert backend.get_many(["a", "real"]) == [b"record", b"x"]
