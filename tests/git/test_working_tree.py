"""The working tree's files, in every state that git can leave them in: always with the id of the
bytes on disk.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.privileges import file_modes_hold
from tooling.errors import GitError
from tooling.git.blob import blob_of
from tooling.git.entry import EXECUTABLE, REGULAR, SUBMODULE, SYMLINK, Entry
from tooling.git.working_tree import WorkingTree

if TYPE_CHECKING:
    from tests.conftest import Monorepo

DIRECTORY = "components/a"
FILE = f"{DIRECTORY}/f.txt"


def files(monorepo: Monorepo, directory: str = DIRECTORY) -> list[Entry]:
    return WorkingTree(monorepo.root).files(directory)


def on_disk(monorepo: Monorepo, *paths: str, algorithm: str = "sha1") -> list[Entry]:
    """What the working tree must say of these files: worked out without git."""
    entries = []
    for path in paths:
        file = monorepo.root / path
        if file.is_symlink():
            entries.append(Entry(path, SYMLINK, blob_of(os.readlink(file).encode(), algorithm)))
        else:
            mode = EXECUTABLE if file.stat().st_mode & stat.S_IXUSR else REGULAR
            entries.append(Entry(path, mode, blob_of(file.read_bytes(), algorithm)))
    return entries


@pytest.fixture
def committed(monorepo: Monorepo) -> Monorepo:
    """One file, one program and one link, committed."""
    monorepo.write(FILE, "one\ntwo\n")
    monorepo.write(f"{DIRECTORY}/run.sh", "#!/bin/sh\n", mode=0o755)
    (monorepo.root / DIRECTORY / "link").symlink_to("f.txt")
    monorepo.write("elsewhere/x", "not asked for\n")
    monorepo.commit()
    return monorepo


NAMES = (FILE, f"{DIRECTORY}/link", f"{DIRECTORY}/run.sh")


def test_committed(committed: Monorepo) -> None:
    assert files(committed) == on_disk(committed, *NAMES)


def test_a_file_that_git_calls_unmodified_is_not_read(committed: Monorepo) -> None:
    """Its bytes change under the same size and times here, which only who reads them can see."""
    expected = on_disk(committed, *NAMES)
    committed.git("config", "core.trustCtime", "false")
    os.utime(committed.root / FILE, (1, 1))
    committed.git("update-index", "--refresh")
    with open(committed.root / FILE, "r+b") as file:
        file.write(b"ONE\nTWO\n")
    os.utime(committed.root / FILE, (1, 1))
    assert files(committed) == expected


def test_before_the_first_commit_staged_or_not(monorepo: Monorepo) -> None:
    monorepo.write(FILE, "one\n")
    assert files(monorepo) == on_disk(monorepo, FILE)
    monorepo.git("add", "--all")
    assert files(monorepo) == on_disk(monorepo, FILE)


def test_modified_staged_and_modified_again(committed: Monorepo) -> None:
    committed.write(FILE, "two\n")
    assert files(committed) == on_disk(committed, *NAMES)
    committed.git("add", "--all")
    assert files(committed) == on_disk(committed, *NAMES)
    committed.write(FILE, "three\n")
    assert files(committed) == on_disk(committed, *NAMES)


def test_touched(committed: Monorepo) -> None:
    os.utime(committed.root / FILE, (1, 1))
    assert files(committed) == on_disk(committed, *NAMES)


def test_deleted_on_disk_and_in_the_index(committed: Monorepo) -> None:
    (committed.root / FILE).unlink()
    assert files(committed) == on_disk(committed, *NAMES[1:])
    committed.git("add", "--all")
    assert files(committed) == on_disk(committed, *NAMES[1:])


def test_deleted_in_the_index_alone(committed: Monorepo) -> None:
    committed.git("rm", "--quiet", "--cached", FILE)
    assert files(committed) == on_disk(committed, *NAMES)


def test_untracked_counts_and_ignored_does_not(committed: Monorepo) -> None:
    committed.write(".gitignore", "*.log\n")
    committed.write(f"{DIRECTORY}/new", "new\n", mode=0o755)
    committed.write(f"{DIRECTORY}/x.log", "noise\n")
    assert files(committed) == on_disk(committed, *NAMES[:2], f"{DIRECTORY}/new", NAMES[2])


def test_mode(committed: Monorepo) -> None:
    (committed.root / FILE).chmod(0o744)
    assert files(committed)[0].mode == EXECUTABLE
    (committed.root / FILE).chmod(0o666)
    assert files(committed)[0].mode == REGULAR


def test_mode_where_git_does_not_believe_the_disk(committed: Monorepo) -> None:
    committed.git("config", "core.fileMode", "false")
    (committed.root / DIRECTORY / "run.sh").chmod(0o644)
    committed.write(f"{DIRECTORY}/run.sh", "#!/bin/bash\n")
    assert files(committed)[2].mode == EXECUTABLE


def test_intent_to_add(committed: Monorepo) -> None:
    committed.write(f"{DIRECTORY}/new", "new\n")
    committed.git("add", "--intent-to-add", f"{DIRECTORY}/new")
    assert files(committed) == on_disk(committed, *NAMES[:2], f"{DIRECTORY}/new", NAMES[2])


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_files_that_git_was_told_not_to_look_at(committed: Monorepo, flag: str) -> None:
    committed.git("update-index", flag, FILE)
    committed.write(FILE, "changed behind git's back\n")
    assert files(committed) == on_disk(committed, *NAMES)


def test_assume_unchanged_and_deleted(committed: Monorepo) -> None:
    committed.git("update-index", "--assume-unchanged", FILE)
    (committed.root / FILE).unlink()
    assert files(committed) == on_disk(committed, *NAMES[1:])


def test_merge_conflict(committed: Monorepo) -> None:
    committed.git("checkout", "--quiet", "-b", "other")
    committed.write(FILE, "theirs\n")
    committed.git("rm", "--quiet", f"{DIRECTORY}/run.sh")
    committed.commit()
    committed.git("checkout", "--quiet", "main")
    committed.write(FILE, "ours\n")
    committed.write(f"{DIRECTORY}/run.sh", "echo ours\n", mode=0o755)
    committed.commit()
    with pytest.raises(Exception, match="exit status 1"):
        committed.git("merge", "other")
    assert b"<<<<<<<" in (committed.root / FILE).read_bytes()
    assert files(committed) == on_disk(committed, *NAMES)


def test_sparse_checkout_counts_what_it_leaves_out(committed: Monorepo) -> None:
    complete = files(committed)
    committed.git("sparse-checkout", "set", "elsewhere")
    assert not (committed.root / DIRECTORY).exists()
    tree = WorkingTree(committed.root)
    assert tree.files(DIRECTORY) == complete
    assert tree.content(complete[0]) == b"one\ntwo\n"


def test_sparse_checkout_of_a_file_that_a_checkout_converts(committed: Monorepo) -> None:
    committed.write(".gitattributes", "*.txt eol=crlf\n")
    committed.commit()
    committed.git("sparse-checkout", "set", "elsewhere")
    with pytest.raises(
        GitError, match=r"f\.txt is not checked out, and git would convert it"
    ) as caught:
        files(committed)
    assert caught.value.hint == f"git sparse-checkout add {DIRECTORY}"


@pytest.mark.parametrize(
    "attributes",
    [
        "* text=auto",
        "*.txt text",
        "*.txt eol=lf",
        "f.txt crlf",
        "*.txt working-tree-encoding=UTF-16",
    ],
)
@pytest.mark.parametrize(
    "place", [".gitattributes", "components/.gitattributes", f"{DIRECTORY}/.gitattributes", None]
)
def test_attributes_that_convert(committed: Monorepo, attributes: str, place: str | None) -> None:
    """Git calls these files unmodified, and its ids are not those of their bytes."""
    committed.write(place or ".git/info/attributes", f"{attributes}\n")
    encoding = "utf-16" if "UTF-16" in attributes else "utf-8"
    committed.write(FILE, "one\r\ntwo\r\n".encode(encoding))
    committed.commit()
    indexed = committed.git("ls-files", "--stage", FILE).split()[1]
    entry = files(committed, FILE)
    assert entry == on_disk(committed, FILE)
    assert entry[0].blob != indexed


@pytest.mark.parametrize("value", ["true", "input"])
def test_autocrlf(committed: Monorepo, value: str) -> None:
    committed.git("config", "core.autocrlf", value)
    committed.write(FILE, "one\r\nmore\r\n")
    committed.git("add", "--all")
    assert files(committed) == on_disk(committed, *NAMES)
    assert files(committed)[0].blob != committed.git("ls-files", "--stage", FILE).split()[1]


def test_ident(committed: Monorepo) -> None:
    committed.write(".gitattributes", "*.txt ident\n")
    committed.write(FILE, "$Id$\n")
    committed.commit()
    (committed.root / FILE).unlink()
    committed.git("checkout", "--", FILE)
    assert b"$Id: " in (committed.root / FILE).read_bytes()
    assert files(committed) == on_disk(committed, *NAMES)


def test_filter(committed: Monorepo) -> None:
    committed.git("config", "filter.upper.clean", "tr a-z A-Z")
    committed.git("config", "filter.upper.smudge", "tr A-Z a-z")
    committed.write(".gitattributes", "*.txt filter=upper\n")
    committed.commit()
    assert committed.git("show", f"HEAD:{FILE}") == "ONE\nTWO"
    assert files(committed) == on_disk(committed, *NAMES)


@pytest.mark.parametrize("place", ["home", "setting"])
def test_attributes_of_the_user(committed: Monorepo, tmp_path: Path, place: str) -> None:
    file = tmp_path / ("home/.config/git/attributes" if place == "home" else "attributes")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("*.txt text\n")
    if place == "setting":
        committed.git("config", "core.attributesFile", file)
    committed.write(FILE, "one\r\nmore\r\n")
    committed.commit()
    assert files(committed) == on_disk(committed, *NAMES)


def test_attributes_that_convert_nothing(committed: Monorepo) -> None:
    committed.write(".gitattributes", "*.txt -text diff=python\n")
    committed.write(FILE, "one\r\n")
    committed.commit()
    assert files(committed) == on_disk(committed, *NAMES)


def test_names_that_need_care(monorepo: Monorepo) -> None:
    names = [
        "a b",
        "größe",
        "new\nline",
        "tab\t",
        "*",
        "[x]",
        ":(top)x",
        '"quoted"',
        "-n",
        "back\\slash",
    ]
    paths = sorted(f"{DIRECTORY}/{name}/{name}" for name in names)
    for path in paths[::2]:
        monorepo.write(path, path)
    monorepo.commit()
    for path in paths[1::2]:
        monorepo.write(path, path)
    assert files(monorepo) == on_disk(monorepo, *paths)
    for name in names:
        inside = f"{DIRECTORY}/{name}"
        assert files(monorepo, inside) == on_disk(monorepo, f"{inside}/{name}")


def test_a_name_that_is_not_utf8(monorepo: Monorepo) -> None:
    (monorepo.root / DIRECTORY).mkdir(parents=True)
    Path(os.fsdecode(os.fsencode(monorepo.root / DIRECTORY) + b"/caf\xe9")).write_bytes(b"")
    with pytest.raises(
        GitError, match=r"the file name components/a/caf\\xe9 is not UTF-8"
    ) as caught:
        files(monorepo)
    assert caught.value.hint == "rename the file: names must be UTF-8 text"


def test_a_file_that_became_a_directory_and_the_reverse(committed: Monorepo) -> None:
    (committed.root / FILE).unlink()
    committed.write(f"{FILE}/inner", "inner\n")
    assert files(committed) == on_disk(committed, f"{FILE}/inner", *NAMES[1:])
    committed.commit()
    (committed.root / FILE / "inner").unlink()
    (committed.root / FILE).rmdir()
    committed.write(FILE, "a file again\n")
    assert files(committed) == on_disk(committed, *NAMES)


def test_a_directory_that_became_a_link(monorepo: Monorepo) -> None:
    monorepo.write(f"{DIRECTORY}/old/x", "x\n")
    monorepo.write("elsewhere/x", "x\n")
    monorepo.commit()
    (monorepo.root / DIRECTORY / "old" / "x").unlink()
    (monorepo.root / DIRECTORY / "old").rmdir()
    (monorepo.root / DIRECTORY / "old").symlink_to("../../elsewhere")
    assert files(monorepo) == on_disk(monorepo, f"{DIRECTORY}/old")


def test_a_file_that_became_a_pipe(committed: Monorepo) -> None:
    (committed.root / FILE).unlink()
    os.mkfifo(committed.root / FILE)
    with pytest.raises(GitError, match=r"f\.txt is not a regular file"):
        files(committed)


def test_an_unreadable_file(monorepo: Monorepo) -> None:
    monorepo.write(FILE, "secret", mode=0)
    with (
        file_modes_hold(),
        pytest.raises(GitError, match=r"components/a/f\.txt cannot be read: Permission denied"),
    ):
        files(monorepo)


def test_submodules_and_nested_repositories(committed: Monorepo) -> None:
    committed.git(
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        committed.root,
        f"{DIRECTORY}/sub",
    )
    committed.git("init", "--quiet", f"{DIRECTORY}/untracked")
    found = {entry.path: entry.mode for entry in files(committed)}
    assert found[f"{DIRECTORY}/sub"] == SUBMODULE
    assert found[f"{DIRECTORY}/untracked"] == SUBMODULE
    assert not any(path.startswith(f"{DIRECTORY}/sub/") for path in found)


def test_a_project_below_the_top_of_its_repository(monorepo: Monorepo) -> None:
    monorepo.write(f"deep/er/{FILE}", "one\r\n")
    monorepo.write(f"deep/er/{DIRECTORY}/g", "two\n")
    monorepo.commit()
    monorepo.write(f"deep/er/{DIRECTORY}/g", "three\n")
    monorepo.write(f"deep/er/{DIRECTORY}/h", "untracked\n")
    root = type(monorepo)(monorepo.root / "deep" / "er")
    names = (FILE, f"{DIRECTORY}/g", f"{DIRECTORY}/h")
    assert files(root) == on_disk(root, *names)

    monorepo.write(".gitattributes", "* text=auto\n")
    monorepo.write(f"deep/er/{FILE}", "one\n")
    monorepo.commit()
    monorepo.write(f"deep/er/{FILE}", "one\r\n")
    monorepo.git("add", "--all")
    assert monorepo.git("ls-files", "--stage", f"deep/er/{FILE}").split()[1] != files(root)[0].blob
    assert files(root) == on_disk(root, *names)


def test_a_repository_with_sha256_ids(tmp_path: Path, monorepo: Monorepo) -> None:
    other = type(monorepo)(tmp_path / "sha256").init("--object-format=sha256")
    other.write(FILE, "one\n")
    other.commit()
    other.write(f"{DIRECTORY}/g", "two\n")
    assert files(other) == on_disk(other, FILE, f"{DIRECTORY}/g", algorithm="sha256")


def test_a_directory_that_does_not_exist(committed: Monorepo) -> None:
    assert files(committed, "components/nothing") == []


def test_a_name_that_another_begins_with(monorepo: Monorepo) -> None:
    for name in ("a", "a-b", "a.b", "a0", "ab"):
        monorepo.write(f"components/{name}/f", name)
    monorepo.commit()
    monorepo.write("components/a-b/g", "untracked")
    tree = WorkingTree(monorepo.root)
    tree.load(["components"])
    assert [entry.path for entry in tree.files("components/a")] == ["components/a/f"]
    assert [entry.path for entry in tree.files("components/a-b")] == [
        "components/a-b/f",
        "components/a-b/g",
    ]


def test_deviations_from_the_index(committed: Monorepo) -> None:
    tree = WorkingTree(committed.root)
    tree.load([DIRECTORY])
    assert tree.deviations() == set()

    committed.write(f"{DIRECTORY}/new", "new\n")
    committed.git("update-index", "--assume-unchanged", FILE)
    committed.write(FILE, "other\n")
    (committed.root / DIRECTORY / "run.sh").chmod(0o644)
    tree.load([DIRECTORY])
    assert tree.deviations() == {FILE, f"{DIRECTORY}/run.sh", f"{DIRECTORY}/new"}
