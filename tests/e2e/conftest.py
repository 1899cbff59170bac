"""A small project of standard-library components as a real git repository, and `doit` run in it as a process."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.engine import TEST_LABEL, remove_images
from tests.services.minio import variables
from tooling.store.bucket import Bucket
from tooling.version.own_image import NAME

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.services.minio import Minio
    from tests.services.registry import Registry

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = Path(__file__).parent / "project"
WATCH = Path(__file__).parent / "watch"
DOIT = Path(sys.executable).with_name("doit")
PATIENCE_SECONDS = 60
# Four images built and pushed, while other tests run.
BUILD_SECONDS = 300
TOOLING_IMAGE = "registry.example/ml/daintree/tooling@sha256:" + "9" * 64
READERS = 64

collect_ignore = ["project", "watch"]

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
        self, *arguments: str | Path, patience: float = PATIENCE_SECONDS, **more: Any
    ) -> Finished:
        """Run `doit` to its end; takes what `start` takes."""
        return self.finish(self.start(*arguments, **more), patience)

    def finish(
        self, process: subprocess.Popen[str], patience: float = PATIENCE_SECONDS
    ) -> Finished:
        """Wait for a process, so many seconds at most."""
        try:
            stdout, stderr = process.communicate(timeout=patience)
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
        return _statuses(self.doit("run", *arguments, "--json", **more).json())

    def plan(self, *arguments: str, **more: Any) -> dict[str, str]:
        """`doit plan … --json`; for each stage "hit", "miss" or "pending"."""
        return _statuses(self.doit("plan", *arguments, "--json", **more).json())

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
        return _paths(self.doit("run", *arguments, "--json").json())

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

    def elsewhere(self, root: Path, **variables: str) -> Project:
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

    def component(self, name: str, body: str, **params: Mapping[str, object]) -> None:
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


def _statuses(report: Any) -> dict[str, str]:
    return {stage["name"]: stage["status"] for stage in report["stages"]}


def _paths(report: Any) -> dict[str, Path]:
    return {stage["name"]: Path(stage["path"]) for stage in report["stages"]}


@dataclass
class Channel:
    """A FIFO through which a stage tells that it has come somewhere, and is told to go on."""

    path: Path
    _reader: int = field(init=False)

    def __post_init__(self) -> None:
        os.mkfifo(self.path)
        self._reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def receive(self) -> str:
        """What the other side has written; "" once there is nobody any more who might write."""
        assert select.select([self._reader], [], [], PATIENCE_SECONDS)[0], "nobody wrote"
        return os.read(self._reader, 4096).decode()

    def close(self) -> None:
        """Let it go."""
        os.close(self._reader)


@dataclass
class Gate:
    """A FIFO that a stage reads one byte from, and waits at until `open` is called."""

    path: Path
    _both_ends: int = field(init=False)

    def __post_init__(self) -> None:
        os.mkfifo(self.path)
        self._both_ends = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def open(self) -> None:
        """Let every reader pass, those too that come later."""
        os.write(self._both_ends, b"." * READERS)

    def close(self) -> None:
        """Let it go."""
        os.close(self._both_ends)


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory of virtual environments for all tests, whichever worker runs them."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "environments"


@pytest.fixture
def project(tmp_path: Path, environments: Path) -> Project:
    """A committed project with a home directory and a store of its own; nothing has run."""
    root = tmp_path / "project"
    shutil.copytree(TEMPLATE, root, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "dodo.py", root)
    home = tmp_path / "home"
    home.mkdir()
    environ = {
        "PATH": f"{DOIT.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "LC_ALL": "C.UTF-8",
        "DAINTREE_STORE": str(tmp_path / "store"),
        "DAINTREE_ENVIRONMENTS": str(environments),
    }
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Somebody\n\temail = somebody@example.org\n[init]\n\tdefaultBranch = main\n"
    )
    made = Project(root, environ)
    made.git("init", "--quiet")
    made.commit()
    return made


@pytest.fixture
def ran(project: Project) -> Project:
    """The project after a first run of `words`."""
    assert project.run("words") == {"load": "run", "clean": "run", "count": "run"}
    return project


@pytest.fixture(scope="session")
def image_label(engine: DockerClient) -> Iterator[str]:
    """A label that this session's images carry; in the end none of them is left in the engine."""
    label = f"{TEST_LABEL}={os.urandom(6).hex()}"
    yield label
    remove_images(engine, label=label)


@pytest.fixture
def contained(project: Project, image_label: str) -> Project:
    """The project whose stages run in containers, of images that no other session has."""
    for dockerfile in project.root.glob("components/**/Dockerfile"):
        with dockerfile.open("a", encoding="utf-8") as file:
            file.write(f"LABEL {image_label}\n")
    project.commit()
    return project.elsewhere(project.root, DAINTREE_RUNNER="docker")


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    """A channel that stages can be given the path of."""
    made = Channel(tmp_path / "channel")
    yield made
    made.close()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that stages can be given the path of."""
    made = Gate(tmp_path / "gate")
    yield made
    made.close()


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """What the store of these tests holds."""
    return Bucket(f"s3://{minio.bucket()}/store", minio.access)


@pytest.fixture
def clustered(contained: Project, based_registry: Registry, bucket: Bucket) -> Project:
    """The project with its store in the bucket and its images to be pushed to the registry."""
    return contained.elsewhere(
        contained.root,
        DAINTREE_STORE=bucket.url,
        DAINTREE_REGISTRY=f"{based_registry.address}/{bucket.name}",
        DAINTREE_ARGO_ENDPOINT="http://minio.minio:9000",
        DAINTREE_ARGO_IMAGE=TOOLING_IMAGE,
        **variables(bucket.access),
    )


@pytest.fixture
def pushed(clustered: Project) -> Project:
    """The project, its images pushed."""
    finished = clustered.doit("build", "--push", patience=BUILD_SECONDS)
    assert finished.code == 0, finished.stderr
    return clustered


@pytest.fixture(scope="session")
def tooling_image(engine: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of this repository's tooling. It stays in the engine: making it takes minutes."""
    home = tmp_path_factory.mktemp("home")
    environ = {**os.environ, "HOME": str(home), "PATH": f"{DOIT.parent}:{os.environ['PATH']}"}
    environ.pop("DAINTREE_REGISTRY", None)
    done = subprocess.run(
        [DOIT, "build", NAME, "--json"], cwd=REPOSITORY, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["components"][0]["image"])
