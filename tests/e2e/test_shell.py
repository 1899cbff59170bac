"""`doit shell`: a stage's environment, its inputs in place, its command ready."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from docker import APIClient

    from tests.e2e.projects import Finished

from daintree.images.registry import COMPONENT_LABEL
from tests.e2e.projects import DOIT, Project
from tests.services.engine import remove_images

COUNTS = "word,count\nthe,4\na,3\nand,2\n"


def started(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """`doit shell` with pipes for its stdin, stdout and stderr."""
    return subprocess.Popen(
        [DOIT, "shell", *arguments],
        cwd=project.root,
        env=dict(project.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def shell(project: Project, script: str, *arguments: str, stage: str = "words:count") -> Finished:
    """`doit shell` with a script on its stdin."""
    process = started(project, stage, *arguments)
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


def test_an_edit_in_the_working_tree_counts_at_once(opened: Project) -> None:
    process = started(opened, "words:count")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("$RUN --top 1 && cat $OUTPUT/counts.csv\n")
    process.stdin.flush()
    assert [process.stdout.readline() for _ in range(2)] == ["word,count\n", "the,4\n"]
    program = opened.root / "components/text/count/main.py"
    before = program.read_text()
    program.write_text(before.replace('"word,count"', '"edited"'))
    process.stdin.write("$RUN --top 1 && cat $OUTPUT/counts.csv\n")
    process.stdin.close()
    process.stdin = None
    finished = opened.finish(process)
    assert finished.stdout == "edited\nthe,4\n", finished.stderr
    program.write_text(before)
    assert opened.plan("words") == {"load": "hit", "clean": "hit", "count": "hit"}


def test_an_edited_library_counts_at_once_too(opened: Project) -> None:
    library = opened.root / "components/lib/textio/__init__.py"
    library.write_text(library.read_text() + "\nedited = 'yes'\n")
    script = "import textio; print(textio.__file__, textio.edited)"
    finished = shell(opened, f'python -c "{script}"\n', stage="words:clean")
    assert finished.stdout.endswith("textio/__init__.py yes\n"), finished.stderr


def test_tracebacks_name_the_working_trees_files(opened: Project) -> None:
    library, own = "components/lib/textio/deep.py", "components/text/clean/rules.py"
    opened.write(library, "def fail():\n    raise KeyError('deep')\n")
    opened.write(own, "import textio.deep\n\n\ndef fail():\n    textio.deep.fail()\n")
    program = opened.root / "components/text/clean/main.py"
    program.write_text(program.read_text() + "\n\nimport rules\n\nrules.fail()\n")
    script = "$RUN; python -c 'import rules; rules.fail()'\n"
    finished = shell(opened, script, stage="words:clean")
    for file, times in {library: 2, own: 2, "components/text/clean/main.py": 1}.items():
        assert finished.stderr.count(f'File "{opened.root}/{file}", line') == times, finished.stderr
    assert "/application/" not in finished.stderr.replace("/application/data", "")


def test_a_component_may_have_a_file_called_data(project: Project) -> None:
    project.write("components/text/count/data", "a file\n")
    project.run("words")
    finished = shell(project, "cat data; $RUN --top 1; cat $OUTPUT/counts.csv\n")
    assert finished.stdout == "a file\nword,count\nthe,4\n", finished.stderr


def test_a_component_keeps_its_own_data_beside_its_input(opened: Project) -> None:
    opened.write("components/text/count/data/words/the.txt", "the\n")
    opened.write("components/text/count/data/input/hidden.txt", "hidden\n")
    script = 'cat data/words/the.txt; ls "$INPUT"; $RUN --top 1; cat $OUTPUT/counts.csv\n'
    finished = shell(opened, script)
    assert finished.stdout == "the\nlines.txt\nword,count\nthe,4\n", finished.stderr


def test_an_edited_version_without_a_dockerfile_gets_its_image(
    contained: Project, engine: APIClient
) -> None:
    name = f"odd/plain-{os.urandom(6).hex()}"
    contained.component(name, "(output / 'said').write_text('as edited')")
    for file in ("Dockerfile", "requirements.txt"):
        (contained.root / "components" / name / file).unlink()
    contained.pipeline("plain", {"name": "say", "component": name})
    finished = shell(contained, "$RUN; cat $OUTPUT/said; test -L main.py\n", stage="plain:say")
    remove_images(engine, label=f"{COMPONENT_LABEL}={name}")
    assert (finished.code, finished.stdout) == (0, "as edited"), finished.stderr


def test_frozen_is_the_versions_own_files(opened: Project) -> None:
    finished = shell(opened, "pwd; test -L main.py || echo a file\n", "--frozen")
    assert finished.stdout.endswith("\na file\n"), finished.stderr


def test_an_older_run_is_opened_on_its_own_version_parameters_and_inputs(opened: Project) -> None:
    run = last_run(opened, "words:count")
    opened.doit("name", "words:count", "first")
    program = opened.root / "components/text/count/main.py"
    program.write_text(program.read_text().replace('"word,count"', '"edited"'))
    opened.run("words", "--set", "clean.fold=false", "--set", "count.top=1")
    before = opened.contents(opened.output("words:count@first"))
    script = "$RUN && cat $OUTPUT/counts.csv; test -L main.py || echo a file\n"
    for stage in (run, run[-8:], "words:count@first", "words@first"):
        finished = shell(opened, script, stage=stage)
        assert finished.stdout == COUNTS + "a file\n", finished.stderr
    assert opened.contents(opened.output("words:count@first")) == before
    assert last_run(opened, "words:count") != run
    assert "cannot change it" in opened.doit("shell", run, "--set", "count.top=1").complaint()


def test_a_run_that_failed_is_opened_on_the_source_that_it_read(project: Project) -> None:
    program = project.root / "components/text/load/main.py"
    whole = program.read_text()
    program.write_text("import sys\nsys.exit('no such column')\n")
    assert project.doit("run", "words").code == 1
    run = last_run(project, "words:load")
    program.write_text(whole)
    finished = shell(project, '$RUN; ls "$INPUT"\n', stage=run)
    assert "no such column" in finished.stderr
    assert finished.stdout == "corpus.txt\n"
    project.write("corpus.txt", "other words\n")
    complaint = project.doit("shell", run).complaint()
    assert f"the source corpus.txt is no longer what run {run} read" in complaint


def test_a_run_and_its_copy_have_no_receipt_of_a_stage_without_output(project: Project) -> None:
    project.component("odd/tell", 'print("told")')
    project.write("components/odd/tell/component.yaml", "outputs: []\n")
    project.component("odd/list", '(output / "seen").write_text(str(os.listdir(input)))')
    project.pipeline("effect", "text/load", "odd/tell", "odd/list")
    project.run("effect")
    run = last_run(project, "effect:list")
    finished = shell(project, '$RUN && cat "$OUTPUT/seen"; ls "$INPUT"\n', stage=run)
    assert finished.stdout == "[]", finished.stderr
    for target in (run, "effect:list"):
        place = project.root / f"pull-{target}"
        copied = project.doit("pull", target, "--to", place)
        assert copied.code == 0, copied.stderr
        assert project.contents(place) == {"output/seen": b"[]"}
        assert (place / "input").is_dir()
    assert "input  0 files, 0 B" in copied.stdout


def test_a_run_whose_files_are_not_in_this_clone_says_so(ran: Project, tmp_path: Path) -> None:
    program = ran.root / "components/text/count/main.py"
    program.write_text(program.read_text() + "\n")
    ran.run("words")
    ran.git("clone", "-q", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", ran.environ)
    complaint = clone.doit("shell", last_run(ran, "words:count")).complaint()
    assert "ran files that this clone does not have: main.py" in complaint
    assert "they were never committed" in complaint


def last_run(project: Project, stage: str) -> str:
    """The id of a stage's latest run."""
    return str(project.doit("history", stage, "--json").json()["runs"][0]["run"])


