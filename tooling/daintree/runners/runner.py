"""The protocol of runners, which `tests/contract/` has one suite for, and the Python of those that run on this machine."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from daintree.errors import DaintreeError, EnvironmentFailed
from daintree.spec.component import ComponentSpec, Resources

if TYPE_CHECKING:
    from daintree.components import ComponentVersion


class Prepared(msgspec.Struct, frozen=True):
    """A version ready to be run: `snapshot`, a directory with exactly its files, or `image`, an image's id.

    `python` is that of the environment beside a snapshot, `digest` what the registry says the image is ("" where none has said anything).
    """

    snapshot: Path | None = None
    python: Path | None = None
    image: str = ""
    digest: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of one stage, ready to go.

    `arguments` are the parameters as the command line takes them, `--name`, value, …; `input` is a directory
    (or a URL) to read, in which links may lead out of it; `places` says where its parts really are, by their
    names in it ("" for the whole; empty for a URL). `output` is an empty directory to write, `scratch` an empty
    one for temporary files, `log` the file that keeps all the stage says. `env` names the variables that the stage gets, of this process
    or else of the project's `.env`; with `object_store` it gets those that lead to a bucket as well. `cancelled` is asked several times a
    second while the stage runs; once it is true the stage is stopped as by an interrupt. `working_tree` is for a shell: a directory
    of links in the place of the version's files, and the directories of the project that they lead into.
    """

    label: str
    component: str
    version: str
    run: str
    prepared: Prepared
    arguments: tuple[str, ...]
    input: str
    places: Mapping[str, Path]
    output: Path
    scratch: Path
    log: Path
    network: bool = False
    env: tuple[str, ...] = ()
    object_store: bool = False
    resources: Resources = msgspec.field(default_factory=Resources)
    cancelled: Callable[[], bool] = lambda: False
    working_tree: tuple[Path, ...] = ()


class Outcome(msgspec.Struct, frozen=True):
    """The end of a stage: exit code (negative: the signal that killed it), wall seconds, peak resident bytes (0: unknown).

    `out_of_memory` is true where it is known that the limit on its memory ended it.
    """

    exit_code: int
    seconds: float
    peak_memory: int = 0
    out_of_memory: bool = False


class Shell(msgspec.Struct, frozen=True):
    """A shell in a stage's environment: how it is started, and the stage's own command, which its $RUN runs.

    `variables` hold the user's credentials: never to be shown or recorded whole.
    """

    start: tuple[str, ...]
    variables: Mapping[str, str]
    directory: Path
    command: tuple[str, ...]


class Runner(Protocol):
    """The seam of whatever executes stages."""

    @property
    def name(self) -> str:
        """Its name on the command line and in records: `local`, `docker`, `argo`."""
        ...

    def environment_class(self, spec: ComponentSpec) -> str:
        """The kind of environment that a component's results come from; part of every stage key."""
        ...

    def check(self) -> None:
        """Raise EngineError where this runner can run no stage at all now; a plan may ask."""
        ...

    def caution(self, resources: Resources) -> str:
        """The sentence on what a stage asks for and this runner does not see to; "" where there is nothing to say."""
        ...

    def refusal(self, version: ComponentVersion) -> DaintreeError | None:
        """The reason why this runner cannot run the version; None where it can. Asks nothing but this machine: a plan may call it."""
        ...

    def prepare(
        self,
        version: ComponentVersion,
        snapshot: Callable[[], Path],
        announce: Callable[[str], None],
    ) -> Prepared:
        """Make the environment that this version of a component runs in; at once when it exists.

        `snapshot` makes a directory with exactly the version's files, read-only; it is called only where they
        are needed. `announce` gets one line before something slow starts (what is installed and how large).
        Raises EnvironmentFailed, the refusal where there is one; nothing half-made is ever used later.
        """
        ...

    def execute(self, job: Job, on_line: Callable[[str], None]) -> Outcome:
        """Run the stage to its end; each line it says goes to the job's log and to `on_line`.

        When this call is left by an exception (an interrupt too), the stage and all its children are gone.
        Raises StageFailed when it cannot even be started.
        """
        ...

    def command(self, job: Job) -> tuple[list[str], Mapping[str, str]]:
        """The exact command and environment `execute` would use, to repeat it on a command line.

        The environment holds the user's credentials: never to be shown or recorded whole.
        """
        ...

    def shell(self, job: Job, *, terminal: bool) -> Shell:
        """A shell where the stage would run: its environment, its input, a writable output; for a `terminal` or not.

        Raises EnvironmentFailed where there is no way to start one.
        """
        ...


OLDEST_PYTHON = (3, 11)

_QUESTION = (
    "import os, sys; print(*sys.version_info[:3], sys.platform, os.uname().machine,"
    " os.path.realpath(sys.executable), sep=chr(10))"
)


class Interpreter(NamedTuple):
    """A Python: version, e.g. (3, 11, 7), platform, e.g. "linux-x86_64", file (links resolved)."""

    version: tuple[int, int, int]
    platform: str
    file: str


@functools.cache
def inspect_interpreter(python: str) -> Interpreter:
    """The Python at `python`; the running one is known without starting it.

    Raises EnvironmentFailed when there is none, or it is too old.
    """
    if python == sys.executable:
        platform = f"{sys.platform}-{os.uname().machine}"
        return Interpreter(sys.version_info[:3], platform, os.path.realpath(python))
    lines = _ask(python)
    version = (int(lines[0]), int(lines[1]), int(lines[2]))
    if version < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise EnvironmentFailed(
            f"{python}: is Python {version[0]}.{version[1]}",
            hint=f"the oldest supported is {oldest}",
        )
    return Interpreter(version, f"{lines[3]}-{lines[4]}", lines[5])


def environment_class(version: str = "", python: str | Path = sys.executable) -> str:
    """The environment class of results of a Python, e.g. "venv-3.11-linux-x86_64"; part of every stage key.

    `version` is the one that a component asks for, e.g. "3.12"; "" stands for that of `python`. Raises EnvironmentFailed
    when that does not work.
    """
    interpreter = inspect_interpreter(os.fspath(python))
    return f"venv-{version or minor_version(interpreter)}-{interpreter.platform}"


def minor_version(interpreter: Interpreter) -> str:
    """Its version as a component.yaml names it, e.g. "3.11"."""
    return f"{interpreter.version[0]}.{interpreter.version[1]}"


def environment_of(python: Path) -> Path:
    """The environment's directory, from its Python."""
    return python.parent.parent


def site_packages(python: Path) -> Path:
    """The directory of the packages of an environment that exists."""
    return next(environment_of(python).glob("lib/python*/site-packages"))


def bytecode_directory(python: Path) -> Path:
    """The directory of the bytecode of what runs in the environment.

    Filled as modules are imported: compiling all of a large environment takes longer than
    installing it.
    """
    return environment_of(python) / "bytecode"


def _ask(python: str) -> list[str]:
    from daintree.process import capture

    try:
        answer = capture([python, "-I", "-S", "-c", _QUESTION])
    except OSError as error:
        raise EnvironmentFailed(f"{python}: cannot be started: {error.strerror}") from None
    lines = answer.stdout.decode("utf-8", "surrogateescape").splitlines()
    if answer.code or len(lines) != 6:
        raise EnvironmentFailed(f"{python}: is not a Python that works: {answer.complaint()}")
    return lines
