"""A large object comes into a file through one connection, or several where one is slow, and is hashed as it stands there."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from daintree.store import large_file as bucket_large_file
from daintree.store.bucket import Bucket
from daintree.store.large_file import CONNECTIONS, ObjectRanges, receive
from daintree.store.progress import write_at
from tests.services.proxy import Exchange, Proxy, passes

PART = 64 << 10
NOTHING_IS_FAST, ALL_IS_FAST = 1 << 60, 0


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts so small that a test can have many, hashed in pieces that no part is a multiple of."""
    monkeypatch.setattr(bucket_large_file, "FIRST_BYTES", PART)
    monkeypatch.setattr(bucket_large_file, "MOST_BYTES", PART)
    monkeypatch.setattr(bucket_large_file, "HASH_BYTES", 10_000)


def received(bucket: Bucket, size: int, file: Path) -> str:
    """The digest of the object `a` in the file; how much came is counted right."""
    counts: list[int] = []
    with open(file, "w+b", buffering=0) as target:
        digest = receive(ObjectRanges(bucket, "a"), size, target, counts.append)
    assert sum(counts) == size
    return digest


@pytest.mark.parametrize("speed", [NOTHING_IS_FAST, ALL_IS_FAST])
@pytest.mark.parametrize("size", [1, PART, PART + 1, 20 * PART - 1])
def test_the_file_is_the_object_and_the_digest_is_the_files(
    straight: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, speed: int
) -> None:
    monkeypatch.setattr(bucket_large_file, "FAST_BYTES", speed)
    content = os.urandom(size)
    straight.put("a", content)
    assert received(straight, size, tmp_path / "a") == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "a").read_bytes() == content


class Traffic:
    """How many requests for the object were under way at a time."""

    def __init__(self, together: int) -> None:
        """The second and those after it are answered once so many of them are there."""
        self.most = self._now = self._asked = 0
        self._together = together
        self._changed = threading.Condition()

    def __call__(self, exchange: Exchange) -> None:
        with self._changed:
            self._asked += 1
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            if self._asked > 1:
                assert self._changed.wait_for(lambda: self.most >= self._together, 60)
        passes(exchange)
        with self._changed:
            self._now -= 1


@pytest.mark.parametrize(("speed", "connections"), [(NOTHING_IS_FAST, 2), (ALL_IS_FAST, 1)])
def test_where_one_connection_is_slow_others_bring_what_comes_after(
    straight: Bucket,
    bucket: Bucket,
    way: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    speed: int,
    connections: int,
) -> None:
    monkeypatch.setattr(bucket_large_file, "FAST_BYTES", speed)
    content, traffic = os.urandom(20 * PART), Traffic(connections)
    straight.put("a", content)
    way.when("^GET .*/a", traffic)
    assert received(bucket, len(content), tmp_path / "a") == hashlib.sha256(content).hexdigest()
    assert connections <= traffic.most <= (CONNECTIONS if connections > 1 else 1)


def test_a_fast_connection_is_asked_for_more_at_a_time(
    straight: Bucket, bucket: Bucket, way: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_large_file, "FIRST_BYTES", 1)
    monkeypatch.setattr(bucket_large_file, "FAST_BYTES", ALL_IS_FAST)
    straight.put("a", b"1" * PART)
    received(bucket, PART, tmp_path / "a")
    assert len(way.asked("^GET .*/a")) < PART // 1000


def test_the_digest_of_an_object_that_is_shorter_is_another(
    straight: Bucket, tmp_path: Path
) -> None:
    straight.put("a", b"1" * (7 * PART // 2))
    with open(tmp_path / "a", "w+b", buffering=0) as target:
        digest = receive(ObjectRanges(straight, "a"), 4 * PART, target, lambda count: None)
    assert digest not in {
        hashlib.sha256(b"1" * (7 * PART // 2)).hexdigest(),
        hashlib.sha256(b"1" * (4 * PART)).hexdigest(),
    }


def test_an_object_that_is_not_there_is_said(straight: Bucket, tmp_path: Path) -> None:
    with (
        open(tmp_path / "a", "w+b", buffering=0) as target,
        pytest.raises(FileNotFoundError),
    ):
        receive(ObjectRanges(straight, "a"), PART, target, lambda count: None)


@pytest.mark.parametrize("speed", [NOTHING_IS_FAST, ALL_IS_FAST])
@pytest.mark.parametrize("failing", [0, 1, 7])
def test_a_disk_that_is_full_ends_it(
    straight: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, speed: int
) -> None:
    straight.put("a", b"1" * (20 * PART))
    monkeypatch.setattr(bucket_large_file, "FAST_BYTES", speed)

    def full(file: int, start: int, piece: memoryview) -> None:
        if start >= failing * PART:
            raise OSError(28, "No space left on device")
        write_at(file, start, piece)

    monkeypatch.setattr(bucket_large_file, "write_at", full)
    with pytest.raises(OSError, match="No space left"):
        received(straight, 20 * PART, tmp_path / "a")


def test_a_file_that_somebody_cuts_short_is_said(
    straight: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight.put("a", b"1" * (20 * PART))
    monkeypatch.setattr(bucket_large_file, "write_at", lambda file, start, piece: None)
    monkeypatch.setattr(bucket_large_file, "reserve", lambda file, size: None)
    with pytest.raises(OSError, match="a was cut short while it was written"):
        received(straight, 20 * PART, tmp_path / "a")
