"""The functions of `import daintree`: what a notebook reads, and how it is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import daintree
from daintree.commands import notebook
from daintree.commands.notebook import Row, Table
from daintree.errors import UsageError

if TYPE_CHECKING:
    from tests.e2e.projects import Project


@pytest.fixture
def computed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project after a run of `words`, seen from a directory below it."""
    project.run("words")
    for name, value in project.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.root / "pipelines")
    return project


def test_an_output_is_a_directory_of_the_store(computed: Project) -> None:
    last = daintree.output("words")
    assert last == daintree.output("words:count")
    assert (last / "counts.csv").read_text().startswith("word,count\n")


def test_an_error_shows_its_hint(computed: Project) -> None:
    with pytest.raises(UsageError) as raised:
        daintree.output("words:cuont")
    assert raised.value.__notes__ == ["hint: did you mean 'count'?"]
    with pytest.raises(UsageError, match=r"params\.top 3 → 1") as raised:
        daintree.output("words:count", set={"count.top": 1})
    hint = """hint: daintree.run("words:count", set={'count.top': 1})"""
    assert raised.value.__notes__ == [hint]


def test_a_run_is_recorded_and_found_again(computed: Project) -> None:
    done = daintree.run("words", set={"count.top": 1})
    assert [(row["name"], row["status"]) for row in done][-1] == ("count", "run")
    assert done[-1]["output"] == daintree.output("words:count", set={"count.top": 1})
    assert daintree.runs("words:count", limit=1)[0]["run"] == done[-1]["run"]
    assert {row["status"] for row in daintree.plan("words", set={"count.top": 1})} == {"hit"}
    assert [row["status"] for row in daintree.plan("words:count", set={"count.top": 2})] == ["miss"]


def test_a_name_leads_to_what_a_notebook_ran_last(computed: Project) -> None:
    done = daintree.run("words", set={"count.top": 1})
    computed.doit("name", "words", "best")
    assert daintree.output("words@best") == done[-1]["output"]


def test_a_run_is_found_by_its_id_whatever_the_pipeline_says(computed: Project) -> None:
    first = daintree.output("words:count")
    run = daintree.runs("words:count", limit=1)[0]["run"]
    (computed.root / "pipelines/words.yaml").unlink()
    assert daintree.output(f"words:count@{run[:6]}") == first
    with pytest.raises(UsageError, match="set cannot change it"):
        daintree.output(f"words:count@{run}", set={"count.top": 1})
    with pytest.raises(UsageError, match="no run of words has the name 'best'"):
        daintree.output("words:count@best")


def test_a_file_that_is_not_there_is_named_with_the_nearest(computed: Project) -> None:
    with pytest.raises(UsageError, match=r"no file 'count\.csv'") as raised:
        daintree.read("words:count", "count.csv")
    assert raised.value.hint == "did you mean 'counts.csv'?"
    with pytest.raises(UsageError, match="no file"):
        daintree.read("words:count", "../run.json")


def test_without_pandas_there_is_a_hint(computed: Project) -> None:
    with pytest.raises(UsageError, match="pandas is not installed") as raised:
        daintree.read("words:count")
    assert "daintree.output" in raised.value.hint


def test_a_run_that_measured_nothing_has_no_metrics(computed: Project) -> None:
    with pytest.raises(UsageError, match="no run of words has metrics"):
        daintree.metrics("words")


ROWS: list[Row] = [
    {"run": "<script>alert(1)</script>", "seconds": 3.5, "auc": 0.123456789},
    {"run": "b", "auc": None},
]


def test_a_table_shows_itself_and_what_it_holds_stays_text() -> None:
    table = Table("a & b", ["run", "seconds", "auc"], ROWS)
    page = table._repr_html_()
    assert "<script>" not in page
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td><td>3.50 s</td><td>0.123457</td>" in page
    assert "<caption>a &amp; b</caption>" in page
    assert "<td>b</td><td>-</td><td>-</td>" in page
    assert repr(table).splitlines()[0] == "a & b"


def test_a_table_is_a_list_of_rows() -> None:
    table = Table("runs", ["run"], ROWS)
    assert len(table) == 2
    assert table[1] == ROWS[1]
    assert [*table[:1]] == ROWS[:1]


def test_the_functions_are_loaded_when_they_are_asked_for() -> None:
    program = (
        "import sys, daintree; before = {*sys.modules}; daintree.__version__; dir(daintree)\n"
        "assert 'daintree.commands' not in before; daintree.read\n"
        "print('daintree.commands.notebook' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert daintree.__all__ == [*sorted(daintree.__all__)]
    assert all(hasattr(notebook, name) for name in daintree.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        daintree.nothing  # type: ignore[attr-defined]  # noqa: B018


TABLE = "id,item,count,share,note\\n0000031852,12345678901234567890,1,0.5,NA\\n31852,2,,1e3,\\n"


def test_ids_stay_what_they_are_and_numbers_become_numbers(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from daintree.commands.notebook import _read_csv
Path("t.csv").write_text("{TABLE}")
table = _read_csv(Path("t.csv"))
print([*table["id"]], [*table["item"]], [*table["note"]], table["count"].sum(), table["share"].sum())
"""
    packages = {str(Path(path)) for path in sys.path if path.endswith("site-packages")}
    search = [str(Path(daintree.__file__).parents[1]), *sorted(packages)]
    done = subprocess.run(
        [
            "uv",
            "run",
            "--quiet",
            "--no-project",
            "--python",
            sys.executable,
            "--with=pandas",
            "python",
            "-c",
            program,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
    )
    assert done.stdout == (
        "['0000031852', '31852'] ['12345678901234567890', '2'] ['NA', ''] 1.0 1000.5\n"
    ), done.stderr
