"""The project's git hooks: switched on and off, and what the one after a commit does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from daintree.components.commit_tree import resolve_commit
from daintree.components.git import attempt, checked_out, git, read_repository
from daintree.errors import DaintreeError, UsageError
from daintree.images.build import Build
from daintree.images.engine import EngineBuilder
from daintree.images.protocol import Request, Result
from daintree.images.registry import open_registry
from daintree.images.tags import Seen
from daintree.settings import read_settings

DIRECTORY = ".githooks"
# What git is told: where its hooks are, where they were before, and which doit they call.
HOOKS_PATH, BEFORE, PROGRAM = "core.hooksPath", "daintree.hooksPath", "daintree.doit"


def install(root: Path) -> list[str]:
    """Make git call the project's hooks, which call those that were there before; what was done, in lines.

    Raises UsageError for a project without hooks, GitError as git does.
    """
    if not (root / DIRECTORY / "post-commit").is_file():
        raise UsageError(f"there is no {DIRECTORY}/post-commit in {root}")
    ours = _ours(root)
    before = _setting(root, HOOKS_PATH)
    if before not in ("", ours):
        git(root, "config", BEFORE, before)
    git(root, "config", PROGRAM, str(Path(sys.executable).with_name("doit")))
    git(root, "config", HOOKS_PATH, ours)
    kept, lost = _hooks_before(root)
    lines = [f"git calls the hooks in {ours} now"]
    lines += [f"called as before: {', '.join(kept)}"] if kept else []
    lines += [f"warning: not called any more: {', '.join(lost)}"] if lost else []
    return lines


def remove(root: Path) -> list[str]:
    """Put things back as they were before `install`; what was done, in lines. Raises GitError as git does."""
    if _setting(root, HOOKS_PATH) != _ours(root):
        return ["the project's hooks were not in use"]
    git(root, "config", "--unset", HOOKS_PATH)
    before = _setting(root, BEFORE)
    # One that stands in the user's own configuration is in force again by itself.
    if before and _setting(root, HOOKS_PATH) != before:
        git(root, "config", HOOKS_PATH, before)
    for name in (BEFORE, PROGRAM):
        attempt(root, "config", "--unset", name)
    return [f"git calls the hooks in {_setting(root, HOOKS_PATH) or '.git/hooks'} again"]


def after_commit(root: Path, commit: str) -> tuple[int, str]:
    """Build and push what a commit changed, from its own files; the exit code, and one line that says what was done.

    Without a registry the images are built for this machine. Raises nothing but interrupts and bugs.
    """
    try:
        with checked_out(root, commit) as project:
            settings = read_settings(project)
            parent = resolve_commit(root, f"{commit}^")
            registry = open_registry(settings.registry, plain_http=settings.registry_plain_http)
            request = Request(base=parent, push=registry is not None, jobs=settings.jobs)
            results = Build(
                settings=settings,
                request=request,
                registry=registry,
                builder=EngineBuilder(),
                listener=Silence(),
                seen=Seen(settings.images),
            ).run()
    except DaintreeError as error:
        return 1, _complaint(error)
    return _told(results)


class Silence:
    """A listener that says nothing; the results are told at the end."""

    def starting(self, name: str, reasons: tuple[str, ...]) -> None:
        """Nothing."""

    def line(self, name: str, text: str) -> None:
        """Nothing."""

    def finished(self, result: Result, seconds: float) -> None:
        """Nothing."""

    def note(self, name: str, text: str) -> None:
        """Nothing."""

    def warning(self, text: str) -> None:
        """Nothing."""


def _told(results: Sequence[Result]) -> tuple[int, str]:
    failed = [result for result in results if result.error is not None]
    pushed = [result.name for result in results if result.pushed]
    built = [result.name for result in results if result.action == "built" and not result.pushed]
    parts = [f"pushed {', '.join(pushed)}"] if pushed else []
    parts += [f"built {', '.join(built)}"] if built else []
    parts += [_complaint(result.error) for result in failed if result.error is not None]
    return (1 if failed else 0), "; ".join(parts) or "no image to build"


def _complaint(error: DaintreeError) -> str:
    """An error in one line."""
    hint = f" (hint: {error.hint})" if error.hint else ""
    first, *more = error.message.splitlines()
    return f"error: {first}{' …' if more else ''}{hint}"


def _ours(root: Path) -> str:
    """The hooks' directory relative to the top of the working tree, where git starts hooks."""
    return os.fsdecode(read_repository(root).prefix) + DIRECTORY


def _setting(root: Path, name: str) -> str:
    return attempt(root, "config", "--get", name).stdout.decode("utf-8", "replace").strip()


def _hooks_before(root: Path) -> tuple[list[str], list[str]]:
    """The hooks that were there before: those that ours call, and those that nobody calls any more."""
    before = attempt(root, "config", "--type=path", "--get", BEFORE).stdout.decode().strip()
    repository = read_repository(root)
    top = root.resolve().joinpath(*[".."] * repository.levels)
    directory = top / before if before else repository.common_directory / "hooks"
    if not directory.is_dir():
        return [], []
    found = sorted(
        path.name
        for path in directory.iterdir()
        if path.is_file() and os.access(path, os.X_OK) and path.suffix != ".sample"
    )
    kept = [name for name in found if (root / DIRECTORY / name).exists()]
    return kept, [name for name in found if name not in kept]
