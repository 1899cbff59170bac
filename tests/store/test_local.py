"""What the directory store does that no bucket could: the layout on disk, renames, reading in place."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from daintree.errors import ArtifactDamaged, StoreError
from daintree.settings import read_settings
from daintree.store.integrity import hash_artifact
from daintree.store.layout import run_path
from daintree.store.records import (
    NameRecord,
    encode,
    history_entry_of,
    index_record_of,
    named_run_of,
)
from daintree.store.store import Store, directory_store, open_store
from tests.contract.runs import (
    FILES,
    OTHER_RUN,
    RUN,
    add_source,
    collect,
    contents,
    fetched,
    fill,
    key_of,
    location_of,
    manifest_of,
    publish,
    publish_failed,
    publish_indexed,
    record_of,
)
from tests.small_disk import fill as fill_disk


def test_each_thing_lies_where_the_layout_says(root: Path, store: Store) -> None:
    manifest, record = publish_indexed(store)
    digest, _ = add_source(store, run=OTHER_RUN)
    store.write_note("url/one", b"note")
    store.publish_index(manifest.keys.content, record_of(OTHER_RUN), replacing=record)

    place = location_of(RUN)
    # What this process reads it holds.
    held = {path: c for path, c in contents(root).items() if not path.startswith("_readers/")}
    assert sorted(held) == sorted(
        [
            "_store",
            "_lock",
            f"_cache/{manifest.keys.content[7:]}",
            history_entry_of(manifest, {}).path,
            "_notes/url/one",
            f"_sources/{digest[7:]}/source.json",
            f"_sources/{digest[7:]}/stamp.json",
            *(f"_sources/{digest[7:]}/output/{name}" for name in FILES),
            f"{place}/run.json",
            f"{place}/log.txt",
            f"{place}/stamp.json",
            *(f"{place}/output/{name}" for name in FILES),
        ]
    )
    assert held[f"{place}/run.json"] == encode(manifest, run_path(manifest.location))
    assert held[f"{place}/log.txt"] == b"said\n"
    assert sorted(os.listdir(root / "_staging")) == os.listdir(root / "_leases") == []
    assert store.url == str(root)


def test_reading_makes_no_directory(root: Path, store: Store) -> None:
    assert store.lookup([key_of("key")]) == [None]
    assert store.source_path(key_of("source")) is None
    assert store.read_note("a") is None
    assert store.usage() == (0, 0)
    assert list(store.history("words", "train")) == []
    with pytest.raises(ArtifactDamaged):
        store.check(record_of(), thorough=True)
    store.empty()
    assert not root.exists()


def test_an_output_enters_by_rename_and_is_read_in_place(root: Path, store: Store) -> None:
    with store.stage(RUN) as staging:
        fill(staging.output, FILES)
        inodes = {name: (staging.output / name).stat().st_ino for name in FILES}
        manifest = manifest_of(output=hash_artifact(staging.output))
        manifest = store.publish_run(staging, manifest)
    output = store.output_path(index_record_of(manifest))
    assert output == root / manifest.location / "output"
    assert {name: (output / name).stat().st_ino for name in FILES} == inodes


def test_a_source_enters_by_rename_too(root: Path, store: Store) -> None:
    with store.stage(RUN) as staging:
        fill(staging.output, FILES)
        inode = (staging.output / "a.csv").stat().st_ino
        directory = store.add_source(staging, hash_artifact(staging.output))
    assert (directory / "a.csv").stat().st_ino == inode
    assert directory.is_relative_to(root / "_sources")


def test_files_are_read_only_and_directories_are_not(store: Store) -> None:
    output = store.output_path(index_record_of(publish(store)))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in output.rglob("*") if path.is_file()}
    assert modes == {0o444}
    assert stat.S_IMODE((output / "deep").stat().st_mode) == 0o755


def test_the_first_check_after_publishing_reads_no_file_but_a_thorough_one_does(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = index_record_of(publish(store))
    stamp = store.output_path(record).parent / "stamp.json"
    times = stamp.stat()
    os.utime(stamp, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
    read: list[object] = []
    monkeypatch.setattr(
        "daintree.store.integrity.digest_files", lambda paths: read.extend(paths) or []
    )
    store.check(record, thorough=False)
    assert read == []
    with pytest.raises(ValueError, match="zip"):
        store.check(record, thorough=True)
    assert len(read) == len(FILES)


def test_a_flipped_bit_is_found_by_a_look_at_the_inode(store: Store) -> None:
    record = index_record_of(publish(store))
    file = store.output_path(record) / "a.csv"
    before = file.stat()
    file.chmod(0o644)
    file.write_bytes(b"x\n2\n")
    file.chmod(0o444)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ArtifactDamaged, match=r"output file a\.csv is damaged in the store"):
        store.check(record, thorough=False)


def test_a_source_that_was_altered_is_none(store: Store) -> None:
    digest, directory = add_source(store)
    (directory / "a.csv").chmod(0o644)
    (directory / "a.csv").write_bytes(b"x\n2\n")
    assert store.source_path(digest) is None


def test_a_failed_run_leaves_no_output_directory(store: Store) -> None:
    manifest = publish_failed(store)
    assert sorted(os.listdir(store.directory / manifest.location)) == [
        "log.txt",
        "run.json",
    ]


def test_something_at_the_location_is_said_and_left(root: Path, store: Store) -> None:
    fill(root, {location_of(RUN): b"not a directory"})
    with pytest.raises(StoreError) as raised:
        publish(store)
    assert raised.value.message == f"there is something at {root / location_of(RUN)} already"
    assert raised.value.hint == "look at the prefix setting"
    assert (root / location_of(RUN)).read_bytes() == b"not a directory"


def test_a_file_in_the_way_of_a_location_is_said(root: Path, store: Store) -> None:
    fill(root, {"shop": b"not a directory"})
    with pytest.raises(StoreError, match="should be a directory of the artifact store"):
        publish(store)


def test_a_relative_directory_is_meant_from_where_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(read_settings(tmp_path, {"HOME": "/", "DAINTREE_STORE": "here/store"}))
    monkeypatch.chdir("/")
    assert store.url == str(tmp_path / "here/store")
    publish(store)
    assert (tmp_path / "here/store" / location_of(RUN)).is_dir()


def test_a_store_can_be_moved(root: Path, store: Store, tmp_path: Path) -> None:
    manifest, record = publish_indexed(store)
    shutil.copytree(root, tmp_path / "moved")
    shutil.rmtree(root)
    moved = directory_store(tmp_path / "moved")
    assert moved.lookup([manifest.keys.content]) == [record]
    moved.check(record, thorough=False)
    assert contents(moved.output_path(record)) == FILES


def test_a_scheme_that_no_store_serves_is_refused(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {"HOME": "/", "DAINTREE_STORE": "ftp://somewhere/else"})
    with pytest.raises(StoreError, match=r"no artifact store is known for ftp://") as raised:
        open_store(settings)
    assert "set DAINTREE_STORE" in raised.value.hint


def test_a_full_disk_is_said_and_leaves_nothing_half_written(small_disk: Path) -> None:
    store = directory_store(small_disk / "store")
    manifest, record = publish_indexed(store)
    fill_disk(small_disk)

    message = f"the disk of the artifact store {small_disk / 'store'} is full"
    with pytest.raises(StoreError, match=message) as raised:
        store.publish_index(key_of("another"), record_of(OTHER_RUN))
    assert raised.value.hint.startswith("free some disk space")
    with pytest.raises(StoreError, match=message):
        store.write_note("a", bytes(10_000))
    assert store.lookup([key_of("another"), manifest.keys.content]) == [None, record]
    assert store.read_note("a") is None

    (small_disk / "filler").unlink()
    assert store.publish_index(key_of("another"), record_of()) == record_of()
    assert publish(store, OTHER_RUN).run == OTHER_RUN


def test_finding_a_whole_run_imports_nothing_heavy(root: Path, store: Store) -> None:
    manifest, _ = publish_indexed(store)
    ask = (
        "import sys; from pathlib import Path; from daintree.settings import read_settings\n"
        "settings = read_settings(Path('/'), {'HOME': '/', 'DAINTREE_STORE': sys.argv[1]})\n"
        "before = set(sys.modules); from daintree.store.store import open_store\n"
        "store = open_store(settings); [record] = store.lookup([sys.argv[2]])\n"
        "store.check(record, thorough=False)\n"
        "print(*sorted({'obstore', 'asyncio', 'logging',\n"
        "  'concurrent.futures', 'subprocess', 'unicodedata', 'fcntl'} & set(sys.modules) - before))"
    )
    stamp = root / manifest.location / "stamp.json"
    times = stamp.stat()
    os.utime(stamp, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
    finished = subprocess.run(
        [sys.executable, "-c", ask, root, manifest.keys.content],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == "\n"


def test_a_run_that_was_named_after_the_roots_were_found_is_not_collected(tmp_path: Path) -> None:
    store = directory_store(tmp_path / "store")
    manifest, record = publish_indexed(store)
    runs = {manifest.stage: named_run_of(manifest)}
    name = NameRecord(pipeline=manifest.pipeline, name="best", runs=runs)
    assert store.write_name(name, None)
    assert collect(store) == ["in use"]
    assert fetched(store, record) == FILES
