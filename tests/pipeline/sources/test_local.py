"""A source on this machine: known by its content, hashed again only when its inodes say that it may have changed."""

from __future__ import annotations

import hashlib
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from daintree.errors import SourceError
from daintree.pipeline.sources import Source, open_source
from daintree.settings import read_settings
from daintree.spec.pipeline import SourceSpec
from daintree.store.records import FileEntry, artifact_of
from daintree.store.store import Store
from tests.privileges import file_modes_hold

OLD_NS = 1_400_000_000_000_000_000


def digest_of(files: dict[str, bytes]) -> str:
    return artifact_of(
        FileEntry(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    ).digest


def opened(location: str, directory: Path, store: Store, **spec: Any) -> Source:
    """A fresh source of a project at `directory`, as every run opens one."""
    settings = read_settings(directory, {"HOME": "/home/somebody"})
    return open_source(SourceSpec(location=location, **spec), directory, settings, store)


def at(path: Path, store: Store, sha256: str = "") -> Source:
    """A source of another project."""
    return opened(str(path), Path("/nowhere"), store, sha256=sha256)


def complaint(source: Source) -> SourceError:
    with pytest.raises(SourceError) as failure:
        source.identify()
    return failure.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a b.json"
    path.write_bytes(b"one\n")
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    (path / "2014").mkdir(parents=True)
    (path / "empty").mkdir()
    (path / "z.json").write_bytes(b"z")
    (path / "2014/größe.json").write_bytes(b"a")
    return path


def test_a_file_is_known_by_its_name_and_content(file: Path, store: Store) -> None:
    identity = at(file, store).identify()
    assert identity.digest == identity.identity == digest_of({"a b.json": b"one\n"})
    assert identity.origin == str(file)
    assert at(file, store).fetch() == identity
    renamed = file.rename(file.with_name("other.json"))
    assert at(renamed, store).identify().digest == digest_of({"other.json": b"one\n"})


def test_the_directory_it_lies_in_does_not_count(file: Path, store: Store, tmp_path: Path) -> None:
    before = at(file, store).identify().digest
    (tmp_path / "elsewhere").mkdir()
    moved = file.rename(tmp_path / "elsewhere" / file.name)
    assert at(moved, store).identify().digest == before


def test_a_directory_is_known_by_all_its_files(directory: Path, store: Store) -> None:
    files = {"z.json": b"z", "2014/größe.json": b"a"}
    assert at(directory, store).identify().digest == digest_of(files)
    (directory / "added.json").write_bytes(b"")
    assert at(directory, store).identify().digest == digest_of({**files, "added.json": b""})
    (directory / "z.json").unlink()
    assert at(directory, store).identify().digest == digest_of(
        {"added.json": b"", "2014/größe.json": b"a"}
    )


def test_a_byte_changed_at_equal_size_and_times_is_another_source(file: Path, store: Store) -> None:
    os.utime(file, ns=(OLD_NS, OLD_NS))
    before = at(file, store).identify()
    file.write_bytes(b"two\n")
    os.utime(file, ns=(OLD_NS, OLD_NS))
    after = at(file, store).identify()
    assert after.digest == digest_of({"a b.json": b"two\n"}) != before.digest


def test_a_file_replaced_by_one_of_equal_size_and_times_is_another_source(
    file: Path, store: Store
) -> None:
    os.utime(file, ns=(OLD_NS, OLD_NS))
    at(file, store).identify()
    fresh = file.with_name("fresh")
    fresh.write_bytes(b"two\n")
    os.utime(fresh, ns=(OLD_NS, OLD_NS))
    fresh.replace(file)
    assert at(file, store).identify().digest == digest_of({"a b.json": b"two\n"})


def test_touching_a_file_changes_nothing(file: Path, store: Store) -> None:
    before = at(file, store).identify()
    os.utime(file, ns=(OLD_NS, OLD_NS))
    assert at(file, store).identify() == before


def test_a_file_that_was_hashed_long_after_its_last_change_is_not_read_again(
    file: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = file.stat().st_ctime_ns + 3_000_000_000
    with monkeypatch.context() as patch:
        patch.setattr("daintree.pipeline.sources.local.time.time_ns", lambda: later)
        before = at(file, store).identify()
    monkeypatch.setattr(
        "daintree.pipeline.sources.local.digest_files", lambda paths: pytest.fail("read again")
    )
    assert at(file, store).identify() == before


@pytest.mark.parametrize("note", [b"", b"{}", b"[[", b'[["a b.json", 1]]', b"\xff"])
def test_a_broken_memory_is_forgotten(file: Path, store: Store, note: bytes) -> None:
    before = at(file, store).identify()
    (note_file,) = (Path(store.url) / "_notes/sources").iterdir()
    note_file.write_bytes(note)
    assert at(file, store).identify() == before


def test_a_store_that_takes_no_more_bytes_costs_only_time(file: Path, store: Store) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        identity = at(file, store).identify()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert identity.digest == digest_of({"a b.json": b"one\n"})
    assert not [path for path in Path(store.url).rglob("_notes/**/*") if path.is_file()]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_stage_gets_links_to_the_files(
    kind: str, file: Path, directory: Path, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "input").mkdir()
    given = file if kind == "file" else directory
    places = at(given, store).files(tmp_path / "input")
    assert places == {"a b.json" if kind == "file" else "": given}
    parts = {
        str(path.relative_to(tmp_path / "input")): path.read_bytes()
        for path in sorted((tmp_path / "input").rglob("*"))
        if path.is_symlink()
    }
    expected = (
        {"a b.json": b"one\n"} if kind == "file" else {"2014/größe.json": b"a", "z.json": b"z"}
    )
    assert parts == expected


def test_a_change_while_a_stage_reads_is_seen(directory: Path, store: Store) -> None:
    source = at(directory, store)
    source.identify()
    assert source.unchanged()
    (directory / "z.json").write_bytes(b"y")
    assert not source.unchanged()
    source.identify()
    assert source.unchanged()
    (directory / "new.json").write_bytes(b"")
    assert not source.unchanged()


def test_a_source_that_is_gone_while_a_stage_reads_is_changed(file: Path, store: Store) -> None:
    source = at(file, store)
    source.identify()
    file.unlink()
    assert not source.unchanged()


def test_a_change_while_it_is_hashed_is_an_error(
    file: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daintree.digest import digest_files

    def slow(paths: list[Path]) -> list[str]:
        digests = digest_files(paths)
        file.write_bytes(b"changed meanwhile")
        return digests

    monkeypatch.setattr("daintree.pipeline.sources.local.digest_files", slow)
    error = complaint(at(file, store))
    assert error.message == f"the source {file} changed while it was read"
    assert error.hint == "run again when whatever writes it is done"


def test_a_declared_sha256_is_checked(file: Path, directory: Path, store: Store) -> None:
    sha256 = hashlib.sha256(b"one\n").hexdigest()
    assert at(file, store, sha256).identify() == at(file, store).identify()
    error = complaint(at(file, store, "0" * 64))
    assert error.message == f"the source {file} is not the file that the pipeline declares"
    assert error.hint == f"its sha256 is {sha256}"
    assert complaint(at(directory, store, sha256)).hint == "its sha256 is that of several files"


def test_a_missing_source_is_said_with_where_it_was_looked_for(
    store: Store, tmp_path: Path
) -> None:
    error = complaint(opened("data/x.json", tmp_path, store))
    assert error.message == "the source data/x.json does not exist"
    assert error.hint == (
        f"looked for {tmp_path}/data/x.json; a relative path in a pipeline file starts at the project"
    )


@pytest.mark.parametrize("name", ["k\udce4ufe.json", "k\udce4ufe"])
def test_a_path_that_is_not_utf8_is_refused(name: str, store: Store, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith(".json"):
        path.write_text("{}")
    else:
        path.mkdir()
        (path / "a.json").write_text("{}")
    error = complaint(opened(name, tmp_path, store))
    assert error.message == f"the source {name}: its path is not valid UTF-8"
    assert error.hint == "give it another name"


def test_a_path_below_a_file_does_not_exist(file: Path, store: Store) -> None:
    assert complaint(at(file / "x", store)).message == f"the source {file}/x does not exist"


def test_a_name_that_no_file_can_have_is_said(store: Store) -> None:
    error = complaint(at(Path("/" + "x" * 300), store))
    assert error.message == f"the source /{'x' * 300} cannot be read: File name too long"


def test_what_is_neither_file_nor_directory_is_refused(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    error = complaint(at(tmp_path / "pipe", store))
    assert error.message == f"the source {tmp_path}/pipe is neither a file nor a directory"


def test_an_empty_directory_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "data/empty").mkdir(parents=True)
    error = complaint(at(tmp_path / "data", store))
    assert error.message == f"the source {tmp_path}/data is a directory without a file"


@pytest.mark.parametrize("kind", ["pipe", "name"])
def test_a_directory_holds_regular_files_of_good_names_alone(
    kind: str, directory: Path, store: Store
) -> None:
    if kind == "pipe":
        os.mkfifo(directory / "bad")
    else:
        (directory / "bad\n").touch()
    error = complaint(at(directory, store))
    assert error.message.startswith(f"the source {directory}: ")
    assert "bad" in error.message
    assert error.hint


def test_a_file_that_may_not_be_read_is_said(file: Path, store: Store) -> None:
    file.chmod(0)
    with file_modes_hold():
        error = complaint(at(file, store))
    assert error.message == f"the source {file} cannot be read: Permission denied"
    assert error.hint == "check its permissions"


def test_a_link_to_a_file_or_directory_is_followed(
    file: Path, directory: Path, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "to-file").symlink_to(file)
    (tmp_path / "to-directory").symlink_to(directory)
    assert at(tmp_path / "to-file", store).identify().digest == digest_of({"to-file": b"one\n"})
    linked, direct = at(tmp_path / "to-directory", store), at(directory, store)
    assert linked.identify().digest == direct.identify().digest


@pytest.mark.parametrize("location", ["~/a b.json", "file://{}", "FILE://localhost{}", "{}"])
def test_a_location_may_be_written_in_several_ways(
    location: str, file: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    path = str(file).replace(" ", "%20") if "://" in location else str(file)
    source = opened(location.format(path), Path("/nowhere"), store)
    assert source.identify().digest == digest_of({"a b.json": b"one\n"})


def test_a_home_that_nobody_has_is_a_name_like_any_other(store: Store, tmp_path: Path) -> None:
    error = complaint(opened("~nobody-of-this-name/x", tmp_path, store))
    assert error.message == "the source ~nobody-of-this-name/x does not exist"


def test_a_file_url_of_another_machine_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as failure:
        opened("file://host/x", tmp_path, store)
    assert failure.value.message == "the source file://host/x is not on this machine"
    assert failure.value.hint == "write file:///path"


def test_other_kinds_are_refused_with_what_there_is(store: Store) -> None:
    with pytest.raises(SourceError) as failure:
        opened("ftp://host/key", Path("/nowhere"), store)
    error = failure.value
    assert error.message == "a source of the kind ftp:// cannot be read"
    assert error.hint == (
        "use a path, http://, https:// or s3://; or copy the objects to a directory first"
    )
