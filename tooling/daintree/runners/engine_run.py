"""One container of the engine, from its creation to its end."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from daintree.errors import EngineError, StageFailed
from daintree.image.engine import mapped
from daintree.runners.container import TEMPORARY, TEMPORARY_OPTIONS, Container
from daintree.runners.frames import Frames
from daintree.runners.leftovers import owner_label
from daintree.runners.memory import ContainerMemory
from daintree.runners.protocol import Job, Outcome

if TYPE_CHECKING:
    from docker import DockerClient

_FIRST_LOOK_SECONDS = 0.01
_LOOK_SECONDS = 0.1
_WAIT_SECONDS = 1.0
_CHUNK = 65_536
# What the engine answers for a process that a signal has ended: 128 and the signal's number.
_SIGNALS = range(129, 160)


def run_container(
    client: DockerClient, container: Container, job: Job, say: Callable[[list[str]], None]
) -> Outcome:
    """Run a job's container to its end; `say` gets the lines as they come. It is gone afterwards, whatever happens.

    Raises StageFailed when it cannot be started, KeyboardInterrupt when the job is cancelled, and as `say` and the
    SDK do.
    """
    with _created(client, container, job):
        return _follow(client, container.name, job, say)


@contextmanager
def _created(client: DockerClient, container: Container, job: Job) -> Iterator[None]:
    """The container, not started; killed and removed in the end."""
    from docker.types import LogConfig
    from docker.types import Mount as Bind

    host = client.api.create_host_config(
        mounts=[
            Bind(mount.target, mount.source, type="bind", read_only=not mount.writable)
            for mount in container.mounts
        ],
        tmpfs={TEMPORARY: TEMPORARY_OPTIONS},
        read_only=True,
        init=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        group_add=list(container.groups),
        network_mode=container.network,
        mem_limit=container.memory or None,
        memswap_limit=container.memory or None,
        nano_cpus=int(container.cpus * 1e9) or None,
        # The stage's log is kept with its run; the engine need not write it down as well.
        log_config=LogConfig(type="none"),
    )
    try:
        with _starting(job):
            client.api.create_container(
                container.image,
                list(container.command),
                name=container.name,
                user=container.user,
                environment=dict(container.variables),
                labels={**container.labels, **owner_label()},
                host_config=host,
            )
        yield
    finally:
        # Where even this fails, the next start removes what is left.
        with suppress(EngineError), mapped("remove the container"):
            client.api.remove_container(container.name, force=True, v=True)


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
        raise StageFailed(f"stage {job.label}: cannot be started: {reason}") from error


def _follow(client: DockerClient, name: str, job: Job, say: Callable[[list[str]], None]) -> Outcome:
    """Start the container and follow it to its end."""
    frames = Frames()
    stream = client.api.attach_socket(name, {"stdout": 1, "stderr": 1, "stream": 1})
    with closing(stream):
        started = time.monotonic()
        with _starting(job):
            client.api.start(name)
        memory = ContainerMemory(client.api.inspect_container(name))
        for chunk in _output(stream, job.cancelled, memory.sample):
            say(frames.feed(chunk))
        say(frames.finish())
        code = _exit_code(client, name, job.cancelled)
        seconds = time.monotonic() - started
    killed = bool(code) and client.api.inspect_container(name)["State"].get("OOMKilled", False)
    return Outcome(128 - code if code in _SIGNALS else code, seconds, memory.peak, killed)


def _output(
    stream: Any, cancelled: Callable[[], bool], look: Callable[[], None]
) -> Iterator[bytes]:
    """What the engine sends until the container's streams have ended; looks around several times a second.

    Raises KeyboardInterrupt once `cancelled` is true.
    """
    pause = _FIRST_LOOK_SECONDS
    due = time.monotonic() + pause
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            ready = selector.select(max(0.0, due - time.monotonic()))
            if time.monotonic() >= due:
                if cancelled():
                    raise KeyboardInterrupt
                look()
                pause = min(2 * pause, _LOOK_SECONDS)
                due = time.monotonic() + pause
            if ready:
                chunk = stream.read(_CHUNK)
                if not chunk:
                    return
                yield chunk


def _exit_code(client: DockerClient, name: str, cancelled: Callable[[], bool]) -> int:
    """How the container ended, waiting for it. Raises KeyboardInterrupt once `cancelled` is true."""
    from requests.exceptions import ReadTimeout

    while True:
        try:
            return int(client.api.wait(name, timeout=_WAIT_SECONDS)["StatusCode"])
        except ReadTimeout:
            if cancelled():
                raise KeyboardInterrupt from None
