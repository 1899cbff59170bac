"""The images a Dockerfile names, read as Docker's own parser reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_QUOTED = r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\""""
_BRACED = rf"""\$\{{(?:{_QUOTED}|\$\{{[^}}]*\}}|[^}}'"\\])*\}}"""
_WORD = re.compile(rf"""(?:{_QUOTED}|{_BRACED}|(?!\$\{{)[^\s'"\\])+""", re.DOTALL)
_HEREDOC = re.compile(r"\d*<<(-?)([^<]*)")
_DECLARATION = re.compile(r"(\w+)(?:=(.*))?", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+?])((?:[^{}]|\{[^{}]*\})*))?\})")
_TARGET = "TARGET"
# The end of a line that goes on in the next, where there is one.
_CONTINUED = r"(?:[\\`][ \t\r]*\n)?"
_INSTRUCTIONS = frozenset(
    re.findall(
        "[A-Z]+",
        "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL"
        " STOPSIGNAL USER VOLUME WORKDIR",
    )
)
_WITH_HEREDOCS = frozenset({"RUN", "COPY", "ADD"})
_OWN_FRONTEND = r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?"


class BaseImages(NamedTuple):
    """The images a Dockerfile names, sorted: `built_on` by FROM, `copied_from` by COPY --from and RUN --mount.

    `warnings` say what is not understood.
    """

    built_on: tuple[str, ...]
    copied_from: tuple[str, ...]
    warnings: tuple[str, ...] = ()


# Programs that install a system's packages, and how.
_INSTALLER = re.compile(
    r"\b(apt-get|apt|apk|dnf|microdnf|yum|zypper|pacman)\s+(?:-\S+\s+)*(?:install|add|-S\w*)\b"
)
_PYTHON_IMAGE = re.compile(r"(?:.*/)?python:(\d+\.\d+)(?![\d])\S*")


class Instruction(msgspec.Struct, frozen=True):
    """Its name in capitals, flags, the rest of its line with continuations joined, and the lines it takes up.

    `heredocs` have the ends of its here-documents, which begin at line `body`; `unfinished` is an end that does not come.
    """

    name: str
    flags: tuple[str, ...]
    rest: str
    start: int
    body: int
    end: int
    unfinished: str = ""

    def flag(self, name: str) -> str:
        """Return the value of a flag such as --from; "" without it."""
        return (self._values(name) or [""])[-1]

    @property
    def mounts(self) -> list[dict[str, str]]:
        """The fields of each of its --mount, whose names may have capitals for Docker."""
        fields = [[f.partition("=") for f in v.split(",")] for v in self._values("mount")]
        return [{name.lower(): value for name, _, value in mount} for mount in fields]

    def _values(self, name: str) -> list[str]:
        return [f.partition("=")[2] for f in self.flags if f.startswith(f"--{name}=")]


def read_instructions(content: bytes) -> Iterator[Instruction]:
    """Return the instructions of a Dockerfile, those in its here-documents left out."""
    lines = _lines(content)
    escape = _directives(lines).get("escape", "\\")
    mark = re.escape(escape)
    continued = re.compile(rf"(?:(?<!{mark})|(?<=^)){mark}[ \t]*\Z")
    at = 0
    while at < len(lines):
        start, whole = at, lines[at].lstrip()
        at += 1
        if whole.startswith("#") or not whole.strip():
            continue
        while continued.search(whole):
            whole = continued.sub("", whole)
            if at == len(lines):
                break
            # Comments and empty lines inside an instruction are no part of it, nor its end.
            while at < len(lines) and (not lines[at].strip() or lines[at].lstrip().startswith("#")):
                at += 1
            if at < len(lines):
                whole += lines[at]
                at += 1
        if not whole.strip():
            continue
        name, flags, rest = _split(whole)
        body, unfinished = at, ""
        for tabs, word in _heredocs(name, whole, rest):
            end = next((n for n in range(at, len(lines)) if _ends(lines[n], tabs, word)), None)
            at = len(lines) if end is None else end + 1
            unfinished = unfinished or (word if end is None else "")
        yield Instruction(name, flags, rest, start, body, at, unfinished)


def _lines(content: bytes) -> list[str]:
    """The lines as Go splits them: not at the other characters that end a line for Python."""
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def _directives(lines: Sequence[str]) -> dict[str, str]:
    directives: dict[str, str] = {}
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line.strip())
        # After one that is none, or that it does not know, Docker takes the rest for comments.
        if not directive or directive[1].lower() not in ("escape", "syntax", "check"):
            break
        directives.setdefault(directive[1].lower(), directive[2])
    return directives


