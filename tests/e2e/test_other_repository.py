"""Pipelines in another repository: no sources, the tooling from a wheel, stages by their images; and the same keys."""

from __future__ import annotations

import site
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uv

from tests.e2e.projects import REPOSITORY, Finished
from tests.services.engine import BASE_IMAGE

if TYPE_CHECKING:
    from docker import APIClient

    from tests.e2e.projects import Project
    from tests.services.registry import Registry

DODO = '"""Daintree\'s pipelines."""\nfrom daintree.commands.project_tasks import task_pipelines  # noqa: F401\n'
RAN = {"load": "run", "clean": "run", "count": "run"}
HIT = dict.fromkeys(RAN, "hit")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the tooling from its wheel, beside what the tests' own requires."""
    directory = tmp_path_factory.mktemp("wheel")
    program = uv.find_uv_bin()
    build = [program, "build", "--quiet", "--wheel", "--out-dir", str(directory), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = directory.glob("*.whl")
    environment = directory / "environment"
    subprocess.run(
        [program, "venv", "--quiet", "--python", sys.executable, environment], check=True
    )
    python = environment / "bin/python"
    install = [
        program,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--python",
        str(python),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    [packages] = environment.glob("lib/python*/site-packages")
    # A directory that is added so brings its packages, but no link to this working tree.
    (packages / "required.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return python


@dataclass(frozen=True)
class OtherRepository:
    """A directory with a dodo.py of two lines and pipelines, nothing else."""

    root: Path
    python: Path
    environ: Mapping[str, str]

    def pipeline(self, text: str) -> None:
        """Write the pipeline `words`."""
        (self.root / "pipelines/words.yaml").write_text(textwrap.dedent(text))

    def doit(self, *arguments: str | Path, **variables: str) -> Finished:
        """Run the installed `doit`."""
        done = subprocess.run(
            [self.python, "-m", "doit", *arguments],
            cwd=self.root,
            env={**self.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def statuses(self, command: str, *arguments: str) -> dict[str, str]:
        """`doit run` or `doit plan`, which must succeed; for each stage what the report says."""
        return self.doit(command, "words", "--json", *arguments).statuses()


@dataclass(frozen=True)
class Shared:
    """The monorepo, whose images are in a registry, and another repository with the same store."""

    monorepo: Project
    other: OtherRepository
    registry: Registry
    prefix: str

    def versions(self) -> dict[str, str]:
        """The components' versions by stage."""
        report = self.monorepo.doit("plan", "words", "--json").json()
        return {stage["name"]: stage["version"] for stage in report["stages"]}

    def image(self, stage: str) -> str:
        """A stage's image by its digest."""
        tag = self.versions()[stage].removeprefix("sha256:")[:20]
        name = f"{self.prefix}/text/{stage}"
        return f"{self.registry.address}/{name}@{self.registry.digest(name, tag)}"

    def by_image(self) -> None:
        """The other repository's pipeline names images."""
        self.other.pipeline(
            f"""\
            source: corpus.txt
            stages:
              - {{name: load, image: "{self.image("load")}"}}
              - {{name: clean, image: "{self.image("clean")}"}}
              - {{image: "{self.image("count")}", params: {{top: 3}}}}
            """
        )


@pytest.fixture(scope="session")
def base(registry: Registry, engine: APIClient) -> None:
    """The base image lies in the registry: pushing it once takes a while, images on top of it then take none."""
    repository = f"{registry.address}/base/python"
    engine.tag(BASE_IMAGE, repository, "3.11-slim")
    events = engine.push(repository, "3.11-slim", stream=True, decode=True)
    assert [event["error"] for event in events if "error" in event] == []


@pytest.fixture
def other(contained: Project, installed: Path, tmp_path: Path) -> OtherRepository:
    """The other repository, with the monorepo's store and another user's cache."""
    root = tmp_path / "other"
    (root / "pipelines").mkdir(parents=True)
    (root / "dodo.py").write_text(DODO)
    (root / "corpus.txt").write_bytes((contained.root / "corpus.txt").read_bytes())
    environ = {
        **contained.environ,
        "PATH": contained.environ["PATH"].partition(":")[2],
        "XDG_CACHE_HOME": str(tmp_path / "other-cache"),
    }
    return OtherRepository(root, installed, environ)


@pytest.fixture
def shared(
    contained: Project, other: OtherRepository, registry: Registry, base: None, tmp_path: Path
) -> Shared:
    """Both repositories; the monorepo's images are pushed."""
    prefix = tmp_path.name.replace("_", "-").lower()[:40].rstrip("-")
    variables = {"DAINTREE_REGISTRY": f"{registry.address}/{prefix}"}
    monorepo = contained.at(contained.root, **variables)
    done = monorepo.doit("build", "--push", "text/load", "text/clean", "text/count")
    assert done.code == 0, done.stderr
    return Shared(monorepo, other, registry, prefix)


def test_what_the_monorepo_has_computed_hits_in_the_other(shared: Shared) -> None:
    assert shared.monorepo.run("words") == RAN
    shared.by_image()
    assert shared.other.statuses("plan") == HIT
    assert shared.other.statuses("run") == HIT


def test_what_the_other_has_computed_hits_in_the_monorepo(shared: Shared) -> None:
    shared.by_image()
    assert shared.other.statuses("run") == RAN
    assert shared.monorepo.run("words") == HIT
    record = shared.monorepo.doit("show", "words:load", "--json").json()
    assert record["image"] == shared.image("load").partition("@")[2]
    assert record["component"] == "text/load"


def test_a_component_at_a_version_is_the_same(shared: Shared) -> None:
    versions = shared.versions()
    stages = "".join(
        f"  - {{component: text/{name}, version: {version[7:27] if name == 'load' else version}}}\n"
        for name, version in versions.items()
    )
    shared.other.pipeline(f"source: corpus.txt\nstages:\n{stages}")
    registry = {"DAINTREE_REGISTRY": shared.monorepo.environ["DAINTREE_REGISTRY"]}
    done = shared.other.doit("run", "words", "--json", **registry)
    assert {stage["status"] for stage in done.json()["stages"]} == {"run"}
    assert shared.monorepo.run("words") == HIT


def test_without_a_registry_the_engine_knows_the_versions(
    contained: Project, other: OtherRepository
) -> None:
    assert contained.run("words") == RAN
    report = contained.doit("plan", "words", "--json").json()
    stages = "".join(
        f"  - {{component: {stage['component']}, version: {stage['version']}}}\n"
        for stage in report["stages"]
    )
    other.pipeline(f"source: corpus.txt\nstages:\n{stages}")
    assert other.statuses("run") == HIT
    again = other.doit("run", "words", "--json", "--force", "count").json()
    assert [stage["status"] for stage in again["stages"]] == ["hit", "hit", "run"]


def test_a_run_with_nothing_to_do_asks_nobody(shared: Shared) -> None:
    shared.by_image()
    shared.other.statuses("run")
    text = (shared.other.root / "pipelines/words.yaml").read_text()
    # Nobody listens at the address any more, nor is there an engine.
    away = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "http_proxy": "http://127.0.0.1:9"}
    done = shared.other.doit("run", "words", "--json", **away)
    assert {stage["status"] for stage in done.json()["stages"]} == {"hit"}
    (shared.other.root / "pipelines/words.yaml").write_text(text.replace("top: 3", "top: 1"))
    done = shared.other.doit("plan", "words", "--json", **away)
    assert [stage["status"] for stage in done.json()["stages"]] == ["hit", "hit", "miss"]


def test_parameters_are_those_of_the_image(shared: Shared) -> None:
    shared.by_image()
    complaint = shared.other.doit("plan", "words", "--set", "count.tpo=1").complaint()
    assert "component text/count has no parameter 'tpo'" in complaint
    assert "hint: did you mean 'top'?" in complaint
    assert shared.other.doit("plan", "words", "--set", "count.top=x").code == 1


def test_the_local_runner_has_nothing_to_run(shared: Shared) -> None:
    shared.by_image()
    complaint = shared.other.doit("run", "words", "--runner", "local").complaint()
    assert "text/load is here as an image alone, so it can only run in a container" in complaint
    assert "hint: --runner docker" in complaint
    planned = shared.other.doit("plan", "words", "--runner", "local").stdout
    assert "cannot run: text/load is here as an image alone" in planned
    assert "hint: --runner docker" in planned


def test_the_shell_and_pull_work_there(shared: Shared) -> None:
    shared.by_image()
    shared.other.statuses("run")
    done = shared.other.doit("pull", "words:count")
    assert done.code == 0, done.stderr
    assert (shared.other.root / "pull/words/count/output/counts.csv").is_file()
    assert shared.other.doit("shell", "words:count").code == 0


@pytest.mark.parametrize(
    ("stage", "complaint"),
    [
        ("{image: 'ADDRESS/nothing/here@sha256:" + "0" * 64 + "'}", "has no"),
        ("{component: text/load, version: '" + "0" * 20 + "'}", "has no image of text/load@000"),
        ("{component: text/load, version: abc}", "'abc' is no version"),
        ("{component: text/load, image: 'x@sha256:" + "0" * 64 + "'}", "not both"),
        ("{name: nothing}", "the key 'component' is missing"),
        ("{image: 'ADDRESS/text/load:latest'}", "is no image by its digest"),
        ("text/load", "there is no component 'text/load' in this project"),
    ],
)
def test_what_is_not_there_is_said_with_its_place(
    other: OtherRepository, registry: Registry, stage: str, complaint: str
) -> None:
    stage = stage.replace("ADDRESS", registry.address)
    other.pipeline(f"source: corpus.txt\nstages:\n  - {stage}\n")
    printed = other.doit("plan", "words", DAINTREE_REGISTRY=f"{registry.address}/ml").complaint()
    assert complaint in printed
