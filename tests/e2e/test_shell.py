"""`doit shell`: a stage's environment, its inputs in place, its command ready."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Finished, Project

from tests.e2e.projects import DOIT

COUNTS = "word,count\nthe,4\na,3\nand,2\n"


def shell(project: Project, script: str, stage: str = "words:count") -> Finished:
    """`doit shell` with a script on its stdin."""
    process = subprocess.Popen(
        [DOIT, "shell", stage],
        cwd=project.root,
        env=dict(project.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(script)
    process.stdin.close()
    process.stdin = None
    return project.finish(process)


@pytest.fixture(params=["local", "docker"])
def opened(request: pytest.FixtureRequest) -> Project:
    """The project after a run of `words`, by each runner."""
    fixture = "contained" if request.param == "docker" else "project"
    project: Project = request.getfixturevalue(fixture)
    project.run("words")
    return project


def test_the_components_program_is_there(opened: Project) -> None:
    finished = shell(opened, "python main.py --help\n")
    assert finished.code == 0, finished.stderr
    assert "--separator SEPARATOR" in finished.stdout


def test_its_command_is_ready_to_run_again_and_again(opened: Project) -> None:
    finished = shell(opened, "$RUN && cat $OUTPUT/counts.csv\n$RUN --top 1\ncat $OUTPUT/*\n")
    assert finished.stdout == COUNTS + "word,count\nthe,4\n", finished.stderr
    assert "--separator , --threads 1 --top 3 --weight 1.0" in finished.stderr


def test_its_input_is_there_and_its_output_is_its_own(opened: Project) -> None:
    before = opened.contents(opened.output("words:clean"))
    finished = shell(opened, 'ls "$INPUT"; echo x >"$OUTPUT/x"; ls "$OUTPUT"\n')
    assert finished.stdout == "lines.txt\nx\n"
    assert opened.contents(opened.output("words:clean")) == before
    assert opened.executed() == ["clean", "count", "load"]


def test_its_exit_code_is_the_shells(opened: Project) -> None:
    assert shell(opened, "exit 4\n").code == 4


def test_a_parameter_is_no_program(opened: Project, tmp_path: Path) -> None:
    value = f"'; touch {tmp_path}/x; #"
    body = '(output / "said").write_text(arguments.word)'
    opened.component("odd/say", body, word={"type": "str"})
    opened.pipeline("say", {"component": "odd/say", "params": {"word": value}})
    finished = shell(opened, "$RUN; cat $OUTPUT/said\n", stage="say:say")
    assert finished.stdout == value, finished.stderr
    assert not (tmp_path / "x").exists()


def test_on_a_terminal_the_command_is_in_the_history(ran: Project) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [DOIT, "shell", "words:count"],
        cwd=ran.root,
        env={**ran.environ, "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    # The up arrow brings the last command of the history.
    os.write(ours, b"\x10\ncat $OUTPUT/counts.csv\nexit\n")
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:
        # The terminal's other end is closed.
        pass
    os.close(ours)
    assert process.wait(60) == 0
    assert b"(words:count)" in said
    assert b"the,4\r\na,3\r\nand,2\r\n" in said, said.decode()


def test_what_is_missing_is_said(project: Project) -> None:
    complaint = project.doit("shell", "words:count").complaint()
    assert "words:count has never run" in complaint


def test_without_dockers_command_it_says_so(contained: Project, tmp_path: Path) -> None:
    contained.run("words:clean")
    bare = tmp_path / "bin"
    bare.mkdir()
    for program in ("git", "sh"):
        found = subprocess.check_output(["which", program], text=True).strip()
        (bare / program).symlink_to(found)
    away = contained.elsewhere(contained.root, PATH=f"{DOIT.parent}:{bare}")
    complaint = away.doit("shell", "words:count").complaint()
    assert "the command `docker` is not installed" in complaint
