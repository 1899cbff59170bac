"""Where a project lies in its repository, and how that repository is set up."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from daintree.git.background import Background
from daintree.git.plumbing import git, records

_TRUE = frozenset({"true", "yes", "on", "1"})


class Repository(msgspec.Struct, frozen=True):
    """The repository of the project at `root`.

    `prefix` is the project's path below the working tree's top ("" or "some/where/"),
    `git_directory` this working tree's own and `common_directory` the one all its worktrees share,
    `algorithm` what object ids are made with, `config` git's effective configuration (of a key
    given several times the last value).
    """

    root: Path
    prefix: bytes
    git_directory: Path
    common_directory: Path
    algorithm: str
    config: dict[str, str]

    def is_set(self, key: str, *, default: bool = False) -> bool:
        """Whether a boolean key of git's configuration is true."""
        value = self.config.get(key)
        return default if value is None else value.lower() in _TRUE

    @property
    def levels(self) -> int:
        """How many directories the project lies below the working tree's top."""
        return self.prefix.count(b"/")


def read_repository(root: Path) -> Repository:
    """The repository that `root` lies in. Raises GitError when there is none."""
    config = Background(lambda: _read_config(root))
    wanted = ("--show-object-format", "--absolute-git-dir", "--git-common-dir", "--show-prefix")
    algorithm, git_directory, common, prefix = (
        git(root, "rev-parse", *wanted).removesuffix(b"\n").split(b"\n", 3)
    )
    return Repository(
        root=root,
        prefix=prefix,
        git_directory=Path(os.fsdecode(git_directory)),
        common_directory=root / os.fsdecode(common),
        algorithm=algorithm.decode("ascii"),
        config=config.result(),
    )


def _read_config(root: Path) -> dict[str, str]:
    config: dict[str, str] = {}
    for record in records(git(root, "config", "-z", "--list")):
        key, given, value = record.decode("utf-8", "replace").partition("\n")
        config[key] = value if given else "true"
    return config
