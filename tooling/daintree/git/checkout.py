"""What a clean checkout of a commit writes where git converts files between blob and disk.

git itself checks the files out, into a directory of its own with an index of its own: so the
attributes are the commit's, and filters, line endings, `ident` and encodings are exactly those of a
clone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from daintree.git.attributes import read_attributes, rewrites
from daintree.git.blob import blob_of
from daintree.git.entry import Entry
from daintree.git.plumbing import git
from daintree.git.repository import Repository


class CheckedOut(msgspec.Struct, frozen=True):
    """The entries, by path, of files that a checkout rewrites, and their contents by blob id."""

    entries: dict[str, Entry]
    contents: dict[str, bytes]


def check_out(repository: Repository, commit: str, files: Sequence[Entry]) -> CheckedOut:
    """Those of a commit's files that a checkout rewrites, with the bytes it writes.

    Raises GitError as git does, for instance when a required filter fails.
    """
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch, "tree")
        top.mkdir()
        environment = {
            "GIT_DIR": os.fspath(repository.git_directory),
            "GIT_WORK_TREE": os.fspath(top),
            "GIT_INDEX_FILE": os.path.join(scratch, "index"),
        }
        git(top, "-c", "core.splitIndex=false", "read-tree", commit, env=environment)
        paths = {repository.prefix + os.fsencode(file.path): file for file in files}
        rewritten = _rewritten(repository, top, list(paths), environment)
        names = b"".join(path + b"\0" for path in rewritten)
        git(top, "checkout-index", "-z", "--stdin", stdin=names, env=environment)
        return _read(repository, top, {path: paths[path] for path in rewritten})


def _rewritten(
    repository: Repository, top: Path, paths: Sequence[bytes], environment: Mapping[str, str]
) -> list[bytes]:
    found = read_attributes(top, paths, cached=environment)
    return [path for path in paths if rewrites(found.get(path, {}), repository.config)]


def _read(repository: Repository, top: Path, files: Mapping[bytes, Entry]) -> CheckedOut:
    written = CheckedOut({}, {})
    for path, file in files.items():
        content = top.joinpath(os.fsdecode(path)).read_bytes()
        blob = blob_of(content, repository.algorithm)
        written.entries[file.path] = Entry(file.path, file.mode, blob)
        written.contents[blob] = content
    return written
