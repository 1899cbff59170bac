from __future__ import annotations

import pytest

from daintree.runners.child_process import LONGEST_LINE, PROGRESS_SECONDS, Lines


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\r 10 %\r 50 %\r100 %\ndone\n", ["100 %", "done"]),
        (b"10 %\r50 %\r", ["50 %"]),
        (b"caf\xe9\n", ["caf\ufffd"]),
        ("größe 🎉\n".encode(), ["größe 🎉"]),
        (b"cut \xf0\x9f", ["cut \ufffd"]),
        ("one\u2028line\x0bstill\x85\n".encode(), ["one\u2028line\x0bstill\x85"]),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_are_the_same_however_the_bytes_arrive(
    content: bytes, lines: list[str], size: int
) -> None:
    reader = Lines(Clock())
    read: list[str] = []
    for start in range(0, len(content), size):
        read += reader.feed(content[start : start + size])
    assert read + reader.finish() == lines


@pytest.mark.parametrize("size", [1000, 70_000, 1_000_000])
def test_a_very_long_line_comes_in_pieces_and_whole(size: int) -> None:
    reader = Lines(Clock())
    content = b"ab" * 200_000 + b"\nnext\n"
    read: list[str] = []
    for start in range(0, len(content), size):
        read += reader.feed(content[start : start + size])
    assert read[-1] == "next"
    assert max(map(len, read)) == LONGEST_LINE
    assert "".join(read[:-1]) == "ab" * 200_000


def test_a_progress_bar_is_shown_now_and_then() -> None:
    clock = Clock()
    reader = Lines(clock)
    assert reader.feed(b"\r 1 %") == []
    clock.now = PROGRESS_SECONDS
    assert reader.feed(b"\r 2 %\r 3") == [" 2 %"]
    clock.now += PROGRESS_SECONDS / 2
    assert reader.feed(b" %\r 4 %\r") == []
    clock.now += PROGRESS_SECONDS
    assert reader.feed(b" 5 %\r") == [" 5 %"]
    assert reader.feed(b"100 %\n") == ["100 %"]


def test_a_progress_bar_that_is_drawn_for_hours_takes_no_memory() -> None:
    reader = Lines(Clock())
    for count in range(50_000):
        assert reader.feed(f"\r{count:>10}".encode()) == []
    assert reader.finish() == ["     49999"]
    assert len(reader._pending) == 0
