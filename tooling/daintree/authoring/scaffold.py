"""`doit new`: a component, a pipeline or a team's own repository that runs as it is, to be changed step by step."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from io import StringIO
from pathlib import Path

import msgspec

from daintree.authoring.lock_requirements import library_lock
from daintree.components import (
    DOCKERFILE,
    ENTRYPOINT,
    REQUIREMENTS,
    TOP,
    default_dockerfile,
    discover_components,
    discover_libraries,
    is_component,
    read_description,
)
from daintree.components.git import attempt, git, ignored_by
from daintree.errors import GitError, UsageError, from_os_error, nearest
from daintree.settings import clone, installed_from
from daintree.spec.pipeline import DIRECTORY, KINDS, NAME, SUFFIXES, json_schema, read_pipeline

LIBRARY = "lib/stageio"
CONNECTOR = "common/load-jsonl"
CLEANER = "common/clean-csv"
SAMPLES = f"{DIRECTORY}/samples"
PURCHASES = f"{SAMPLES}/purchases.json.gz"

# What docker accepts as a part of an image's name.
_PART = r"[a-z0-9]+(?:[-_][a-z0-9]+)*"
_COMPONENT_NAME = re.compile(rf"{_PART}/{_PART}\Z")

TEMPLATES = Path(__file__).with_name("templates")
_SUFFIX = ".template"
# Their templates have names of their own: none of these is taken for source or test of the tooling itself.
_COMPONENT_FILES = ("component.yaml", "main.py", "requirements.in", "tests/test_main.py")


def new_component(root: Path, name: str, *, dockerfile: bool = False) -> list[Path]:
    """Write the component `name`, GROUP/NAME, and return its files, sorted; with the default `dockerfile`, to be changed.

    Of a component that is there, the `dockerfile` alone is written. All of it or nothing appears; nothing that exists is changed. Needs no network: it is locked to
    what lib/stageio is. Raises UsageError for a name that cannot be one or is taken.
    """
    if dockerfile and is_component(root / TOP / name):
        return [_write_dockerfile(root, name)]
    _check_component(root, name)
    contents = {path: _component_file(path, name) for path in _COMPONENT_FILES}
    contents["requirements.txt"] = library_lock(root, LIBRARY, name, contents["requirements.in"])
    if dockerfile:
        contents[DOCKERFILE] = default_dockerfile("", has_requirements=True).decode()
    target = root / TOP / name
    with _written(f"{TOP}/{name}"), _scratch(root) as scratch:
        made = scratch / target.name
        for path, content in contents.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(content, encoding="utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(made, target)
    return [target / path for path in sorted(contents)]


def _write_dockerfile(root: Path, name: str) -> Path:
    directory, path = root / TOP / name, f"{TOP}/{name}/{DOCKERFILE}"
    python = read_description(root, name).python
    if os.path.lexists(root / path):
        raise UsageError(f"{path} exists already", hint="change it")
    with _written(path), open(root / path, "xb") as file:
        file.write(default_dockerfile(python, (directory / REQUIREMENTS).exists()))
    return root / path


def new_pipeline(
    root: Path, name: str, components: Sequence[str] = (), *, reserved: Collection[str] = ()
) -> list[Path]:
    """Write the pipeline `name`: `components` on a bundled sample. Returns its file.

    Where there is common/load-jsonl it comes first, and without components common/clean-csv follows.
    Raises UsageError for a name that cannot be one, is taken or is in `reserved`, and for an
    unknown component, SpecError where two stages would have the same name.
    """
    _check_pipeline(root, name, reserved)
    known = discover_components(root)
    connected = CONNECTOR in known
    stages = list(components) or ([CONNECTOR, CLEANER] if connected else [])
    if not stages:
        raise UsageError(
            f"doit new pipeline {name}: of which components?",
            hint=f"doit new pipeline {name} {' '.join(sorted(known)[:2]) or 'GROUP/NAME'}",
        )
    if connected and CONNECTOR not in stages:
        stages.insert(0, CONNECTOR)
    for component in stages:
        if component not in known:
            raise UsageError(f"there is no component {component!r}", hint=nearest(component, known))
    listing = "\n".join(f"  - {component}" for component in stages)
    content = _filled(
        TEMPLATES / "pipeline" / f"pipeline.yaml{_SUFFIX}",
        PIPELINE_NAME=name,
        SOURCE=_sample(root, connected),
        COMPONENT=stages[-1],
        STAGES=listing,
    )
    path = root / DIRECTORY / f"{name}.yaml"
    read_pipeline(content.encode("utf-8"), f"{DIRECTORY}/{path.name}", name)
    with _written(f"{DIRECTORY}/{path.name}"), _scratch(root) as scratch:
        made = scratch / path.name
        made.write_text(content, encoding="utf-8")
        path.parent.mkdir(exist_ok=True)
        os.link(made, path)
    return [path]


def _check_component(root: Path, name: str) -> None:
    if not _COMPONENT_NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be a component's name",
            hint="GROUP/NAME of lower-case letters, digits, - and _ between them"
            f", e.g. {_proposal(name)}",
        )
    group = name.partition("/")[0]
    if group == LIBRARY.partition("/")[0] or group in discover_libraries(root):
        raise UsageError(
            f"{TOP}/{group} is for libraries, which have neither {ENTRYPOINT} nor {DOCKERFILE}",
            hint="choose another group, e.g. " + _proposal(name.partition("/")[2]),
        )
    if group in discover_components(root):
        raise UsageError(f"{group} is a component, and none can lie inside another")
    rule = ignored_by(root, f"{TOP}/{name}/{ENTRYPOINT}")
    if rule:
        raise UsageError(
            f"{TOP}/{name} is ignored by git: {rule}",
            hint="choose another name, or change that rule",
        )
    if os.path.lexists(root / TOP / name):
        raise UsageError(f"{TOP}/{name} exists already", hint="choose another name")
    if LIBRARY not in discover_libraries(root):
        raise UsageError(f"there is no library {LIBRARY}, which a new component is written with")


def _check_pipeline(root: Path, name: str, reserved: Collection[str]) -> None:
    if not NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be a pipeline's name", hint="letters, digits, - and _, e.g. shop-rank"
        )
    if name in reserved:
        raise UsageError(
            f"{name!r} is the name of a doit command or task", hint="choose another name"
        )
    for suffix in SUFFIXES:
        if os.path.lexists(root / DIRECTORY / (name + suffix)):
            raise UsageError(
                f"{DIRECTORY}/{name}{suffix} exists already", hint="choose another name"
            )


def _sample(root: Path, connected: bool) -> str:
    """The path of the sample that a new pipeline reads: for the connector, else the project's first."""
    if connected:
        return PURCHASES
    samples = sorted(path for path in (root / SAMPLES).glob("*") if path.is_file())
    return f"{SAMPLES}/{samples[0].name}" if samples else f"{SAMPLES}/FILE"


