"""Each component's image by itself, as `docker run` alone uses it: on a mounted directory, and on an object store."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daintree.components import discover_components
from tests.e2e.projects import DOIT, REPOSITORY
from tests.services.minio import Minio, variables

if TYPE_CHECKING:
    from docker import APIClient

# In the order in which each reads what the one before has written.
CHAIN = (
    "common/load-jsonl",
    "common/clean-csv",
    "item2vec/preprocess",
    "item2vec/train",
    "item2vec/evaluate",
)
# They work beside the pipeline: three load other data or join, one answers requests, one judges the answers.
BESIDE = (
    "common/join-tables",
    "common/load-sql",
    "common/load-table",
    "item2vec/monitor",
    "item2vec/serve",
)
WRITTEN = {"metrics.csv", "metrics.json", "model_card.md"}
SAMPLE = REPOSITORY / "pipelines/samples/purchases.json.gz"
RECORDS = 1200


@pytest.fixture(scope="session")
def images(engine: APIClient, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The image of each of the project's own components. They stay in the engine: making them takes minutes."""
    home = tmp_path_factory.mktemp("home")
    environ = {**os.environ, "HOME": str(home), "PATH": f"{DOIT.parent}:{os.environ['PATH']}"}
    environ.pop("DAINTREE_REGISTRY", None)
    done = subprocess.run(
        [DOIT, "build", "--json"], cwd=REPOSITORY, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {
        component["name"]: component["image"] for component in json.loads(done.stdout)["components"]
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with a small source, as the first component reads it."""
    directory = tmp_path / "source"
    directory.mkdir()
    with gzip.open(SAMPLE, "rb") as lines, open(directory / "purchases.json", "wb") as file:
        file.writelines(line for line, _ in zip(lines, range(RECORDS), strict=False))
    return directory


def client(reached: Mapping[str, str]) -> Any:
    """A client of the store that knows nothing but these variables."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=reached["MINIO_ENDPOINT"],
        aws_access_key_id=reached["MINIO_ACCESS_KEY"],
        aws_secret_access_key=reached["MINIO_SECRET_KEY"],
        region_name="us-east-1",
    )


def docker_run(arguments: list[str], **environ: str) -> str:
    """`docker run --rm …`, which must succeed; what it printed."""
    done = subprocess.run(
        ["docker", "run", "--rm", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_the_chain_has_every_component() -> None:
    assert sorted((*CHAIN, *BESIDE)) == discover_components(REPOSITORY)


def test_on_a_mounted_directory_without_an_argument(
    images: dict[str, str], source: Path, tmp_path: Path
) -> None:
    before = source
    for component in CHAIN:
        place = tmp_path / component
        shutil.copytree(before, place / "data/input")
        docker_run(["-v", f"{place}/data:/application/data", images[component]])
        before = place / "data/output"
    assert {path.name for path in before.iterdir()} >= WRITTEN


def test_from_and_to_an_object_store(images: dict[str, str], source: Path, minio: Minio) -> None:
    bucket, reached = minio.bucket(), variables(minio.access)
    store = client(reached)
    store.upload_file(str(source / "purchases.json"), bucket, "source/purchases.json")
    given = [argument for name in reached for argument in ("-e", name)]
    before = f"s3://{bucket}/source"
    for component in CHAIN:
        after = f"s3://{bucket}/{component}"
        more = ["--epochs", "1"] if component == "item2vec/train" else []
        places = ["--input", before, "--output", after, *more]
        # The store listens on this machine alone.
        printed = docker_run(["--network=host", *given, images[component], *places], **reached)
        assert reached["MINIO_SECRET_KEY"] not in printed
        before = after
    listed = store.list_objects_v2(Bucket=bucket, Prefix="item2vec/evaluate/")["Contents"]
    assert {item["Key"] for item in listed} >= {f"item2vec/evaluate/{name}" for name in WRITTEN}


def test_any_user_can_run_it_on_a_read_only_root(
    images: dict[str, str], source: Path, tmp_path: Path
) -> None:
    (tmp_path / "data/output").mkdir(parents=True)
    shutil.copytree(source, tmp_path / "data/input")
    os.chmod(tmp_path / "data/output", 0o777)
    options = ["--read-only", "--user=54321:54321", "--tmpfs=/tmp"]
    mount = f"{tmp_path}/data:/application/data"
    docker_run([*options, "-v", mount, images[CHAIN[0]]])
    assert (tmp_path / "data/output/records.csv").is_file()


def test_what_is_missing_is_said(images: dict[str, str]) -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", images[CHAIN[0]]], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "the following arguments are required: --input, --output" in done.stderr


def test_no_layer_and_no_label_holds_a_secret(images: dict[str, str], engine: APIClient) -> None:
    for image in images.values():
        config = engine.inspect_image(image)["Config"]
        names = {variable.partition("=")[0] for variable in config["Env"]}
        assert not {name for name in names if name.startswith(("MINIO_", "AWS_", "PIP_INDEX"))}
