"""`doit new project`: a team's own repository, whose sample runs at once."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import msgspec

from daintree.authoring.lock_requirements import library_lock
from daintree.authoring.scaffold import LIBRARY, TEMPLATES, common_files, filled
from daintree.components import TOP
from daintree.components.git import attempt, git
from daintree.errors import GitError, UsageError, from_os_error
from daintree.installation import clone, installed_from
from daintree.spec.pipeline import DIRECTORY, KINDS, SUFFIXES, json_schema

SAMPLE = "churn"
_PROJECT = TEMPLATES / "project"
# A name that begins with a dot begins with this in the templates: packages leave hidden files out.
_DOT = "dot-"
_SUFFIX = ".template"
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
    if os.path.lexists(directory):
        written = project.write(directory)
        commit, reason = ("", "") if _is_in_repository(directory) else _commit(directory, written)
        different = sorted(project.texts(directory).keys() - {*written})
        different = [path for path in different if project.differs(path)]
        return Written(files=written, different=different, commit=commit, without_commit=reason)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=".doit-new-", dir=directory.parent))
    except OSError as error:
        raise _refused(directory, error) from None
    try:
        made = place / directory.name
        made.mkdir()
        written = project.write(made)
        commit, reason = ("", "") if _is_in_repository(directory.parent) else _commit(made, written)
        os.rename(made, directory)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return Written(files=written, different=[], commit=commit, without_commit=reason)


def project_difference(directory: Path) -> list[str]:
    """The lines of a unified diff from the files of a project to those that this version would write.

    The sample and the README, which become the team's own, are left out. Raises UsageError as `new_project` does.
    """
    project = _Project(directory)
    project.check()
    lines: list[str] = []
    for path, text in sorted(project.tooling.items()):
        there = _read(directory / path)
        if there != text:
            names = (f"a/{path}" if there is not None else "/dev/null", f"b/{path}")
            lines += difflib.unified_diff(
                (there or "").splitlines(), text.splitlines(), *names, lineterm=""
            )
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

    def differs(self, path: str) -> bool:
        """True for a file of the tooling that is there with another content."""
        return path in self.tooling and _read(self._directory / path) != self.tooling[path]

    def write(self, target: Path) -> list[str]:
        """Write the files that are missing in `target`; their paths, sorted. Raises UsageError where it cannot be written."""
        written = []
        try:
            for path, text in sorted(self.texts(target).items()):
                file = target / path
                if os.path.lexists(file):
                    continue
                file.parent.mkdir(parents=True, exist_ok=True)
                with open(file, "x", encoding="utf-8", newline="") as stream:
                    stream.write(text)
                written.append(path)
        except OSError as error:
            raise _refused(target, error) from None
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
        found: dict[str, str] = {}
        for template in _PROJECT.rglob(f"*{_SUFFIX}"):
            path = template.relative_to(_PROJECT).as_posix().removesuffix(_SUFFIX)
            parts = [
                ("." * part.startswith(_DOT)) + part.removeprefix(_DOT) for part in path.split("/")
            ]
            found["/".join(parts)] = filled(template.read_text(encoding="utf-8"), **self._values)
        return found

    @cached_property
    def _sample_components(self) -> dict[str, str]:
        """The files of the sample's components that every new component has."""
        found: dict[str, str] = {}
        for path in self._templates:
            if path.endswith("/component.yaml"):
                name = path.removeprefix(f"{TOP}/").removesuffix("/component.yaml")
                files = common_files(name)
                lock = library_lock(_shared(), LIBRARY, name, files["requirements.in"])
                files["requirements.txt"] = lock
                found |= {f"{TOP}/{name}/{file}": text for file, text in files.items()}
        return found


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
        return path.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise from_os_error(error) from None


def _is_in_repository(directory: Path) -> bool:
    return attempt(directory, "rev-parse", "--is-inside-work-tree").code == 0


def _commit(root: Path, files: list[str]) -> tuple[str, str]:
    """Make `root` a repository with a commit of these files; the commit, or "" and the reason why there is none."""
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


def _refused(directory: Path, error: OSError) -> UsageError:
    return UsageError(f"{directory} cannot be written: {error.strerror}")
