"""A bucket behind a server, or a way to it, that fails: what is asked again, what is told, and that it ends."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from daintree.errors import ArtifactDamaged, StoreError, StoreUnavailable
from daintree.store import bucket as bucket_module
from daintree.store.bucket import LARGE_BYTES, MOST_RETRIES, Bucket
from daintree.store.records import FileEntry
from daintree.store.transfer import PIECE_BYTES, Progress, download, upload
from tests.services.minio import Minio
from tests.services.proxy import (
    Exchange,
    Fault,
    Proxy,
    busy,
    busy_when_done,
    cut,
    dated,
    dry_up,
    reset,
    reset_when_done,
    stall,
)

Action = Callable[[Bucket], object]

ACTIONS: dict[str, Action] = {
    "get": lambda bucket: bucket.get_many(["a"]),
    "list": lambda bucket: bucket.sizes(),
    "put": lambda bucket: bucket.put("b", b"1"),
    "create": lambda bucket: bucket.create("b", b"1"),
    "replace": lambda bucket: bucket.replace("a", b"1", b"2"),
    "delete": lambda bucket: bucket.delete(["a"]),
}


@pytest.fixture
def straight(minio: Minio) -> Bucket:
    """A fresh bucket that holds the object a."""
    made = Bucket(f"s3://{minio.bucket()}/team", minio.access)
    made.put("a", b"1")
    return made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times so short that a test can wait for them to run out."""
    for name in ("SMALL", "BRIEF", "LARGE"):
        monkeypatch.setattr(bucket_module, name, {"read": 1, "answer": 1, "total": 2})


@pytest.mark.parametrize("fault", [reset_when_done, busy_when_done])
def test_what_was_written_although_its_answer_was_lost_is_ours(
    bucket: Bucket, straight: Bucket, way: Proxy, fault: Fault
) -> None:
    way.when("^PUT .*/team/", fault, times=1)
    assert bucket.create("b", b"our nonce")
    way.when("^PUT .*/team/", fault, times=1)
    assert bucket.replace("b", b"our nonce", b"our next")
    assert straight.get_many(["b"]) == [b"our next"]


@pytest.mark.parametrize("fault", [reset_when_done, busy_when_done])
def test_what_another_wrote_is_not_ours_when_the_answer_is_lost(
    bucket: Bucket, straight: Bucket, way: Proxy, fault: Fault
) -> None:
    way.when("^PUT .*/team/", fault, times=1)
    assert not bucket.create("a", b"our nonce")
    assert straight.get_many(["a"]) == [b"1"]


@pytest.mark.parametrize("fault", [busy, reset])
@pytest.mark.parametrize("name", ["get", "list", "put"])
def test_a_fault_that_passes_is_not_noticed(
    bucket: Bucket, way: Proxy, name: str, fault: Fault
) -> None:
    met = way.when("team", fault, times=2)
    ACTIONS[name](bucket)
    assert met.times == 0
    assert len(way.requests) == 3


@pytest.mark.parametrize(
    ("fault", "says"), [(busy, "answers SlowDown"), (reset, "breaks off the connection")]
)
@pytest.mark.parametrize("name", sorted(ACTIONS))
@pytest.mark.usefixtures("impatient")
def test_a_fault_that_stays_is_told_after_a_bounded_number_of_requests(
    bucket: Bucket, way: Proxy, name: str, fault: Fault, says: str
) -> None:
    way.when("", fault)
    with pytest.raises(StoreUnavailable) as caught:
        ACTIONS[name](bucket)
    assert re.fullmatch(
        f"the artifact store {bucket.url} is not to be had: {way.endpoint} {says}, [2-7] times",
        caught.value.message,
    )
    assert "DAINTREE_WHEN_UNAVAILABLE=local" in caught.value.hint
    # One that writes on a condition reads back what stands there.
    assert len(way.requests) <= 2 * (MOST_RETRIES + 1)


