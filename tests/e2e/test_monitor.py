"""`doit monitor`: the component that says it monitors a stage, its report, and its exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

MONITOR = """\
import argparse, json, sys
from pathlib import Path

parser = argparse.ArgumentParser()
flags = ["input", "output", "store", "served", "hours", "min-requests", "max-unknown", "max-psi", "max-psi-answered"]
for flag in [*flags, "end"]:
    parser.add_argument("--" + flag)
arguments = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
print("reading", file=sys.stderr)
end = int(arguments.get("end", 0))
if end == 1:
    sys.exit("error: too few\\nhint: wait")
output = Path(arguments["output"])
(output / "report.txt").write_text("no alert\\n" if end == 0 else "alert: look\\n")
if end < 5:
    (output / "report.json").write_text(json.dumps(arguments))
sys.exit(end if end < 5 else 0)
"""


@pytest.fixture
def monitored(ran: Project) -> Project:
    """The project after a first run, with a monitor of what serves `count`."""
    ran.component("text/monitor", "")
    ran.write("components/text/monitor/main.py", MONITOR)
    ran.write("components/text/monitor/component.yaml", "monitors: words:count\n")
    return ran


def given(project: Project, *arguments: str) -> dict[str, Any]:
    """What the monitor was started with."""
    started: dict[str, Any] = project.doit("monitor", "words", "--json", *arguments).json()
    return started


def test_it_is_given_the_stage_the_store_and_the_log_of_the_service(monitored: Project) -> None:
    started = given(monitored)
    assert started.pop("output")
    assert started == {
        "input": "words:count",
        "store": monitored.environ["DAINTREE_STORE"],
        "served": str(monitored.root / "output/serve/words"),
    }


def test_its_report_is_all_on_stdout(monitored: Project) -> None:
    finished = monitored.doit("monitor", "words")
    assert (finished.code, finished.stdout, finished.stderr) == (0, "no alert\n", "reading\n")


def test_an_alert_has_the_report_and_an_exit_code_of_its_own(monitored: Project) -> None:
    finished = monitored.doit("monitor", "text/monitor", "--set", "end=2")
    assert (finished.code, finished.stdout) == (2, "alert: look\n")
    assert "error: " not in finished.stderr


def test_what_cannot_be_judged_is_the_monitors_own_error(monitored: Project) -> None:
    complaint = monitored.doit("monitor", "words", "--set", "end=1").complaint()
    assert complaint == "reading\nerror: too few\nhint: wait\n"


def test_limits_and_places_are_passed_on(monitored: Project) -> None:
    run = monitored.doit("history", "words:count", "--json").json()["runs"][0]["run"]
    started = given(
        monitored,
        *("--run", run[:-2], "--log", "logs", "--output", "kept", "--hours", "24"),
        *("--max-unknown=0.2", "--max-psi=0.3", "--max-psi-answered=0.4", "--min-requests=9"),
    )
    assert started == {
        "input": run,
        "store": monitored.environ["DAINTREE_STORE"],
        "served": str(monitored.root / "logs"),
        "output": str(monitored.root / "kept"),
        "hours": "24",
        "max_unknown": "0.2",
        "max_psi": "0.3",
        "max_psi_answered": "0.4",
        "min_requests": "9",
    }
    assert json.loads((monitored.root / "kept/report.json").read_text()) == started
    assert given(monitored, "--url", "http://127.0.0.1:8000")["served"] == "http://127.0.0.1:8000"


def test_a_run_that_has_a_name_is_judged(monitored: Project) -> None:
    run = monitored.doit("history", "words:count", "--json").json()["runs"][0]["run"]
    assert monitored.doit("name", "words", "production").code == 0
    monitored.run("words", "--force", "count")
    for target in ("words@production", "text/monitor@production"):
        assert monitored.doit("monitor", target, "--json").json()["input"] == run
    complaint = monitored.doit("monitor", "words@candidate").complaint()
    assert "no run of words has the name 'candidate'" in complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["word"], "there is no monitor of 'word'"),
        (["words", "--run", "200101"], "there is no run '200101'"),
        (["words", "--log", "a", "--url", "http://b"], "--log and --url: which of them?"),
        (["words", "--set", "end"], "--set 'end' cannot be read"),
        (["words", "--set", "end=3"], "text/monitor ended with exit code 3"),
        (["words", "--set", "end=5"], "text/monitor did not write report.json"),
    ],
)
def test_what_is_wrong_is_one_clear_error(
    monitored: Project, arguments: list[str], message: str
) -> None:
    assert message in monitored.doit("monitor", *arguments).complaint()


def test_a_monitor_is_no_stage(monitored: Project) -> None:
    monitored.pipeline("odd", "text/load", "text/monitor")
    complaint = monitored.doit("run", "odd").complaint()
    assert "component text/monitor is a monitor, which reads what a service has served" in complaint
    assert "doit monitor text/monitor" in complaint
    assert "(doit monitor text/monitor)" in monitored.doit("list").stdout
