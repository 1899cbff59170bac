"""Stages made from a few lines of source, and run by a runner under test."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daintree.components import ComponentVersion
from daintree.runners.runner import Job, Outcome, Runner
from tests.component_version import component_version
from tests.services.engine import TEST_LABEL

COMPONENT = "contract/stage"
# Nobody else's: what one worker removes in the end, no other is still using.
LABEL = f"{TEST_LABEL}={os.urandom(6).hex()}"
DOCKERFILE = f"""\
FROM python:3.11-slim
COPY . /application/
LABEL {LABEL}
ENTRYPOINT ["python", "/application/main.py"]
"""
TELL = "import json, os, sys\nopen(sys.argv[4] + '/told.json', 'w').write(json.dumps({}))\n"


class StageMaker:
    """Makes stages from sources and runs them."""

    def __init__(self, runner: Runner, directory: Path) -> None:
        self.runner = runner
        self.directory = directory
        self.lines: list[str] = []
        self.announced: list[str] = []

    def job(self, source: str, *arguments: str, name: str = "stage", **more: Any) -> Job:
        """A job, prepared, whose main.py is `source`; a library `shared` lies beside it."""
        place = self.directory / name
        snapshot = self.snapshot(place, source)
        version = version_of(source)
        for part in ("input", "output", "scratch"):
            (place / part).mkdir()
        (place / "input" / "given.csv").write_text("x\n1\n", encoding="utf-8")
        return Job(
            label="pipeline:stage",
            component=version.name,
            version=version.digest,
            run=f"20200101T000000000Z-{os.urandom(4).hex()}",
            prepared=self.runner.prepare(version, lambda: snapshot, self.announced.append),
            arguments=arguments,
            input=str(place / "input"),
            places={"": place / "input"},
            output=place / "output",
            scratch=place / "scratch",
            log=place / "log.txt",
            **more,
        )

    def snapshot(self, place: Path, source: str) -> Path:
        """The files of the version whose main.py is `source`."""
        snapshot = place / "snapshot"
        (snapshot / "shared").mkdir(parents=True)
        (snapshot / "main.py").write_text(source, encoding="utf-8")
        (snapshot / "shared" / "__init__.py").write_text("NAME = 'shared'\n", encoding="utf-8")
        (snapshot / "requirements.txt").touch()
        (snapshot / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
        return snapshot

    def run(self, job: Job, on_line: Callable[[str], None] | None = None) -> Outcome:
        """Execute the job; what it says is kept in `lines`."""
        return self.runner.execute(job, on_line or self.lines.append)

    def evaluate(self, expression: str, *arguments: str) -> Any:
        """What a stage finds the expression to be."""
        job = self.job(TELL.format(expression), *arguments)
        assert self.run(job).exit_code == 0, self.lines
        return json.loads((job.output / "told.json").read_text(encoding="utf-8"))


def version_of(source: str) -> ComponentVersion:
    """A version that stands for this main.py."""
    digest = hashlib.sha256((DOCKERFILE + source).encode()).hexdigest()
    return component_version(
        COMPONENT,
        f"sha256:{digest}",
        "Dockerfile",
        "main.py",
        "requirements.txt",
        "shared/__init__.py",
        bases=(("python:3.11-slim", "python:3.11-slim"),),
    )
