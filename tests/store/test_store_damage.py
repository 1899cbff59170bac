"""What is not right is never handed out: damaged copies, run records, logs, and things in the place of records."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from daintree.commands.history import run_page
from daintree.errors import ArtifactDamaged
from daintree.pages.runs import read_log
from daintree.store.backend import Unreadable
from daintree.store.bucket import Bucket
from daintree.store.contents import holders
from daintree.store.integrity import StoredArtifact, signatures_of, write_stamp
from daintree.store.layout import index_path, run_path
from daintree.store.records import IndexRecord, encode, index_record_of
from daintree.store.store import Store, directory_store, shared_store
from tests.contract.runs import FILES, OTHER_RUN, contents, fetched, key_of, publish_indexed
from tests.services.minio import Minio


@pytest.fixture
def warnings() -> list[str]:
    """The warnings."""
    return []


@pytest.fixture
def shared(minio: Minio, tmp_path: Path, warnings: list[str]) -> Callable[[str], Store]:
    """One bucket as machines of these names see it."""
    url = f"s3://{minio.bucket()}"
    return lambda name: shared_store(url, minio.access, tmp_path / name, warn=warnings.append)


def flip(path: Path) -> None:
    """Change one byte of a file in place; neither its size nor its time of writing changes."""
    before = path.stat()
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_damaged_file_of_the_cache_is_fetched_again_before_it_is_handed_out(
    shared: Callable[[str], Store], warnings: list[str]
) -> None:
    store = shared("ours")
    _, record = publish_indexed(store)
    output = store.output_path(record)
    flip(output / "a.csv")

    reader = shared("ours")
    assert reader.check_all([record]) == [None]
    assert reader.address(record.location) == f"{reader.url}/{record.location}/output"
    assert contents(reader.output_path(record)) == FILES
    assert any("a.csv is damaged" in line for line in warnings)
    assert reader.address(record.location) == str(output)


def test_a_damaged_file_of_a_directory_store_is_not_handed_out(root: Path, store: Store) -> None:
    _, record = publish_indexed(store)
    flip(store.output_path(record) / "a.csv")
    with pytest.raises(ArtifactDamaged, match=r"a\.csv is damaged"):
        directory_store(root).output_path(record)


def test_verifying_hashes_what_the_stamp_vouches_for(root: Path, store: Store) -> None:
    _, record = publish_indexed(store)
    read: list[object] = []
    careful = directory_store(root, verify=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "daintree.store.integrity.digest_files", lambda paths: read.extend(paths) or []
        )
        with pytest.raises(ValueError, match="zip"):
            careful.check_all([record])
    assert len(read) == len(FILES)
    assert careful.check_all([record]) == [None]


def rot(store: Store, record: IndexRecord) -> None:
    """Change one byte of a file so that nothing but its bytes shows it: the stamp vouches for it, as for one that a disk has changed."""
    directory = Path(store.local.path(record.location)).parent
    stored = StoredArtifact(str(directory), "run.json")
    manifest = store.local.records.read_run(record.location)
    assert manifest is not None
    assert manifest.output is not None
    flip(directory / "output/a.csv")
    write_stamp(stored, manifest.output, record.record, signatures_of(stored))
    later = (directory / "stamp.json").stat().st_mtime_ns + 10**9
    os.utime(directory / "stamp.json", ns=(later, later))
    assert store.local.damage(record) is None


def test_a_rotten_file_of_the_cache_is_fetched_again_by_a_thorough_check(
    shared: Callable[[str], Store],
) -> None:
    store = shared("ours")
    _, record = publish_indexed(store)
    rot(store, record)
    store.check(record, thorough=True)
    assert contents(store.output_path(record)) == FILES


def test_a_rotten_file_of_the_cache_is_fetched_again_by_who_verifies(
    minio: Minio, tmp_path: Path
) -> None:
    url = f"s3://{minio.bucket()}"
    store = shared_store(url, minio.access, tmp_path, verify=True)
    _, record = publish_indexed(store)
    rot(store, record)
    assert store.check_all([record]) == [None]
    assert contents(store.output_path(record)) == FILES


def test_a_file_that_was_found_rotten_is_not_handed_out_by_who_verifies_less(
    root: Path, store: Store
) -> None:
    _, record = publish_indexed(store)
    rot(store, record)
    for reader in (directory_store(root, verify=True), directory_store(root)):
        with pytest.raises(ArtifactDamaged, match=r"a\.csv is damaged"):
            reader.output_path(record)


def test_every_flipped_byte_of_a_run_record_in_a_bucket_is_found_and_repaired(
    shared: Callable[[str], Store], minio: Minio
) -> None:
    ours = shared("ours")
    manifest, record = publish_indexed(ours)
    bucket = Bucket(ours.url, minio.access)
    path = run_path(manifest.location)
    whole = bucket.get_many([path])[0]
    assert isinstance(whole, bytes)
    for place in range(0, len(whole), 97):
        bucket.put(path, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        theirs = shared(f"theirs-{place}")
        assert theirs.read_run(manifest.location) is None
        with pytest.raises(ArtifactDamaged, match=r"record run\.json is damaged"):
            theirs.output_path(record)
        # Nothing shows it but the bytes: the machine keeps a mark, and the next plan computes it again.
        [damage] = shared(f"theirs-{place}").check_all([record])
        assert damage is not None
        assert damage.file == "run.json"

    again, fresh = publish_indexed(theirs, OTHER_RUN)
    assert fresh == record, "the first stands until it is replaced"
    repaired = index_record_of(again)
    assert theirs.publish_index(record.content, repaired, replacing=record) == repaired
    assert fetched(shared("third"), repaired) == FILES


def test_a_run_record_that_names_another_key_makes_no_hit(
    shared: Callable[[str], Store], minio: Minio
) -> None:
    ours = shared("ours")
    manifest, record = publish_indexed(ours)
    victim = key_of("the victim's content")
    bucket = Bucket(ours.url, minio.access)
    lie = msgspec.structs.replace(
        manifest, keys=msgspec.structs.replace(manifest.keys, content=victim)
    )
    bucket.put(run_path(lie.location), encode(lie, run_path(lie.location)))
    theirs = shared("theirs")
    with pytest.raises(ArtifactDamaged):
        theirs.output_path(record)
    assert theirs.lookup([victim]) == [None]
    assert shared("theirs").local.records.lookup([victim]) == [None]


def test_a_damaged_log_is_said(root: Path, store: Store) -> None:
    manifest, _ = publish_indexed(store)
    assert store.log_fault(manifest) == ""
    store.log_path(manifest.location).write_bytes(b"it was fine\n")
    assert store.log_fault(manifest) == "its log is damaged in the store"
    store.log_path(manifest.location).unlink()
    assert store.log_fault(manifest) == "its log is missing"


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_a_log_that_is_no_file_is_said_and_never_waited_for(
    root: Path, store: Store, kind: str
) -> None:
    manifest, _ = publish_indexed(store)
    path = store.log_path(manifest.location)
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert isinstance(store.read_log(manifest.location), Unreadable)
    assert store.log_fault(manifest).startswith("its log is ")
    assert run_page(manifest, store)[-1] == f"log (unreadable: {path})"
    assert read_log(store, manifest).fault.startswith("its log.txt is ")


@pytest.mark.parametrize("kind", ["missing", "other bytes", "fifo", "link"])
def test_a_log_that_is_not_the_run_s_any_more_is_not_published_and_holds_up_no_result(
    store: Store, shared: Callable[[str], Store], warnings: list[str], tmp_path: Path, kind: str
) -> None:
    manifest, record = publish_indexed(store)
    log = store.log_path(manifest.location)
    log.unlink()
    if kind == "other bytes":
        log.write_bytes(b"SAID\n")
    elif kind == "fifo":
        os.mkfifo(log)
    elif kind == "link":
        (tmp_path / "log").write_bytes(b"said\nand more\n")
        log.symlink_to(tmp_path / "log")
    theirs = shared("theirs")
    theirs.published.publish(log.parent, manifest, lambda: None)
    [warning] = warnings
    assert f"its log in {log.parent} is missing or damaged" in warning
    assert theirs.published.read_log(manifest.location) is None
    assert fetched(theirs, record) == FILES


def test_a_lock_that_is_no_file_is_waited_for_by_nobody(root: Path, store: Store) -> None:
    _, record = publish_indexed(store)
    (root / "_lock").unlink(missing_ok=True)
    os.mkfifo(root / "_lock")
    (root / "_leases").mkdir(exist_ok=True)
    os.mkfifo(root / "_leases/pipe")
    assert holders(store.backend) == []
    key = key_of("content")
    fresh = msgspec.structs.replace(record, seconds=record.seconds + 1)
    assert store.publish_index(key, fresh, replacing=record) == fresh


def test_a_damaged_log_of_a_bucket_is_said_and_its_output_is_whole(
    shared: Callable[[str], Store], minio: Minio, warnings: list[str]
) -> None:
    ours = shared("ours")
    manifest, record = publish_indexed(ours)
    Bucket(ours.url, minio.access).put(f"{manifest.location}/log.txt", b"it was fine\n")
    theirs = shared("theirs")
    assert fetched(theirs, record) == FILES
    assert any("its log is damaged" in warning for warning in warnings)
    assert theirs.log_fault(manifest) == "its log is missing"


Make = Callable[[Path], object]
THINGS: dict[str, Make] = {
    "a directory": lambda path: path.mkdir(),
    "a FIFO": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link outside": lambda path: path.symlink_to("/etc/passwd"),
    "300 MB": lambda path: (path.touch(), os.truncate(path, 300_000_000)),
    "deep JSON": lambda path: path.write_bytes(b'{"a":' * 200_000),
    "a newer schema": lambda path: path.write_bytes(b'{"schema": 99}'),
    "an older schema": lambda path: path.write_bytes(b'{"schema":1}'),
    "nothing readable": lambda path: path.write_bytes(b"\xff\0"),
}


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("place", ["index", "run.json", "stamp.json", "history", "note", "source"])
def test_anything_in_the_place_of_a_record_is_no_more_than_a_miss(
    root: Path, place: str, thing: str
) -> None:
    warnings: list[str] = []
    store = directory_store(root, warn=warnings.append)
    manifest, record = publish_indexed(store)
    store.write_note("a", b"note")
    key = manifest.keys.content
    paths = {
        "index": index_path(key),
        "history": next(iter(store.history())).path,
        "note": "_notes/a",
        "source": f"_sources/{key[7:]}/source.json",
    }
    path = root / paths.get(place, f"{manifest.location}/{place}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    THINGS[thing](path)

    store = directory_store(root, warn=warnings.append)
    records = store.lookup([key])
    assert records == ([None] if place == "index" else [record])
    [damage] = store.check_all([record])
    assert (damage is None) == (place != "run.json"), damage
    assert [entry.run for entry in store.history()] == [manifest.run] * (place != "history")
    assert store.read_note("a") == (None if place == "note" else b"note")
    assert store.source_path(key) is None
    store.records.find_run(manifest.run[:10])
    assert store.usage()[0] in (0, 1)
    if place == "index":
        assert store.fault(key)
        assert store.publish_index(key, record) == record
        stored = thing in ("a directory", "a newer schema")
        assert store.lookup([key]) == ([None] if stored else [record])
    quiet = thing == "an older schema" or (thing, place) == ("a directory", "history")
    if not quiet and place not in ("stamp.json", "source"):
        assert warnings, "it is warnings"
