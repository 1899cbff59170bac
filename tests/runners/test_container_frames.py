"""The engine's stream, cut into lines whatever pieces it comes in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daintree.runners.container import STDERR, STDOUT, Frames


def frame(kind: int, content: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(content).to_bytes(4, "big") + content


def lines(stream: bytes, *cuts: int) -> list[str]:
    frames, read, start = Frames(), [], 0
    for cut in (*sorted(cuts), len(stream)):
        read += frames.feed(stream[start:cut])
        start = max(start, cut)
    return read + frames.finish()


def test_each_stream_has_lines_of_its_own() -> None:
    stream = frame(STDOUT, b"o") + frame(STDERR, b"err\n") + frame(STDOUT, b"ut\nrest")
    assert lines(stream) == ["err", "out", "rest"]


def test_a_frame_that_has_not_come_whole_is_not_yet_a_line() -> None:
    frames = Frames()
    assert frames.feed(frame(STDOUT, b"one\n")[:-1]) == []
    assert frames.feed(b"\n") == ["one"]


@given(
    st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=20))),
    st.lists(st.integers(0, 400)),
)
def test_pieces_make_no_difference(parts: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frame(kind, content) for kind, content in parts)
    assert lines(stream, *(min(cut, len(stream)) for cut in cuts)) == lines(stream)
