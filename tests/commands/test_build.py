"""A build as people see it."""

from __future__ import annotations

import io

from daintree.commands.build import Bars, Lines, build_as_json, build_table, complaints, progress
from daintree.errors import ImageError
from daintree.images.build import Result

PRESENT = Result(
    name="a/one", version="v1", action="present", image="r/a/one:1", digest="d", reasons=("there",)
)
BUILT = Result(
    name="a/two", version="v2", action="built", image="r/a/two:2", digest="e", pushed=True,
    reasons=("affected: x", "y"), aliases=("c0ffee", "latest"),
)  # fmt: skip
FAILED = Result(
    name="b",
    version="",
    action="failed",
    image="",
    error=ImageError("it broke\n  | last line", hint="mend it"),
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_table_and_its_count() -> None:
    assert build_table([PRESENT, BUILT, FAILED]) == [
        "a/one  present  r/a/one:1  there",
        "a/two  built    r/a/two:2  affected: x; y",
        "b      failed   -",
        "1 present, 1 built, 1 failed, 1 pushed, 2 tags set",
    ]
    assert build_table([]) == ["no component to build"]


def test_json() -> None:
    assert build_as_json([BUILT, FAILED])["components"] == [
        {
            "name": "a/two",
            "version": "v2",
            "action": "built",
            "image": "r/a/two:2",
            "digest": "e",
            "pushed": True,
            "reasons": ["affected: x", "y"],
        },
        {
            "name": "b",
            "version": "",
            "action": "failed",
            "image": "",
            "digest": None,
            "pushed": False,
            "reasons": [],
        },
    ]


def failed(message: str, hint: str = "") -> Result:
    error = ImageError(message, hint=hint)
    return Result(name="c", version="", action="failed", image="", error=error)


def test_errors_and_their_hints_are_told_once() -> None:
    assert complaints([PRESENT, FAILED, FAILED]) == [
        "error: it broke\n  | last line",
        "hint: mend it",
    ]


def test_a_hint_follows_the_errors_that_it_is_for() -> None:
    failures = [failed("z", "last"), FAILED, failed("none"), failed("y", "last")]
    assert complaints(failures) == [
        "error: z",
        "error: y",
        "hint: last",
        "error: it broke\n  | last line",
        "hint: mend it",
        "error: none",
    ]


def test_lines_outside_of_a_terminal() -> None:
    stream = io.StringIO()
    shown = progress(5, stream)
    assert type(shown) is Lines
    shown.starting("a/two", ("affected: x", "y"))
    shown.line("a/two", "Step 1/3 : FROM scratch")
    shown.line("a/two", "Step 2/3 : LABEL ml.daintree.version=1")
    shown.line("a/two", "Collecting numpy")
    shown.note("a/two", ":latest stays")
    shown.warning("no pin")
    shown.finished(BUILT, 1.5)
    shown.finished(FAILED, 0.1)
    assert stream.getvalue().splitlines() == [
        "a/two  build   affected: x; y",
        "a/two  |       Step 1/3 : FROM scratch",
        "a/two  note    :latest stays",
        "warning: no pin",
        "a/two  done    built and pushed, 1.50 s, e",
        "b      failed  it broke",
    ]


def test_bars_on_a_terminal() -> None:
    stream = Terminal()
    shown = progress(5, stream)
    assert isinstance(shown, Bars)
    shown.starting("a/two", ("affected: x",))
    shown.line("a/two", "Step 3/4 : RUN pip install")
    shown.line("a/two", "Collecting numpy")
    assert "a/two  [######......]  RUN pip install\n" in stream.getvalue()
    assert "a/two  [######......]  Collecting numpy\n" in stream.getvalue()
    shown.finished(BUILT, 1.5)
    last = stream.getvalue().rpartition("\033[J")[2]
    assert "built and pushed" in last
    assert "[" not in last.replace("\033[", "")
