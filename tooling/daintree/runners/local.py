"""The local runner: a component's main.py in a virtual environment on this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from daintree.errors import DaintreeError, EnvironmentFailed, StageFailed
from daintree.runners.runner import Job, Outcome, Prepared, Shell, environment_class, environment_of
from daintree.settings import Settings
from daintree.spec.document import remembered
from daintree.terminal import count

if TYPE_CHECKING:
    from daintree.components import ComponentVersion
    from daintree.runners.environments import DirectoriesInUse, Environments
    from daintree.spec.component import ComponentSpec, Resources

DOCKERFILE = "Dockerfile"
REQUIREMENTS = "requirements.txt"
ENTRYPOINT = "main.py"
_DOCKER_GPU = "--runner docker gives it its own"
_DOCKER = '--runner docker, or runner = "docker" in [tool.daintree]'


class LocalRunner:
    """Runs a stage as a process in the environment that its snapshot's requirements.txt asks for.

    What a stage may use is not enforced here: `resources` and `network` are the docker runner's to
    hold to.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._announced: set[str] = set()
        self._in_use: DirectoriesInUse | None = None

    @property
    def name(self) -> str:
        return "local"

    def environment_class(self, spec: ComponentSpec) -> str:
        """E.g. "venv-3.11-linux-x86_64"."""
        return environment_class(spec.python)

    def check(self) -> None:
        return

    def caution(self, resources: Resources) -> str:
        wanted = count(resources.gpu, "GPU")
        words = f"asks for {wanted}: here it sees those of this machine, if any, and so do others; {_DOCKER_GPU}"
        return words if resources.gpu else ""

    def refusal(self, version: ComponentVersion) -> DaintreeError | None:
        try:
            self._check(version)
        except DaintreeError as refusal:
            return refusal
        return None

    def _check(self, version: ComponentVersion) -> Environments:
        """The environments that the version's is among. Raises EnvironmentFailed, or VersionError, for one that cannot be run here."""
        if version.image or not any(file.path == ENTRYPOINT for file in version.files):
            why = "is here as an image alone" if version.image else f"has no {ENTRYPOINT}"
            raise EnvironmentFailed(
                f"{version.name} {why}, so it can only run in a container", hint=_DOCKER
            )
        from daintree.components.snapshot import check_place
        from daintree.runners.environments import Environments, find_python
        from daintree.runners.variables import missing_variables

        try:
            python = find_python(version.spec.python)
        except EnvironmentFailed as error:
            raise EnvironmentFailed(f"{version.name}: {error.message}", hint=error.hint) from None
        missing = missing_variables(version.name, version.spec.env, self._settings.root)
        if missing is not None:
            raise missing
        check_place(version, self._settings.snapshots)
        environments = Environments(self._settings.environments, python)
        environments.check(*_requirements(version, self._settings.root))
        return environments

    def prepare(
        self,
        version: ComponentVersion,
        snapshot: Callable[[], Path],
        announce: Callable[[str], None],
    ) -> Prepared:
        from daintree.runners.environments import DirectoriesInUse

        environments = self._check(version)
        made = snapshot()
        self._announce_system_packages(version.name, made, announce)
        python = environments.ensure(made / REQUIREMENTS, announce)
        if self._in_use is None:
            self._in_use = DirectoriesInUse()
        for directory in (made, environment_of(python)):
            self._in_use.add(directory)
        return Prepared(snapshot=made, python=python)

    def _announce_system_packages(
        self, component: str, snapshot: Path, announce: Callable[[str], None]
    ) -> None:
        """Say once that the image has what this machine may lack."""
        if component in self._announced:
            return
        self._announced.add(component)
        with contextlib.suppress(FileNotFoundError):
            content = (snapshot / DOCKERFILE).read_bytes()

            def read() -> tuple[str, ...]:
                from daintree.components import system_installers

                return system_installers(content)

            installers = remembered(b"installers\0" + content, tuple[str, ...], read)
            if installers:
                announce(
                    f"the Dockerfile of {component} installs system packages ({', '.join(installers)}):"
                    " here it gets those of this machine; --runner docker has them"
                )

    def execute(self, job: Job, on_line: Callable[[str], None]) -> Outcome:
        from daintree.runners.child_process import ChildFailed, run_child
        from daintree.runners.variables import secrets_of

        command, variables = self.command(job)
        if not os.path.exists(command[0]):
            raise StageFailed(
                f"stage {job.label}: its environment is gone: {command[0]}",
                hint="do not remove environments while a pipeline runs; run it again",
            )
        try:
            with short_path(job.scratch) as temporary:
                return run_child(
                    command,
                    env={**variables, "TMPDIR": str(temporary)},
                    cwd=job.scratch,
                    log=job.log,
                    on_line=on_line,
                    secrets=secrets_of(variables, job.env),
                    cancelled=job.cancelled,
                )
        except ChildFailed as error:
            raise StageFailed(f"stage {job.label}: {error}") from error

    def command(self, job: Job) -> tuple[list[str], Mapping[str, str]]:
        from daintree.runners.variables import environment_for, stage_variables

        snapshot, python = job.prepared.snapshot, job.prepared.python
        assert snapshot is not None
        assert python is not None
        program = snapshot / ENTRYPOINT
        # A link's target is what tracebacks are to name.
        command = [str(python), str(program.resolve() if job.working_tree else program)]
        command += ["--input", job.input, "--output", str(job.output), *job.arguments]
        variables = stage_variables(
            environment_for(self._settings.root, job.env),
            python,
            job.scratch,
            names=job.env,
            object_store=job.object_store,
        )
        return command, variables

    def shell(self, job: Job, *, terminal: bool) -> Shell:
        """A shell of this machine with the environment's Python first, in the snapshot's directory or the links in its place."""
        from daintree.runners.variables import shell_command

        directory = job.prepared.snapshot
        assert directory is not None
        command, variables = self.command(job)
        places = {"input": job.input, "output": str(job.output), "scratch": str(job.scratch)}
        start, more = shell_command(job, command, application=str(directory), **places)
        return Shell(tuple(start), {**variables, **more}, directory, tuple(command))


