"""Somebody new who follows a page: its screens, files, changes and notebook cells, in a fresh clone and a fresh home.

A command with nothing shown after it has to succeed; one that fails has to show that it does.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.documentation.page import SET_UP, Block, Command, blocks, earlier_pages
from tests.documentation.screens import UNKNOWN, WIDTH

ROOT = Path(__file__).parents[2]
SHOWN_DAY = datetime(2026, 3, 1, tzinfo=UTC)
SHOWN_REGISTRY = "registry.example/ml"
SHOWN_BUCKET = "ml-artifacts"
CELL_PACKAGES = ("pandas",)

_FAILURE = re.compile(r"error: |.*: out of date$")


@dataclass
class Reader:
    """Somebody new to the project, who does what a page says: a clone of it below a home directory of their own."""

    home: Path
    environ: dict[str, str] = field(init=False)
    days: set[datetime] = field(default_factory=set)
    cells: list[str] = field(default_factory=list)
    # Below the clone, or wherever a command `cd` has led.
    directory: Path = field(init=False)
    # Variables that name services, as they are here; and what is shown for them.
    services: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        passed = ("PIP_", "UV_", "SSL_", "HTTP", "http", "REQUESTS_", "no_proxy", "NO_PROXY")
        inherited = {name: text for name, text in os.environ.items() if name.startswith(passed)}
        person = {"NAME": "Ana", "EMAIL": "ana@shop.example"}
        self.environ = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "UV_CACHE_DIR": str(Path.home() / ".cache/uv"),
            "LANG": "C.UTF-8",
            "USER": "ana",
            "COLUMNS": str(WIDTH),
            # As on a terminal, where what goes to stdout and stderr appears in the order of writing.
            "PYTHONUNBUFFERED": "1",
            **{
                f"GIT_{who}_{key}": v
                for who in ("AUTHOR", "COMMITTER")
                for key, v in person.items()
            },
            **inherited,
        }
        self.days.add(datetime.now(UTC))
        subprocess.run(["git", "clone", "--quiet", ROOT, self.clone], check=True)
        self.directory = self.clone
        sample = self.clone / "pipelines/samples/purchases.json.gz"
        shutil.copy(sample, self.home / "reviews.json.gz")

    @property
    def clone(self) -> Path:
        """The project as it is committed."""
        return self.home / "shop"

    def use_registry(self, registry: str) -> None:
        """Let images go to this registry, which is shown under another name."""
        self.services["DAINTREE_REGISTRY"] = registry
        self._export(f"DAINTREE_REGISTRY={SHOWN_REGISTRY}")

    def use_store(self, variables: Mapping[str, str]) -> None:
        """Let a page that exports these variables, and DAINTREE_STORE, reach this server, with a bucket not made yet."""
        bucket = f"ml-{os.urandom(5).hex()[1:]}"
        self.services |= {**variables, "DAINTREE_STORE": f"s3://{bucket}"}
        self.shown[bucket] = SHOWN_BUCKET

    def catch_up(self, page: Path) -> None:
        """Do what the pages say that this one builds on."""
        for name in earlier_pages(page.read_text(encoding="utf-8")):
            earlier = page.parent / name
            self.catch_up(earlier)
            for block in blocks(earlier.read_text(encoding="utf-8")):
                for _ in self.follow(block):
                    pass

    def follow(self, block: Block) -> Iterator[tuple[Command, list[str]]]:
        """Do what a block says; each command whose output it shows, and the lines that were printed."""
        if block.kind == "file":
            path = self.directory / block.subject
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        elif block.kind == "diff":
            self._run(["git", "apply", "--recount", "-"], block.body, (0,))
        elif block.kind == "python":
            self.cells.append(block.body)
            packages = [f"--with={package}" for package in CELL_PACKAGES]
            python = ["uv", "run", "--quiet", "--no-project", "--python", sys.executable, *packages]
            # The notebook's environment has the tooling, and packages of its own.
            search = [ROOT / "tooling", *(p for p in sys.path if p.endswith("site-packages"))]
            self.environ["PYTHONPATH"] = os.pathsep.join(map(str, search))
            self._run([*python, "python", "-"], "\n".join(self.cells), (0,))
            del self.environ["PYTHONPATH"]
        for command in block.commands:
            done_before = SET_UP.match(command.text)
            yield command, list(command.shown) if done_before else self.printed(command)

    def printed(self, command: Command) -> list[str]:
        """The lines a command prints, stdout and stderr together; AssertionError unless it ends as the page says."""
        if command.text.startswith("export ") and ";" not in command.text:
            self._export(*shlex.split(command.text)[1:])
            return []
        if re.fullmatch(r"cd \S+", command.text):
            self.directory = (self.directory / command.text[3:]).resolve(strict=True)
            return []
        failing = any(_FAILURE.match(line) for line in command.shown)
        unknown = command.shown == (UNKNOWN,)
        codes = (0, 1) if unknown else (1,) if failing else (0,)
        done = self._run(["bash", "-c", command.text], "", codes)
        return self._as_shown(done).splitlines()

    def _export(self, *assignments: str) -> None:
        """Set variables for all commands that follow; those of services lead to the ones here."""
        for assignment in assignments:
            name, _, shown = assignment.partition("=")
            self.environ[name] = self.services.get(name, shown)
            self.shown[self.environ[name]] = shown

    def _run(self, command: Sequence[str], stdin: str, codes: Sequence[int]) -> str:
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self.environ,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode in codes, f"{command}: exit code {done.returncode}\n{done.stdout}"
        assert "Traceback" not in done.stdout, f"{command}\n{done.stdout}"
        return done.stdout

    def _as_shown(self, text: str) -> str:
        """What was printed, as Ana sees it on her laptop on one day in March."""
        host = platform.node()
        text = text.replace(str(self.home), "/home/ana")
        for here, shown in self.shown.items():
            text = text.replace(here, shown)
        if f"ana@{host}" in text:
            text = text.replace("by".ljust(len(host) + 4), "by".ljust(len("ana@laptop")))
            text = text.replace(f"ana@{host}", "ana@laptop")
        text = re.sub(rf"(?m)^(where +){re.escape(host)},", r"\1laptop,", text)
        for day in {*self.days, datetime.now(UTC)}:
            for form in ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d"):
                text = text.replace(day.strftime(form), SHOWN_DAY.strftime(form))
        return text


@contextmanager
def laptop() -> Iterator[Reader]:
    """A reader whose home's path is as long as /home/ana, so that columns on a screen stay columns."""
    home = Path("/tmp") / os.urandom(2).hex()
    home.mkdir()
    try:
        yield Reader(home)
    finally:
        subprocess.run(["chmod", "-R", "u+w", home], check=True)
        shutil.rmtree(home)
