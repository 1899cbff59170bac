"""The docker runner: a component's image in a container of the engine on this machine."""

from __future__ import annotations

import os
import platform
import selectors
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any, NoReturn

from daintree.components import ComponentVersion
from daintree.errors import (
    EngineError,
    EnvironmentFailed,
    ImageError,
    RegistryError,
    StageFailed,
    UsageError,
)
from daintree.images.builders import build_version
from daintree.images.engine import connect, engine_errors, engine_refusal, pull_image
from daintree.images.image_versions import published_digest
from daintree.images.registry import (
    COMPONENT_LABEL,
    OWNER_LABEL,
    VERSION_LABEL,
    component_repository,
    repository_of,
    version_tag,
)
from daintree.runners.child_process import ContainerMemory, Log, LogFailed, ready
from daintree.runners.container import (
    APPLICATION,
    OUTPUT,
    SCRATCH,
    TEMPORARY,
    Capacity,
    Container,
    Frames,
    command_line,
    container_of,
    has_died,
    read_owner,
    this_process,
    write_owner,
)
from daintree.runners.runner import Job, Outcome, Prepared, Shell
from daintree.runners.variables import environment_for, missing_variables, secrets_of, shell_command
from daintree.settings import Settings
from daintree.terminal import count

if TYPE_CHECKING:
    from docker import APIClient

    from daintree.spec.component import Resources

_WAIT_SECONDS = 1.0
_CHUNK = 65_536
# What the engine answers for a process that a signal has ended: 128 and the signal's number.
_SIGNALS = range(129, 160)


@contextmanager
def _created(client: APIClient, container: Container, job: Job) -> Iterator[None]:
    """The container, not started; killed and removed in the end."""
    from docker.types import DeviceRequest, LogConfig
    from docker.types import Mount as Bind

    host = client.create_host_config(
        mounts=[
            Bind(mount.target, mount.source, type="bind", read_only=not mount.writable)
            for mount in container.mounts
        ],
        tmpfs={TEMPORARY: container.temporary_options},
        pids_limit=container.pids,
        read_only=True,
        init=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        group_add=list(container.groups),
        network_mode=container.network,
        mem_limit=container.memory or None,
        memswap_limit=container.memory or None,
        nano_cpus=int(container.cpus * 1e9) or None,
        device_requests=[DeviceRequest(count=container.gpus, capabilities=[["gpu"]])]
        if container.gpus
        else None,
        # The stage's log is kept with its run; the engine need not write it down as well.
        log_config=LogConfig(type="none"),
    )
    try:
        with _starting(job):
            client.create_container(
                container.image,
                list(container.command),
                name=container.name,
                user=container.user,
                environment=dict(container.variables),
                labels={**container.labels, OWNER_LABEL: write_owner(this_process())},
                host_config=host,
            )
        yield
    finally:
        # Where even this fails, the next start removes what is left.
        with suppress(EngineError), engine_errors("remove the container"):
            client.remove_container(container.name, force=True, v=True)


@contextmanager
def _starting(job: Job) -> Iterator[None]:
    """Raise StageFailed for what the engine refuses in the block."""
    import docker.errors

    try:
        yield
    except docker.errors.APIError as error:
        reason = str(error.explanation or error)
        if "bind source path does not exist" in reason or "mounts denied" in reason:
            raise StageFailed(
                f"stage {job.label}: the Docker engine does not see this machine's directories: {reason}",
                hint="use an engine on this machine that shares them, or --runner local",
            ) from error
        hint = engine_refusal("start it", reason).hint
        if job.resources.gpu and "device driver" in reason:
            hint = "its resources ask for a GPU: install NVIDIA's container toolkit where the engine runs"
        raise StageFailed(f"stage {job.label}: cannot be started: {reason}", hint=hint) from error


def _follow(client: APIClient, container: Container, job: Job, log: Log) -> Outcome:
    """Start the container and follow it to its end; its lines go to the log as they come."""
    name, frames = container.name, Frames(secrets_of(container.variables, job.env))
    stream = client.attach_socket(name, {"stdout": 1, "stderr": 1, "stream": 1})
    with closing(stream):
        started = time.monotonic()
        with _starting(job):
            client.start(name)
        memory = ContainerMemory(client.inspect_container(name))
        for chunk in _output(stream, job.cancelled, memory.sample):
            log.add(frames.feed(chunk))
        log.add(frames.finish())
        code = _exit_code(client, name, job.cancelled)
        seconds = time.monotonic() - started
    killed = bool(code) and client.inspect_container(name)["State"].get("OOMKilled", False)
    return Outcome(128 - code if code in _SIGNALS else code, seconds, memory.peak, killed)


