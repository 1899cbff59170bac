"""A stage that does not succeed says why, leaves its log, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

FAILURES = {
    "exit code": ("sys.exit(7)", "ended with exit code 7"),
    "exception": ("raise KeyError('userId')", "ended with exit code 1"),
    "kill": ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL (out of memory?)"),
    "segmentation fault": ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
    "nothing": ("pass", "wrote nothing (a stage must leave at least one file in --output)"),
    "path outside": (
        "(output / 'a.txt').write_text('a'); (output / '../b.txt').write_text('b')",
        "wrote 'b.txt' beside its output directory, not into it",
    ),
    "a manifest of its own": (
        "(output / 'a.txt').write_text('a'); (output / '../run.json').write_text('{}')",
        "wrote 'run.json' beside its output directory",
    ),
    "empty directory": ("(output / 'empty').mkdir()", "wrote nothing"),
    "symlink": (
        "(output / 'a.txt').write_text('a'); (output / 'link').symlink_to('a.txt')",
        "'link' is a symbolic link",
    ),
    "absolute symlink": (
        "(output / 'passwords').symlink_to('/etc/passwd')",
        "'passwords' is a symbolic link",
    ),
    "symlink upwards": ("(output / 'sub').symlink_to('../..')", "'sub' is a symbolic link"),
    "symlink to the input": (
        "(output / 'input').symlink_to(input)",
        "'input' is a symbolic link",
    ),
    "fifo": ("os.mkfifo(output / 'pipe')", "'pipe' is a named pipe"),
    "output replaced by a link": (
        "output.rmdir(); output.symlink_to('/etc')",
        "its output directory is no directory any more",
    ),
    "output removed": ("output.rmdir()", "its output directory is gone"),
    "syntax error": ("this is no Python", "ended with exit code 1"),
}


@pytest.mark.parametrize(("body", "message"), FAILURES.values(), ids=FAILURES)
def test_a_failed_stage_is_told_with_its_log_and_not_cached(
    project: Project, body: str, message: str
) -> None:
    says = "" if message.startswith("ended with exit code 1") else "print('line', n)"
    body = f"for n in range(40):\n    {says or 'pass'}\nsys.stdout.flush()\n{body}"
    project.component("odd/fail", body)
    project.pipeline("odd", "text/load", "odd/fail", "text/clean")

    finished = project.doit("run", "odd")
    complaint = finished.complaint()

    [error] = [line for line in complaint.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: stage odd:fail ")
    assert message in error
    if says:
        assert complaint.count("line 39") == 1, "it has been shown as it was printed"
    log = log_of(complaint).read_text()
    assert log == "".join(f"line {n}\n" for n in range(40)) if says else "Error" in log
    assert project.plan("odd") == {"load": "hit", "fail": "miss", "clean": "pending"}
    assert project.executed("odd") == ["fail", "load"]


def test_a_stage_that_fails_in_silence_is_opened_in_a_shell(project: Project) -> None:
    project.component("odd/fail", "Path('metrics.csv').write_text('beside the point')")
    project.pipeline("odd", "text/load", "odd/fail")

    complaint = project.doit("run", "odd").complaint()

    why = "wrote nothing (a stage must leave at least one file in --output)"
    assert f"error: stage odd:fail {why}\n" in complaint
    match = re.search(r"^hint: it has printed nothing; `doit (shell \w{8})` runs", complaint, re.M)
    assert match
    opened = project.doit(*match[1].split())
    assert opened.code == 0, opened.stderr
    assert "odd:fail in its environment" in opened.stderr


def log_of(complaint: str) -> Path:
    match = re.search(r"^hint: the whole log is (.+)$", complaint, re.MULTILINE)
    assert match
    return Path(match[1])


def test_a_failed_run_is_part_of_the_history(project: Project) -> None:
    project.component("odd/fail", "print('half way'); sys.exit(3)")
    project.pipeline("odd", "text/load", "odd/fail")
    assert project.doit("run", "odd").code == 1

    [failed, loaded] = project.doit("history", "odd", "--json").json()["runs"]

    assert (loaded["stage"], loaded["result"]) == ("load", "succeeded")
    assert (failed["stage"], failed["result"], failed["exit_code"]) == ("fail", "failed", 3)
    assert failed["output"] is None
    assert failed["path"] is None
    assert Path(failed["log"]).read_text() == "half way\n"
    assert "failed: it ended with exit code 3" in project.doit("show", failed["run"]).stdout
    assert project.reasons("odd")["fail"] == "the last run failed"


def test_a_file_that_component_yaml_promises_must_be_there(project: Project) -> None:
    project.replace("components/text/clean/component.yaml", "lines.txt]", "lines.txt, words.txt]")

    complaint = project.doit("run", "words").complaint()

    assert "stage words:clean did not write words.txt" in complaint


def test_a_stage_that_fails_can_be_mended(project: Project) -> None:
    project.component("odd/fail", "sys.exit(3)")
    project.pipeline("odd", "text/load", "odd/fail")
    assert project.doit("run", "odd").code == 1
    project.replace("components/odd/fail/main.py", "sys.exit(3)", "(output / 'a').write_text('a')")

    assert project.run("odd") == {"load": "hit", "fail": "run"}


def test_a_stage_must_not_write_to_its_input(project: Project) -> None:
    project.component(
        "odd/spoil",
        "f = input / 'lines.txt'; f.chmod(0o600); f.write_text('spoilt'); (output / 'a').write_text('a')",
    )
    project.pipeline("odd", "text/load", "odd/spoil")

    complaint = project.doit("run", "odd").complaint()

    assert "odd:spoil: its input from load changed while it ran" in complaint
    assert "hint: a component must not write to its --input" in complaint
    assert project.plan("odd") == {"load": "miss", "spoil": "pending"}


def test_a_source_that_changes_meanwhile_is_an_error(project: Project) -> None:
    source = project.root / "corpus.txt"
    body = f"open({str(source)!r}, 'a').write('more'); (output / 'a').write_text('a')"
    project.component("odd/append", body)
    project.pipeline("odd", "odd/append")

    complaint = project.doit("run", "odd").complaint()

    assert "odd:append: the source corpus.txt changed while it was read" in complaint
    assert project.doit("history", "--json").json() == {"runs": []}


def test_a_log_that_is_no_text_is_shown_as_far_as_it_goes(project: Project) -> None:
    project.component(
        "odd/fail", r"sys.stdout.buffer.write(b'\xff\xfe caf\xc3\xa9\n'); sys.exit(3)"
    )
    project.pipeline("odd", "odd/fail")

    assert "\ufffd\ufffd café" in project.doit("run", "odd").complaint()


def test_a_stage_says_its_lines_under_its_name(project: Project) -> None:
    assert "load   | 3 lines read" in project.doit("run", "words").stderr


def test_a_component_without_an_entrypoint_fails_in_words(project: Project) -> None:
    (project.root / "components/text/clean/main.py").unlink()

    complaint = project.doit("run", "words").complaint()

    assert "words:clean" in complaint
    assert "main.py" in complaint


def test_a_traceback_names_the_working_trees_file(project: Project) -> None:
    project.component("odd/fail", "import json; json.loads('nothing')")
    project.pipeline("odd", "odd/fail")
    log = project.doit("run", "odd").stderr
    assert f'File "{project.root}/components/odd/fail/main.py", line' in log
    assert "snapshots" not in log
