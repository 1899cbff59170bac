"""A small project of standard-library components as a real git repository, and what its stages and images need."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components import TOOLING as NAME
from daintree.store.bucket import Bucket
from tests.e2e.fifos import Channel, Gate
from tests.e2e.projects import BUILD_SECONDS, DOIT, REPOSITORY, Project
from tests.e2e.shared_bucket import machine
from tests.e2e.slow_pipeline import with_slow_pipeline
from tests.services.engine import TEST_LABEL, remove_images
from tests.services.minio import variables

if TYPE_CHECKING:
    from docker import APIClient

    from tests.services.minio import Minio
    from tests.services.registry import Registry

TEMPLATE = Path(__file__).parent / "project"
TOOLING_IMAGE = "registry.example/ml/daintree/tooling@sha256:" + "9" * 64

collect_ignore = ["project", "watch"]


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
def image_label(engine: APIClient) -> Iterator[str]:
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
    return project.at(project.root, DAINTREE_RUNNER="docker")


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
def waiting(project: Project, channel: Channel, gate: Gate) -> Project:
    """The project with the pipeline `slow`."""
    return with_slow_pipeline(project, channel, gate)


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """What the store of these tests holds."""
    return Bucket(f"s3://{minio.bucket()}/store", minio.access)


@pytest.fixture
def ours(project: Project, bucket: Bucket) -> Project:
    """The project with its store in the bucket."""
    return machine(project, bucket, "ours")


@pytest.fixture
def theirs(ours: Project, bucket: Bucket, tmp_path: Path) -> Project:
    """A clone of the project, as a colleague has it: the same store, another cache."""
    ours.git("clone", "--quiet", ours.root, tmp_path / "clone")
    return machine(ours.at(tmp_path / "clone"), bucket, "theirs")


@pytest.fixture
def clustered(contained: Project, based_registry: Registry, bucket: Bucket) -> Project:
    """The project with its store in the bucket and its images to be pushed to the registry."""
    return contained.at(
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
    finished = clustered.doit("build", "--push", seconds=BUILD_SECONDS)
    assert finished.code == 0, finished.stderr
    return clustered


@pytest.fixture(scope="session")
def tooling_image(engine: APIClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of this repository's tooling. It stays in the engine: making it takes minutes."""
    home = tmp_path_factory.mktemp("home")
    environ = {**os.environ, "HOME": str(home), "PATH": f"{DOIT.parent}:{os.environ['PATH']}"}
    environ.pop("DAINTREE_REGISTRY", None)
    done = subprocess.run(
        [DOIT, "build", NAME, "--json"], cwd=REPOSITORY, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["components"][0]["image"])
