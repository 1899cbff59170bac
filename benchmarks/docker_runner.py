"""What the docker runner takes for a stage, from finding its image to its container's end, against `docker run` by hand."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from pathlib import Path

from contenders import variables, workspace
from projects import COMPONENT, PIPELINE, chain
from timing import parser, race, ratio, row

from daintree.pipeline.execute import job_of
from daintree.pipeline.plan import Planned, make_plan
from daintree.pipeline.session import Request, Session
from daintree.runners.runner import Job
from daintree.settings import read_settings
from daintree.store.directory import Staging

DOCKERFILE = """\
FROM python:3.11-slim
COPY . /application/
ENTRYPOINT ["python", "/application/main.py"]
"""


class Stage:
    """One stage of a plan, executed again and again in places of their own."""

    def __init__(self, planned: Planned, directory: Path) -> None:
        self._session, self._plan = planned
        self._stage = planned.plan.stages[0]
        self._places = (directory / str(number) for number in itertools.count())

    def by_runner(self) -> float:
        """Prepare and execute it; the seconds that took."""
        started = time.perf_counter()
        job = self._job()
        outcome = self._session.runner.execute(job, print)
        taken = time.perf_counter() - started
        _check(outcome.exit_code, job)
        return taken

    def by_hand(self) -> float:
        """The same container through the `docker` command; the seconds that took."""
        job = self._job()
        command, environment = self._session.runner.command(job)
        started = time.perf_counter()
        code = subprocess.call(command, env=environment, stdin=subprocess.DEVNULL)
        taken = time.perf_counter() - started
        _check(code, job)
        return taken

    def _job(self) -> Job:
        place = Staging(next(self._places))
        for directory in (place.output, place.scratch):
            directory.mkdir(parents=True)
        version = self._plan.version_of(self._stage)
        prepared = self._session.prepare(version, lambda text: None)
        # Two containers of one name cannot be.
        run = f"benchmark-{os.urandom(4).hex()}"
        return job_of(self._session, self._stage, run, prepared, {}, place)


def _check(code: int, job: Job) -> None:
    if code or not (job.output / "content").is_file():
        raise SystemExit(f"error: the stage ended with exit code {code}")


def main() -> None:
    """Measure, and print one row."""
    arguments = parser(__doc__).parse_args()
    with workspace() as directory:
        project = chain(directory / "chain", 1)
        (project / f"components/{COMPONENT}-0/Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
        settings = read_settings(project, variables(directory / "cache"))
        request = Request(pipeline=PIPELINE, directory=project, runner="docker")
        session = Session(settings, request, ())
        stage = Stage(Planned(session, make_plan(session, fetch=True)), directory / "runs")
        rounds = 5 if arguments.quick else 20
        times = race({"runner": stage.by_runner, "docker run": stage.by_hand}, rounds)
    runner, hand = times["runner"], times["docker run"]
    what = "a trivial stage in a container"
    row(what, "`docker run` by hand", "≤ 1.2", ratio(runner, hand), f"{runner} against {hand}")


if __name__ == "__main__":
    main()
