"""What runs again after a change, and what does not."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

ALL_HITS = {"load": "hit", "clean": "hit", "count": "hit"}
ALL_RUN = {"load": "run", "clean": "run", "count": "run"}
ONCE_EACH = ["clean", "count", "load"]

# Not obstore: a source written a moment ago is hashed anew, and the new hash is put into the store.
HEAVY = {
    "boto3",
    "botocore",
    "docker",
    "git",
    "http",
    "kubernetes",
    "sqlite3",
    "urllib3",
    "yaml",
}


def test_a_second_run_is_all_hits(ran: Project) -> None:
    assert ran.plan("words") == ALL_HITS
    assert ran.run("words") == ALL_HITS
    assert ran.executed() == ONCE_EACH


def test_the_closing_line_counts_hits_and_runs(project: Project) -> None:
    first = project.doit("run", "words")
    second = project.doit("run", "words")

    assert "words: 0 hits, 3 runs, " in first.stdout.splitlines()[-2]
    [*rows, closing, where] = second.stdout.splitlines()
    assert "words: 3 hits, 0 runs, " in closing
    assert "spent" in closing
    assert "saved" in closing
    assert where == "output in output/words"
    assert max(map(len, second.stdout.splitlines())) <= 100
    clean = rows[1].split()[-1]
    assert str(project.output("words:clean")) in project.doit("show", clean).stdout
    assert project.doit("show", clean[:6]).stdout == project.doit("show", clean).stdout


def test_an_output_is_what_the_component_wrote(ran: Project) -> None:
    counts = (ran.output("words:count") / "counts.csv").read_text()

    assert counts == "word,count\nthe,4\na,3\nand,2\n"


def test_a_no_op_starts_the_same_few_programs_however_many_stages(ran: Project) -> None:
    long = [{"component": "text/load"}] + [
        {"component": "text/clean", "name": f"clean{n}"} for n in range(8)
    ]
    ran.pipeline("long", *long)
    ran.run("long")
    watched = {}
    for name in ("words", "long"):
        log = ran.root.parent / f"programs-{name}"
        assert set(ran.run(name, env=ran.watched(programs=log)).values()) == {"hit"}
        watched[name] = sorted(log.read_text().split())

    assert watched["words"] == watched["long"]
    assert set(watched["words"]) <= {"git"}


def test_a_no_op_imports_nothing_that_only_other_work_needs(ran: Project) -> None:
    for arguments in (["run", "words"], ["plan", "words"]):
        finished = ran.doit(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
        lines = [line for line in finished.stderr.splitlines() if line.startswith("import time:")]
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}

        assert "daintree" in imported
        assert imported & HEAVY == set()


def test_a_no_op_needs_no_environment_that_works(project: Project) -> None:
    environments = project.root.parent / "environments"
    broken = project.at(project.root, DAINTREE_ENVIRONMENTS=str(environments))
    broken.run("words")
    for python in environments.glob("*/bin/python"):
        python.unlink()
        python.write_text("#!/bin/sh\nexit 9\n")
        python.chmod(0o755)

    assert broken.run("words") == ALL_HITS
    assert [path.read_text() for path in environments.glob("*/bin/python")] == [
        "#!/bin/sh\nexit 9\n"
    ]
    changed = broken.doit("run", "words", "--set", "clean.shortest=3")
    assert "the environment for no packages has lost bin/python: it is made again" in changed.stderr


def test_a_changed_component_and_what_reads_it_run_again(ran: Project) -> None:
    ran.replace("components/text/clean/main.py", "line.casefold()", "line.upper()")

    plan = ran.doit("plan", "words", "--json").json()["stages"]
    assert [stage["status"] for stage in plan] == ["hit", "miss", "pending"]
    assert [stage["reason"] for stage in plan[1:]] == [
        "component text/clean changed: main.py",
        "waits for clean",
    ]
    assert ran.run("words") == {"load": "hit", "clean": "run", "count": "run"}
    assert ran.run("words") == ALL_HITS


def test_a_changed_comment_stops_at_the_same_bytes(ran: Project) -> None:
    ran.replace("components/text/clean/main.py", "cleaned = []", "cleaned = []  # line by line")

    assert ran.plan("words") == {"load": "hit", "clean": "miss", "count": "pending"}
    assert ran.run("words") == {"load": "hit", "clean": "run", "count": "hit"}
    assert ran.plan("words") == ALL_HITS
    assert ran.executed() == ["clean", *ONCE_EACH]


def test_a_changed_parameter_counts_from_there_on_and_changes_back(ran: Project) -> None:
    ran.replace(
        "pipelines/words.yaml", "- text/clean", "- {component: text/clean, params: {shortest: 3}}"
    )

    assert ran.reasons("words")["clean"] == "params.shortest 1 → 3"
    assert ran.run("words") == {"load": "hit", "clean": "run", "count": "run"}
    ran.git("checkout", "--quiet", "pipelines")
    assert ran.plan("words") == ALL_HITS
    assert ran.run("words") == ALL_HITS
    assert len(ran.executed()) == 5


def test_a_parameter_given_its_default_is_the_same(ran: Project) -> None:
    assert ran.run("words", "--set", "count.weight=1", "--set", "clean.fold=TRUE") == ALL_HITS


def test_a_parameter_that_affects_no_output_changes_nothing(ran: Project) -> None:
    assert ran.run("words", "--set", "count.threads=2") == ALL_HITS


def test_a_changed_library_runs_all_its_users_again(ran: Project) -> None:
    ran.replace("components/lib/textio/__init__.py", 'f"{line}\\n"', 'f"{line}.\\n"')

    assert "textio/__init__.py" in ran.reasons("words")["load"]
    assert ran.run("words") == ALL_RUN


def test_a_changed_comment_in_a_library_spares_what_does_not_use_it(ran: Project) -> None:
    ran.replace("components/lib/textio/__init__.py", '"""Write one', '"""Write just one')

    assert ran.run("words") == {"load": "run", "clean": "run", "count": "hit"}


def touch(project: Project) -> None:
    for path in (project.root / "components").rglob("*"):
        os.utime(path)
    os.utime(project.root / "corpus.txt")


def write_ignored_file(project: Project) -> None:
    project.write("components/text/clean/notes.tmp", "one")


def rename_ignored_file(project: Project) -> None:
    write_ignored_file(project)
    (project.root / "components/text/clean/notes.tmp").rename(
        project.root / "components/text/clean/others.tmp"
    )


def write_test_file(project: Project) -> None:
    project.write("components/text/clean/tests/test_clean.py", "def test_clean(): pass\n")


def write_file_left_out_by_dockerignore(project: Project) -> None:
    project.write("components/text/clean/README.md", "Cleans.\n")


def write_file_outside_components(project: Project) -> None:
    project.write("notes.txt", "one\n")


def write_bytecode(project: Project) -> None:
    project.write("components/text/clean/__pycache__/main.cpython-311.pyc", "one")


def change_mode_for_group(project: Project) -> None:
    (project.root / "components/text/clean/main.py").chmod(0o600)


@pytest.mark.parametrize(
    "change",
    [
        touch,
        write_ignored_file,
        rename_ignored_file,
        write_test_file,
        write_file_left_out_by_dockerignore,
        write_file_outside_components,
        write_bytecode,
        change_mode_for_group,
    ],
)
def test_what_no_image_would_hold_changes_nothing(
    ran: Project, change: Callable[[Project], None]
) -> None:
    change(ran)

    assert ran.plan("words") == ALL_HITS
    assert ran.run("words") == ALL_HITS


def test_a_large_new_file_is_said_by_each_command_that_hashes_it(ran: Project) -> None:
    with open(ran.root / "components/text/clean/large.bin", "wb") as file:
        file.truncate(100_000_000)
    expected = (
        "warning: components/text/clean/large.bin: a new file of 100 MB is hashed by every command"
    )
    for command in ("plan", "run"):
        assert ran.doit(command, "words").stderr.count(expected) == 1
    assert expected in ran.doit("affected").stderr

    ran.write("components/text/clean/.dockerignore", "large.bin\n")

    assert "large.bin" not in ran.doit("plan", "words").stderr


def test_an_untracked_file_counts(ran: Project) -> None:
    ran.write("components/text/clean/stopwords.txt", "the\n")

    assert ran.reasons("words")["clean"] == "component text/clean changed: stopwords.txt added"
    assert ran.run("words") == {"load": "hit", "clean": "run", "count": "hit"}


def test_a_deleted_file_counts(project: Project) -> None:
    project.write("components/text/clean/stopwords.txt", "the\n")
    project.commit()
    project.run("words")
    (project.root / "components/text/clean/stopwords.txt").unlink()

    assert (
        project.reasons("words")["clean"] == "component text/clean changed: stopwords.txt deleted"
    )
    assert project.run("words")["clean"] == "run"


def test_an_executable_bit_counts(ran: Project) -> None:
    script = ran.root / "components/text/clean/main.py"
    script.chmod(script.stat().st_mode | stat.S_IXUSR)

    assert ran.plan("words") == {"load": "hit", "clean": "miss", "count": "pending"}


def test_a_tracked_file_changed_at_equal_size_and_time_counts(ran: Project) -> None:
    script = ran.root / "components/text/clean/main.py"
    status = script.stat()
    ran.replace("components/text/clean/main.py", "len(w) >=", "len(w) > ")
    # What then still differs is the time of the inode's change, which git compares by the second.
    put_back = False
    while not put_back or int(script.stat().st_ctime) == int(status.st_ctime):
        os.utime(script, ns=(status.st_atime_ns, status.st_mtime_ns))
        put_back = True

    assert script.stat().st_size == status.st_size
    assert ran.run("words") == {"load": "hit", "clean": "run", "count": "run"}


def test_a_source_changed_at_equal_size_and_time_counts(ran: Project) -> None:
    source = ran.root / "corpus.txt"
    status = source.stat()
    ran.replace("corpus.txt", "mat", "hat")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert source.stat().st_mtime_ns == status.st_mtime_ns
    assert ran.reasons("words")["load"] == "the source changed"
    assert ran.run("words") == ALL_RUN


def test_a_source_moved_to_another_directory_is_the_same(ran: Project) -> None:
    moved = ran.root.parent / "moved" / "corpus.txt"
    moved.parent.mkdir()
    (ran.root / "corpus.txt").rename(moved)

    assert ran.run("words", "--source", str(moved)) == ALL_HITS


def test_two_pipelines_share_what_they_have_in_common(ran: Project) -> None:
    ran.pipeline("other", "text/load", {"component": "text/clean", "name": "tidy"}, "text/count")

    assert ran.run("other") == {"load": "hit", "tidy": "hit", "count": "hit"}
    assert ran.executed("other") == []


def test_a_stage_without_output_gets_a_receipt(project: Project) -> None:
    project.component("odd/tell", 'print("told")')
    project.write("components/odd/tell/component.yaml", "outputs: []\n")
    project.pipeline("effect", "text/load", "odd/tell")

    assert project.run("effect") == {"load": "run", "tell": "run"}
    receipt = project.contents(project.output("effect"))
    assert list(receipt) == ["receipt.json"]
    assert json.loads(receipt["receipt.json"])["component"] == "odd/tell"
    assert project.run("effect") == {"load": "hit", "tell": "hit"}
