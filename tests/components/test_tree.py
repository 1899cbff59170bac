"""The working tree's files, in every state that git can leave them in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components.entries import EXECUTABLE, REGULAR
from daintree.components.git import Objects
from daintree.components.tree import WorkingTree
from tests.components.git_files import DIRECTORY, FILE, NAMES, files, on_disk

if TYPE_CHECKING:
    from tests.conftest import Monorepo


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


def test_a_project_below_the_top_of_its_repository(monorepo: Monorepo) -> None:
    monorepo.write(f"deep/er/{FILE}", "one\r\n")
    monorepo.write(f"deep/er/{DIRECTORY}/g", "two\n")
    monorepo.commit()
    monorepo.write(f"deep/er/{DIRECTORY}/g", "three\n")
    monorepo.write(f"deep/er/{DIRECTORY}/h", "untracked\n")
    root = type(monorepo)(monorepo.root / "deep" / "er")
    names = (FILE, f"{DIRECTORY}/g", f"{DIRECTORY}/h")
    assert files(root) == on_disk(root, *names)


def test_a_repository_with_sha256_ids(tmp_path: Path, monorepo: Monorepo) -> None:
    other = type(monorepo)(tmp_path / "sha256").init("--object-format=sha256")
    other.write(FILE, "one\n")
    other.commit()
    other.write(f"{DIRECTORY}/g", "two\n")
    assert files(other) == on_disk(other, FILE, f"{DIRECTORY}/g", algorithm="sha256")


def test_a_directory_that_does_not_exist(committed: Monorepo) -> None:
    assert files(committed, "components/nothing") == []


def test_an_index_in_use_outlives_the_daily_pruning(committed: Monorepo) -> None:
    os.utime(committed.root / ".git/index", (0, 0))
    tree = WorkingTree(committed.root)
    tree.start([DIRECTORY])
    (tree.objects / "pruned").unlink(missing_ok=True)
    Objects(tree.repository)
    assert len([*tree.objects.glob("index.*")]) == 1
    assert tree.files(DIRECTORY) == files(committed)
