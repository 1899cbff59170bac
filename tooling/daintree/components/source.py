"""Source directories of components, libraries and the tooling's own image: which there are, and the files of each, less what `.dockerignore` names."""

from __future__ import annotations

import os
import posixpath
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import msgspec

from daintree.components.entries import (
    DOCKERFILE,
    ENTRYPOINT,
    IGNORE,
    PACKAGE,
    REGULAR,
    REQUIREMENTS,
    SPEC,
    SUBMODULE,
    SYMLINK,
    TESTS,
    TOOLING,
    TOOLING_DIRECTORY,
    TOP,
    Entry,
    directory_of,
    places,
)
from daintree.components.git import blob_id
from daintree.errors import SpecError, VersionError
from daintree.spec.component import ComponentSpec, read_component

READ_WHOLE = (DOCKERFILE, SPEC, IGNORE)
# Each means something: without one that lies there, a version would be of something else.
NAMED_FILES = (DOCKERFILE, ENTRYPOINT, SPEC, REQUIREMENTS)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPECIAL = r"[*?\[\]\\]"
_TOKEN = r"(?s)\*\*/?|\\.|."
# What Go's filepath.Match accepts: escapes, classes of characters and ranges, anything else.
_CLASS_MEMBER = r"(?:\\.|[^\\\]-])"
_WELL_FORMED = rf"(?s)(?:\\.|\[\^?(?:{_CLASS_MEMBER}(?:-{_CLASS_MEMBER})?)+\]|[^\\\[])*"

_PLAIN = r"(?a)/?(?:[\w-][\w.-]*/)*\*?[\w.-]*[\w-]/?"

Matches = Callable[[str], bool]
_DEFAULT_PYTHON = "3.11"
_INSTALL = """\
COPY requirements.txt /application/
RUN pip install --no-cache-dir --require-hashes -r /application/requirements.txt
"""

specification = lru_cache(maxsize=None)(read_component)


def discover_components(root: Path) -> list[str]:
    """Return the sorted names of the components below `root`: directories that hold a main.py or a Dockerfile.

    Nothing below a component is looked at, nor any directory whose name begins with a dot; a main.py inside a package, or
    among tests, makes no component.
    """
    return sorted(name for name, is_component in _discover(root) if is_component)


def discover_libraries(root: Path) -> list[str]:
    """Return the sorted names of the libraries: topmost directories with files but no component."""
    return sorted(name for name, is_component in _discover(root) if not is_component)


def discover_images(root: Path) -> list[str]:
    """Return what `doit build` builds, sorted: the components, and the tooling where the project has its sources."""
    has_own = os.path.isfile(root / TOOLING_DIRECTORY / DOCKERFILE)
    return sorted({*discover_components(root), *([TOOLING] if has_own else [])})


def _discover(root: Path) -> Iterator[tuple[str, bool]]:
    top = os.path.join(root, TOP)
    return _below(top, "", False) if os.path.isdir(top) else iter(())


def _below(directory: str, name: str, in_package: bool) -> Iterator[tuple[str, bool]]:
    """Return (name, is a component) of what lies in a directory that is no component itself."""
    holds_files, inside = False, []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__pycache__")):
                continue
            if entry.is_dir(follow_symlinks=False):
                inside.append((entry.path, f"{name}/{entry.name}".lstrip("/")))
            else:
                holds_files = True
                in_package = in_package or entry.name == PACKAGE
    names: list[tuple[str, bool]] = []
    for path, inner in inside:
        if is_component(path, in_package or os.path.basename(path) == TESTS):
            names.append((inner, True))
        else:
            names += _below(path, inner, in_package)
    if name and holds_files and not any(is_component for _, is_component in names):
        return iter([(name, False)])
    return iter(names)


def is_component(directory: str | Path, in_package: bool = False) -> bool:
    """Return True for a directory on disk that holds a Dockerfile or, not inside a package or among tests, a main.py."""
    marks = (DOCKERFILE,) if in_package else (DOCKERFILE, ENTRYPOINT)
    return any(os.path.isfile(os.path.join(directory, mark)) for mark in marks)


