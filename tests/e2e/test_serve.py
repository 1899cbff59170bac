"""`doit serve`: the latest run of a stage, served in the environment of the component that says it serves it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

SERVICE = """\
import argparse, json, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
for flag in ["--input", "--output", "--store", "--port", "--greeting"]:
    parser.add_argument(flag)
arguments = vars(parser.parse_args())
Path(arguments["output"], "log").touch()
if arguments["greeting"] == "fail":
    sys.exit("error: no greeting")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(arguments).encode())

    def log_message(self, *arguments):
        pass


def end(number, frame):
    Path(arguments["output"], "log").write_text("asked to end")
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
server = HTTPServer(("127.0.0.1", int(arguments["port"])), Answer)
print(f"serving at {server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
"""


@pytest.fixture
def serving(ran: Project) -> Project:
    """The project after a first run, with a service of what `count` writes."""
    ran.component("text/serve", "")
    ran.write("components/text/serve/main.py", SERVICE)
    ran.write("components/text/serve/component.yaml", "serves: words:count\n")
    return ran


def started(process: subprocess.Popen[str]) -> dict[str, str]:
    """What the service was started with, asked over HTTP."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("serving at "):
            address = f"http://127.0.0.1:{int(line.split()[-1])}/"
            with urllib.request.urlopen(address, timeout=30) as response:
                arguments: dict[str, str] = json.loads(response.read())
            return arguments
    raise AssertionError("".join(lines))


def latest(project: Project, stage: str) -> str:
    runs = project.doit("history", f"words:{stage}", "--json").json()["runs"]
    return str(runs[0]["run"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_latest_run_is_served_until_a_signal(
    serving: Project, number: signal.Signals, code: int
) -> None:
    process = serving.start("serve", "words", "--port", "0", "--set", "greeting=a b")
    arguments = started(process)
    os.kill(process.pid, number)
    finished = serving.finish(process)

    assert arguments == {
        "input": "words:count",
        "output": str(serving.root / "output/serve/words"),
        "store": serving.environ["DAINTREE_STORE"],
        "port": "0",
        "greeting": "a b",
    }
    assert (serving.root / "output/serve/words/log").read_text() == "asked to end"
    assert finished.code == code
    assert finished.stderr == "stopped\n"
    assert finished.stdout == ""


def test_one_run_is_served_by_its_id_or_its_beginning(serving: Project) -> None:
    run = latest(serving, "count")
    process = serving.start("serve", "text/serve", "--run", run[:-2], "--port=0")
    arguments = started(process)
    os.kill(process.pid, signal.SIGTERM)
    serving.finish(process)
    assert arguments["input"] == run


def test_a_name_is_handed_to_the_service_which_looks_it_up_anew(serving: Project) -> None:
    assert serving.doit("name", "words", "production").code == 0
    process = serving.start("serve", "words@production", "--port=0")
    assert started(process)["input"] == "words:count@production"
    os.kill(process.pid, signal.SIGTERM)
    serving.finish(process)
    complaint = serving.doit("serve", "words@candidate").complaint()
    assert "no run of words has the name 'candidate'" in complaint


def test_a_service_that_fails_has_the_last_word(serving: Project) -> None:
    finished = serving.doit("serve", "words", "--set", "greeting=fail")
    assert "error: no greeting" in finished.complaint()


def test_without_a_run_it_says_how_to_make_one(serving: Project) -> None:
    empty = serving.at(serving.root, DAINTREE_STORE=str(serving.root / "new"))
    complaint = empty.doit("serve", "words").complaint()
    assert complaint == "error: no run of words:count is recorded\nhint: doit run words\n"


def test_a_damaged_model_is_not_served(serving: Project) -> None:
    [file] = serving.output("words:count").iterdir()
    file.chmod(0o644)
    file.write_bytes(b"x" * file.stat().st_size)
    complaint = serving.doit("serve", "words").complaint()
    assert "damaged" in complaint
    assert complaint.endswith("hint: doit run words repairs it\n")


def test_an_assignment_without_a_value_is_an_error(serving: Project) -> None:
    complaint = serving.doit("serve", "words", "--set", "greeting").complaint()
    assert complaint.startswith("error: --set 'greeting' cannot be read\nhint: ")


def test_a_service_is_no_stage(serving: Project) -> None:
    serving.pipeline("endless", "text/load", "text/serve")
    complaint = serving.doit("run", "endless").complaint()
    assert "component text/serve is a service, and a stage has to end" in complaint
    assert "doit serve text/serve" in complaint
    listed = serving.doit("list").stdout
    assert "BROKEN: " in listed
    assert "(doit serve text/serve)" in listed
