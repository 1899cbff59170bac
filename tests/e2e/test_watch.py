"""`doit watch` as a process: it is woken by a signal, and tells each event in a line; nothing here waits for a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from daintree.store.bucket import Bucket
from tests.e2e.slow_pipeline import with_slow_pipeline
from tests.services.minio import Minio, variables
from tests.web_server import Server, web_server

if TYPE_CHECKING:
    from tests.e2e.fifos import Channel, Gate
    from tests.e2e.projects import Project

TEXT = "to be or not to be\n"
FAILS_ON = "sys.exit('no') if 'bad' in input.joinpath('corpus.txt').read_text() else None; "


@dataclass
class Watching:
    """A watch that looks when it is told to."""

    project: Project
    process: subprocess.Popen[str]

    def event(self, name: str) -> dict[str, Any]:
        """The next event, which must be this one."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        event: dict[str, Any] = json.loads(line or "{}")
        assert event.get("event") == name, line or self.project.finish(self.process).stderr
        return event

    def look(self) -> None:
        """Let it look again."""
        self.process.send_signal(signal.SIGUSR1)

    def ran(self) -> dict[str, str]:
        """How each stage got its output in the run that comes next."""
        self.event("starting")
        return {stage["name"]: stage["status"] for stage in self.event("ran")["stages"]}


