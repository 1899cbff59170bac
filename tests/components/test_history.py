"""Unknown revisions, named by GitPython with the nearest branch or tag."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components.history import resolve_commit, unknown_revision
from daintree.errors import GitError

if TYPE_CHECKING:
    from tests.conftest import Monorepo


def test_an_unknown_revision_names_the_nearest(monorepo: Monorepo) -> None:
    monorepo.commit()
    monorepo.git("branch", "develop")
    error = unknown_revision(monorepo.root, "devlop")
    assert error.message == "git knows no commit 'devlop'"
    assert error.hint == "did you mean 'develop'?"
    assert unknown_revision(monorepo.root, "other/mian").hint == "there are: develop, main"


def test_a_branch_whose_commit_is_gone_is_no_unknown_one(monorepo: Monorepo) -> None:
    monorepo.commit()
    (monorepo.root / ".git/refs/heads/gone").write_text("1" * 40 + "\n")
    error = unknown_revision(monorepo.root, "gone")
    assert error.message == "the commit of 'gone' is not in this clone"
    assert error.hint.startswith("git fsck ")


def test_resolving(monorepo: Monorepo) -> None:
    assert resolve_commit(monorepo.root, "HEAD") == ""
    commit = monorepo.commit()
    monorepo.git("tag", "--annotate", "--message", "x", "v1")
    assert resolve_commit(monorepo.root, "v1") == commit
    assert resolve_commit(monorepo.root, commit[:8]) == commit
    for wrong in ("nothing", "--help", "HEAD:./", "", "a b", "HEAD~9", "0" * 40, "a..b", "@{9}"):
        assert resolve_commit(monorepo.root, wrong) == ""


def test_outside_a_repository(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="is not in a git repository"):
        unknown_revision(tmp_path, "main")


def test_a_project_below_the_top_of_its_repository(
    monorepo: Monorepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a hook, too: the repository of a calling git is not inherited."""
    monorepo.write("deep/er/file", "x")
    monorepo.commit()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert unknown_revision(monorepo.root / "deep" / "er", "man").hint == "did you mean 'main'?"
    assert os.environ["GIT_DIR"] == str(tmp_path / "elsewhere")


def test_gitpython_is_imported_only_where_it_is_used() -> None:
    program = (
        "import sys, daintree.components.affected, daintree.components.snapshot;"
        "print('git' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    assert done.stdout == "False\n", done.stderr
