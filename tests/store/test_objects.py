"""Small objects in a directory: whole or not at all, created once, replaced exactly."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daintree.errors import StoreError
from daintree.store.objects import MARKER, MARKER_TEXT, DirectoryObjects


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that is not there yet."""
    return tmp_path / "deep/store"


@pytest.fixture
def objects(root: Path) -> DirectoryObjects:
    """Its objects."""
    return DirectoryObjects(root)


def test_reading_makes_nothing(objects: DirectoryObjects, root: Path) -> None:
    assert objects.get(["a", "b/c"]) == [None, None]
    assert objects.list("") == objects.list("_cache") == []
    assert not root.parent.exists()


def test_the_first_write_makes_and_marks_the_directory(
    objects: DirectoryObjects, root: Path
) -> None:
    objects.put("b/c", b"x")
    assert (root / MARKER).read_text() == MARKER_TEXT
    assert (root / "b/c").read_bytes() == b"x"
    assert objects.get(["b/c", "b/d"]) == [b"x", None]


def test_an_object_is_created_once(objects: DirectoryObjects) -> None:
    assert objects.create("a/b", b"first")
    assert not objects.create("a/b", b"second")
    assert objects.get(["a/b"]) == [b"first"]


def test_exactly_what_was_read_is_replaced(objects: DirectoryObjects) -> None:
    objects.put("a", b"old")
    assert not objects.replace("a", b"other", b"new")
    assert objects.get(["a"]) == [b"old"]
    assert objects.replace("a", b"old", b"new")
    assert not objects.replace("missing", b"old", b"new")
    assert objects.get(["a", "missing"]) == [b"new", None]


def test_a_reader_has_the_old_or_the_new_and_never_a_part(
    objects: DirectoryObjects, root: Path
) -> None:
    objects.put("a", b"old")
    with open(root / "a", "rb") as reader:
        assert objects.replace("a", b"old", b"new and longer")
        objects.put("a", b"put")
        assert reader.read() == b"old"


def test_replacing_waits_for_whoever_replaces(objects: DirectoryObjects, root: Path) -> None:
    import fcntl

    objects.put("a", b"old")
    done: list[bool] = []
    replacing = threading.Thread(target=lambda: done.append(objects.replace("a", b"old", b"mine")))
    with open(root / "_lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        replacing.start()
        objects.put("a", b"theirs")
        assert done == []
    replacing.join(60)
    assert done == [False]
    assert objects.get(["a"]) == [b"theirs"]


def test_names_come_back_as_they_are(objects: DirectoryObjects) -> None:
    names = ["with space", "%20", "größe", "a?b*c", "back\\slash", "..a", "h#x"]
    for name in names:
        objects.put(f"shop/{name}/run.json", name.encode())
    found = objects.list("shop")
    assert sorted(found) == sorted(f"shop/{name}/run.json" for name in names)
    assert objects.get(found) == [path.split("/")[1].encode() for path in found]


def test_a_listing_is_of_a_directory_and_not_of_what_begins_so(objects: DirectoryObjects) -> None:
    for path in ("a/x", "a/deep/y", "ab/z", "a.b"):
        objects.put(path, b"")
    assert sorted(objects.list("a")) == ["a/deep/y", "a/x"]


def test_what_a_killed_writer_left_is_in_no_listing(objects: DirectoryObjects, root: Path) -> None:
    objects.put("a/x", b"whole")
    (root / "a/y#1").write_bytes(b"ha")
    assert objects.list("a") == ["a/x"]
    assert objects.create("a/y", b"whole")
    assert objects.get(["a/y"]) == [b"whole"]


def test_a_file_where_a_directory_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    objects = DirectoryObjects(tmp_path / "file")
    for act in (
        lambda: objects.get(["a"]),
        lambda: objects.put("a", b""),
        lambda: objects.create("a", b""),
        lambda: objects.replace("a", b"", b""),
        objects.prepare,
    ):
        with pytest.raises(StoreError, match="should be a directory of the artifact store"):
            act()


def test_a_directory_in_an_objects_place_is_said(objects: DirectoryObjects, root: Path) -> None:
    objects.prepare()
    os.mkdir(root / "a")
    with pytest.raises(StoreError, match="Is a directory"):
        objects.get(["a"])


def test_reading_imports_no_obstore(objects: DirectoryObjects, root: Path) -> None:
    objects.put("a", b"x")
    ask = (
        "import sys; from pathlib import Path; from daintree.store.objects import DirectoryObjects\n"
        "print(DirectoryObjects(Path(sys.argv[1])).get(['a', 'b']), 'obstore' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", ask, root], capture_output=True, text=True, check=True
    )
    assert said.stdout == "[b'x', None] False\n"
