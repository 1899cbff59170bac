"""Text on a terminal: sizes, durations and counts; columns; colour; control characters made visible.

What is printed holds names, reasons and messages that others wrote. Everything that goes to stdout and stderr passes
`printable`: by `say`, or by the `Screen` that commands put before the process's streams.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, TextIO

# Control characters of C0 (but for line ends and tabs) and C1, and those that reorder or break text unseen.
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F)]
_CONTROLS += range(0x2066, 0x206A)
_NAMED = {ord("\n"): "\\n", ord("\t"): "\\t", ord("\r"): "\\r"}
_ESCAPED = {
    point: _NAMED.get(point, f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}")
    for point in _CONTROLS
}
_IN_LINES = {point: text for point, text in _ESCAPED.items() if chr(point) not in "\n\t"}
_IN_JSON = {point: f"\\u{point:04x}" for point in _CONTROLS if point >= 0x7F}
_UNSAFE = re.compile(f"[{''.join(map(re.escape, map(chr, _IN_LINES)))}\ufdd0]")

# Colours are marked by two code points that no text may hold, until all else that controls a terminal is escaped.
_MARKED = "\ufdd0([0-9;:]*)\ufdd1"
_SEQUENCE = r"(?s)(?:\x1b\[|\x9b)(?:([0-9;:]*)m|[0-?]*[ -/]*[@-~])|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)|\x1b[ -/]*[0-~]?"
_COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1", "cyan": "36"}


def size(count: int) -> str:
    """A number of bytes, e.g. "812 B", "1.2 MB" (powers of 1000)."""
    if count < 1000:
        return f"{count} B"
    amount = count / 1000
    for unit in ("kB", "MB", "GB"):
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def duration(seconds: float) -> str:
    """A duration, e.g. "0.41 s", "12.3 s", "3 min 05 s", "2 h 07 min"."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: int, noun: str) -> str:
    """A number with its noun, e.g. "1 hit", "3 hits"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def colour(text: str, name: str, stream: TextIO) -> str:
    """The text in a colour where `stream` is a terminal and NO_COLOR is not set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\ufdd0{_COLOURS[name]}\ufdd1{text}\ufdd00\ufdd1"


def printable(text: str) -> str:
    """The text as it may go to a terminal: control characters escaped, line ends, tabs and own colours kept."""
    if not _UNSAFE.search(text):
        return text
    return re.sub(_MARKED, "\033[\\1m", text.translate(_IN_LINES))


def one_line(text: str) -> str:
    """The text without line ends and tabs, which are escaped as other control characters are."""
    return text.translate(_ESCAPED) if not text.isprintable() else text


def streamed(text: str) -> str:
    """A line of a program's own output: its colours survive, every other control sequence is dropped."""
    coloured = re.sub(
        _SEQUENCE, lambda match: "" if match[1] is None else f"\ufdd0{match[1]}\ufdd1", text
    )
    return "".join(c for c in coloured if c == "\t" or ord(c) not in _ESCAPED)


def json_safe(text: str) -> str:
    """A JSON text in which the control characters that JSON itself allows are escaped."""
    return text.translate(_IN_JSON)


class Screen:
    """A stream before which control characters are escaped, and which takes any text whatever its encoding is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="daintree")

    @property
    def raw(self) -> TextIO:
        """The stream itself, for the output of programs that are run in their own right."""
        return self._stream

    def write(self, text: str) -> int:
        """Write the text, printable."""
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _encode_anyhow(error: UnicodeError) -> tuple[bytes, int]:
    """Replace the characters that an encoding lacks by "?"; bytes of file names that are no text become themselves again."""
    assert isinstance(error, UnicodeEncodeError)
    points = map(ord, error.object[error.start : error.end])
    return bytes(p - 0xDC00 if 0xDC80 <= p <= 0xDCFF else 0x3F for p in points), error.end


codecs.register_error("daintree", _encode_anyhow)


def screen_width() -> int | None:
    """Columns of the terminal that stdout is, or as COLUMNS says; None where lines may have any length."""
    import shutil

    limited = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return shutil.get_terminal_size().columns if limited else None


def fitted(lines: Sequence[str], width: int | None) -> list[str]:
    """The lines, cut to a width where there is one."""
    return [
        line if width is None or len(line) <= width else line[: width - 1] + "…" for line in lines
    ]


def columns(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """Rows as lines with aligned columns; the last column is as wide as it is. A cell never breaks its line."""
    if not rows:
        return []
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def say(text: str) -> None:
    """Print one line on stderr, written at once so that lines of several threads do not mix."""
    # A screen does that itself, and would escape the colours of what is printable already.
    sys.stderr.write(f"{text}\n" if isinstance(sys.stderr, Screen) else printable(f"{text}\n"))
    sys.stderr.flush()


def erase(stream: TextIO, above: int = 0) -> None:
    """Erase the line that a terminal's cursor is in, and so many above it; the cursor is at the begin of the uppermost then."""
    # No text may hold such a sequence, so that a screen would escape it.
    raw = getattr(stream, "raw", stream)
    raw.write(f"\033[{above}F\033[J" if above else "\r\033[K")