def _proposal(name: str) -> str:
    """A name that could be meant by one that cannot be a component's."""
    parts = [re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in name.split("/")]
    named = [part for part in parts if part]
    return "/".join(["shop", *named][-2:] if named else ["shop", "rank"])


def _component_file(path: str, name: str) -> str:
    """A file of a new component, by its path in it."""
    template = TEMPLATES / "component" / f"{os.path.basename(path)}{_SUFFIX}"
    return _filled(template, COMPONENT_NAME=name)


def _filled(template: Path, **values: str) -> str:
    """A template's text with its placeholders replaced."""
    text = template.read_text(encoding="utf-8")
    return re.sub("|".join(values), lambda match: values[match[0]], text)


@contextlib.contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """A directory on the project's file system, outside of what holds components and pipelines."""
    with tempfile.TemporaryDirectory(
        prefix=".doit-new-", dir=root, ignore_cleanup_errors=True
    ) as directory:
        yield Path(directory)


@contextlib.contextmanager
def _written(what: str) -> Iterator[None]:
    """Raise UsageError where the block cannot write."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{what} cannot be written: {error.strerror}") from None


SAMPLE = "churn"
_PROJECT = TEMPLATES / "project"
# A name that begins with a dot begins with this in the templates: packages leave hidden files out.
_DOT = "dot-"
# A shared library's tests are the business of this repository.
_LEFT_OUT = re.compile(r"(^|/)(__pycache__|tests|\.[^/]*)(/|$)")


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of `new_project`: files written, those that were there and differ, and the first commit ("" for none).

    `without_commit` is the reason why there is none, in a repository of one's own.
    """

    files: list[str]
    different: list[str]
    commit: str = ""
    without_commit: str = ""


