"""Screens in the documentation: ```console blocks, whose commands are run and whose output is compared.

A block's lines that begin with `$ ` are commands for bash, run in order, one directory per page; the lines after each
are what it prints, stdout and stderr together. What differs from run to run (durations, sizes, ids, paths) is
brought to one form first; a line `…` stands for any lines.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Said to whoever reads, and done by .ci/run: cloning, making an environment, installing.
SET_UP = re.compile(
    r"(git clone|cd |python3 -m venv|\. \.venv|pip install|pre-commit install|doit (test|lint)\b|wsl )"
)

_VARYING = [
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b\d{8}T\d{9}Z-[0-9a-f]{8}\b"), "20260301T101500000Z-0a1b2c3d"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-03-01T10:15:00Z"),
    (re.compile(r"/\d{4}/\d\d/\d\d/"), "/2026/03/01/"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:" + "0" * 64),
    (re.compile(r"\b[0-9a-f]{64}\b"), "0" * 64),
    (re.compile(r"(?<=/)[0-9a-f]{20}(?=/)"), "0" * 20),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,12}\b\+?"), "0a1b2c3d"),
    (re.compile(r"\b\d+(\.\d+)? (s|kB|MB|GB|B|min|h)\b"), r"0 \2"),
    (re.compile(r"\d+%"), "0%"),
    (re.compile(r"\b0\.\d{3,6}\b"), "0.0000"),
    (re.compile(r"\S+@\S+"), "ana@laptop"),
    (re.compile(r"venv-3\.\d+-\S+"), "venv-3.11-linux-x86_64"),
    (re.compile(r"  +"), "  "),
]


@dataclass(frozen=True)
class Command:
    """One command of a page and the lines shown after it."""

    text: str
    shown: tuple[str, ...]


def blocks(page: str) -> Iterator[tuple[re.Match[str], list[Command]]]:
    """Each console block of a page with its commands."""
    for match in BLOCK.finditer(page):
        commands: list[tuple[str, list[str]]] = []
        for line in match[1].splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif commands:
                commands[-1][1].append(line)
        yield match, [Command(text, tuple(shown)) for text, shown in commands]


def run(command: str, directory: Path, environ: Mapping[str, str]) -> list[str]:
    """The lines a command prints; raises AssertionError unless it ends well or the page says how it ends."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), f"{command}: exit code {done.returncode}\n{done.stdout}"
    assert "Traceback" not in done.stdout, f"{command}\n{done.stdout}"
    home = environ["HOME"]
    return (
        done.stdout.replace(str(directory), "/home/ana/shop")
        .replace(home, "/home/ana")
        .splitlines()
    )


def normalised(line: str) -> str:
    """The line with all that varies brought to one form."""
    for pattern, replacement in _VARYING:
        line = pattern.sub(replacement, line)
    return line.rstrip()


def agree(shown: tuple[str, ...], printed: list[str]) -> bool:
    """Whether the lines shown are those printed, `…` standing for any lines."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else re.escape(normalised(line)) + r"\n"
        for line in shown
    )
    return re.fullmatch(pattern, "".join(normalised(line) + "\n" for line in printed)) is not None
