"""A chain of stages whose right outputs are known without the store, and processes that run it: what the attacks on the store use.

A wrong hit is an output that a command hands on, with exit code 0, and that is not what its stages compute.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from contenders import make_writable, user_environments, variables, workspace
from forked import Command
from projects import PIPELINE, chain
from timing import parser

from daintree.store.contents import boto_options
from tests.services.minio import Minio, running_server
from tests.services.minio import variables as keys

DOIT = Path(sys.executable).with_name("doit")
START = b"start\n"
VARIANTS = 3
# Longer than anything these pipelines do: a command that takes it hangs.
HANGS_SECONDS = 300
Values = tuple[int, ...]


def expected(values: Sequence[int]) -> bytes:
    """The output of the last of stages with these values for `step`."""
    return START + b"".join(b"%d\n" % value for value in values)


def random_values(numbers: random.Random, stages: int) -> Values:
    """Values of which runs share some: hits and misses, and outputs that others depend on."""
    return tuple(numbers.randrange(VARIANTS) for _ in range(stages))


@dataclass
class Tally:
    """Counts of what an attack has seen; those in `violations` must be 0."""

    violations: Sequence[str]
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, detail: str = "") -> None:
        """Count one; a violation is printed with its details."""
        self.counts[name] += 1
        if name in self.violations:
            print(f"VIOLATION {name}: {detail}", file=sys.stderr)

    def finish(self, title: str) -> bool:
        """Print a row. False where something has happened that must not."""
        names = [*self.violations, *sorted(set(self.counts) - set(self.violations))]
        print(f"| {title} | " + ", ".join(f"{name} {self.counts[name]}" for name in names) + " |")
        return not any(self.counts[name] for name in self.violations)


@dataclass
class Clone:
    """A clone of the project, its home, and the store that its commands use."""

    root: Path
    environment: dict[str, str]
    stages: int
    values: Values = ()

    def edit(self, values: Values) -> None:
        """Change the parameters in the pipeline file."""
        path = self.root / "pipelines" / f"{PIPELINE}.json"
        written = json.loads(path.read_text(encoding="utf-8"))
        for stage, value in zip(written["stages"], values, strict=True):
            stage["params"]["step"] = value
        path.write_text(json.dumps(written), encoding="utf-8")
        self.values = values

    def start(self, *arguments: str) -> Command:
        """Start a command as the leader of a process group."""
        return Command(DOIT, arguments, self.root, self.environment)

    def doit(self, *arguments: str) -> tuple[int, bytes, str]:
        """Run a command to its end: exit code, stdout and stderr. One that hangs is killed, with exit code -9."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=HANGS_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        return process.returncode or 0, out, err.decode("utf-8", "replace")

    def run(self, tally: Tally) -> list[dict[str, Any]]:
        """Run the pipeline, and compare what it hands on; its stages, or none where it failed."""
        code, out, err = self.doit("run", PIPELINE, "--json")
        if code:
            tally.add("crash" if code not in (1,) or "Traceback" in err else "refused", err[-2000:])
            return []
        stages: list[dict[str, Any]] = json.loads(out)["stages"]
        tally.counts.update(f"stage {stage['status']}" for stage in stages)
        for number, stage in enumerate(stages, 1):
            # An output that lies in the bucket alone is brought by `doit path`.
            if "://" not in str(stage.get("path")):
                self._compare(str(stage.get("path")), number, tally)
        code, out, err = self.doit("path", f"{PIPELINE}:s{self.stages - 1}")
        if code == 0:
            self._compare(out.decode().strip(), self.stages, tally)
        elif code != 1 or "Traceback" in err:
            tally.add("crash", err[-2000:])
        else:
            tally.add("refused", err)
        return stages

    def _compare(self, path: str, number: int, tally: Tally) -> None:
        """Compare what a command has named as the output of the stage of this number; a path that does not exist is wrong, too."""
        file, right = Path(path, "content"), expected(self.values[:number])
        content = file.read_bytes() if file.is_file() else b"(nothing)"
        if content != right:
            tally.add("wrong hit", f"{path} holds {content!r}, not {right!r}")