def on_a_terminal(project: Project, *arguments: str, typed: bytes) -> tuple[int, str]:
    """Exit code of `doit` with these arguments on a terminal where this was typed, and all that it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [DOIT, *arguments],
        cwd=project.root,
        env={**project.environ, "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, typed)
    screen = b""
    try:
        while chunk := os.read(ours, 4096):
            screen += chunk
    except OSError:
        # The terminal's other end is closed.
        pass
    os.close(ours)
    return process.wait(60), screen.decode()


def test_on_a_terminal_the_command_is_in_the_history(ran: Project) -> None:
    # The up arrow brings the last command of the history.
    code, screen = on_a_terminal(
        ran, "shell", "words:count", typed=b"\x10\ncat $OUTPUT/counts.csv\nexit\n"
    )
    assert code == 0
    assert "(words:count)" in screen
    assert "the,4\r\na,3\r\nand,2\r\n" in screen


def test_the_debugger_opens_where_a_stage_fails(project: Project) -> None:
    fails = "number = 6 * 7\ntry:\n    raise KeyError(number)\nexcept KeyError:\n    sys.exit(1)"
    project.component("odd/fail", fails)
    project.pipeline("odd", "odd/fail")
    code, screen = on_a_terminal(project, "run", "odd:fail", "--pdb", typed=b"p number + 1\nq\n")
    assert code == 1, screen
    assert "KeyError: 42" in screen
    assert f'File "{project.root}/components/odd/fail/main.py", line' in screen
    assert "(Pdb) " in screen
    assert "\n43\r\n" in screen
    assert project.doit("history", "--json").json() == {"runs": []}


def test_a_breakpoint_is_an_interactive_one(project: Project) -> None:
    project.component("odd/stop", "word = 'seen'\nbreakpoint()\n(output / 'a').write_text(word)")
    project.pipeline("odd", "odd/stop")
    code, screen = on_a_terminal(project, "run", "odd:stop", "--pdb", typed=b"p word * 2\nc\n")
    assert (code, "'seenseen'" in screen) == (0, True), screen


def test_the_debugger_wants_one_stage_and_a_terminal(ran: Project) -> None:
    assert "--pdb needs a terminal" in ran.doit("run", "words:count", "--pdb").complaint()
    complaint = ran.doit("run", "words", "--pdb").complaint()
    assert "--pdb is for one stage\nhint: doit run words:STAGE --pdb" in complaint
    assert "one stage" in ran.doit("run", "words:load", "words:count", "--pdb").complaint()


def test_what_is_missing_is_said(project: Project) -> None:
    complaint = project.doit("shell", "words:count").complaint()
    assert "words:count has never run" in complaint


def test_without_dockers_command_it_says_so(contained: Project, tmp_path: Path) -> None:
    contained.run("words:clean")
    bare = tmp_path / "bin"
    bare.mkdir()
    for program in ("git", "sh"):
        path = subprocess.check_output(["which", program], text=True).strip()
        (bare / program).symlink_to(path)
    away = contained.at(contained.root, PATH=f"{DOIT.parent}:{bare}")
    complaint = away.doit("shell", "words:count").complaint()
    assert "the command `docker` is not installed" in complaint
