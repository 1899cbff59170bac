"""Git hooks: copies in the git directory, switched on and off, and the build after a commit."""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from daintree.components.git import Repository, attempt, git, read_repository
from daintree.components.history import checked_out, resolve_commit
from daintree.errors import DaintreeError, UsageError
from daintree.images.build import Listener, Request, Result, build_images
from daintree.settings import read_settings

# The scripts that are copied into the git directory; `forward` stands in for every hook without a script of its own.
SCRIPTS = Path(__file__).with_name("templates") / "hooks"
FORWARDED = (
    "applypatch-msg", "commit-msg", "post-applypatch", "post-checkout", "post-merge", "post-rewrite",
    "pre-applypatch", "pre-auto-gc", "pre-merge-commit", "pre-push", "pre-rebase", "prepare-commit-msg",
)  # fmt: skip
# Git's configuration: where its hooks are, where they were before, the doit they call, the project below the tree's top.
HOOKS_PATH, BEFORE = "core.hooksPath", "daintree.hooksPath"
PROGRAM, PROJECT = "daintree.doit", "daintree.project"


def install(root: Path, *, update: bool = False) -> list[str]:
    """Copy the hooks into the git directory and make git call them; they call the hooks that were there before.

    Returns what was done, in lines. Copies that differ from this version's hooks are replaced only with `update`. Raises
    UsageError, with the difference, where they differ and `update` is not given, GitError as git does.
    """
    repository = read_repository(root)
    directory = _directory(repository)
    difference = _difference(directory)
    if difference and not update:
        raise UsageError(
            "\n".join(["the hooks in use differ from those of this version:", *difference]),
            hint="read the difference; `doit hooks --update` takes them",
        )
    scope = _scope(root)
    before = _setting(root, HOOKS_PATH)
    if before not in ("", str(directory)):
        git(root, "config", scope, BEFORE, before)
    git(root, "config", scope, PROGRAM, str(Path(sys.executable).with_name("doit")))
    git(root, "config", scope, PROJECT, os.fsdecode(repository.prefix))
    directory.mkdir(exist_ok=True)
    for name, text in _hooks().items():
        (directory / name).write_text(text, encoding="utf-8")
        (directory / name).chmod(0o755)
    git(root, "config", scope, HOOKS_PATH, str(directory))
    return [f"git calls the hooks in {directory} now", *_chained(repository)]


def remove(root: Path) -> list[str]:
    """Put things back as they were before `install`; what was done, in lines. Raises GitError as git does."""
    directory = _directory(read_repository(root))
    if _setting(root, HOOKS_PATH) != str(directory):
        return ["the project's hooks were not in use"]
    scope = _scope(root)
    git(root, "config", scope, "--unset", HOOKS_PATH)
    before = _setting(root, BEFORE)
    # One that stands in the user's own configuration is in force again by itself.
    if before and _setting(root, HOOKS_PATH) != before:
        git(root, "config", scope, HOOKS_PATH, before)
    for name in (BEFORE, PROGRAM, PROJECT):
        attempt(root, "config", scope, "--unset", name)
    shutil.rmtree(directory, ignore_errors=True)
    return [f"git calls the hooks in {_setting(root, HOOKS_PATH) or '.git/hooks'} again"]


def after_commit(root: Path, commit: str) -> tuple[int, str]:
    """Build and push what a commit changed, from its own files; the exit code, and one line that says what was done.

    Without a registry the images are built for this machine. Raises nothing but interrupts and bugs.
    """
    try:
        with checked_out(root, commit) as project:
            settings = read_settings(project)
            parent = resolve_commit(root, f"{commit}^")
            request = Request(base=parent, push=bool(settings.registry), jobs=settings.jobs)
            results = build_images(settings, request, Listener())
        newer = bool(_difference(_directory(read_repository(root))))
    except DaintreeError as error:
        return 1, _complaint(error)
    code, line = _summary(results)
    return code, line + "; this version has other hooks (hint: see `doit hooks`)" * newer


def _summary(results: Sequence[Result]) -> tuple[int, str]:
    errors = [result.error for result in results if result.error is not None]
    pushed = [result.name for result in results if result.pushed]
    built = [result.name for result in results if result.action == "built" and not result.pushed]
    parts = [f"pushed {', '.join(pushed)}"] if pushed else []
    parts += [f"built {', '.join(built)}"] if built else []
    parts += map(_complaint, errors)
    return (1 if errors else 0), "; ".join(parts) or "no image to build"


def _complaint(error: DaintreeError) -> str:
    hint = f" (hint: {error.hint})" if error.hint else ""
    first, *more = error.message.splitlines()
    return f"error: {first}{' …' if more else ''}{hint}"


def _hooks() -> dict[str, str]:
    scripts = {path.name: path.read_text("utf-8") for path in sorted(SCRIPTS.iterdir())}
    return {**scripts, **dict.fromkeys(FORWARDED, scripts["forward"])}


def _directory(repository: Repository) -> Path:
    """The copies' directory: in the git directory that all working trees share, where no checkout writes."""
    return repository.common_directory.resolve() / "daintree-hooks"


def _difference(directory: Path) -> list[str]:
    """The lines in which the copies differ from this version's hooks; none where there are no copies."""
    lines: list[str] = []
    for name, text in _hooks().items() if directory.is_dir() else ():
        path = directory / name
        copy = path.read_text("utf-8", "replace") if path.is_file() else ""
        lines += difflib.unified_diff(
            copy.splitlines(), text.splitlines(), f"in use/{name}", f"new/{name}", lineterm=""
        )
    return lines


def _scope(root: Path) -> str:
    """The configuration that holds core.hooksPath: a working tree's own where it has one of its own, else the repository's."""
    own = attempt(root, "config", "--worktree", "--get", HOOKS_PATH)
    separate = _setting(root, "extensions.worktreeConfig").lower() in ("true", "yes", "on", "1")
    return "--worktree" if separate and own.code == 0 else "--local"


def _setting(root: Path, name: str) -> str:
    return attempt(root, "config", "--get", name).stdout.decode("utf-8", "replace").strip()


def _chained(repository: Repository) -> list[str]:
    """Lines on the hooks that were there before: those that are called, and those that are not any more."""
    root = repository.root
    before = attempt(root, "config", "--type=path", "--get", BEFORE).stdout.decode().strip()
    top = root.resolve().joinpath(*[".."] * repository.levels).resolve()
    directory = top / before if before else repository.common_directory / "hooks"
    if not directory.is_dir():
        return []
    present = sorted(
        path.name
        for path in directory.iterdir()
        if path.is_file() and os.access(path, os.X_OK) and path.suffix != ".sample"
    )
    called = [name for name in present if name in _hooks()]
    missed = [name for name in present if name not in called]
    common, resolved = repository.common_directory.resolve(), directory.resolve()
    in_git = common.is_relative_to(top) and resolved.is_relative_to(common)
    tracked = resolved.is_relative_to(top) and not in_git
    lines = [f"called as before: {', '.join(called)}"] if called else []
    if tracked and called:
        lines += ["of these, as files of the working tree: for your own commits and pushes alone"]
    return lines + ([f"warning: not called any more: {', '.join(missed)}"] if missed else [])
