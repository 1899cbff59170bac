"""The docker runner: a component's image in a container of the engine on this machine."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from daintree.errors import EngineError, EnvironmentFailed, StageFailed
from daintree.image.engine import connect, mapped
from daintree.runners.container import (
    APPLICATION,
    OUTPUT,
    SCRATCH,
    Container,
    command_line,
    container_of,
)
from daintree.runners.engine_run import run_container
from daintree.runners.leftovers import remove_leftovers
from daintree.runners.protocol import Job, Outcome, Prepared, Shell
from daintree.settings import Settings
from daintree.version import ComponentVersion

if TYPE_CHECKING:
    from docker import DockerClient

ENVIRONMENT_CLASS = "image"


class DockerRunner:
    """Runs a stage in a container of its component's image.

    The container sees its input, read-only, and two places to write: its output and a directory for temporary
    files. It runs as the user who asked for it, without capabilities, on a read-only root, with what memory and
    cores `resources` allow, and without a network unless the component declares one or reads from afar.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cores = 0.0
        self._kept = threading.local()
        self._first = threading.Lock()
        # Stages that run side by side may be of one component: its image is made once.
        self._making: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def name(self) -> str:
        """`docker`."""
        return "docker"

    @property
    def environment_class(self) -> str:
        """`image`."""
        return ENVIRONMENT_CLASS

    def prepare(
        self,
        version: ComponentVersion,
        snapshot: Callable[[], Path],
        announce: Callable[[str], None],
    ) -> Prepared:
        """Find the version's image in the engine, else pull it, else build it from the snapshot.

        Never takes an image whose label names another version. Containers that earlier processes have left
        behind are removed first. Raises EngineError, RegistryError and ImageError.
        """
        from daintree.runners.images import ensure_image

        client = self._connected()
        with mapped("prepare the stage"):
            with self._first:
                if not self._cores:
                    self._cores = _usable(client.api.info())
                    remove_leftovers(client)
                making = self._making[version.digest]
            with making:
                return ensure_image(client, version, snapshot, self._settings, announce)

    def execute(self, job: Job, on_line: Callable[[str], None]) -> Outcome:
        """Run the stage to its end in a container that is gone afterwards, whatever happens.

        Raises StageFailed when it cannot be started or its log not be written, EngineError when the engine is
        lost, KeyboardInterrupt when the job is cancelled.
        """
        from daintree.runners.log import Log, LogFailed

        container = self._container(job)
        _refuse_nul(job)
        try:
            client = self._connected()
            with Log(job.log) as log, mapped("run the stage"):

                def say(texts: list[str]) -> None:
                    log.add(texts)
                    for text in texts:
                        on_line(text)

                return run_container(client, container, job, say)
        except LogFailed as error:
            raise StageFailed(f"stage {job.label}: {error}") from error

    def command(self, job: Job) -> tuple[list[str], Mapping[str, str]]:
        """The `docker run` command line that does the same, and the environment it needs."""
        container = self._container(job)
        line = command_line(container, command=container.command)
        return line, {**os.environ, **container.variables}

    def shell(self, job: Job, *, terminal: bool) -> Shell:
        """A shell in a container of the image, through the `docker` command; the container ends with it."""
        from daintree.runners.shell import shell_command

        container = self._container(job)
        with mapped("read the image"):
            config = self._connected().api.inspect_image(container.image)["Config"]
        stage = (*(config["Entrypoint"] or ()), *container.command)
        start, more = shell_command(
            job, stage, input=container.command[1], output=OUTPUT, place=SCRATCH
        )
        more["TERM"] = os.environ.get("TERM", "dumb")
        container = replace(container, variables={**container.variables, **more})
        options = ["--interactive", "--entrypoint=sh", f"--workdir={APPLICATION}"]
        options += ["--tty"] if terminal else []
        line = command_line(container, *options, command=tuple(start[1:]))
        if which(line[0]) is None:
            raise EnvironmentFailed(
                "the command `docker` is not installed, and a shell in a container needs it",
                hint="install Docker's command line, or --runner local",
            )
        return Shell(tuple(line), {**os.environ, **container.variables}, job.scratch, stage)

    def _connected(self) -> DockerClient:
        """This thread's client, kept as long as the thread: connecting takes as long as some stages do."""
        if not hasattr(self._kept, "client"):
            self._kept.client = connect()
        client: DockerClient = self._kept.client
        return client

    def _container(self, job: Job) -> Container:
        return container_of(
            job,
            os.environ,
            user=f"{os.getuid()}:{os.getgid()}",
            groups=tuple(str(group) for group in sorted(os.getgroups())),
            cores=self._cores or os.cpu_count() or 1,
        )


def _usable(engine: Mapping[str, Any]) -> float:
    """The cores of an engine, from what it says of itself. Raises EngineError for one whose users are not this machine's."""
    options = " ".join(engine.get("SecurityOptions") or ())
    if "name=rootless" in options or "name=userns" in options:
        raise EngineError(
            "the Docker engine gives containers other user ids than this machine's (rootless, or userns-remap):"
            " a stage's output would not be yours",
            hint="use an engine that runs as root, or --runner local",
        )
    return float(engine.get("NCPU") or 1)


def _refuse_nul(job: Job) -> None:
    # The engine would cut the argument there.
    if any("\0" in argument for argument in job.arguments):
        raise StageFailed(f"stage {job.label}: cannot be started: an argument holds a null byte")