def default_dockerfile(python: str, has_requirements: bool) -> bytes:
    """Return the Dockerfile of a component that has none of its own; it counts in the version as if it stood there."""
    base = f"FROM python:{python or _DEFAULT_PYTHON}-slim\n"
    install = _INSTALL if has_requirements else ""
    entrypoint = f'ENTRYPOINT ["python", "/application/{ENTRYPOINT}"]\n'
    return f"{base}{install}COPY . /application/\n{entrypoint}".encode()


def is_name(name: str) -> bool:
    """Return True for what could name a component or library: a relative path without detours."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and "\0" not in name


def read_description(root: Path, name: str) -> ComponentSpec:
    """Return what a component or library on disk says of itself. Raises SpecError."""
    where = f"{directory_of(name)}/{SPEC}"
    try:
        return read_component((root / where).read_bytes(), where)
    except FileNotFoundError:
        return ComponentSpec()
    except OSError as error:
        raise SpecError(f"{where}: cannot be read: {error.strerror}") from None


def leaves(link: str, targets: Mapping[str, str]) -> bool:
    """Return True when following a link leaves the directory that all paths are relative to.

    `targets` has the target of every link, by path. A link to nowhere or round in a circle stays inside.
    """
    place: list[str] = []
    ahead = link.split("/")[::-1]
    followed = 0
    while ahead:
        step = ahead.pop()
        if step in ("", "."):
            continue
        if step == "..":
            if not place:
                return True
            place.pop()
            continue
        place.append(step)
        target = targets.get("/".join(place))
        if target is not None:
            followed += 1
            if target.startswith("/"):
                return True
            if followed > 40:
                return False
            place.pop()
            ahead += target.split("/")[::-1]
    return False


class Source(msgspec.Struct, frozen=True):
    """A component's or library's directory in one tree.

    `present` are all its files, `counted` those a version is made of. `dockerfile` is None for a library; `default` is its
    content where the component has none of its own.
    """

    name: str
    directory: str
    present: tuple[Entry, ...]
    counted: tuple[Entry, ...]
    spec: ComponentSpec
    dockerfile: Entry | None
    default: bytes = b""

    def within(self, entry: Entry) -> str:
        """Return an entry's path relative to this directory; of other places, its path in the project."""
        return entry.path.removeprefix(f"{self.directory}/")


def read_source(tree: Tree, name: str) -> Source | None:
    """Read the directory of a component or library; None when there are no files.

    Its files count but for `tests/` and what `.dockerignore` leaves out; a Dockerfile always counts. Raises VersionError
    for what no build can copy faithfully: a submodule, a repository of its own, a link that leaves the directory, a
    component inside it; SpecError for a broken component.yaml.
    """
    directory = directory_of(name)
    present = [*tree.files(directory)]
    if not present:
        return None
    present += [entry for place in places(name)[1:] for entry in tree.files(place)]
    if present[0].path == directory:
        raise VersionError(
            f"{directory} is a link or a git repository of its own, not a plain directory",
            hint="put its files into the project",
        )
    entries = {entry.path: entry for entry in present}
    special = {known: _regular(entries.get(f"{directory}/{known}")) for known in READ_WHOLE}
    ignore_file, spec_file = special[IGNORE], special[SPEC]
    ignore = Dockerignore(tree.content(ignore_file), ignore_file.path) if ignore_file else None
    spec = specification(tree.content(spec_file), spec_file.path) if spec_file else ComponentSpec()
    source = Source(name, directory, tuple(present), (), spec, special[DOCKERFILE])
    counted = tuple(e for e in present if _counts(source.within(e), e.mode, ignore))
    source = msgspec.structs.replace(source, counted=counted)
    entrypoint = entries.get(f"{directory}/{ENTRYPOINT}")
    if entrypoint and not source.dockerfile:
        source = _with_dockerfile(source, entrypoint)
    _check_entries(source)
    _check_links(tree, source)
    return source


