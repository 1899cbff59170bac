"""The seam every runner keeps: `tests/contract/` holds one suite that each of them passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from tooling.spec.component import Resources


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of one stage, ready to go.

    `snapshot` holds exactly the version's files (main.py, requirements.txt, the libraries beside them), read-only.
    `arguments` are the parameters as the command line takes them, `--name`, value, …; `input` is a directory
    (or a URL) to read, `output` an empty directory to write, `scratch` an empty one for temporary files, `log`
    the file that keeps all the stage says. `cancelled` is asked several times a second while the stage
    runs; once it is true the stage is stopped as by an interrupt.
    """

    label: str
    component: str
    version: str
    run: str
    snapshot: Path
    arguments: tuple[str, ...]
    input: str
    output: Path
    scratch: Path
    log: Path
    network: bool = False
    resources: Resources = msgspec.field(default_factory=Resources)
    cancelled: Callable[[], bool] = lambda: False


class Outcome(msgspec.Struct, frozen=True):
    """How a stage ended: exit code (negative: the signal that killed it), wall seconds, peak resident bytes (0: unknown)."""

    exit_code: int
    seconds: float
    peak_memory: int = 0


class Runner(Protocol):
    """What executes a stage."""

    @property
    def name(self) -> str:
        """How it is named on the command line and in records: `local`, `docker`, `argo`."""
        ...

    @property
    def environment_class(self) -> str:
        """What kind of environment its results come from; part of every stage key."""
        ...

    def prepare(self, snapshot: Path, announce: Callable[[str], None]) -> None:
        """Make the environment that the snapshot's component needs; at once when it exists.

        `announce` gets one line before something slow starts (what is installed and how large).
        Raises EnvironmentFailed; nothing half-made is ever used later.
        """
        ...

    def execute(self, job: Job, on_line: Callable[[str], None]) -> Outcome:
        """Run the stage to its end; each line it says goes to the job's log and to `on_line`.

        When this call is left by an exception (an interrupt too), the stage and all its children are gone.
        Raises StageFailed when it cannot even be started.
        """
        ...

    def command(self, job: Job) -> tuple[list[str], Mapping[str, str]]:
        """The exact command and environment `execute` would use, to repeat it by hand."""
        ...