def _output(
    stream: Any, cancelled: Callable[[], bool], look: Callable[[], None]
) -> Iterator[bytes]:
    """The bytes that the engine sends until the container's streams have ended; looks around several times a second.

    Raises KeyboardInterrupt once `cancelled` is true.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        for descriptors in ready(selector, cancelled, look):
            if descriptors:
                chunk = stream.read(_CHUNK)
                if not chunk:
                    return
                yield chunk


def _exit_code(client: APIClient, name: str, cancelled: Callable[[], bool]) -> int:
    """The container's exit code, once it has ended. Raises KeyboardInterrupt once `cancelled` is true."""
    from requests.exceptions import RequestException
    from urllib3.exceptions import ReadTimeoutError

    while True:
        try:
            return int(client.wait(name, timeout=_WAIT_SECONDS)["StatusCode"])
        except RequestException as error:
            # The engine sends the head of its answer at once: then no error of the SDK's own stands for the timeout.
            if not any(isinstance(cause, ReadTimeoutError) for cause in error.args):
                raise
            if cancelled():
                raise KeyboardInterrupt from None


def remove_orphans(client: APIClient) -> None:
    """Remove the containers whose owners have died; those of the living, and of other machines, stay.

    Of an earlier start of this machine, those are removed that no longer run. Raises as the SDK does.
    """
    for container in client.containers(all=True, filters={"label": OWNER_LABEL}):
        owner = read_owner(container["Labels"][OWNER_LABEL])
        died = None if owner is None else has_died(owner)
        if owner is not None and died is None:
            died = owner.machine == platform.node() and container["State"] == "exited"
        if died:
            # Another process may be removing it just now.
            with suppress(EngineError), engine_errors("remove a container"):
                client.remove_container(container["Id"], force=True, v=True)


ENVIRONMENT_CLASS = "image"


class DockerRunner:
    """Runs a stage in a container of its component's image.

    The container sees its input, read-only, and two places to write: its output and a directory for temporary
    files. It runs as the user who asked for it, without capabilities, on a read-only root, with what memory and
    cores `resources` allow, and without a network unless the component declares one or reads from afar.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._capacity: Capacity | None = None
        self._tidied = False
        self._clients = threading.local()
        self._first = threading.Lock()
        # Stages that run side by side may be of one component: its image is made once.
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def name(self) -> str:
        return "docker"

    def environment_class(self, spec: object) -> str:
        return ENVIRONMENT_CLASS

    def check(self) -> None:
        client = self._connected()
        with self._first, engine_errors("ask the engine what it has"):
            if self._capacity is None:
                self._capacity = _capacity(client.info())

    def caution(self, resources: Resources) -> str:
        if resources.gpu:
            # What the engine lacks altogether, `check` says.
            with suppress(EngineError):
                self.check()
            if self._capacity and not self._capacity.nvidia:
                return f"asks for {count(resources.gpu, 'GPU')}, and the Docker engine names no runtime of NVIDIA's: it may refuse"
        return ""

    def refusal(self, version: ComponentVersion) -> EnvironmentFailed | None:
        return missing_variables(version.name, version.spec.env, self._settings.root)

    def prepare(
        self,
        version: ComponentVersion,
        snapshot: Callable[[], Path],
        announce: Callable[[str], None],
    ) -> Prepared:
        """Find the version's image in the engine, else pull it, else build it from the snapshot.

        Never takes an image whose label names another version. Orphans, the containers of processes that have died, are
        removed first. Raises EnvironmentFailed for a version it refuses, EngineError and ImageError.
        """
        refusal = self.refusal(version)
        if refusal is not None:
            raise refusal
        self.check()
        client = self._connected()
        with engine_errors("prepare the stage"):
            with self._first:
                if not self._tidied:
                    self._tidied = True
                    remove_orphans(client)
                lock = self._locks[version.digest]
            with lock:
                return ensure_image(client, version, snapshot, self._settings, announce)

    def execute(self, job: Job, on_line: Callable[[str], None]) -> Outcome:
        """Run the stage to its end in a container that is gone afterwards, whatever happens.

        Raises StageFailed when it cannot be started or its log not be written, EngineError when the engine is
        lost, KeyboardInterrupt when the job is cancelled.
        """
        container = self._container(job)
        # The engine would cut the argument there.
        if any("\0" in argument for argument in job.arguments):
            raise StageFailed(
                f"stage {job.label}: cannot be started: an argument holds a null byte"
            )
        try:
            client = self._connected()
            with (
                Log(job.log, on_line) as log,
                engine_errors("run the stage"),
                _created(client, container, job),
            ):
                return _follow(client, container, job, log)
        except LogFailed as error:
            raise StageFailed(f"stage {job.label}: {error}") from error

    def command(self, job: Job) -> tuple[list[str], Mapping[str, str]]:
        """The `docker run` command line that does the same, and the environment it needs."""
        container = self._container(job)
        line = command_line(container, command=container.command)
        return line, {**os.environ, **container.variables}

    def shell(self, job: Job, *, terminal: bool) -> Shell:
        """A shell in a container of the image, through the `docker` command; the container ends with it. Raises EnvironmentFailed without that command."""
        container = self._container(job)
        with engine_errors("read the image"):
            config = self._connected().inspect_image(container.image)["Config"]
        program = list(config.get("Entrypoint") or ())
        for links in job.working_tree[:1]:
            # A link's target is what tracebacks are to name.
            places = [links / word.removeprefix(f"{APPLICATION}/") for word in program]
            program = [
                os.readlink(place) if place.is_symlink() else word
                for place, word in zip(places, program, strict=True)
            ]
        stage = (*program, *container.command)
        start, more = shell_command(
            job,
            stage,
            application=APPLICATION,
            input=container.command[1],
            output=OUTPUT,
            scratch=SCRATCH,
        )
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

    def _connected(self) -> APIClient:
        """This thread's client, kept as long as the thread: connecting takes as long as some stages do."""
        if not hasattr(self._clients, "client"):
            self._clients.client = connect()
        client: APIClient = self._clients.client
        return client

    def _container(self, job: Job) -> Container:
        return container_of(
            job,
            environment_for(self._settings.root, job.env),
            self._settings,
            self._capacity or Capacity(),
            user=f"{os.getuid()}:{os.getgid()}",
            groups=tuple(str(group) for group in sorted(os.getgroups())),
        )