def new_project(directory: Path) -> Written:
    """Write a project into `directory`; a new one appears whole or not at all, in one that exists nothing is changed.

    Outside of a git repository it becomes one, with a first commit of the files written. Raises UsageError for a
    directory that cannot be one, GitError as git does.
    """
    project = _Project(directory)
    project.check()
    different = project.different()
    with _written(str(directory)):
        if os.path.lexists(directory):
            written = project.write(directory)
            commit, reason = _commit(directory, written)
        else:
            directory.parent.mkdir(parents=True, exist_ok=True)
            with _scratch(directory.parent) as place:
                made = place / directory.name
                made.mkdir()
                written = project.write(made)
                commit, reason = _commit(made, written)
                os.rename(made, directory)
    return Written(files=written, different=different, commit=commit, without_commit=reason)


def project_difference(directory: Path) -> list[str]:
    """The lines of a unified diff from the files of a project to those that this version would write.

    The sample and the README, which become the team's own, are left out. Raises UsageError as `new_project` does.
    """
    project = _Project(directory)
    project.check()
    lines: list[str] = []
    for path, text in sorted(project.tooling.items()):
        there = _read(directory / path)
        text = _completed(path, text, there)
        if there != text:
            names = (f"a/{path}" if there is not None else "/dev/null", f"b/{path}")
            for line in difflib.unified_diff([*StringIO(there)], [*StringIO(text)], *names):
                ended = line.endswith("\n")
                lines += [line[:-1]] if ended else [line, "\\ No newline at end of file"]
    return lines


