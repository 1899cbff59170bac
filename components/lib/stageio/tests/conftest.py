from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The library is imported by its own name, as it is beside a component's main.py: from the parent
# of its directory, unless it is on the path already.
sys.path.append(str(Path(__file__).absolute().parents[2]))
sys.path.insert(0, str(Path(__file__).absolute().parent))

import s3_server
import stageio

LIBRARY_PARENT = Path(stageio.__file__).absolute().parents[1]

COMPONENT = """\
description: a component for the tests, 100 %
params:
  epochs: {type: int, default: 50, help: passes over 100 % of the rows}
  rate: {type: float, default: 1, help: step}
  on_error: {type: str, default: fail, choices: [fail, skip], help: what to do}
  verbose: {type: bool, default: false, help: say more}
  name: {type: str, default: "", help: any text}
"""

PRINTS_ARGUMENTS = """\
import json
from stageio import run

def main(**arguments):
    print(json.dumps(arguments, default=str, sort_keys=True))

if __name__ == "__main__":
    run(main)
"""

Stage = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Runs a component of the given source and component.yaml as a process of its own."""
    directory = tmp_path / "component"
    directory.mkdir()

    def start(
        *arguments: object,
        source: str = PRINTS_ARGUMENTS,
        description: str = COMPONENT,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        (directory / "main.py").write_text(source, encoding="utf-8")
        (directory / "component.yaml").write_text(description, encoding="utf-8")
        path = os.pathsep.join([str(LIBRARY_PARENT), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, str(directory / "main.py"), *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    return start


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "input"
    directory.mkdir()
    (directory / "a.csv").write_text("x\n1\n", encoding="utf-8")
    return directory


@pytest.fixture(scope="session", params=["fake", "minio"])
def s3(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an S3 store with the credentials of `s3_server`: a fake, and a MinIO."""
    start = {"fake": s3_server.fake, "minio": s3_server.minio}[request.param]
    with start(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint
