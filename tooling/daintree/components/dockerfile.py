"""The images a Dockerfile starts from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*\Z")
_HEREDOC = re.compile(r"<<(-?)([\"']?)(\w+)\2")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:[-+])([^}]*))?\})")
_ARGUMENT = re.compile(r"(\w+)(?:=(\"[^\"]*\"|'[^']*'|\S*))?")
_WITH_HEREDOCS = frozenset({"RUN", "COPY", "ADD"})


class BaseImages(msgspec.Struct, frozen=True):
    """The images a Dockerfile names, sorted: `built_on` by FROM, `copied_from` by COPY --from."""

    built_on: tuple[str, ...]
    copied_from: tuple[str, ...]


class _Instruction(msgspec.Struct, frozen=True):
    """Its name in capitals, the rest of its line with continuations joined, and the lines it takes up."""

    name: str
    rest: str
    start: int
    end: int


def base_images(content: bytes, build_args: Mapping[str, str]) -> BaseImages:
    """The images that a Dockerfile names, its own stages and `scratch` left out.

    Arguments declared before the first FROM are filled in, `build_args` first, then their defaults;
    a reference with an unknown one stays as it is written.
    """
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    built_on: set[str] = set()
    copied_from: set[str] = set()
    for found in _instructions(content.decode("utf-8", "replace")):
        if found.name == "ARG" and not stages:
            arguments |= _declared(found.rest, build_args, arguments)
        elif found.name == "FROM":
            image, stage = _from(found.rest)
            reference = _substitute(image, arguments)
            if reference.lower() not in {*stages, "scratch", ""}:
                built_on.add(reference)
            stages.add(stage.lower() or f"stage {len(stages)}")
        elif found.name == "COPY":
            copied_from |= {_substitute(image, arguments) for image in _copied(found.rest, stages)}
    return BaseImages(tuple(sorted(built_on)), tuple(sorted(copied_from)))


def with_pins(content: bytes, build_args: Mapping[str, str], pins: Mapping[str, str]) -> bytes:
    """The Dockerfile whose FROMs name, instead of an image in `pins`, what `pins` has for it.

    Everything else stays as it is written; without such an image, every byte.
    """
    text = content.decode("utf-8", "surrogateescape")
    lines = text.splitlines(keepends=True)
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    for found in _instructions(text):
        if found.name == "ARG" and not stages:
            arguments |= _declared(found.rest, build_args, arguments)
        elif found.name == "FROM":
            image, stage = _from(found.rest)
            reference = _substitute(image, arguments)
            if reference.lower() not in stages and pins.get(reference, reference) != reference:
                words = found.rest.split()
                words[words.index(image)] = pins[reference]
                joined = [f"FROM {' '.join(words)}\n", *[""] * (found.end - found.start - 1)]
                lines[found.start : found.end] = joined
            stages.add(stage.lower() or f"stage {len(stages)}")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _instructions(text: str) -> Iterator[_Instruction]:
    lines = _Counted(text.splitlines())
    escape = re.escape(_escape(text))
    continues = re.compile(rf"(?<!{escape}){escape}\Z")
    for line in lines:
        start = lines.count - 1
        whole = line.strip()
        if not whole or whole.startswith("#"):
            continue
        while continues.search(whole):
            whole = whole[:-1].rstrip() + " " + _continuation(lines)
        name, *rest = whole.split(None, 1) or [""]
        if not name:
            continue
        yield _Instruction(name.upper(), "".join(rest), start, lines.count)
        if name.upper() in _WITH_HEREDOCS:
            _skip_heredocs("".join(rest), lines)


class _Counted(Iterator[str]):
    """An iterator that counts what it has given."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.count = 0
        self._lines = iter(lines)

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        return line


def _escape(text: str) -> str:
    for line in text.splitlines():
        directive = _DIRECTIVE.match(line.strip())
        if not directive:
            break
        if directive[1].lower() == "escape":
            return directive[2]
    return "\\"


def _continuation(lines: Iterator[str]) -> str:
    """The next line; Docker skips empty lines and comments inside an instruction."""
    for line in lines:
        if line.strip() and not line.strip().startswith("#"):
            return line.strip()
    return ""


def _skip_heredocs(rest: str, lines: Iterator[str]) -> None:
    for tabs, _, end in _HEREDOC.findall(rest):
        for line in lines:
            if (line.lstrip("\t") if tabs else line) == end:
                break


def _from(rest: str) -> tuple[str, str]:
    words = [word for word in rest.split() if not word.startswith("--")]
    named = len(words) > 2 and words[1].lower() == "as"
    return (words[0] if words else "", words[2] if named else "")


def _copied(rest: str, stages: set[str]) -> set[str]:
    named = [word[7:] for word in rest.split() if word.startswith("--from=")]
    return {name for name in named if name and name.lower() not in stages and not name.isdecimal()}


def _declared(
    rest: str, build_args: Mapping[str, str], arguments: Mapping[str, str]
) -> dict[str, str]:
    declared: dict[str, str] = {}
    for name, default in _ARGUMENT.findall(rest):
        value = build_args.get(name)
        if value is None and default:
            value = _substitute(default.strip("\"'"), {**arguments, **declared})
        if value is not None:
            declared[name] = value
    return declared


def _substitute(text: str, arguments: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        given = arguments.get(found[1] or found[2], "")
        if found[3] == ":-":
            return given or found[4]
        if found[3] == ":+":
            return found[4] if given else ""
        return given or found[0]

    return _VARIABLE.sub(value, text.strip("\"'"))
