"""Large objects are read whole, in parts whose turns come in order, whichever part comes first."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from daintree.store import parts as bucket_parts
from daintree.store.bucket import Bucket
from daintree.store.large_file import ObjectRanges
from daintree.store.parts import PARTS_AT_ONCE, read_whole
from tests.services.proxy import Exchange, Proxy, passes

PART = 64 << 10


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts so small that a test can have many."""
    monkeypatch.setattr(bucket_parts, "PART_BYTES", PART)


def unheard(count: int) -> None:
    """For those who do not ask how much has come."""


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 20 * PART - 1])
def test_every_byte_comes_and_every_part_has_its_turn(straight: Bucket, size: int) -> None:
    content, counts, in_turn = os.urandom(size), list[int](), bytearray()
    straight.put("a", content)
    assert read_whole(ObjectRanges(straight, "a"), size, counts.append, in_turn.extend) == size
    assert sum(counts) == size
    assert bytes(in_turn) == content


def test_parts_that_come_before_their_turn_wait_for_it(
    straight: Bucket, bucket: Bucket, way: Proxy
) -> None:
    content, in_turn = os.urandom(PARTS_AT_ONCE * PART), bytearray()
    straight.put("a", content)
    others, lock, first = [PARTS_AT_ONCE - 1], threading.Lock(), threading.Event()

    def the_first_comes_last(exchange: Exchange) -> None:
        if exchange.headers.get("Range", "").startswith("bytes=0-"):
            assert first.wait(60)
        passes(exchange)
        with lock:
            others[0] -= 1
            if not others[0]:
                first.set()

    way.when("^GET .*/a", the_first_comes_last)
    read_whole(ObjectRanges(bucket, "a"), len(content), unheard, in_turn.extend)
    assert bytes(in_turn) == content


def test_an_object_that_is_shorter_brings_what_it_has(straight: Bucket) -> None:
    in_turn = bytearray()
    straight.put("a", b"1" * (PART // 2))
    assert read_whole(ObjectRanges(straight, "a"), PART, unheard, in_turn.extend) == PART // 2
    assert bytes(in_turn) == b"1" * (PART // 2)


@pytest.mark.parametrize("failing", [0, 1, 7])
def test_what_fails_ends_it_and_is_raised(straight: Bucket, failing: int) -> None:
    straight.put("a", b"1" * (20 * PART))
    turns = []

    class Fails(ObjectRanges):
        def read(self, connection: Any, start: int, *more: Any) -> Iterator[memoryview]:
            if start == failing * PART:
                raise OSError(28, "No space left on device")
            return super().read(connection, start, *more)

    with pytest.raises(OSError, match="No space left"):
        read_whole(Fails(straight, "a"), 20 * PART, unheard, lambda part: turns.append(1))
    assert len(turns) <= failing


def test_a_turn_that_fails_is_nobodys_any_more(straight: Bucket) -> None:
    straight.put("a", b"1" * (20 * PART))
    turns = []

    def second_fails(part: memoryview) -> None:
        turns.append(len(part))
        if len(turns) == 2:
            raise RuntimeError("the second")

    with pytest.raises(RuntimeError, match="the second"):
        read_whole(ObjectRanges(straight, "a"), 20 * PART, unheard, second_fails)
    assert turns == [PART, PART]
