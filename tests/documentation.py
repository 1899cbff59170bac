"""What the documentation shows is run: screens, files, changes and notebook cells, page by page, in a fresh clone.

CONTRIBUTING lists what a page can hold. What differs from run to run (durations, sizes, ids) is brought to one form before it is compared; a line `…` stands for
any lines. A command with nothing shown after it has to succeed; one that fails has to show that it does.

`python -m tests.documentation PAGE…` writes what the program prints now into the pages, and keeps their `…`.
In a new screen a line `?` asks for all lines.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
ELISION = "…"
UNKNOWN = "?"
SHOWN_DAY = datetime(2026, 3, 1, tzinfo=UTC)
SHOWN_REGISTRY = "registry.example/ml"
SHOWN_BUCKET = "ml-artifacts"
CELL_PACKAGES = ("pandas",)

_BLOCK = re.compile(
    r"(?:^<!-- printed by: (?P<by>.+) -->\n)?^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_AFTER = re.compile(r"^<!-- after: (\S+) -->$", re.MULTILINE)
_NEEDS = re.compile(r"^<!-- needs: (\S+) -->$", re.MULTILINE)
_FAILURE = re.compile(r"error: |.*: out of date$")
_TITLE = re.compile(r"\btitle=(\S+)")
_SPOKEN = re.compile(r"`(doit(?: [^`]*)?)`")
# A command's name alone, or with a placeholder after it.
_NAMING = re.compile(r"^doit [\w-]+$|\b[A-Z]{2,}\b|…|\[|\|")
# Said to whoever reads, and done by .ci/run: cloning, making an environment, installing, the whole suite.
SET_UP = re.compile(
    r"(git clone|cd |python3 -m venv|\. \.venv|pip install|pre-commit install|doit (test|lint)(\s|$)|wsl )"
)

_VARYING = [
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b\d{8}T\d{9}Z-[0-9a-f]{8}\b"), "20260301T101500000Z-0a1b2c3d"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-03-01T10:15:00Z"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:" + "0" * 64),
    (re.compile(r"\b[0-9a-f]{40}\b|\b[0-9a-f]{64}\b"), "0" * 64),
    (re.compile(r"(?<=[/:])[0-9a-f]{20}\b"), "0" * 20),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,12}\b\+?"), "0a1b2c3d"),
    # A busy machine takes minutes for what takes seconds.
    (re.compile(r"\b(\d+ h \d\d min|\d+ min \d\d s)\b"), "0 s"),
    (re.compile(r"\b\d+(\.\d+)? (s|kB|MB|GB|B|min|h)\b"), r"0 \2"),
    (re.compile(r"\bin \d+\.\d+s\b"), "in 0s"),
    (re.compile(r"\b\d+(\.\d+)?%"), "0%"),
    (re.compile(r"\b0\.\d{3,6}\b"), "0.0000"),
    (re.compile(r"venv-3\.\d+-\S+"), "venv-3.11-linux-x86_64"),
    (re.compile(r"(Python |python-?)3\.\d+(\.\d+)?"), r"\g<1>3.11"),
    (re.compile(r"component-tests-\w+"), "component-tests"),
    (re.compile(r"\b\d+ packages? \(.*\)"), "0 packages (0 MB)"),
    (re.compile(r"=+( .* )=+"), r"=\1="),
    (re.compile(r"  +"), "  "),
]


@dataclass(frozen=True)
class Command:
    """One command of a page and the lines shown after it."""

    text: str
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One block of a page: what kind it is, what it holds, and the command or path that belongs to it."""

    kind: str
    subject: str
    body: str
    span: tuple[int, int]

    @property
    def commands(self) -> list[Command]:
        """The commands whose output the block shows."""
        if self.kind == "printed":
            return [Command(self.subject, tuple(self.body.splitlines()))]
        commands: list[tuple[str, list[str]]] = []
        for line in self.body.splitlines() if self.kind == "console" else ():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif commands:
                commands[-1][1].append(line)
        return [Command(text, tuple(shown)) for text, shown in commands]


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page that something is done with, in order."""
    for match in _BLOCK.finditer(page):
        title = _TITLE.search(match["info"])
        language = match["info"].partition(" ")[0]
        if match["by"]:
            kind, subject = "printed", match["by"]
        elif title:
            kind, subject = "file", title[1]
        elif language in ("console", "diff", "python"):
            kind, subject = language, ""
        else:
            continue
        yield Block(kind, subject, match["body"], match.span("body"))


def needs_registry(page: str) -> bool:
    """Whether a page's commands need an image registry (and a Docker engine)."""
    return "registry" in _NEEDS.findall(page)


def needs_engine(page: str) -> bool:
    """Whether a page's commands need a Docker engine."""
    return "engine" in _NEEDS.findall(page)


