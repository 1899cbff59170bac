"""What tests share: git repositories with components in them, and a package index of wheels made on the spot."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = (
    "tests.small_disk",
    "tests.library_project",
    "tests.services.engine",
    "tests.services.registry",
    "tests.services.minio",
    "tests.services.proxy",
    "tests.services.image_project",
    "tests.services.kubernetes_api",
    "tests.services.browser",
)

DOCKERFILE = "FROM python:3.11-slim\nCOPY . /application/\n"

# How long an example takes says more of what else the machine does than of the code. In CI the same examples each time.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=(HealthCheck.too_slow,),
)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of `python -m tests.golden`."""
    parser.addoption(
        "--renew-screens",
        action="store_true",
        help="write what commands print into their transcripts",
    )


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell has its background jobs ignore SIGINT, and so would what the tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory of virtual environments for all tests, whichever worker runs them."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "environments"


class Monorepo:
    """A project in a git repository of its own, with nothing of this machine's git configuration."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run git in the project; what it printed."""
        done = subprocess.run(
            ["git", *map(str, arguments)],
            cwd=self.root,
            input=stdin,
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout.strip()

    def init(self, *options: str) -> Monorepo:
        """Make the repository."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.org")
        return self

    def write(self, path: str, content: str | bytes, *, mode: int = 0o644) -> Path:
        """Write a file below the project, with the directories it needs."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)
        return file

    def component(self, name: str, files: Mapping[str, str | bytes] | None = None) -> None:
        """Write a component: a Dockerfile, a main.py, and these files."""
        for path, content in {
            "Dockerfile": DOCKERFILE,
            "main.py": "print(1)\n",
            **(files or {}),
        }.items():
            self.write(f"components/{name}/{path}", content)

    def library(self, name: str, files: Mapping[str, str | bytes]) -> None:
        """Write a library of these files."""
        for path, content in files.items():
            self.write(f"components/{name}/{path}", content)

    def commit(self, message: str = "change") -> str:
        """Commit everything that is not ignored; the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def monorepo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Monorepo:
    """An empty project in a repository without a commit."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITHUB_", "CI"))]:
        monkeypatch.delenv(name)
    return Monorepo(tmp_path / "project").init()


class Wheels:
    """A directory of wheels of pure Python packages, each a module with a VERSION."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(
        self,
        name: str,
        version: str,
        *,
        requires: Sequence[str] = (),
        tag: str = "py3-none-any",
        files: Mapping[str, str] | None = None,
    ) -> str:
        """Make one; returns its line in a locked requirements file."""
        record = f"{name}-{version}.dist-info"
        content = {
            f"{name}.py": f"VERSION = {version!r}\n",
            **(files or {}),
            f"{record}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + "".join(f"Requires-Dist: {requirement}\n" for requirement in requires),
            f"{record}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        lines = [f"{path},{_hash(text)},{len(text)}" for path, text in content.items()]
        content[f"{record}/RECORD"] = "\n".join([*lines, f"{record}/RECORD,,", ""])
        wheel = self.directory / f"{name}-{version}-{tag}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in content.items():
                archive.writestr(zipfile.ZipInfo(path), text)
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheels:
    """The only packages uv can find: nothing of this machine's indexes and caches is there."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(directory))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return Wheels(directory)
