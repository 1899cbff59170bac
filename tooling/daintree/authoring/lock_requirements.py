"""`doit lock`: what a component and its libraries require, compiled into one hash-locked file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from daintree.components import (
    SPEC,
    TOP,
    directory_of,
    discover_images,
    discover_libraries,
    read_description,
    transitive_libraries,
)
from daintree.digest import digest_record, short
from daintree.errors import EnvironmentFailed, SpecError, UsageError, nearest
from daintree.runners.environments import (
    MADE_BY_NOTE,
    SIZE_NOTE,
    Environments,
    find_python,
    installed_size,
    parse_requirements,
    refused_requirement,
)
from daintree.runners.uv import access_hint, complaint, run_uv
from daintree.settings import read_settings

OLDEST_PYTHON = "3.11"

_INPUT = "requirements.in"
_LOCK = "requirements.txt"
_INPUT_NOTE = "# from: "

Announce = Callable[[str], None]


def lock(
    root: Path, name: str, announce: Announce, *, upgrade: bool = False, check: bool = False
) -> bool:
    """Compile the requirements of the component or library `name` into its requirements.txt.

    Versions that are locked already are kept where they still fit, unless `upgrade`. Equal inputs
    and versions give equal bytes: relative paths, no addresses, no times. What is locked has been
    installed once on this machine, and the file says how large that is. Returns whether the file
    changed. Where there is no requirements.in, nothing is done.

    With `check` nothing is written and no network used: returns whether the file is out of date,
    and `announce` gets the reason.

    Raises UsageError for an unknown name, SpecError for a component.yaml or requirements.in that
    cannot be read, EnvironmentFailed, in uv's words, where requirements cannot be resolved or
    installed; the file that was there before then still is.
    """
    inputs = _inputs(root, name)
    if not inputs:
        return False
    if check:
        reason = staleness(root, name)
        if reason:
            announce(f"{directory_of(name)}/{_LOCK} {reason}")
        return bool(reason)
    target = root / directory_of(name) / _LOCK
    locked = _text(target)
    notes = _notes(root, inputs)
    announce(f"resolving what {name} requires")
    python = read_description(root, name).python
    body = _compile(root, target.parent, inputs, "" if upgrade else locked, python)
    size = parse_requirements(locked).size if body == _body(locked) else ""
    size = size or _measure(root, name, body, python, announce)
    content = _header(name, notes, size) + body
    if content == locked:
        return False
    _write(root, target, content)
    return True


def staleness(root: Path, name: str) -> str:
    """The reason why the requirements.txt of `name` is out of date, as its inputs tell; "" where it is not.

    Raises UsageError and SpecError as `lock` does.
    """
    now = _notes(root, _inputs(root, name))
    target = root / directory_of(name) / _LOCK
    if not now:
        return ""
    if not target.exists():
        return "is missing"
    locked = _locked_notes(_text(target))
    if not locked:
        return "was not made by `doit lock`"
    for path in sorted({*locked, *now}):
        if path not in now:
            return f"is out of date: {path} is no longer part of it"
        if locked.get(path) != now[path]:
            return f"is out of date: {path} changed"
    return ""


def stale_locks(root: Path, names: Iterable[str]) -> list[str]:
    """A warning for each of these components whose requirements changed since they were locked, with the command.

    Those that cannot be read are left out: whoever uses them says so.
    """
    warnings = []
    for name in names:
        with contextlib.suppress(UsageError, SpecError):
            reason = staleness(root, name)
            changed = reason.removeprefix("is out of date: ")
            if reason.endswith(" changed"):
                warnings.append(f"{changed} since the lock: doit lock {name}")
            elif reason:
                warnings.append(f"{directory_of(name)}/{_LOCK} {reason}: doit lock {name}")
    return warnings


def library_lock(root: Path, library: str, name: str, requirements_in: str) -> str:
    """The requirements.txt of a new component `name` that requires what its one library does.

    `requirements_in` is the component's own requirements.in, which names nothing. No network is
    used: this is what `lock` would write if it kept the library's versions.
    """
    text = _text(root / TOP / library / _LOCK)
    inputs = _inputs(root, library)
    body = _body(text)
    for path in inputs:
        # uv notes beside each package which file asks for it, as seen from where it is run.
        seen, now = (os.path.relpath(path, root / TOP / user) for user in (library, name))
        body = body.replace(f" -r {seen}\n", f" -r {now}\n")
    notes = {f"{TOP}/{name}/{_INPUT}": _digest(requirements_in), **_notes(root, inputs)}
    return _header(name, notes, parse_requirements(text).size) + body


def used_libraries(root: Path, name: str) -> tuple[str, ...]:
    """The libraries that a component or library on disk uses, directly or not, sorted.

    Raises UsageError for an unknown name, SpecError for a broken component.yaml, one that names an
    unknown library, and for a circle of libraries.
    """
    libraries = discover_libraries(root)
    known = [*discover_images(root), *libraries]
    if name not in known:
        raise UsageError(f"there is no component or library {name!r}", hint=nearest(name, known))

    def uses(user: str) -> Sequence[str]:
        named = read_description(root, user).uses
        for library in named:
            if library not in libraries:
                raise SpecError(
                    f"{directory_of(user)}/{SPEC}: uses {library!r}, but there is no such library",
                    hint=nearest(library, libraries),
                )
        return named

    return transitive_libraries(name, uses)


def _inputs(root: Path, name: str) -> list[Path]:
    """The requirements.in of `name` and of its libraries, where there are some."""
    paths = [root / directory_of(user) / _INPUT for user in (name, *used_libraries(root, name))]
    return [path for path in paths if path.exists()]


def _notes(root: Path, inputs: Sequence[Path]) -> dict[str, str]:
    """Each input's and each included file's path below the project, with its digest."""
    notes: dict[str, str] = {}
    waiting = list(inputs)
    while waiting:
        path = waiting.pop(0)
        where = os.path.relpath(path, root)
        if where not in notes:
            text = _bytes(path, where).decode("utf-8", "replace")
            _check(root, path, where, text)
            notes[where] = _digest(text)
            waiting += [path.parent / name for name in parse_requirements(text).included]
    return notes


def _check(root: Path, path: Path, where: str, text: str) -> None:
    """Raise SpecError for a line that no lock can keep, or a file outside the project."""
    for line in parse_requirements(text).lines:
        refused = refused_requirement(line)
        if refused:
            raise SpecError(f"{_place(where, text, line)}: {line!r} {refused[0]}", hint=refused[1])
    for included in parse_requirements(text).included:
        target = os.path.realpath(path.parent / included)
        if "://" in included or not Path(target).is_relative_to(root.resolve()):
            raise SpecError(
                f"{_place(where, text, included)}: {included} is not in this project",
                hint="copy the file into the project, so that everybody locks the same",
            )


def _place(where: str, text: str, line: str) -> str:
    """The file and the number of the line that begins as this logical line does."""
    first = line.split()[0]
    numbers = (n for n, raw in enumerate(text.splitlines(), 1) if first in raw.split())
    number = next(numbers, 0)
    return f"{where}:{number}" if number else where


def _digest(text: str) -> str:
    # Comments require nothing: who adds one need not lock again.
    return short(digest_record("requirements", 1, parse_requirements(text).lines))


def _header(name: str, notes: dict[str, str], size: str) -> str:
    lines = [MADE_BY_NOTE + name, *(f"{_INPUT_NOTE}{path} {notes[path]}" for path in notes)]
    lines += [SIZE_NOTE + size] if size else []
    return "".join(f"{line}\n" for line in lines)


def _locked_notes(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line.startswith(_INPUT_NOTE)]
    pairs = (line.removeprefix(_INPUT_NOTE).rpartition(" ") for line in lines)
    return {path: digest for path, _, digest in pairs}


def _body(text: str) -> str:
    """A lock without its header: what uv wrote."""
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        del lines[0]
    return "".join(lines)


def _compile(root: Path, directory: Path, inputs: Sequence[Path], locked: str, python: str) -> str:
    arguments = [
        *("pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"),
        # One version of a package for every Python: what the image runs is what everybody runs.
        *("--python", find_python(python), "--python-version", python or OLDEST_PYTHON),
        *("--fork-strategy", "fewest", "--no-emit-index-url", "--no-emit-find-links"),
        *(os.path.relpath(path, directory) for path in inputs),
    ]
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / _LOCK
        # uv keeps the versions that it finds in its output file.
        output.write_text(locked, encoding="utf-8")
        done = run_uv([*arguments, "--output-file", output], cwd=directory)
        if done.code:
            words = complaint(done)
            indented = words.replace("\n", "\n    ")
            places = ", ".join(os.path.relpath(path, root) for path in inputs)
            raise EnvironmentFailed(
                f"what {places} ask for cannot be locked; uv says:\n    {indented}",
                hint=access_hint(done.complaint()) or "change what is required there",
            )
        return _text(output)


def _measure(root: Path, name: str, body: str, python: str, announce: Announce) -> str:
    """The size of what `body` installs, "" for nothing: it is installed for that."""
    if not parse_requirements(body).lines:
        return ""
    environments = Environments(read_settings(root).environments, find_python(python))
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / _LOCK
        requirements.write_text(_header(name, {}, "") + body, encoding="utf-8")
        return installed_size(environments.ensure(requirements, announce))


def _text(path: Path) -> str:
    return _bytes(path, str(path)).decode("utf-8", "replace") if path.exists() else ""


def _bytes(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpecError(f"{where}: cannot be read: {error.strerror}") from None


def _write(root: Path, target: Path, content: str) -> None:
    # Beside its target, what a killed process leaves behind would count as the component's file.
    partial = root / f".{_LOCK}.{os.getpid()}.partial"
    try:
        partial.write_text(content, encoding="utf-8")
        os.replace(partial, target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise EnvironmentFailed(f"{target}: cannot be written: {error.strerror}") from None
