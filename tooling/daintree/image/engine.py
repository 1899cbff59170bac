"""The Docker engine, through its SDK: reached where the `docker` command reaches it, and its errors in our words.

The SDK is slow to import; it is imported only inside these functions.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daintree.errors import DaintreeError, EngineError

if TYPE_CHECKING:
    from docker import DockerClient

INSTALL = "pip install 'daintree[docker]'"
TIMEOUT_SECONDS = 600
_FULL = "no space left on device"


def connect() -> DockerClient:
    """A client of the Docker engine that answers: DOCKER_HOST's, else the current docker context's.

    The caller closes it. Not to be shared by threads. Raises EngineError when the SDK is not installed, no engine answers, or
    its socket is not for this user.
    """
    # Asked first: importing the SDK takes half a second, and a missing one is no bug.
    if importlib.util.find_spec("docker") is None:
        raise EngineError("the Docker SDK for Python is not installed", hint=INSTALL)
    with mapped("reach the engine"):
        client = _client()
        try:
            client.ping()
        except BaseException:
            client.close()
            raise
        return client


def _client() -> DockerClient:
    import docker

    if os.environ.get("DOCKER_HOST"):
        return docker.DockerClient.from_env(timeout=TIMEOUT_SECONDS)
    context = docker.ContextAPI.get_current_context()
    return docker.DockerClient(
        base_url=context.Host, tls=context.TLSConfig or False, timeout=TIMEOUT_SECONDS
    )


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Raise EngineError for every error of the SDK in the block; `what` was being done, as in "build the image"."""
    try:
        yield
    except (DaintreeError, KeyboardInterrupt):
        raise
    except Exception as error:
        translated = _translated(what, error)
        if translated is None:
            raise
        raise translated from error


def _translated(what: str, error: Exception) -> EngineError | None:
    """The error in our words; None for one that is not the SDK's."""
    import docker.errors
    import requests.exceptions

    if isinstance(error, docker.errors.APIError):
        return engine_refusal(what, str(error.explanation or error))
    if isinstance(error, docker.errors.DockerException | requests.exceptions.RequestException):
        return _unreachable(what, error)
    return None


def _unreachable(what: str, error: Exception) -> EngineError:
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return EngineError(
            "the Docker engine's socket is not for this user",
            hint="add yourself to the group docker, then log in again: sudo usermod -aG docker $USER",
        )
    if any(isinstance(cause, FileNotFoundError | ConnectionError) for cause in causes):
        host = os.environ.get("DOCKER_HOST", "")
        return EngineError(
            "the Docker engine is not running" + (f" at {host} (DOCKER_HOST)" if host else ""),
            hint="start it: Docker Desktop, or `sudo systemctl start docker`",
        )
    return EngineError(f"cannot {what}: {_first_line(str(error))}", hint="see `docker info`")


def engine_refusal(what: str, explanation: str) -> EngineError:
    """What the engine said when it refused to do `what`, with a hint where there is one."""
    if _FULL in explanation:
        return EngineError(
            f"cannot {what}: the disk of the Docker engine is full",
            hint="`docker system df` shows what is on it, `docker system prune` frees what is unused",
        )
    return EngineError(f"cannot {what}: {_first_line(explanation)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and the exceptions that it was given as arguments."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__, *cause.args]
            waiting.append(getattr(cause, "reason", None))


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0]