def _split(line: str) -> tuple[str, tuple[str, ...], str]:
    # No other blank ends the name for Docker.
    name, *more = re.split(r"[\t\v\f\r ]+", line.strip(), maxsplit=1)
    rest = more[0].strip() if more else ""
    flags: list[str] = []
    while rest.startswith("--"):
        flag, rest = _flag(rest)
        if flag == "--":
            break
        flags.append(flag)
    return name.upper(), tuple(flags), rest


def _flag(text: str) -> tuple[str, str]:
    """The first word without its quotes, and the rest; an open quote ends with the text."""
    word, quote, at = "", "", 0
    while at < len(text) and (quote or not text[at].isspace()):
        mark = text[at]
        at += 1
        if mark == quote:
            quote = ""
        elif not quote and mark in "\"'":
            quote = mark
        elif mark == "\\":
            word += text[at : at + 1]
            at += 1
        else:
            word += mark
    return word, text[at:].lstrip()


def _heredocs(name: str, line: str, rest: str) -> list[tuple[bool, str]]:
    """The here-documents that begin in a line: (tabs before the end are left out, the end)."""
    if name == "ONBUILD" and rest:
        name, _, rest = _split(rest)
    if name not in _WITH_HEREDOCS or _is_list(rest):
        return []
    if _WORD.sub("", line).strip():
        # An open quote or brace: Docker finds no words at all.
        return []
    matches = (_HEREDOC.fullmatch(word) for word in _WORD.findall(line))
    ends = [(bool(f[1]), re.sub(r"[\"']|\\(?=.)", "", f[2])) for f in matches if f]
    return [(tabs, word) for tabs, word in ends if word]


def _is_list(rest: str) -> bool:
    """True of arguments in the form of a JSON list of strings."""
    try:
        msgspec.json.decode(rest.encode("utf-8", "replace"), type=list[str])
    except msgspec.DecodeError:
        return False
    return True


def _ends(line: str, tabs: bool, word: str) -> bool:
    return (line.lstrip("\t") if tabs else line) == word


def base_images(content: bytes, build_args: Mapping[str, str]) -> BaseImages:
    """Return the images that a Dockerfile names, its own stages and `scratch` left out.

    Arguments declared before the first FROM are filled in, `build_args` first, then their defaults; a reference with an
    unknown one stays as it is written.
    """
    images, warnings = _named_images(content, build_args)
    built_on = {image.reference for image in images if image.instruction.name == "FROM"}
    copied_from = {image.reference for image in images if image.instruction.name != "FROM"}
    lines = _lines(content)
    # What reads it is looked for behind a line such as #!/usr/bin/env, too.
    shebang = bool(lines) and lines[0].startswith("#!")
    syntax = build_args.get("BUILDKIT_SYNTAX") or _directives(lines[shebang:]).get("syntax", "")
    if syntax and not re.fullmatch(_OWN_FRONTEND, syntax):
        warnings.append(f"it is read by {syntax}, so images that it names may be missed")
    return BaseImages(tuple(sorted(built_on)), tuple(sorted(copied_from)), tuple(warnings))


def with_platform(build_args: Mapping[str, str], platform: str) -> dict[str, str]:
    """Return the arguments that a FROM may name: `build_args`, and what BuildKit says of the platform it builds for."""
    system, _, machine = platform.partition("/")
    architecture, _, variant = machine.partition("/")
    values = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant}
    return {**{f"{_TARGET}{name}": value for name, value in values.items()}, **build_args}


def system_installers(content: bytes) -> tuple[str, ...]:
    """Return the programs by which a Dockerfile installs packages of the system, sorted."""
    lines = _lines(content)
    runs = (i for i in read_instructions(content) if i.name == "RUN")
    texts = (" ".join([i.rest, *lines[i.body : i.end]]) for i in runs)
    return tuple(sorted({name for text in texts for name in _INSTALLER.findall(text)}))


def python_of_image(reference: str) -> str:
    """Return the version in a reference such as python:3.11-slim, as "3.11"; "" where it names none."""
    match = _PYTHON_IMAGE.fullmatch(reference)
    return match[1] if match else ""


