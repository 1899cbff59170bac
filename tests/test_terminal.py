from __future__ import annotations

import io
import json
import pty
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.terminal import (
    Screen,
    colour,
    columns,
    count,
    duration,
    erase,
    json_safe,
    printable,
    say,
    size,
    streamed,
)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_500_000_000, "1.5 GB"),
        (2_000_000_000_000, "2.0 TB"),
        (5_000_000_000_000_000, "5000.0 TB"),
    ],
)
def test_sizes_in_words(amount: int, words: str) -> None:
    assert size(amount) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.00 s"),
        (0.414, "0.41 s"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7620, "2 h 07 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@given(st.floats(0, 1e6))
def test_no_duration_shows_sixty_of_anything(seconds: float) -> None:
    words = duration(seconds).split()
    parts = dict(zip(words[1::2], map(float, words[::2]), strict=True))
    assert parts.get("min", 0) < 60
    assert parts.get("s", 0) < 60


def test_one_is_singular() -> None:
    assert [count(number, "hit") for number in (0, 1, 2)] == ["0 hits", "1 hit", "2 hits"]


def test_columns_are_aligned_and_the_last_is_as_wide_as_it_is() -> None:
    rows = [["a", "long", "x" * 30], ["longer", "b", ""]]
    assert columns(rows) == ["  a       long  " + "x" * 30, "  longer  b"]
    assert columns(rows, indent="")[1] == "longer  b"
    assert columns([]) == []


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    leader, follower = pty.openpty()
    with open(leader, "rb"), open(follower, "w") as stream:
        yield stream


@pytest.mark.parametrize(
    ("variable", "text", "shaded"),
    [
        ("NO_COLOR", "", True),
        ("NO_COLOR", "1", False),
        ("TERM", "dumb", False),
        ("TERM", "xterm", True),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    variable: str, text: str, shaded: bool, terminal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, text)
    assert printable(colour("HIT", "green", terminal)) == (
        "\033[32mHIT\033[0m" if shaded else "HIT"
    )


def test_there_is_no_colour_in_a_file() -> None:
    assert colour("HIT", "green", io.StringIO()) == "HIT"


def test_a_screen_on_a_terminal_keeps_our_own_colours_and_moves(
    terminal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", Screen(shown))
    say(colour("HIT", "green", terminal) + " \033[2J")
    erase(sys.stderr, 2)
    erase(sys.stderr)
    assert shown.getvalue() == "\033[32mHIT\033[0m \\x1b[2J\n\033[2F\033[J\r\033[K"


def test_lines_of_many_threads_do_not_mix(capfd: pytest.CaptureFixture[str]) -> None:
    lines = [f"{number:03}" * 10 for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(say, lines))
    printed = capfd.readouterr()
    assert sorted(printed.err.splitlines()) == lines
    assert printed.out == ""


# Clears the screen, sets a title, colours, rings, returns, and reorders what follows.
HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x1b[31mc\x07\r\x9b1m\u202ed\x00"


def test_control_characters_are_made_visible() -> None:
    assert printable(HOSTILE) == (r"a\x1b[2J\x1b]0;title\x07b\x1b[31mc\x07\r\x9b1m\u202ed\x00")
    assert printable("größe\t1\n") == "größe\t1\n"


@given(st.text())
def test_nothing_that_is_printed_controls_a_terminal(text: str) -> None:
    shown = printable(text.replace("\ufdd0", ""))
    assert all(c.isprintable() or c in "\t\n" or ord(c) > 0x9F for c in shown)
    assert "\x1b" not in shown
    assert printable(shown) == shown


def test_a_stage_keeps_its_colours_and_nothing_else() -> None:
    assert printable(streamed(HOSTILE)) == "ab\x1b[31mc\x1b[1md"
    assert printable(streamed("\x1b[38;5;196mred\x1b[0m\tcell")) == (
        "\x1b[38;5;196mred\x1b[0m\tcell"
    )


@given(st.text(alphabet="\x1b[]0;1mJ\x07\\Pab\x9b"))
def test_a_stage_s_sequences_are_colours_alone(text: str) -> None:
    shown = re.sub(r"\x1b\[[0-9;:]*m", "", printable(streamed(text)))
    assert shown.isprintable()


def test_cells_never_break_their_lines() -> None:
    assert columns([["a\nb", "c\td\x1b[2J"]]) == [r"  a\nb  c\td\x1b[2J"]


def test_json_stays_json() -> None:
    text = json.dumps("\x9b\x7f\u202e\x1bö", ensure_ascii=False)
    assert printable(json_safe(text)) == json_safe(text)
    assert json.loads(json_safe(text)) == "\x9b\x7f\u202e\x1bö"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"gr??e ??? \xff\n"),
        ("latin-1", b"gr\xf6\xdfe ??? \xff\n"),
        ("utf-8", "größe ─▶ ".encode() + b"? \xff\n"),
    ],
)
def test_any_encoding_takes_any_text(encoding: str, written: bytes) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding, newline="\n")
    print("größe ─▶" + ("" if encoding != "utf-8" else " ") + "\ud800 \udcff", file=Screen(stream))
    stream.flush()
    assert buffer.getvalue() == written