def _capacity(engine: Mapping[str, Any]) -> Capacity:
    """The capacity of an engine, from its own account. Raises EngineError for one whose users are not this machine's."""
    options = " ".join(engine.get("SecurityOptions") or ())
    if "name=rootless" in options or "name=userns" in options:
        raise EngineError(
            "the Docker engine gives containers other user ids than this machine's (rootless, or userns-remap):"
            " a stage's output would not be yours",
            hint="use an engine that runs as root, or --runner local",
        )
    cores, memory = float(engine.get("NCPU") or 1), int(engine.get("MemTotal") or 0)
    return Capacity(cores, memory, "nvidia" in (engine.get("Runtimes") or ()))


def ensure_image(
    client: APIClient,
    version: ComponentVersion,
    snapshot: Callable[[], Path],
    settings: Settings,
    announce: Callable[[str], None],
) -> Prepared:
    """The image of exactly this version: the engine's, else the registry's, else one built; `announce` says what takes long.

    One is built, too, where the registry does not answer or refuses. Raises ImageError and EngineError, and as the SDK does.
    """
    if version.image:
        return _named(client, version, settings, announce)
    repository = component_repository(settings.registry, version.name)
    tagged = repository.tagged(version_tag(version.digest))
    image = _in_engine(client, version, tagged)
    if image is not None:
        # The digest that the registry knows it by, where it has come from there.
        digests = dict(name.split("@") for name in image["RepoDigests"] or ())
        return Prepared(image=image["Id"], digest=digests.get(str(repository), ""))
    try:
        digest = published_digest(version, settings)
    except RegistryError as error:
        announce(f"{error.message}: the image is built here")
        digest = ""
    if digest:
        announce(f"pulling {tagged}, the first time only")
        pulled = pull_image(client, repository, digest, settings.platform)
        return Prepared(image=pulled, digest=digest)
    return Prepared(image=build_version(version, snapshot(), tagged, settings, announce))


def _in_engine(
    client: APIClient, version: ComponentVersion, tagged: str
) -> Mapping[str, Any] | None:
    """The image whose label is the whole version: the tag's, else the newest of another name or none.

    The tag alone says too little: it holds a version's first digits only, and can be moved.
    """
    import docker.errors

    wanted = {COMPONENT_LABEL: version.name, VERSION_LABEL: version.digest}
    try:
        # Asked first, because for a list the engine reads all the images it has.
        image: Mapping[str, Any] = client.inspect_image(tagged)
        if wanted.items() <= (image["Config"].get("Labels") or {}).items():
            return image
    except docker.errors.ImageNotFound:
        pass
    images = client.images(filters={"label": [f"{k}={v}" for k, v in wanted.items()]})
    return max(images, key=lambda image: int(image["Created"]), default=None)


def _named(
    client: APIClient,
    version: ComponentVersion,
    settings: Settings,
    announce: Callable[[str], None],
) -> Prepared:
    """The very image that the version was read from, pulled where it is not here."""
    import docker.errors

    digest = version.image.partition("@")[2]
    try:
        image = client.inspect_image(version.image)
    except docker.errors.ImageNotFound:
        if not digest:
            raise ImageError(
                f"the image {version.image} of {version.name} is gone from the Docker engine",
                hint="doit build in the repository of its sources",
            ) from None
        announce(f"pulling {version.image}, the first time only")
        pull_image(client, repository_of(version.image), digest, settings.platform)
        image = client.inspect_image(version.image)
    if (image["Config"].get("Labels") or {}).get(VERSION_LABEL) != version.digest:
        raise ImageError(f"the image {version.image} is not {version.name} at {version.digest}")
    return Prepared(image=image["Id"], digest=digest)


class ArgoRunner:
    """Stages as pods of a Workflow. They run the components' images, so their results are those of the docker runner."""

    @property
    def name(self) -> str:
        return "argo"

    def environment_class(self, spec: object) -> str:
        return ENVIRONMENT_CLASS

    def check(self) -> None:
        return

    def caution(self, resources: object) -> str:
        return ""

    def refusal(self, version: ComponentVersion) -> None:
        return None

    def prepare(self, *words: object, **options: object) -> NoReturn:
        raise UsageError(
            "the runner argo takes a whole pipeline into a cluster, and no stage on this machine",
            hint="doit submit PIPELINE; or --runner docker, whose results are the same",
        )

    execute = command = shell = prepare