def _with_dockerfile(source: Source, entrypoint: Entry) -> Source:
    """Return the source of a component that has no Dockerfile, with the default one."""
    has_requirements = any(source.within(entry) == REQUIREMENTS for entry in source.counted)
    content = default_dockerfile(source.spec.python, has_requirements)
    blob = blob_id(content, like=entrypoint.blob)
    entry = Entry(f"{source.directory}/{DOCKERFILE}", REGULAR, blob)
    counted = (*source.counted, entry)
    return msgspec.structs.replace(source, counted=counted, dockerfile=entry, default=content)


def _regular(entry: Entry | None) -> Entry | None:
    if entry and entry.mode in (SYMLINK, SUBMODULE):
        raise VersionError(
            f"{entry.path} must be a file, not a link", hint="put the file itself there"
        )
    return entry


def _counts(path: str, mode: str, ignore: Dockerignore | None) -> bool:
    if path == DOCKERFILE:
        return True
    if path.startswith(f"{TESTS}/") or (path == TESTS and mode == SYMLINK):
        return False
    return ignore is None or not ignore.ignores(path)


def _check_entries(source: Source) -> None:
    for entry in source.counted:
        if entry.mode == SUBMODULE:
            raise VersionError(
                f"{entry.path} is a git repository of its own; no version can include it",
                hint=f"put its files into {source.directory}, or leave it out in {source.directory}/{IGNORE}",
            )
        inner, _, name = entry.path.rpartition("/")
        if name == DOCKERFILE and inner != source.directory:
            raise VersionError(
                f"{inner} is a component inside {source.directory}",
                hint=f"move it out, or leave it out in {source.directory}/{IGNORE}",
            )


def _check_links(tree: Tree, source: Source) -> None:
    targets = {
        source.within(entry): tree.content(entry).decode("utf-8", "surrogateescape")
        for entry in source.counted
        if entry.mode == SYMLINK
    }
    for link, target in targets.items():
        if leaves(link, targets):
            raise VersionError(
                f"{source.directory}/{link} is a link that leaves its directory, to {target}",
                hint="put the file itself there, or move what is shared into a library",
            )


class Tree(Protocol):
    """The files of a project in one state."""

    @property
    def root(self) -> Path:
        """The project's root on disk."""
        ...

    def files(self, directory: str) -> Sequence[Entry]:
        """Return the files at or below `directory`, sorted by path."""
        ...

    def content(self, entry: Entry) -> bytes:
        """Return the blob of a file of this tree (of a symbolic link: its target). Raises GitError when the repository lacks it."""
        ...

    def conversions(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Return what a checkout does to these files by their attributes, where it writes other bytes than the blob's."""
        ...


class Pattern(msgspec.Struct, frozen=True):
    """One line: what it matches, and whether it takes back instead of ignoring."""

    matches: Matches
    takes_back: bool


class Dockerignore:
    """The patterns of one `.dockerignore`, as moby matches them; paths are relative to the directory it lies in.

    The last pattern that matches decides; `!` takes back; a pattern that matches a directory matches
    all below it, unless a later one takes that back; `**` stands for any number of directories, `*` and
    `?` do not cross a `/`, `[a-z]` is a class, and a backslash escapes the character after it.
    """

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
    lines = content.decode("utf-8", "replace").split("\n")
    if any(line.lstrip().startswith("!") for line in lines):
        return []
    plain = [line.strip().strip("/") for line in lines if re.fullmatch(_PLAIN, line.strip())]
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
    if not re.search(_SPECIAL, pattern):
        return pattern.__eq__
    if pattern.endswith("**") and not re.search(_SPECIAL, pattern[:-2]):
        return lambda path: path.startswith(pattern[:-2])
    if pattern.startswith("**") and not re.search(_SPECIAL, pattern[2:]):
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
        token = re.match(_TOKEN, rest)
        assert token is not None
        rest = rest[token.end() :]
        if token[0] in ("**", "**/"):
            parts.append("(.*/)?" if rest else ".*")
        elif token[0] in (".", "+", "(", ")", "|", "{", "}", "$"):
            parts.append("\\" + token[0])
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(token[0], token[0]))
    return "".join(parts)
