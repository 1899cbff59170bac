"""Golden screens: transcripts of commands, with what each printed on stdout and stderr and its exit code.

A transcript is a text file below `tests/golden/screens`. A line `$ COMMAND` is run by bash in a small project; the lines
below it are stdout (`1|`), stderr (`2|`) and the exit code (`=`). A line `# …` is a comment; a first line `# needs: store`
asks for a bucket. `python -m tests.golden [NAME …]` writes what the program prints now.
"""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

SCREENS = Path(__file__).parent / "screens"

_MEASURED = r"peak_memory|bytes_freed|\w*seconds"
_VARYING = [
    (re.compile(r"\b\d{8}T\d{9}Z-[0-9a-f]{8}\b"), "<run>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b"), "<minute>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "<date>"),
    (re.compile(r"/\d{4}/\d\d/\d\d/"), "/<day>/"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"\b[0-9a-f]{40}\b"), "<commit>"),
    (re.compile(r"\b[0-9a-f]{20}\b"), "<version>"),
    # Before the short ids: a number of eight digits looks like one.
    (re.compile(rf'("(?:{_MEASURED})": )[\d.e-]+'), r"\1<number>"),
    (re.compile(r"\b[0-9a-f]{8}\b"), "<hex>"),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{7,12}\b"), "<hex>"),
    (re.compile(r"\b(\d+ h \d\d min|\d+ min \d\d s|\d+(\.\d+)? (s|min|h))\b"), "<duration>"),
    (re.compile(r"\b\d+(\.\d+)? (B|kB|MB|GB)\b"), "<size>"),
    (re.compile(r"venv-3\.\d+-[a-z0-9]+-\w+"), "<environment class>"),
    (re.compile(r"\b3\.\d+\.\d+\b"), "<python>"),
    # Tests that run at once make environments in one directory.
    (re.compile(r"\b\d+ in <environments>"), "<number> in <environments>"),
    (re.compile(r"/tmp/daintree-\w+"), "<temporary directory>"),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), "<server>"),
    (re.compile(r"\bml-artifacts-[0-9a-f]{12}\b"), "<bucket>"),
    # After the temporary directories: a short name of a host can stand inside of a random one.
    (re.compile(rf"(?<![\w-]){re.escape(platform.node() or '?')}(?![\w-])"), "<host>"),
    # Columns are as wide as what varies in them.
    (re.compile(r"(?<=\S)  +"), "  "),
]


def normalised(text: str, places: Mapping[str, str]) -> str:
    """The text with times, sizes, ids and digests brought to one form; `places` names what stands for paths of this machine."""
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


def transcript(
    commands: str, root: Path, environ: Mapping[str, str], places: Mapping[str, str]
) -> str:
    """The transcript of these commands (those of a transcript, whatever it says of their output), run in `root`."""
    lines: list[str] = []
    for line in commands.splitlines():
        if line.startswith("$ "):
            done = subprocess.run(
                ["bash", "-c", line[2:]],
                cwd=root,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=120,
                check=False,
            )
            lines += [line]
            for stream, text in (("1|", done.stdout), ("2|", done.stderr)):
                printed = normalised(text, places).splitlines()
                lines += [f"{stream} {row}".rstrip() for row in printed]
            lines += [f"= {done.returncode}"]
        elif line.startswith("#") or not line:
            lines += [line]
    return "".join(line + "\n" for line in lines)
