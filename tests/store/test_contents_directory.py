"""How much a directory store holds, and that emptying it removes what is the store's and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daintree.errors import StoreError
from daintree.store.contents import empty, measure
from daintree.store.directory import Directory, remove_tree
from daintree.store.leases import try_lock
from daintree.store.store import Store
from tests.contract.runs import OTHER_RUN, RUN, contents, fill, key_of, publish, publish_indexed


def test_where_there_is_nothing_there_is_nothing_to_do(root: Path) -> None:
    assert measure(Directory(root)) == (0, 0)
    empty(Directory(root))
    assert not root.exists()


def test_every_byte_below_the_directory_is_counted(root: Path, store: Store) -> None:
    publish_indexed(store)
    assert measure(Directory(root)) == (1, sum(len(content) for content in contents(root).values()))


def test_emptied_it_is_marked_and_nothing_is_left_of_the_runs(root: Path, store: Store) -> None:
    publish_indexed(store)
    store.publish_index(key_of("key"), store.lookup([key_of("content")])[0], replacing=None)  # type: ignore[arg-type]
    empty(Directory(root))
    assert set(contents(root)) <= {"_store", "_lock"}
    assert not (root / "shop").exists(), "directories without a run go too"


@pytest.mark.parametrize("manifest", [None, b"", b"broken"])
def test_a_run_that_lost_its_manifest_is_still_the_stores(
    root: Path, store: Store, manifest: bytes | None
) -> None:
    path = root / publish(store).location / "run.json"
    path.unlink()
    if manifest is not None:
        path.write_bytes(manifest)
    assert measure(Directory(root))[0] == 1
    empty(Directory(root))
    assert not (root / "shop").exists()


@pytest.mark.parametrize("name", ["run.json", "stamp.json"])
def test_a_directory_is_no_run_by_the_name_of_a_file(root: Path, store: Store, name: str) -> None:
    publish(store)
    theirs = {f"experiment/{name}": b'{"theirs": 1}', "experiment/output/a.csv": b"theirs"}
    fill(root, theirs)
    assert measure(Directory(root))[0] == 1
    empty(Directory(root))
    assert {path: (root / path).read_bytes() for path in theirs} == theirs


def test_a_directory_that_is_no_store_is_refused(tmp_path: Path) -> None:
    theirs = {"shop/run.json": b"{}", "_cache/x": b"x", "_notes/y": b"y"}
    fill(tmp_path, theirs)
    with pytest.raises(StoreError) as raised:
        empty(Directory(tmp_path))
    assert raised.value.message == f"{tmp_path} is not an artifact store: nothing is removed"
    assert "a store holds a file named _store" in raised.value.hint
    assert contents(tmp_path) == theirs


def test_an_empty_directory_needs_no_mark(tmp_path: Path) -> None:
    empty(Directory(tmp_path))
    assert tmp_path.exists()


def test_leases_that_are_held_stay(root: Path, store: Store) -> None:
    publish(store)
    fill(root, {"_leases/idle": b""})
    held = try_lock(str(root / "_leases/held"))
    assert held is not None
    empty(Directory(root))
    assert os.listdir(root / "_leases") == ["held"]
    assert held.still_ours()
    held.release()


def test_the_index_goes_before_the_runs_it_leads_to(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_indexed(store)

    def stop(path: str) -> None:
        if path.endswith(RUN):
            raise KeyboardInterrupt
        remove_tree(path)

    monkeypatch.setattr("daintree.store.directory.remove_tree", stop)
    with pytest.raises(KeyboardInterrupt):
        empty(Directory(root))
    assert store.lookup([key_of("content")]) == [None]
    assert store.records.find_run(RUN) is None


def test_a_tree_is_removed_whatever_its_permissions(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    fill(tree, {"a": b"", "deep/er/b": b""})
    for path in (tree / "deep/er", tree / "deep", tree):
        path.chmod(0)
    remove_tree(tree)
    assert os.listdir(tmp_path) == []
    remove_tree(tree)


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    fill(tmp_path / "outside", {"precious": b"1"})
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/to a directory").symlink_to(tmp_path / "outside")
    (tmp_path / "tree/to a file").symlink_to(tmp_path / "outside/precious")
    remove_tree(tmp_path / "tree")
    assert contents(tmp_path) == {"outside/precious": b"1"}


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_directory_is_refused(tmp_path: Path, kind: str) -> None:
    fill(tmp_path / "outside", {"precious": b"1"})
    path = tmp_path / "tree"
    if kind == "link":
        path.symlink_to(tmp_path / "outside")
    else:
        path.touch()
    with pytest.raises(NotADirectoryError):
        remove_tree(path)
    assert os.path.lexists(path)
    assert (tmp_path / "outside/precious").exists()


def test_a_store_on_which_others_work_is_measured(root: Path, store: Store) -> None:
    publish(store)
    with store.stage(OTHER_RUN) as staging:
        (staging.scratch / "temporary").write_bytes(bytes(10_000))
        runs, held = measure(Directory(root))
    assert runs == 1
    assert held > 10_000
