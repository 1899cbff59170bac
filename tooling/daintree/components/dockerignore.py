"""`.dockerignore` as Docker itself reads it: the parser and the pattern matcher of moby, in Python.

The last pattern that matches decides; `!` takes back; a pattern that matches a directory matches
all below it, unless a later one takes that back; `**` stands for any number of directories, `*` and
`?` do not cross a `/`, `[a-z]` is a class, and a backslash escapes the character after it.
"""

from __future__ import annotations

import posixpath
import re
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from daintree.errors import VersionError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPECIAL = re.compile(r"[*?\[\]\\]")
_TOKEN = re.compile(r"\*\*/?|\\.|.", re.DOTALL)
# What Go's filepath.Match accepts: escapes, classes of characters and ranges, anything else.
_CLASS_MEMBER = r"(?:\\.|[^\\\]-])"
_WELL_FORMED = rf"(?s)(?:\\.|\[\^?(?:{_CLASS_MEMBER}(?:-{_CLASS_MEMBER})?)+\]|[^\\\[])*"

_PLAIN = re.compile(r"/?(?:[\w-][\w.-]*/)*\*?[\w.-]*[\w-]/?", re.ASCII)

Matches = Callable[[str], bool]


class Pattern(msgspec.Struct, frozen=True):
    """One line: what it matches, and whether it takes back instead of ignoring."""

    matches: Matches
    takes_back: bool


class Dockerignore:
    """The patterns of one `.dockerignore`; paths are relative to the directory it lies in."""

    def __init__(self, content: bytes, where: str) -> None:
        """Read the file's content; `where` names it. Raises VersionError for a bad pattern."""
        self._patterns = _parse(content, where)
        self._directories: dict[str, list[bool]] = {"": [False] * len(self._patterns)}

    def ignores(self, path: str) -> bool:
        """True when Docker leaves this file out of a build."""
        return self._judge(path)[0]

    def _judge(self, path: str) -> tuple[bool, list[bool]]:
        """True when the path is ignored, with the patterns that matched it or a directory above."""
        above = self._matched_directory(path.rpartition("/")[0])
        ignored = False
        matched = list(above)
        for number, pattern in enumerate(self._patterns):
            if not matched[number]:
                # One that would change nothing is not tried, so it does not reach what lies below.
                matched[number] = pattern.takes_back == ignored and pattern.matches(path)
            if matched[number]:
                ignored = not pattern.takes_back
        return ignored, matched

    def _matched_directory(self, directory: str) -> list[bool]:
        if directory not in self._directories:
            self._directories[directory] = self._judge(directory)[1]
        return self._directories[directory]


def excluding_patterns(content: bytes, *, counted: Iterable[str]) -> list[str]:
    """Return git patterns of paths that a `.dockerignore` surely leaves out: plain names, and `*` in one of them.

    What spares one of the `counted` names is left to `Dockerignore`, and so is everything where a line takes back.
    """
    lines = content.decode("utf-8", "replace").splitlines()
    if any(line.lstrip().startswith("!") for line in lines):
        return []
    plain = [line.strip().strip("/") for line in lines if _PLAIN.fullmatch(line.strip())]
    return [
        git_pattern
        for pattern in plain
        if pattern and not any(_matcher(pattern)(name) for name in counted)
        for git_pattern in ((pattern, f"{pattern}/**") if "*" in pattern else (pattern,))
    ]


def _parse(content: bytes, where: str) -> list[Pattern]:
    text = content.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "surrogateescape")
    patterns = []
    for number, line in enumerate(text.split("\n"), 1):
        written = line.strip()
        if line.startswith("#") or not written:
            continue
        try:
            patterns.append(_pattern(written))
        except ValueError as error:
            raise VersionError(
                f"{where}:{number}: {written!r} is not a pattern Docker understands: {error}",
                hint="put a backslash before a character that is meant literally",
            ) from None
    return patterns


def _pattern(written: str) -> Pattern:
    takes_back = written.startswith("!")
    cleaned = _clean(written[1:].strip() if takes_back else written)
    if takes_back and cleaned in ("", "/"):
        raise ValueError("nothing follows the !")
    return Pattern(
        _matcher(cleaned[1:] if len(cleaned) > 1 and cleaned[0] == "/" else cleaned), takes_back
    )


def _clean(path: str) -> str:
    """Clean a path as Go's filepath.Clean does: Python's keeps two leading slashes."""
    cleaned = posixpath.normpath(path) if path else ""
    return cleaned[1:] if cleaned.startswith("//") else cleaned


@lru_cache(maxsize=4096)
def _matcher(pattern: str) -> Matches:
    if not re.fullmatch(_WELL_FORMED, pattern):
        raise ValueError("a [class] that is not closed or empty, or a backslash at the end")
    if not _SPECIAL.search(pattern):
        return pattern.__eq__
    if pattern.endswith("**") and not _SPECIAL.search(pattern[:-2]):
        return lambda path: path.startswith(pattern[:-2])
    if pattern.startswith("**") and not _SPECIAL.search(pattern[2:]):
        suffix = pattern[2:]
        return lambda path: path.endswith(suffix) or path == suffix.removeprefix("/")
    with warnings.catch_warnings():
        # Python warns of "[[" and "&&" in a class, which may mean something else to it one day.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            expression = re.compile(_expression(pattern), re.ASCII)
        except re.error as error:
            raise ValueError(str(error)) from None
    return lambda path: expression.fullmatch(path) is not None


def _expression(pattern: str) -> str:
    """The regular expression moby makes of a pattern, its oddities included."""
    parts: list[str] = []
    rest = pattern
    while rest:
        token = _TOKEN.match(rest)
        assert token is not None
        rest = rest[token.end() :]
        if token[0] in ("**", "**/"):
            parts.append("(.*/)?" if rest else ".*")
        elif token[0] in (".", "+", "(", ")", "|", "{", "}", "$"):
            parts.append("\\" + token[0])
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(token[0], token[0]))
    return "".join(parts)
