"""The one way to run git: no pager, prompt or lock, and nothing inherited from a calling git.

A hook runs with GIT_DIR, GIT_INDEX_FILE and others set for the commit under way; whoever asks for
the version of a component there means the project's own repository. So every GIT_* variable stays
behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from daintree.errors import GitError
from daintree.process import Finished, capture

_FIXED = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
_ADVICE = re.compile(r"^\s*(git config --global --add safe\.directory .+)$", re.MULTILINE)


def git(
    root: Path, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> bytes:
    """What `git <arguments>` prints when run in `root`; paths given to it are taken literally.

    Raises GitError when git is missing, `root` is in no repository, or git refuses.
    """
    finished = attempt(root, *arguments, stdin=stdin, env=env)
    if finished.code != 0:
        raise _refusal(root, arguments, finished)
    return finished.stdout


def attempt(
    root: Path, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> Finished:
    """As `git`, where an exit code is an answer. Raises GitError only when git is missing."""
    command = ["git", "--no-pager", "--literal-pathspecs", "-C", os.fspath(root), *arguments]
    try:
        return capture(command, env={**scrubbed(os.environ), **_FIXED, **(env or {})}, stdin=stdin)
    except FileNotFoundError:
        raise GitError(
            "git is not installed, or not on PATH",
            hint="install git: versions are read from the project's git repository",
        ) from None


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without the variables that redirect git."""
    return {name: value for name, value in environ.items() if not name.startswith("GIT_")}


def records(output: bytes) -> list[bytes]:
    """The records of NUL-terminated output."""
    parts = output.split(b"\0")
    parts.pop()
    return parts


def path_text(path: bytes) -> str:
    """A path as text. Raises GitError for one that is not UTF-8."""
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        shown = path.decode("utf-8", "backslashreplace")
        raise GitError(
            f"the file name {shown} is not UTF-8", hint="rename the file: names must be UTF-8 text"
        ) from None


def _refusal(root: Path, arguments: tuple[str, ...], finished: Finished) -> GitError:
    complaint = finished.complaint()
    if "not a git repository" in complaint:
        return GitError(
            f"{root} is not in a git repository",
            hint="clone the project with git, or run `git init && git add .` in it",
        )
    if "dubious ownership" in complaint:
        advice = _ADVICE.search(complaint)
        return GitError(
            f"git does not trust the repository of {root}: it belongs to another user",
            hint=advice[1] if advice else complaint,
        )
    command = next(argument for argument in arguments if not argument.startswith("-"))
    reason = complaint.removeprefix("fatal: ") or f"exit code {finished.code}"
    return GitError(f"git {command} failed in {root}: {reason}")
