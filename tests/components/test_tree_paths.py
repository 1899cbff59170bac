"""Whatever a path of the working tree is called, and whatever lies there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components.entries import SUBMODULE
from daintree.components.tree import WorkingTree
from daintree.errors import GitError
from tests.components.git_files import DIRECTORY, FILE, NAMES, files, on_disk

if TYPE_CHECKING:
    from tests.conftest import Monorepo


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


def test_an_unreadable_file(monorepo: Monorepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monorepo.write(FILE, "secret", mode=0)
    if os.geteuid() == 0:
        without = "setpriv --bounding-set=-dac_override,-dac_read_search"
        script = monorepo.write(
            "bin/git", f'#!/bin/sh\nexec {without} {shutil.which("git")} "$@"\n', mode=0o755
        )
        monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(GitError, match=r"components/a/f\.txt cannot be read: Permission denied"):
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
    modes = {entry.path: entry.mode for entry in files(committed)}
    assert modes[f"{DIRECTORY}/sub"] == SUBMODULE
    assert modes[f"{DIRECTORY}/untracked"] == SUBMODULE
    assert not any(path.startswith(f"{DIRECTORY}/sub/") for path in modes)