def _requirements(version: ComponentVersion, root: Path) -> tuple[bytes, str]:
    """The content of the version's requirements.txt as the working tree has it, and its path: no snapshot is made for a question.

    Empty where there is none, or it is known in the snapshot alone: where a link leads to, and a past run's files.
    """
    file = next((file for file in version.files if file.path == REQUIREMENTS), None)
    if file is None or not file.mode.startswith("100") or file.origin == file.path:
        return b"", REQUIREMENTS
    try:
        return (root / file.origin).read_bytes(), file.origin
    except OSError:
        return b"", REQUIREMENTS


# Sockets have paths of at most 104 bytes (macOS, 108 on Linux); libraries put some 40 below the directory.
_LONGEST_TEMPORARY = 50


@contextlib.contextmanager
def short_path(directory: Path) -> Iterator[Path]:
    """A path to `directory` that sockets below it can have: its own, or a link in the system's temporary directory.

    The link is gone afterwards; the next call removes the links of processes that were killed. Raises OSError.
    """
    if len(os.fsencode(directory)) <= _LONGEST_TEMPORARY:
        yield directory
        return
    links = _links_directory()
    for link in links.iterdir():
        if not link.exists():
            link.unlink(missing_ok=True)
    link = links / os.urandom(4).hex()
    link.symlink_to(directory)
    try:
        yield link
    finally:
        link.unlink(missing_ok=True)


def _links_directory() -> Path:
    """This user's directory of links: nobody else's, and nobody else writes there."""
    import stat
    import tempfile

    system = tempfile.gettempdir()
    if len(system) > _LONGEST_TEMPORARY // 2 and os.access("/tmp", os.W_OK):
        system = "/tmp"
    links = Path(system, f"daintree-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        links.mkdir(mode=0o700)
    status = links.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
        return links
    # Somebody else has taken the name.
    return Path(tempfile.mkdtemp(prefix="d-", dir=system))
