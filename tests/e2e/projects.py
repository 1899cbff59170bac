"""A project of the tests: a working tree, and `doit` run in it as a process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
WATCH = Path(__file__).parent / "watch"
DOIT = Path(sys.executable).with_name("doit")
LONGEST_SECONDS = 60
# Four images built and pushed, while other tests run.
BUILD_SECONDS = 300

SCRIPT = """\
import argparse, json, os, signal, subprocess, sys
from pathlib import Path

parser = argparse.ArgumentParser()
for flag in ["--input", "--output", {flags}]:
    parser.add_argument(flag, required=True)
arguments = parser.parse_args()
input, output = Path(arguments.input), Path(arguments.output)
{body}
"""


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it said."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """What stdout holds, which must be one JSON value alone, after a command that succeeded."""
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)

    def statuses(self) -> dict[str, str]:
        """What `json` says of each stage: "hit", "run", "miss" or "pending"."""
        return {stage["name"]: stage["status"] for stage in self.json()["stages"]}

    def complaint(self) -> str:
        """stderr of a command that must have failed with one clear message and nothing on stdout."""
        assert self.code == 1, f"exit code {self.code}\n{self.stdout}\n{self.stderr}"
        lines = self.stderr.splitlines()
        assert [line[:7] for line in lines].count("error: ") == 1, self.stderr
        assert not any(line.startswith("Traceback") for line in lines), self.stderr
        assert self.stdout == ""
        return self.stderr


@dataclass(frozen=True)
class Project:
    """A working tree of the project, and the environment that commands get in it."""

    root: Path
    environ: Mapping[str, str]

    def start(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> subprocess.Popen[str]:
        """Start `doit` with these arguments as the leader of a process group; `env` is added, `prefix` goes before."""
        return subprocess.Popen(
            [*prefix, DOIT, *arguments],
            cwd=cwd or self.root,
            env={**self.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def doit(
        self, *arguments: str | Path, seconds: float = LONGEST_SECONDS, **more: Any
    ) -> Finished:
        """Run `doit` to its end; takes what `start` takes."""
        return self.finish(self.start(*arguments, **more), seconds)

    def finish(self, process: subprocess.Popen[str], seconds: float = LONGEST_SECONDS) -> Finished:
        """Wait for a process, so many seconds at most."""
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Finished(process.returncode, stdout, stderr)

    def watched(self, **what: object) -> dict[str, str]:
        """The variables with which watch/sitecustomize.py watches the process, e.g. kill_at=3 for WATCH_KILL_AT."""
        variables = {f"WATCH_{name.upper()}": str(value) for name, value in what.items()}
        return {"PYTHONPATH": str(WATCH), **variables}

    def run(self, *arguments: str | Path, **more: Any) -> dict[str, str]:
        """`doit run … --json`, which must succeed; for each stage "hit" or "run"."""
        return self.doit("run", *arguments, "--json", **more).statuses()

    def plan(self, *arguments: str, **more: Any) -> dict[str, str]:
        """`doit plan … --json`; for each stage "hit", "miss" or "pending"."""
        return self.doit("plan", *arguments, "--json", **more).statuses()

    def reasons(self, *arguments: str) -> dict[str, str]:
        """`doit plan … --json`; for each stage its reason."""
        stages = self.doit("plan", *arguments, "--json").json()["stages"]
        return {stage["name"]: stage["reason"] for stage in stages}

    def executed(self, pipeline: str = "words") -> list[str]:
        """The stages that were really executed since the store was made, failed ones too, sorted."""
        finished = self.doit("history", "--limit", "0", "--json")
        runs = [run for run in finished.json()["runs"] if run["pipeline"] == pipeline]
        return sorted(run["stage"] for run in runs)

    def output(self, target: str, *arguments: str) -> Path:
        """The directory that `doit path` prints."""
        finished = self.doit("path", target, *arguments)
        assert finished.code == 0, finished.stderr
        return Path(finished.stdout.removesuffix("\n"))

    def outputs(self, *arguments: str) -> dict[str, Path]:
        """`doit run … --json`, which must succeed; for each stage its output's directory."""
        stages = self.doit("run", *arguments, "--json").json()["stages"]
        return {stage["name"]: Path(stage["path"]) for stage in stages}

    def contents(self, directory: Path) -> dict[str, bytes]:
        """The files below a directory."""
        files = (path for path in directory.rglob("*") if path.is_file())
        return {str(path.relative_to(directory)): path.read_bytes() for path in files}

    def git(self, *arguments: str | Path) -> str:
        """Run git, which must succeed."""
        return subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=dict(self.environ),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a change")

    def at(self, root: Path, **variables: str) -> Project:
        """The same environment, but for these variables, in another working tree."""
        return Project(root, {**self.environ, **variables})

    def write(self, path: str, text: str) -> Path:
        """Write a file of the project."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file of the project, which must hold `old`."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text
        self.write(path, text.replace(old, new))

    def component(self, name: str, body: str, **params: object) -> None:
        """Write a component whose script does `body` with the paths `input` and `output`."""
        flags = ", ".join(repr("--" + param.replace("_", "-")) for param in params)
        directory = f"components/{name}"
        self.write(f"{directory}/main.py", SCRIPT.format(flags=flags, body=body))
        self.write(f"{directory}/component.yaml", json.dumps({"params": params}))
        self.write(f"{directory}/requirements.txt", "")
        shutil.copy(self.root / "components/text/load/Dockerfile", self.root / directory)

    def pipeline(self, name: str, *stages: object, **more: object) -> None:
        """Write a pipeline of these stages."""
        spec = {"source": "corpus.txt", "stages": stages, **more}
        self.write(f"pipelines/{name}.json", json.dumps(spec))
