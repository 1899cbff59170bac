"""What a page shows of what a command printed: whether it is true, and what to show in its place.

What differs from run to run (durations, sizes, ids) is brought to one form before it is compared; a line `…` stands for
any lines, and in a new screen a line `?` asks for all. What is too wide for a page goes on in the next line, indented.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

ELISION = "…"
UNKNOWN = "?"
# Columns of a screen on a page; the program cuts its tables to them.
WIDTH = 110
# Where a table is cut depends on how wide the columns before are, which varies.
CUT_MARGIN = 24

_FOLD = textwrap.TextWrapper(
    WIDTH, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False
)
_FOLDED = re.compile(r" {8}(?! )")

_VARYING = [
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b\d{8}T\d{9}Z-[0-9a-f]{8}\b"), "20260301T101500000Z-0a1b2c3d"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-03-01T10:15:00Z"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b"), "2026-03-01 10:15"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:" + "0" * 64),
    (re.compile(r"\b[0-9a-f]{40}\b|\b[0-9a-f]{64}\b"), "0" * 64),
    (re.compile(r"(?<=[/:])[0-9a-f]{20}\b"), "0" * 20),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,12}\b\+?"), "0a1b2c3d"),
    # A busy machine takes minutes for what takes seconds.
    (re.compile(r"\b(\d+ h \d\d min|\d+ min \d\d s)\b"), "0 s"),
    (re.compile(r"\b\d+(\.\d+)? (s|kB|MB|GB|B|min|h)\b"), r"0 \2"),
    (re.compile(r"\bin \d+\.\d+s\b"), "in 0s"),
    (re.compile(r"\b\d+(\.\d+)?%"), "0%"),
    (re.compile(r"\b0\.\d{3,6}\b"), "0.0000"),
    (re.compile(r"venv-3\.\d+-\S+"), "venv-3.11-linux-x86_64"),
    (re.compile(r"(Python |python-?)3\.\d+(\.\d+)?"), r"\g<1>3.11"),
    (re.compile(r"component-tests-\w+"), "component-tests"),
    (re.compile(r"\b\d+ packages? \(.*\)"), "0 packages (0 MB)"),
    (re.compile(r"=+( .* )=+"), r"=\1="),
    (re.compile(r" +"), " "),
]

# A busy machine makes any stage a silent one.
_SILENT = re.compile(r"\S+ +… +running for ")


def normalised(line: str) -> str:
    """The line with all that varies brought to one form."""
    for pattern, replacement in _VARYING:
        line = pattern.sub(replacement, line)
    return line.rstrip()


def folded(lines: Sequence[str]) -> list[str]:
    """The lines, those that are wider than a page in several each."""
    return [part for line in lines for part in (_FOLD.wrap(line) if len(line) > WIDTH else [line])]


def unfolded(lines: Sequence[str]) -> list[str]:
    """The lines as they were before they were folded."""
    whole: list[str] = []
    for line in lines:
        if whole and _FOLDED.match(line):
            whole[-1] += line[7:]
        else:
            whole.append(line)
    return whole


def _pattern(line: str) -> str:
    """Regular expression of the lines that agree with one that is shown."""
    if line.strip() == ELISION:
        return r"(?:.*\n)*"
    form = normalised(line)
    cut = form.endswith(ELISION)
    return (re.escape(form[:-CUT_MARGIN]) + ".*" if cut else re.escape(form)) + r"\n"


def agree(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether the lines shown are those printed, `…` standing for any lines; showing none says nothing."""
    if not shown:
        return True
    printed = unfolded([line for line in printed if not _SILENT.match(line)])
    pattern = "".join(map(_pattern, unfolded(shown)))
    return re.fullmatch(pattern, "".join(normalised(line) + "\n" for line in printed)) is not None


def renewed(shown: Sequence[str], printed: Sequence[str]) -> list[str]:
    """What to show of what was printed: all, or with each `…` where it stood.

    As many lines as before stand before the first `…` and after the last; between two, those that were there.
    """
    if not shown or ELISION not in shown:
        return folded(printed) if shown else []
    shown = unfolded(shown)
    first, last = shown.index(ELISION), len(shown) - 1 - list(shown[::-1]).index(ELISION)
    end = len(printed) - (len(shown) - 1 - last)
    by_form = {normalised(line): line for line in printed[first:end]}
    middle = [
        line if line == ELISION else by_form[normalised(line)]
        for line in shown[first : last + 1]
        if line == ELISION or normalised(line) in by_form
    ]
    return folded([*printed[:first], *middle, *printed[end:]])