class _Project:
    """All files of a project in `directory`, by their paths in it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        stem = re.sub(r"[^a-z0-9]+", "-", directory.name.lower()).strip("-")
        origin = installed_from()
        self._values = {
            "PROJECT_NAME": stem or "project",
            "TOOLING": json.dumps(f"daintree @ {origin}") if origin else "",
        }

    def check(self) -> None:
        """Raise UsageError where the directory, or one that a file would be written to, is something else."""
        for place in (self._directory, *self._directory.parents):
            if os.path.lexists(place) and not place.is_dir():
                raise UsageError(f"{place} exists already, and is no directory")
        for path in self.texts(self._directory):
            for parent in Path(path).parents:
                there = self._directory / parent
                if os.path.lexists(there) and (there.is_symlink() or not there.is_dir()):
                    raise UsageError(
                        f"{there} is no directory, and {path} belongs there",
                        hint="a project's own components and pipelines are directories",
                    )

    def texts(self, directory: Path) -> dict[str, str]:
        """Texts of the files that are to be in `directory`; the sample only where there is no pipeline yet."""
        pipelines = directory / DIRECTORY
        if any(path.suffix in SUFFIXES for path in pipelines.glob("*")):
            return {**self.tooling, "README.md": self._templates["README.md"]}
        return {**self.tooling, **self._templates, **self._sample_components}

    def different(self) -> list[str]:
        """The files of the tooling that are there with another content, sorted."""
        paths = [p for p in sorted(self.tooling) if os.path.lexists(self._directory / p)]
        there = {path: _read(self._directory / path) for path in paths}
        return [p for p in paths if there[p] != _completed(p, self.tooling[p], there[p])]

    def write(self, target: Path) -> list[str]:
        """Write the files that are missing in `target`; their paths, sorted. Raises OSError."""
        written = []
        for path, text in sorted(self.texts(target).items()):
            file = target / path
            if os.path.lexists(file):
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "x", encoding="utf-8", newline="") as stream:
                stream.write(text)
            written.append(path)
        return written

    @cached_property
    def tooling(self) -> dict[str, str]:
        """The files that the tooling keeps: settings, the library that components are written with, tests' packages, schemas."""
        mine = {p: t for p, t in self._templates.items() if not _is_the_teams(p)}
        schemas = {
            f"docs/reference/{kind}.schema.json": json.dumps(json_schema(kind), indent=2) + "\n"
            for kind in KINDS
        }
        return {**mine, **schemas, **dict(_shared_files())}

    @cached_property
    def _templates(self) -> dict[str, str]:
        texts: dict[str, str] = {}
        for template in _PROJECT.rglob(f"*{_SUFFIX}"):
            path = template.relative_to(_PROJECT).as_posix().removesuffix(_SUFFIX)
            parts = [
                ("." * part.startswith(_DOT)) + part.removeprefix(_DOT) for part in path.split("/")
            ]
            texts["/".join(parts)] = _filled(template, **self._values)
        return texts

    @cached_property
    def _sample_components(self) -> dict[str, str]:
        """The requirements of the sample's components, which are those of every new component."""
        texts: dict[str, str] = {}
        for path in self._templates:
            if path.endswith("/component.yaml"):
                name = path.removeprefix(f"{TOP}/").removesuffix("/component.yaml")
                required = _component_file("requirements.in", name)
                texts[f"{TOP}/{name}/requirements.in"] = required
                lock = library_lock(_shared(), LIBRARY, name, required)
                texts[f"{TOP}/{name}/requirements.txt"] = lock
        return texts


def _completed(path: str, text: str, there: str | None) -> str:
    """The text of a file that this version would write: a .gitignore that is there gets the lines it lacks, at its end."""
    if path != ".gitignore" or there is None:
        return text
    missing = [line for line in text.splitlines() if line not in there.splitlines()]
    end = "" if there.endswith("\n") or not there else "\n"
    return there + "".join([end, *(f"{line}\n" for line in missing)]) if missing else there


def _is_the_teams(path: str) -> bool:
    return path == "README.md" or path.startswith((f"{TOP}/{SAMPLE}/", f"{DIRECTORY}/"))


def _shared() -> Path:
    """The directory that the paths in shared.txt start at: the clone, or their copies in the wheel."""
    return clone() or TEMPLATES / "shared"


def _shared_files() -> Iterator[tuple[str, str]]:
    """The files of this tooling's own repository that a project gets as they are, by path."""
    for name in (TEMPLATES / "shared.txt").read_text(encoding="utf-8").split():
        place = _shared() / name
        for file in [place] if place.is_file() else sorted(place.rglob("*")):
            path = file.relative_to(_shared()).as_posix()
            if file.is_file() and not _LEFT_OUT.search(path):
                yield path, file.read_text(encoding="utf-8")


def _read(path: Path) -> str | None:
    try:
        # A checkout may have the line ends of Windows.
        return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise from_os_error(error) from None


def _commit(root: Path, files: list[str]) -> tuple[str, str]:
    """Make `root` a repository with a commit of these files, unless it lies in one; the commit, or "" and the reason why there is none."""
    if attempt(root, "rev-parse", "--is-inside-work-tree").code == 0:
        return "", ""
    default = attempt(root, "config", "init.defaultBranch").stdout.strip()
    git(root, "init", "--quiet", *([] if default else ["--initial-branch=main"]))
    try:
        git(root, "add", "--", *files)
        git(
            root,
            "commit",
            "--quiet",
            "--message",
            "A new project: components, a pipeline, its sample",
        )
    except GitError as error:
        return "", error.message.strip().splitlines()[-1]
    return git(root, "rev-parse", "--short", "HEAD").decode().strip(), ""