def with_pins(content: bytes, build_args: Mapping[str, str], pins: Mapping[str, str]) -> bytes:
    """Return the Dockerfile that names, instead of an image in `pins`, what `pins` has for it.

    Everything else stays as it is written; without such an image, every byte.
    """
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    for image in _named_images(content, build_args)[0]:
        pinned = pins.get(image.reference, image.reference)
        if pinned != image.reference:
            _write(lines, image, pinned)
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _write(lines: list[str], image: _NamedImage, pinned: str) -> None:
    """Write a reference in the place of an image's, where that is a word of its own, or the value of from=."""
    start, end = image.instruction.start, image.instruction.body
    is_from = image.instruction.name == "FROM"
    before = r"(?:^|\s)" if is_from else r"(?i:from=)"
    after = r"(?=\s|$)" if is_from else r"(?=[\s,\"']|$)"
    for number, line in enumerate(lines[start:end], start):
        match = re.search(rf"{before}[\"']?({re.escape(image.written)})[\"']?{after}", line)
        if match and not line.lstrip().startswith("#"):
            lines[number] = line[: match.start(1)] + pinned + line[match.end(1) :]
            return
    # Its letters are spread over several lines, which become one; no other line moves.
    spread = _CONTINUED.join(map(re.escape, image.written))
    text = re.sub(f"(?<=[\\s=\"']){spread}", lambda _: pinned, "\n".join(lines[start:end]), count=1)
    fewer = text.split("\n")
    lines[start:end] = [""] * (end - start - len(fewer)) + fewer


class _NamedImage(NamedTuple):
    """An image that an instruction names, and the form in which it is written there."""

    instruction: Instruction
    reference: str
    written: str


def _named_images(
    content: bytes, build_args: Mapping[str, str]
) -> tuple[list[_NamedImage], list[str]]:
    """The images that are no stages, in order, and warnings."""
    # These need no ARG.
    arguments = {name: value for name, value in build_args.items() if name.startswith(_TARGET)}
    stages: set[str] = set()
    images: list[_NamedImage] = []
    warnings: list[str] = []
    for instruction in read_instructions(content):
        line = f"line {instruction.start + 1}"
        if instruction.unfinished:
            warnings.append(f"{line}: the here-document {instruction.unfinished} has no end")
        if instruction.name == "ARG" and not stages:
            _declare(instruction.rest, build_args, arguments)
        elif instruction.name == "FROM":
            words = _WORD.findall(instruction.rest)
            written = words[0].strip("\"'") if words else ""
            reference = _expand(written, arguments)
            if reference.lower() not in {*stages, "scratch", ""}:
                if "$" in reference:
                    warnings.append(f"{line}: FROM {reference}: an argument without a value")
                images.append(_NamedImage(instruction, reference, written))
            named = len(words) > 2 and words[1].lower() == "as"
            stages.add(words[2].lower() if named else f"stage {len(stages)}")
        elif instruction.name in ("COPY", "RUN", "ONBUILD"):
            for source in _sources(instruction):
                if source.lower() in stages or source.isdecimal():
                    continue
                if "$" in source:
                    warnings.append(
                        f"{line}: {instruction.name} from {source}: Docker fills in nothing"
                    )
                images.append(_NamedImage(instruction, source, source))
        elif instruction.name not in _INSTRUCTIONS:
            warnings.append(f"{line}: there is no instruction {instruction.name}")
    return images, warnings


def _sources(instruction: Instruction) -> list[str]:
    """The images or stages that an instruction takes files from."""
    if instruction.name == "ONBUILD":
        name, flags, rest = _split(instruction.rest)
        return _sources(msgspec.structs.replace(instruction, name=name, flags=flags, rest=rest))
    if instruction.name == "COPY":
        return [source] if (source := instruction.flag("from")) else []
    mounts = instruction.mounts if instruction.name == "RUN" else []
    return [mount["from"] for mount in mounts if mount.get("from")]


def _declare(rest: str, build_args: Mapping[str, str], arguments: dict[str, str]) -> None:
    for word in _WORD.findall(rest):
        declared = _DECLARATION.fullmatch(word)
        if not declared:
            continue
        name, default = declared[1], declared[2]
        if name in build_args:
            arguments[name] = build_args[name]
        elif default is not None:
            literal = default.startswith("'")
            value = re.sub(r"[\"']", "", default)
            arguments[name] = value if literal else _expand(value, arguments)


def _expand(text: str, arguments: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, operator, word = match[1] or match[2], match[3] or "", match[4] or ""
        given = arguments.get(name)
        present = bool(given) if operator.startswith(":") else given is not None
        if operator.endswith("+"):
            return _expand(word, arguments) if present else ""
        if operator.endswith("-"):
            return str(given) if present else _expand(word, arguments)
        return given or match[0]

    return _VARIABLE.sub(value, text)