def overwrite(path: Path, content: bytes) -> None:
    """Change a file that is read-only, as somebody does who may."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for changed in (path.parent, path):
        if changed.exists():
            changed.chmod(0o755)
    path.write_bytes(content)
    path.chmod(0o444)


def flip(content: bytes, numbers: random.Random) -> bytes:
    """The same bytes, but for one bit."""
    changed = bytearray(content)
    changed[numbers.randrange(len(changed))] ^= 1 << numbers.randrange(8)
    return bytes(changed)


class Place:
    """A directory store, or a bucket of the tests' own MinIO."""

    def __init__(self, directory: Path, server: Minio | None = None, endpoint: str = "") -> None:
        self.directory, self._server = directory, server
        bucket = server.bucket() if server else ""
        self.store = f"s3://{bucket}" if server else str(directory / "store")
        self._bucket = bucket
        reached = keys(server.access) if server else {}
        self.variables = {**reached, **({"MINIO_ENDPOINT": endpoint} if endpoint else {})}

    def clone(self, name: str, stages: int) -> Clone:
        """A new clone with a home of its own."""
        root = self.directory / name
        chain(root / "project", stages)
        home = root / "home"
        environment = {
            **variables(home, environments=user_environments()),
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "DAINTREE_STORE": self.store,
            "DAINTREE_CACHE": str(home / "embedded"),
            **self.variables,
        }
        home.mkdir(parents=True, exist_ok=True)
        clone = Clone(root / "project", environment, stages)
        clone.edit((0,) * stages)
        return clone

    def contents(self) -> dict[str, bytes]:
        """All that is stored, by name."""
        if self._server:
            client, bucket = self._client, self._bucket
            names = [e["Key"] for e in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
            return {n: client.get_object(Bucket=bucket, Key=n)["Body"].read() for n in names}
        files = [path for path in Path(self.store).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.store)): path.read_bytes() for path in sorted(files)}

    def write(self, name: str, content: bytes) -> None:
        """Put this in the place of what is stored under a name."""
        if self._server:
            self._client.put_object(Bucket=self._bucket, Key=name, Body=content)
        else:
            overwrite(Path(self.store, name), content)

    def restore(self, contents: Mapping[str, bytes]) -> None:
        """Bring back what was stored, and nothing else."""
        for name in self.contents().keys() - contents.keys():
            if self._server:
                self._client.delete_object(Bucket=self._bucket, Key=name)
            else:
                Path(self.store, name).parent.chmod(0o755)
                Path(self.store, name).unlink()
        for name, content in self.contents().items():
            if contents[name] != content:
                self.write(name, contents[name])
        for name in contents.keys() - self.contents().keys():
            self.write(name, contents[name])

    @cached_property
    def _client(self) -> Any:
        import boto3

        assert self._server
        return boto3.client("s3", **boto_options(self._server.access))

    def kind(self) -> str:
        """The name of its kind in a row."""
        return "MinIO" if self._server else "directory"


Attack = Callable[[Place, int, random.Random], bool]


def places(directory: Path) -> Iterator[Place]:
    """One place of each kind."""
    yield Place(directory / "local")
    yield Place(directory / "bucket", running_server())


def attack_places(
    title: str | None, amount: str, help: str, quick: int, usual: int, attack: Attack
) -> None:
    """Attack each kind of store this many times, as the option `amount` says, and print a row for it; exit code 1 after a violation."""
    options = parser(title)
    options.add_argument(f"--{amount}", type=int, default=usual, help=help)
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    times = quick if arguments.quick else getattr(arguments, amount)
    with workspace() as directory:
        results = [attack(p, times, random.Random(arguments.seed)) for p in places(directory)]
    raise SystemExit(not all(results))


def forget_cache(clone: Clone) -> None:
    """Empty the directory in front of a bucket, as on a machine that never saw it."""
    directory = Path(clone.environment["DAINTREE_CACHE"])
    if directory.exists():
        make_writable(directory)
        shutil.rmtree(directory)
