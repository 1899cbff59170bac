"""One version in every clone: whatever settings, flags and states of git lie between the files and their blobs."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components import read_versions

if TYPE_CHECKING:
    from tests.conftest import Monorepo

Situation = Callable[["Monorepo"], object]
MAIN, NOTES = "components/a/main.py", "components/a/notes.txt"


def digest(root: Path) -> str:
    return read_versions(root, ["a"], platform="linux/amd64", bases={})["a"].digest


def crlf_on_disk(project: Monorepo) -> None:
    project.git("config", "core.autocrlf", "true")
    (project.root / NOTES).unlink()
    project.git("checkout", "--", NOTES)
    assert b"\r\n" in (project.root / NOTES).read_bytes()


def edited_with_crlf(project: Monorepo) -> None:
    project.git("config", "core.autocrlf", "true")
    project.git("config", "core.safecrlf", "true")
    project.write(NOTES, "one\r\nmore\r\n")


def attribute(line: str, content: str | bytes = "one\r\ntwo\r\n") -> Situation:
    def situation(project: Monorepo) -> None:
        project.write(".gitattributes", f"{line}\n")
        project.write(NOTES, content)

    return situation


def clean_filter(project: Monorepo) -> None:
    project.git("config", "filter.upper.clean", "tr a-z A-Z")
    project.git("config", "filter.upper.smudge", "tr A-Z a-z")
    project.write(".gitattributes", "*.txt filter=upper\n")
    project.write(NOTES, "other\n")


def large_file(project: Monorepo) -> None:
    project.git("lfs", "install", "--local", "--skip-repo")
    project.write(".gitattributes", "*.txt filter=lfs diff=lfs merge=lfs -text\n")
    project.write(NOTES, "large\n")


def flagged(*flags: str) -> Situation:
    def situation(project: Monorepo) -> None:
        for flag in flags:
            project.git("update-index", flag, MAIN)
        project.write(MAIN, "print(2)\n")

    return situation


def flagged_and_deleted(project: Monorepo) -> None:
    project.git("update-index", "--assume-unchanged", NOTES)
    (project.root / NOTES).unlink()


def sparse(project: Monorepo) -> None:
    project.git("sparse-checkout", "set", "components/b")
    assert not (project.root / MAIN).exists()


def sparse_index(project: Monorepo) -> None:
    project.git("sparse-checkout", "set", "--cone", "--sparse-index", "components/b")


def sparse_with_an_edit_outside(project: Monorepo) -> None:
    sparse(project)
    project.write(MAIN, "print(2)\n")


def setting(name: str, value: str, then: Situation = lambda project: None) -> Situation:
    def situation(project: Monorepo) -> None:
        project.git("config", name, value)
        project.write(MAIN, "print(2)\n")
        then(project)

    return situation


def links_as_files(project: Monorepo) -> None:
    project.git("config", "core.symlinks", "false")
    (project.root / "components/a/link").unlink()
    project.git("checkout", "--", "components/a/link")
    assert not (project.root / "components/a/link").is_symlink()


def modes_not_on_disk(project: Monorepo) -> None:
    project.git("config", "core.fileMode", "false")
    (project.root / "components/a/run.sh").chmod(0o644)


def staged_and_changed_back(project: Monorepo) -> None:
    project.write(MAIN, "print(2)\n")
    project.git("add", "--all")
    project.write(MAIN, "print(1)\n")


def racy_edit(project: Monorepo) -> None:
    """As many bytes at the same time as the index has: only a look at the content tells."""
    file = project.root / MAIN
    project.git("config", "core.trustCtime", "false")
    project.git("update-index", "--refresh")
    index = project.root / ".git/index"
    before = file.stat()
    file.write_bytes(b"print(2)\n")
    os.utime(file, ns=(before.st_mtime_ns, before.st_mtime_ns))
    os.utime(index, ns=(before.st_mtime_ns, before.st_mtime_ns))


def flagged_and_racy(flag: str) -> Situation:
    """A flagged file whose time and size tell nothing, in an index that git has written since."""

    def situation(project: Monorepo) -> None:
        os.utime(project.root / MAIN, (1_600_000_000, 1_600_000_000))
        project.git("update-index", "--refresh")
        project.git("update-index", flag, MAIN)
        racy_edit(project)
        index = project.root / ".git/index"
        os.utime(index, (1_600_000_005, 1_600_000_005))

    return situation


def tracked_but_ignored(project: Monorepo) -> None:
    project.write(".gitignore", "*.txt\nmain.py\n")
    project.write(NOTES, "edited\n")


def added_by_force(project: Monorepo) -> None:
    project.write(".gitignore", "*.bin\n")
    project.write("components/a/x.bin", "x")
    project.git("add", "--force", "components/a/x.bin")


def intent_to_add(project: Monorepo) -> None:
    project.write("components/a/new", "new\n")
    project.git("add", "--intent-to-add", "components/a/new")


def split_index(project: Monorepo) -> None:
    project.git("update-index", "--split-index")
    project.write(MAIN, "print(2)\n")


def old_index(project: Monorepo) -> None:
    project.git("update-index", "--index-version", "4")
    project.write(MAIN, "print(2)\n")


def untracked_cache(project: Monorepo) -> None:
    project.git("update-index", "--untracked-cache")
    project.git("status")
    project.write("components/a/new", "new\n")


SITUATIONS: dict[str, Situation] = {
    "nothing": lambda project: None,
    "an edit": lambda project: project.write(MAIN, "print(2)\n"),
    "a new file": lambda project: project.write("components/a/größe 1", "x"),
    "a deleted file": lambda project: (project.root / NOTES).unlink(),
    "CRLF on disk": crlf_on_disk,
    "CRLF, edited": edited_with_crlf,
    "text=auto": attribute("* text=auto"),
    "text": attribute("*.txt text"),
    "eol=crlf": attribute("*.txt eol=crlf"),
    "ident": attribute("*.txt ident", "$Id$\n"),
    "encoding": attribute("*.txt working-tree-encoding=UTF-16", "é\n".encode("utf-16")),
    "-text": attribute("* -text"),
    "a clean filter": clean_filter,
    "git-lfs": large_file,
    "assume-unchanged": flagged("--assume-unchanged"),
    "skip-worktree": flagged("--skip-worktree"),
    "both flags": flagged("--assume-unchanged", "--skip-worktree"),
    "assume-unchanged, deleted": flagged_and_deleted,
    "sparse": sparse,
    "sparse index": sparse_index,
    "sparse, edited outside": sparse_with_an_edit_outside,
    "ignoreStat": setting("core.ignoreStat", "true"),
    "checkStat": setting("core.checkStat", "minimal"),
    "ignoreErrors": setting("add.ignoreErrors", "true"),
    "links as files": links_as_files,
    "fileMode": modes_not_on_disk,
    "staged and changed back": staged_and_changed_back,
    "deleted in the index": lambda project: project.git("rm", "--quiet", "--cached", NOTES),
    "a racy edit": racy_edit,
    "assume-unchanged, racy": flagged_and_racy("--assume-unchanged"),
    "skip-worktree, racy": flagged_and_racy("--skip-worktree"),
    "tracked but ignored": tracked_but_ignored,
    "added by force": added_by_force,
    "intent to add": intent_to_add,
    "a split index": split_index,
    "index version 4": old_index,
    "an untracked cache": untracked_cache,
}


@pytest.fixture
def project(monorepo: Monorepo) -> Monorepo:
    monorepo.component("a", {"notes.txt": "one\ntwo\n"})
    monorepo.component("b")
    monorepo.write("components/a/run.sh", "#!/bin/sh\n", mode=0o755)
    (monorepo.root / "components/a/link").symlink_to("main.py")
    monorepo.commit()
    return monorepo


def commit_of(project: Monorepo, to: Path) -> Path:
    """A fresh clone of what `git commit --all` would commit in a copy of the project."""
    copy = type(project)(to / "copy")
    shutil.copytree(project.root, copy.root, symlinks=True)
    listed = copy.git("ls-files", "-v").splitlines()
    hidden = [line[2:] for line in listed if line[0] in "hsS" and (copy.root / line[2:]).exists()]
    hidden += [line[2:] for line in listed if line[0] == "h"]
    for path in hidden:
        copy.git("update-index", "--no-assume-unchanged", path)
        copy.git("update-index", "--no-skip-worktree", path)
    copy.git("-c", "core.ignoreStat=false", "-c", "core.safecrlf=false", "add", "--all", "--sparse")
    copy.git("commit", "--quiet", "--allow-empty", "--message", "all of it")
    clone = to / "fresh clone"
    copy.git("clone", "--quiet", "--no-local", copy.root, clone)
    return clone


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_version_is_the_same_in_every_clone(
    project: Monorepo, tmp_path: Path, name: str
) -> None:
    digest(project.root)
    SITUATIONS[name](project)
    before = {
        path: path.read_bytes() for path in (project.root / ".git").rglob("*") if path.is_file()
    }
    old_clone = digest(project.root)
    assert digest(project.root) == old_clone
    after = {
        path: path.read_bytes() for path in (project.root / ".git").rglob("*") if path.is_file()
    }
    assert after == before
    assert digest(commit_of(project, tmp_path)) == old_clone


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_flags_in_a_project_below_the_repositorys_top(monorepo: Monorepo, flag: str) -> None:
    project = type(monorepo)(monorepo.root / "some/where")
    project.component("a", {"notes.txt": "one\n"})
    monorepo.commit()
    project.write(MAIN, "print(2)\n")
    expected = digest(project.root)
    project.write(MAIN, "print(1)\n")
    flagged(flag)(project)
    assert digest(project.root) == expected


def test_a_repository_that_cannot_be_written(project: Monorepo) -> None:
    """Programs that git would run, and a path that separates directories in an environment variable."""
    project.git("config", "core.fsmonitor", "false; touch /tmp/never")
    expected = digest(project.root)
    moved = project.root.with_name("a:b")
    project.root.rename(moved)
    for directory in [moved / ".git", *(moved / ".git").rglob("*")]:
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) & ~0o222)
    assert digest(moved) == expected


def test_lost_and_damaged_private_objects_are_made_anew(project: Monorepo, tmp_path: Path) -> None:
    project.write("components/a/Dockerfile", "FROM debian\n")
    expected = digest(project.root)
    [private] = (tmp_path / "home/.cache/daintree/git").iterdir()
    for file in (private / "objects").rglob("*"):
        if file.is_file() and len(file.parent.name) == 2:
            file.chmod(0o644)
            file.write_bytes(b"")
    assert digest(project.root) == expected
    shutil.rmtree(private / "objects")
    assert digest(project.root) == expected
