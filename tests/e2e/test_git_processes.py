"""Processes of git that a command runs: each takes a few milliseconds of every command."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project
    from tests.services.image_project import ImageProject


class Counter:
    """A git first on PATH that writes down how it was called."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.log = directory / "log"
        script = directory / "git"
        script.write_text(
            f'#!/bin/sh\necho "$*" >> "{self.log}"\nexec {shutil.which("git")} "$@"\n'
        )
        script.chmod(0o755)
        self.log.write_text("")
        self.env = {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}

    def calls(self) -> list[str]:
        """The calls since the last time."""
        calls = self.log.read_text(encoding="utf-8").splitlines()
        self.log.write_text("")
        return calls


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path / "git on PATH")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_starts_no_git(project: Project, counter: Counter, word: str) -> None:
    assert project.doit("affected", word, env=counter.env).code == 0
    assert counter.calls() == []


def test_a_plan_and_a_run_with_nothing_to_do(ran: Project, counter: Counter) -> None:
    ran.doit("plan", "words", env=counter.env)
    assert len(calls := counter.calls()) <= 4, "\n".join(calls)
    ran.doit("run", "words", env=counter.env)
    assert len(calls := counter.calls()) <= 4, "\n".join(calls)


def test_what_is_affected(ran: Project, counter: Counter) -> None:
    assert ran.doit("affected", "--base", "HEAD", env=counter.env).code == 0
    assert len(calls := counter.calls()) <= 6, "\n".join(calls)
    with open(ran.root / "components/text/clean/main.py", "a", encoding="utf-8") as script:
        script.write("# changed\n")
    assert "text/clean" in ran.doit("affected", env=counter.env).stdout
    # Three of them add what has changed, however much that is, to an index of its own.
    assert len(calls := counter.calls()) <= 8, "\n".join(calls)


def test_a_build(image_project: ImageProject, counter: Counter) -> None:
    image_project.build("--dry-run", env=counter.env)
    assert len(calls := counter.calls()) <= 5, "\n".join(calls)
    image_project.build(env=counter.env)
    assert len(calls := counter.calls()) <= 8, "\n".join(calls)
    image_project.edit("text/clean")
    image_project.build(env=counter.env)
    assert len(calls := counter.calls()) <= 8, "\n".join(calls)
    image_project.project.commit()
    image_project.build("--push", env=counter.env)
    assert len(calls := counter.calls()) <= 8, "\n".join(calls)
    image_project.edit("text/clean")
    image_project.project.commit()
    # Two more tell if `:latest` may move, however many images there are.
    image_project.build("--push", env=counter.env)
    assert len(calls := counter.calls()) <= 10, "\n".join(calls)
    image_project.build(env=counter.env)
    assert len(calls := counter.calls()) <= 4, "\n".join(calls)
