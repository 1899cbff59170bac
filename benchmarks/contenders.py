"""The programs that are compared, each in a virtual environment of its own, and a directory to work in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import uv

from daintree.settings import ENVIRONMENT_PREFIX, cache_directory

PROJECT = Path(__file__).resolve().parent.parent
# For `tests.services`, which is no part of the installation.
sys.path.append(str(PROJECT))


def daintree() -> str:
    """The `doit` of an environment with what `pip install -e .` gives a user, and no more."""
    return str(_environment(PROJECT / "requirements" / "run.txt", project=True) / "bin" / "doit")


def stock_doit() -> str:
    """A `doit` beside everything the project requires, but without the project."""
    return str(_environment(PROJECT / "requirements" / "run.txt") / "bin" / "doit")


def dvc() -> str:
    """The `dvc` that benchmarks/requirements.txt locks."""
    return str(_environment(PROJECT / "benchmarks" / "requirements.txt") / "bin" / "dvc")


def s5cmd() -> str:
    """The `s5cmd` that benchmarks/requirements.txt locks: the program itself, without its start through Python."""
    scripts = _environment(PROJECT / "benchmarks" / "requirements.txt")
    return str(next(scripts.glob("lib/python*/site-packages/s5cmd/bin/s5cmd")))


def bare_python() -> str:
    """The interpreter below this environment's: nothing is installed in it that would slow its start."""
    return os.path.realpath(sys.executable)


def _environment(requirements: Path, *, project: bool = False) -> Path:
    """A virtual environment with these requirements, and this project if asked for.

    Made on first use and kept in the user's cache.
    """
    parts = [requirements.read_bytes(), sys.version.encode("utf-8")]
    if project:
        parts += [os.fsencode(PROJECT), (PROJECT / "pyproject.toml").read_bytes()]
    name = sha256(b"\0".join(parts)).hexdigest()[:20]
    directory = cache_directory(os.environ) / "benchmarks" / name
    whole = directory / "whole"
    if not whole.exists():
        print(f"installing {requirements.relative_to(PROJECT)}", file=sys.stderr)
        program = uv.find_uv_bin()
        create = [program, "venv", "--quiet", "--clear", "--python", bare_python(), str(directory)]
        install = [program, "pip", "install", "--quiet", "--compile-bytecode", "--require-hashes"]
        subprocess.run(create, check=True)
        subprocess.run(
            [*install, "--python", str(directory), "--requirements", str(requirements)], check=True
        )
        if project:
            editable = ["--no-deps", "--editable", str(PROJECT)]
            subprocess.run(
                [program, "pip", "install", "--quiet", "--python", str(directory), *editable],
                check=True,
            )
        whole.touch()
    return directory


def variables(cache: Path, *, environments: Path | None = None) -> dict[str, str]:
    """The environment for all contenders: nothing of the user's, everything they keep below `cache`.

    With `environments`, the local runner's virtual environments lie there instead. Python's own variables are left out, too:
    PYTHONDONTWRITEBYTECODE alone has an editable installation compiled anew in every process.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((ENVIRONMENT_PREFIX, "DOIT_", "DVC_", "GIT_", "PYTHON"))
    }
    return {
        **kept,
        "DAINTREE_STORE": str(cache / "store"),
        "DAINTREE_SNAPSHOTS": str(cache / "snapshots"),
        "DAINTREE_ENVIRONMENTS": str(environments or cache / "environments"),
        "DVC_GLOBAL_CONFIG_DIR": str(cache / "dvc" / "global"),
        "DVC_SITE_CACHE_DIR": str(cache / "dvc" / "site"),
        "DVC_SYSTEM_CONFIG_DIR": str(cache / "dvc" / "system"),
    }


def user_environments() -> Path:
    """Where the user's own virtual environments for components are, to install nothing twice."""
    return cache_directory(os.environ) / "environments"


@contextmanager
def workspace() -> Iterator[Path]:
    """An empty temporary directory, removed afterwards with all that was made in it."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        try:
            yield Path(name)
        finally:
            make_writable(Path(name))


def make_writable(directory: Path) -> None:
    """Give back the right to remove what is in a directory; stored outputs are read-only."""
    for parent, names, _ in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