def needs_store(page: str) -> bool:
    """Whether a page's commands need a server for a store in a bucket."""
    return "store" in _NEEDS.findall(page)


def spoken_commands(page: str) -> list[str]:
    """What to run for the command lines of doit in a page's text: those lines, or help where one only names a command."""
    found = _SPOKEN.findall(_BLOCK.sub("", page))
    return [
        f"doit help {text.split()[1]}" if _NAMING.search(text) else text
        for text in found
        if text != "doit" and not SET_UP.match(text)
    ]


@dataclass
class Reader:
    """Somebody new to the project, who does what a page says: a clone of it below a home directory of their own."""

    home: Path
    environ: dict[str, str] = field(init=False)
    days: set[datetime] = field(default_factory=set)
    cells: list[str] = field(default_factory=list)
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
        for name in _AFTER.findall(page.read_text(encoding="utf-8")):
            earlier = page.parent / name
            self.catch_up(earlier)
            for block in blocks(earlier.read_text(encoding="utf-8")):
                for _ in self.follow(block):
                    pass

    def follow(self, block: Block) -> Iterator[tuple[Command, list[str]]]:
        """Do what a block says; each command whose output it shows, and the lines that were printed."""
        if block.kind == "file":
            path = self.clone / block.subject
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        elif block.kind == "diff":
            self._run(["git", "apply", "--recount", "-"], block.body, (0,))
        elif block.kind == "python":
            self.cells.append(block.body)
            packages = [f"--with={package}" for package in CELL_PACKAGES]
            python = ["uv", "run", "--quiet", "--no-project", "--python", sys.executable, *packages]
            self._run([*python, "python", "-"], "\n".join(self.cells), (0,))
        for command in block.commands:
            done_before = SET_UP.match(command.text)
            yield command, list(command.shown) if done_before else self.printed(command)

    def printed(self, command: Command) -> list[str]:
        """The lines a command prints, stdout and stderr together; AssertionError unless it ends as the page says."""
        if command.text.startswith("export ") and ";" not in command.text:
            self._export(*shlex.split(command.text)[1:])
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
            cwd=self.clone,
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


def normalised(line: str) -> str:
    """The line with all that varies brought to one form."""
    for pattern, replacement in _VARYING:
        line = pattern.sub(replacement, line)
    return line.rstrip()


def agree(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether the lines shown are those printed, `…` standing for any lines; showing none says nothing."""
    if not shown:
        return True
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == ELISION else re.escape(normalised(line)) + r"\n"
        for line in shown
    )
    return re.fullmatch(pattern, "".join(normalised(line) + "\n" for line in printed)) is not None


def renewed(shown: Sequence[str], printed: Sequence[str]) -> list[str]:
    """What to show of what was printed: all, or with each `…` where it stood.

    As many lines as before stand before the first `…` and after the last; between two, those that were there.
    """
    if not shown or ELISION not in shown:
        return list(printed) if shown else []
    first, last = shown.index(ELISION), len(shown) - 1 - list(shown[::-1]).index(ELISION)
    end = len(printed) - (len(shown) - 1 - last)
    by_form = {normalised(line): line for line in printed[first:end]}
    middle = [
        line if line == ELISION else by_form[normalised(line)]
        for line in shown[first : last + 1]
        if line == ELISION or normalised(line) in by_form
    ]
    return [*printed[:first], *middle, *printed[end:]]


def rewritten(page: str, reader: Reader) -> str:
    """The page with what its commands print now."""
    parts, position = [], 0
    for block in blocks(page):
        lines = []
        for command, printed in reader.follow(block):
            lines += [f"$ {command.text}"] if block.kind == "console" else []
            lines += renewed(command.shown, printed)
        if lines:
            parts += [page[position : block.span[0]], "".join(line + "\n" for line in lines)]
            position = block.span[1]
    return "".join([*parts, page[position:]])


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Write what the program prints now into pages."""
    parser = argparse.ArgumentParser(prog="python -m tests.documentation", description=main.__doc__)
    parser.add_argument("pages", metavar="PAGE", nargs="+", type=Path)
    for path in parser.parse_args(arguments).pages:
        page = path.read_text(encoding="utf-8")
        with laptop() as reader, ExitStack() as services:
            if needs_registry(page):
                from tests.services.registry import serve

                (reader.home / "registry").mkdir()
                served = services.enter_context(serve(reader.home / "registry"))
                reader.use_registry(f"{served.address}/ml")
            if needs_store(page):
                from tests.services.minio import running_server, variables

                reader.use_store(variables(running_server().access))
            reader.catch_up(path)
            path.write_text(rewritten(page, reader), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
