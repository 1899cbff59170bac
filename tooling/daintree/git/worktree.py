"""A commit's files in a directory of their own, whatever else lies in the working tree."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daintree.errors import GitError
from daintree.git.plumbing import git
from daintree.git.repository import read_repository


@contextmanager
def checked_out(root: Path, commit: str) -> Iterator[Path]:
    """The project's root in a fresh checkout of a commit, which is gone afterwards. Raises GitError."""
    prefix = os.fsdecode(read_repository(root).prefix)
    # What a killed process has left is forgotten here.
    git(root, "worktree", "prune")
    with tempfile.TemporaryDirectory(prefix="daintree-") as scratch:
        top = Path(scratch, "tree")
        no_hooks = ("-c", "core.hooksPath=/dev/null")
        git(root, *no_hooks, "worktree", "add", "--quiet", "--detach", str(top), commit)
        try:
            yield top / prefix
        finally:
            with suppress(GitError):
                git(root, "worktree", "remove", "--force", str(top))