@pytest.mark.parametrize("fault", [cut, dry_up(3)])
@pytest.mark.usefixtures("impatient")
def test_an_answer_that_breaks_off_is_asked_for_again(
    bucket: Bucket, straight: Bucket, way: Proxy, fault: Fault
) -> None:
    straight.put("long", b"x" * 100)
    met = way.when("^GET .*/(long|team)", fault, times=1)
    assert bucket.get_many(["long"]) == [b"x" * 100]
    assert met.times == 0
    again = way.when("list-type", fault, times=1)
    assert bucket.sizes() == {"a": 1, "long": 100}
    assert again.times == 0


@pytest.mark.parametrize(
    ("fault", "says"), [(cut, "cuts an answer off"), (dry_up(50), "stops in the middle")]
)
@pytest.mark.usefixtures("impatient")
def test_an_answer_that_always_breaks_off_is_told_with_how_much_came(
    bucket: Bucket, straight: Bucket, way: Proxy, fault: Fault, says: str
) -> None:
    straight.put("long", b"x" * 100)
    way.when("^GET .*/long", fault)
    with pytest.raises(StoreUnavailable, match=says) as caught:
        bucket.get_many(["long"])
    assert re.search(r"[2-7] times, after 50 of 100 bytes$", caught.value.message)
    assert "cannot be reached" not in caught.value.message


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_one_request_in_three_may_fail_and_nobody_notices(
    bucket: Bucket, way: Proxy, name: str
) -> None:
    faults = [reset, cut, busy, reset_when_done, busy_when_done]
    for fault in faults:
        way.when("", fault, times=1)
        ACTIONS[name](bucket)
    assert len(way.requests) > len(faults)


@pytest.mark.parametrize("name", ["get", "create"])
@pytest.mark.usefixtures("impatient")
def test_a_server_that_stalls_is_given_up(bucket: Bucket, way: Proxy, name: str) -> None:
    way.when("", stall)
    with pytest.raises(StoreUnavailable, match=f"{way.endpoint} does not answer"):
        ACTIONS[name](bucket)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_has_not_answered_is_asked_again_and_found_to_be_back(
    bucket: Bucket, way: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "BRIEF", {"read": 60, "answer": 60, "total": 0})
    away = way.when("", busy)
    for _ in range(2):
        before = len(way.requests)
        with pytest.raises(StoreUnavailable):
            bucket.get_many(["a"])
    # Briefly, this time.
    assert len(way.requests) == before + 1
    away.times = 0
    assert bucket.get_many(["a"]) == [b"1"]
    passing = way.when("", busy, times=2)
    assert bucket.get_many(["a"]) == [b"1"]
    assert passing.times == 0


def test_somebody_who_waits_for_a_page_waits_for_one_round(
    straight: Bucket, way: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "BRIEF", {"read": 1, "answer": 60, "total": 0})
    access = msgspec.structs.replace(straight.access, endpoint=way.endpoint)
    bucket = Bucket(straight.url, access, brief=True)
    assert bucket.get_many(["a"]) == [b"1"]
    before = len(way.requests)
    way.when("", stall)
    for action in (ACTIONS["get"], *ACTIONS.values()):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            action(bucket)
    assert len(way.requests) == before + 1


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_a_clock_that_is_off_by_years_is_said(bucket: Bucket, way: Proxy, name: str) -> None:
    way.when("", dated("20200101T000000Z"))
    with pytest.raises(StoreError) as caught:
        ACTIONS[name](bucket)
    assert caught.value.message == (
        f"{way.endpoint} refuses this machine's requests because of its clock: it is too far from the server's (RequestTimeTooSkewed)"
    )
    assert "set the clock" in caught.value.hint