@pytest.fixture
def watch(project: Project) -> Iterator[Any]:
    """Starts a watch of a pipeline that looks once a day by itself; it is gone in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(pipeline: str, *arguments: str, of: Project = project) -> Watching:
        process = of.start("watch", pipeline, "--interval", "86400", "--json", *arguments)
        started.append(process)
        watching = Watching(of, process)
        assert watching.event("watching")["pipeline"] == pipeline
        return watching

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def server() -> Iterator[Server]:
    with web_server() as running:
        yield running


ALL_RUN = {"load": "run", "clean": "run", "count": "run"}


def test_it_runs_what_is_missing_and_then_whatever_changes(project: Project, watch: Any) -> None:
    watching = watch("words")
    assert watching.ran() == ALL_RUN
    project.write("corpus.txt", TEXT)
    watching.look()
    assert watching.ran() == ALL_RUN
    counted = project.contents(project.root / "output/words")
    assert counted == project.contents(project.output("words:count"))


def test_a_source_that_is_deleted_is_waited_for(ran: Project, watch: Any) -> None:
    source = ran.root / "corpus.txt"
    watching = watch("words")
    assert watching.event("unchanged")["source"] == "corpus.txt"
    source.rename(ran.root / "elsewhere.txt")
    watching.look()
    assert "corpus.txt does not exist" in watching.event("away")["message"]
    (ran.root / "elsewhere.txt").rename(source)
    watching.look()
    watching.event("back")
    ran.write("corpus.txt", TEXT)
    watching.look()
    assert watching.ran() == ALL_RUN, "nothing was run in between"


def test_a_run_that_fails_is_not_tried_again_until_the_source_changes(
    project: Project, watch: Any
) -> None:
    project.component("odd/picky", FAILS_ON + "(output / 'a.txt').write_text('a')")
    project.pipeline("picky", "odd/picky")
    project.write("corpus.txt", "bad\n")
    watching = watch("picky")
    watching.event("starting")
    assert "stage picky:picky ended with exit code 1" in watching.event("failed")["message"]
    (project.root / "corpus.txt").unlink()
    watching.look()
    watching.event("away")
    project.write("corpus.txt", "bad\n")
    watching.look()
    watching.event("back")
    project.write("corpus.txt", "good\n")
    watching.look()
    assert watching.ran() == {"picky": "run"}
    assert project.executed("picky") == ["picky", "picky"]


def test_a_source_that_changes_during_a_run_is_run_once_more(
    project: Project, channel: Channel, gate: Gate, watch: Any
) -> None:
    watching = watch("slow", of=with_slow_pipeline(project, channel, gate))
    watching.event("starting")
    assert channel.receive() == "here"
    project.write("corpus.txt", TEXT)
    watching.look()
    gate.open()
    assert [stage["status"] for stage in watching.event("ran")["stages"]] == ["run", "run"]
    assert watching.ran() == {"load": "run", "wait": "run"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_waiting(
    ran: Project, watch: Any, number: signal.Signals, code: int
) -> None:
    watching = watch("words")
    watching.event("unchanged")
    watching.process.send_signal(number)
    finished = ran.finish(watching.process)
    assert (finished.code, finished.stdout) == (code, "")
    assert finished.stderr in ("stopped\n", f"error: {_word(number)}; nothing half-made was kept\n")


def _word(number: signal.Signals) -> str:
    return {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_the_midst_of_a_run(
    project: Project,
    channel: Channel,
    gate: Gate,
    watch: Any,
    number: signal.Signals,
    code: int,
) -> None:
    watching = watch("slow", of=with_slow_pipeline(project, channel, gate))
    assert channel.receive() == "here"
    watching.process.send_signal(number)
    finished = project.finish(watching.process)
    assert finished.code == code
    assert channel.receive() == "", "the stage is gone"
    assert f"error: {_word(number)}; nothing half-made was kept" in finished.stderr
    assert project.executed("slow") == ["load"]


def test_each_run_takes_the_components_as_they_are_then(project: Project, watch: Any) -> None:
    project.component("odd/mark", "(output / 'a.txt').write_text('one')")
    project.pipeline("marked", "odd/mark", output="output/marked")
    watching = watch("marked")
    assert watching.ran() == {"mark": "run"}
    project.component("odd/mark", "(output / 'a.txt').write_text('two')")
    project.write("corpus.txt", TEXT)
    watching.look()
    assert watching.ran() == {"mark": "run"}
    assert (project.root / "output/marked/a.txt").read_text() == "two"


def test_a_url_is_asked_for_its_validators_alone(
    project: Project, server: Server, watch: Any
) -> None:
    url = server.serve("/corpus.txt", TEXT.encode(), headers={"ETag": '"one"'})
    assert project.run("words", "--source", url) == ALL_RUN
    server.requests()
    watching = watch("words", "--source", url)
    watching.event("unchanged")
    assert set(server.requests()) == {"HEAD /corpus.txt"}

    server.serve("/corpus.txt", status=503)
    watching.look()
    assert "the server answers 503" in watching.event("away")["message"]
    server.serve("/corpus.txt", TEXT.encode(), headers={"ETag": '"one"'})
    watching.look()
    watching.event("back")
    assert set(server.requests()) == {"HEAD /corpus.txt"}

    server.serve("/corpus.txt", b"another\n", headers={"ETag": '"two"'})
    watching.look()
    assert watching.ran() == ALL_RUN


def test_a_url_without_validators_is_known_by_its_bytes(
    project: Project, server: Server, watch: Any
) -> None:
    url = server.serve("/corpus.txt", TEXT.encode())
    watching = watch("words", "--source", url)
    assert watching.ran() == ALL_RUN
    server.serve("/corpus.txt", status=503)
    watching.look()
    watching.event("away")
    server.serve("/corpus.txt", TEXT.encode())
    watching.look()
    watching.event("back")
    server.serve("/corpus.txt", b"another\n")
    watching.look()
    assert watching.ran() == ALL_RUN


def test_a_bucket_is_known_by_its_listing(project: Project, minio: Minio, watch: Any) -> None:
    bucket = Bucket(f"s3://{minio.bucket()}", minio.access)
    bucket.put("reviews/a.txt", b"a")
    project.component("odd/list", "(output / 'a.txt').write_text(arguments.input)")
    project.pipeline("listed", "odd/list", source=f"{bucket.url}/reviews")
    watching = watch("listed", of=project.at(project.root, **variables(minio.access)))
    assert watching.ran() == {"list": "run"}
    bucket.put("reviews/b.txt", b"b")
    watching.look()
    assert watching.ran() == {"list": "run"}


def test_once_runs_what_changed_and_ends(project: Project) -> None:
    first = project.doit("watch", "words", "--once")
    second = project.doit("watch", "words", "--once")
    assert first.code == second.code == 0
    assert first.stdout.splitlines()[-2].startswith("words: 0 hits, 3 runs, ")
    assert "  running words on corpus.txt\n" in first.stderr
    assert second.stdout == ""
    assert second.stderr.endswith("  nothing to run: the store has all of words (3 stages)\n")


def test_once_tries_no_source_again_that_has_failed(project: Project) -> None:
    project.component("odd/picky", FAILS_ON + "(output / 'a.txt').write_text('a')")
    project.pipeline("picky", "odd/picky")
    project.write("corpus.txt", "bad\n")
    assert "stage picky:picky ended with" in project.doit("watch", "picky", "--once").stderr
    again = project.doit("watch", "picky", "--once")
    assert (again.code, again.stdout) == (1, "")
    assert "  not run: picky:picky ended with exit code 1 on the same source before" in again.stderr
    assert project.executed("picky") == ["picky"]
    project.write("corpus.txt", "good\n")
    assert project.doit("watch", "picky", "--once").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["word"], "there is no pipeline 'word'"),
        (["words", "--interval", "0"], "--interval 0: out of range"),
        (["words", "--interval", "nan"], "--interval nan: out of range"),
        (["words", "--interval", "often"], "--interval 'often': expected float"),
        (["wrods"], "there is no pipeline 'wrods'"),
        (["words", "more"], "doit watch: 'more' is one name too many"),
        (["words", "--set", "count.tops=1"], "has no parameter 'tops'"),
        (["words", "--once", "--source", "none.txt"], "the source none.txt does not exist"),
    ],
)
def test_what_is_wrong_ends_it_at_its_start(
    project: Project, arguments: list[str], message: str
) -> None:
    assert message in project.doit("watch", *arguments).complaint()
