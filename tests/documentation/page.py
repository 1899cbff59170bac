"""What a page of the documentation holds: blocks that something is done with, their commands, and what it needs. CONTRIBUTING lists it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(
    r"(?:^<!-- printed by: (?P<by>.+) -->\n)?^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_AFTER = re.compile(r"^<!-- after: (\S+) -->$", re.MULTILINE)
_NEEDS = re.compile(r"^<!-- needs: (\S+) -->$", re.MULTILINE)
_TITLE = re.compile(r"\btitle=(\S+)")
_SPOKEN = re.compile(r"`(doit(?: [^`]*)?)`")
# A command's name alone, or with a placeholder after it.
_NAMING = re.compile(r"^doit \w[\w-]*$|\b[A-Z]{2,}\b|…|\[|\|")
# They need a registry, a bucket, a cluster or a server, do not end, or refuse to do it without more.
_NOT_RUN = re.compile(
    r"^doit (gc --(images|cache)|export mlflow|doctor --runner argo|serve .*|store --empty|new project|show output/.*)$"
)
# Said to whoever reads, and done by .ci/run: cloning, making an environment, installing, the whole suite.
SET_UP = re.compile(
    r"(git clone|python3 -m venv|\. \.venv|pip install|pre-commit install|doit (test|lint)(\s|$)|wsl )"
)


@dataclass(frozen=True)
class Command:
    """One command of a page and the lines shown after it."""

    text: str
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One block of a page: what kind it is, what it holds, and the command or path that belongs to it."""

    kind: str
    subject: str
    body: str
    span: tuple[int, int]

    @property
    def commands(self) -> list[Command]:
        """The commands whose output the block shows."""
        if self.kind == "printed":
            return [Command(self.subject, tuple(self.body.splitlines()))]
        commands: list[tuple[str, list[str]]] = []
        for line in self.body.splitlines() if self.kind == "console" else ():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif commands:
                commands[-1][1].append(line)
        return [Command(text, tuple(shown)) for text, shown in commands]


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page that something is done with, in order."""
    for match in _BLOCK.finditer(page):
        title = _TITLE.search(match["info"])
        language = match["info"].partition(" ")[0]
        if match["by"]:
            kind, subject = "printed", match["by"]
        elif title:
            kind, subject = "file", title[1]
        elif language in ("console", "diff", "python"):
            kind, subject = language, ""
        else:
            continue
        yield Block(kind, subject, match["body"], match.span("body"))


def earlier_pages(page: str) -> list[str]:
    """The pages that this one builds on, by their paths from it."""
    return _AFTER.findall(page)


def needs_registry(page: str) -> bool:
    """Whether a page's commands need an image registry (and a Docker engine)."""
    return "registry" in _NEEDS.findall(page)


def needs_engine(page: str) -> bool:
    """Whether a page's commands need a Docker engine."""
    return "engine" in _NEEDS.findall(page)


def needs_store(page: str) -> bool:
    """Whether a page's commands need a server for a store in a bucket."""
    return "store" in _NEEDS.findall(page)


def spoken_commands(page: str) -> list[str]:
    """What to run for the command lines of doit in a page's text: those lines, or help where one only names a command."""
    spoken = _SPOKEN.findall(_BLOCK.sub("", page))
    return [
        _looked_up(text) if _NAMING.search(text) or _NOT_RUN.search(text) else text
        for text in spoken
        if text != "doit" and not SET_UP.match(text)
    ]


def _looked_up(text: str) -> str:
    """The command that finds a command, and its options, in the help."""
    command, *words = text.split()[1:]
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    return " && ".join(
        [f"doit help {command}", *(f"doit help {command} | grep -e {o}" for o in options)]
    )