def file_of(directory: Path, size: int) -> FileEntry:
    """A file of so many bytes in a directory."""
    content = bytes(range(256)) * (size // 256)
    directory.mkdir()
    (directory / "file").write_bytes(content)
    return FileEntry("file", len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("fault", [busy, reset, cut])
def test_a_file_passes_in_spite_of_faults(
    bucket: Bucket, way: Proxy, tmp_path: Path, fault: Fault
) -> None:
    entry = file_of(tmp_path / "from", 3 * LARGE_BYTES)
    (tmp_path / "to").mkdir()
    sent = way.when("partNumber=2", busy if fault is cut else fault, times=1)
    got = way.when("^GET .*/file", fault, times=1)
    with Progress("a test", 1, entry.size) as shown:
        upload(bucket, tmp_path / "from", "x", [entry], shown)
        download(bucket, "x", [entry], tmp_path / "to", shown)
    assert (sent.times, got.times) == (0, 0)
    assert (tmp_path / "to/file").read_bytes() == (tmp_path / "from/file").read_bytes()


@pytest.mark.parametrize("fault", [busy, reset, stall])
@pytest.mark.usefixtures("impatient")
def test_a_file_whose_parts_do_not_pass_is_no_object(
    bucket: Bucket, straight: Bucket, way: Proxy, tmp_path: Path, fault: Fault
) -> None:
    entry = file_of(tmp_path / "from", 3 * LARGE_BYTES)
    way.when("partNumber=2", fault)
    with Progress("a test", 1, entry.size) as shown, pytest.raises(StoreUnavailable):
        upload(bucket, tmp_path / "from", "x", [entry], shown)
    assert straight.sizes() == {"a": 1}


@pytest.mark.usefixtures("impatient")
def test_a_part_of_which_enough_came_goes_on_where_it_was(
    bucket: Bucket, straight: Bucket, way: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "LARGE", {"read": 1, "answer": 60, "total": 60})
    entry = file_of(tmp_path / "from", 4 * LARGE_BYTES)
    (tmp_path / "to").mkdir()
    with Progress("a test", 1, entry.size) as shown:
        upload(straight, tmp_path / "from", "x", [entry], shown)
        way.when("^GET .*/file$", dry_up(LARGE_BYTES + PIECE_BYTES))
        download(bucket, "x", [entry], tmp_path / "to", shown)
    assert (tmp_path / "to/file").read_bytes() == (tmp_path / "from/file").read_bytes()
    # No answer brings more than 10 MiB of the 32: three break off, the fourth is the rest. From the start again, it would never end.
    assert len(way.matching("^GET .*/file")) == 4


@pytest.mark.usefixtures("impatient")
def test_a_part_of_which_too_little_comes_is_given_up(
    bucket: Bucket, straight: Bucket, way: Proxy, tmp_path: Path
) -> None:
    entry = file_of(tmp_path / "from", 3 * LARGE_BYTES)
    (tmp_path / "to").mkdir()
    way.when("^GET .*/file", dry_up(LARGE_BYTES // 2))
    with Progress("a test", 1, entry.size) as shown:
        upload(straight, tmp_path / "from", "x", [entry], shown)
        with pytest.raises(StoreUnavailable):
            download(bucket, "x", [entry], tmp_path / "to", shown)


def test_a_large_file_that_is_not_what_its_entry_says_is_damaged(
    straight: Bucket, tmp_path: Path
) -> None:
    entry = file_of(tmp_path / "from", 3 * LARGE_BYTES)
    (tmp_path / "to").mkdir()
    other = FileEntry("file", entry.size, "0" * 64)
    with Progress("a test", 1, entry.size) as shown:
        upload(straight, tmp_path / "from", "x", [entry], shown)
        with pytest.raises(ArtifactDamaged, match="file is damaged in the store"):
            download(straight, "x", [other], tmp_path / "to", shown)


def test_a_large_file_whose_object_is_replaced_while_it_is_read_is_damaged(
    bucket: Bucket, straight: Bucket, way: Proxy, tmp_path: Path
) -> None:
    entry = file_of(tmp_path / "from", 3 * LARGE_BYTES)
    (tmp_path / "to").mkdir()

    def replace(exchange: Exchange) -> None:
        straight.put("x/file", b"shorter")
        exchange.answer(*exchange.ask())

    replaced = way.when("^GET .*/file", replace, times=1)
    with Progress("a test", 1, entry.size) as shown:
        upload(straight, tmp_path / "from", "x", [entry], shown)
        with pytest.raises(ArtifactDamaged, match="file is damaged in the store"):
            download(bucket, "x", [entry], tmp_path / "to", shown)
    assert replaced.times == 0
