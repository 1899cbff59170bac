from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components.history import FileChange, changes, commit_facts, unknown_revision
from daintree.errors import GitError, UsageError

if TYPE_CHECKING:
    from tests.conftest import Monorepo


def test_what_a_commit_says_of_itself(monorepo: Monorepo) -> None:
    monorepo.git("config", "user.name", "Ada Lovelace")
    monorepo.write("file", "x")
    commit = monorepo.commit("add a file\n\nmore about it")
    facts = commit_facts(monorepo.root, "HEAD")
    assert (facts.id, facts.author, facts.subject) == (commit, "Ada Lovelace", "add a file")
    assert facts.date == monorepo.git("show", "--no-patch", "--format=%aI")


def test_changes_between_two_commits(monorepo: Monorepo) -> None:
    for name in ("kept", "edited", "moved", "gone", "mode"):
        monorepo.write(f"größe/{name}", f"{name}\n")
    first = monorepo.commit()
    monorepo.write("größe/edited", "other\n")
    (monorepo.root / "größe/moved").rename(monorepo.root / "größe/there")
    (monorepo.root / "größe/gone").unlink()
    (monorepo.root / "größe/mode").chmod(0o755)
    monorepo.commit()
    assert changes(monorepo.root, first, "main") == [
        FileChange("größe/edited", "changed"),
        FileChange("größe/gone", "deleted"),
        FileChange("größe/mode", "changed"),
        FileChange("größe/moved", "deleted"),
        FileChange("größe/there", "added"),
    ]


def test_an_unknown_revision_names_the_nearest(monorepo: Monorepo) -> None:
    monorepo.commit()
    monorepo.git("branch", "develop")
    with pytest.raises(UsageError) as caught:
        commit_facts(monorepo.root, "devlop")
    assert caught.value.message == "git knows no commit 'devlop'"
    assert caught.value.hint == "did you mean 'develop'?"
    assert unknown_revision(monorepo.root, "other/mian").hint == "there are: develop, main"


@pytest.mark.parametrize(
    "revision", ["", "--help", "HEAD~9", "0" * 40, "a..b", "HEAD:file", "@{9}"]
)
def test_odd_revisions_are_unknown(monorepo: Monorepo, revision: str) -> None:
    monorepo.commit()
    with pytest.raises(UsageError, match="git knows no commit"):
        commit_facts(monorepo.root, revision)


def test_before_the_first_commit(monorepo: Monorepo) -> None:
    with pytest.raises(UsageError, match="git knows no commit 'HEAD'"):
        commit_facts(monorepo.root, "HEAD")


def test_outside_a_repository(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="is not in a git repository"):
        unknown_revision(tmp_path, "main")


def test_nothing_of_a_calling_git_is_inherited(
    monorepo: Monorepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit = monorepo.commit()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert commit_facts(monorepo.root, "HEAD").id == commit
    assert os.environ["GIT_DIR"] == str(tmp_path / "elsewhere")


def test_a_project_below_the_top_of_its_repository(monorepo: Monorepo) -> None:
    monorepo.write("deep/er/file", "x")
    commit = monorepo.commit()
    assert commit_facts(monorepo.root / "deep" / "er", "main").id == commit


def test_a_repository_with_sha256_ids(tmp_path: Path, monorepo: Monorepo) -> None:
    other = type(monorepo)(tmp_path / "sha256").init("--object-format=sha256")
    other.commit()
    with pytest.raises(GitError, match="GitPython cannot read the history of") as caught:
        commit_facts(other.root, "HEAD")
    assert caught.value.hint == "it knows no repositories with SHA-256 ids"


def test_only_history_imports_gitpython() -> None:
    program = (
        "import sys, daintree.components.affected, daintree.components.snapshot, daintree.components.history;"
        "print('git' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    assert done.stdout == "False\n", done.stderr
