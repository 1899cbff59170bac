"""The Docker engine, through its SDK: reached where the `docker` command reaches it, and its errors in our words.

The SDK is slow to import; it is imported only inside these functions.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from daintree.errors import DaintreeError, EngineError, ImageError
from daintree.images.protocol import BuildOrder, LocalImage
from daintree.images.reference import Repository
from daintree.images.registry_auth import stored_credentials

if TYPE_CHECKING:
    from docker import DockerClient

TIMEOUT_SECONDS = 600
_FULL = "no space left on device"


def connect() -> DockerClient:
    """A client of the Docker engine that answers: DOCKER_HOST's, else the current docker context's.

    The caller closes it. Not to be shared by threads. Raises EngineError when no engine answers, or its socket is not for
    this user.
    """
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


def pull_image(
    client: DockerClient,
    repository: Repository,
    digest: str,
    platform: str,
    say: Callable[[str], None],
) -> str:
    """Have the engine pull the image of exactly this digest; its id. `say` gets a line for each layer.

    Raises ImageError when the engine cannot, EngineError when it refuses or is lost.
    """
    what = f"{repository}@{digest}"
    known = stored_credentials(repository.host)
    with mapped(f"pull {what}"):
        events = client.api.pull(
            str(repository),
            digest,
            stream=True,
            decode=True,
            platform=platform,
            auth_config=known.for_engine(repository.host) if known else None,
        )
        for event in events:
            if "error" in event:
                refusal = engine_refusal(f"pull {what}", str(event["error"]))
                raise ImageError(refusal.message, hint=refusal.hint or f"docker pull {what}")
            if event.get("status") == "Pull complete":
                say(f"pulled {event.get('id', '')}")
        return str(client.api.inspect_image(what)["Id"])


LAST_LINES = 15
# What the engine says when it is not, or no longer, logged in.
_NO_LOGIN = ("unauthorized", "no basic auth credentials", "denied", "authentication required")
_NO_REGISTRY = ("connection refused", "no such host", "i/o timeout", "no route to host")
_NO_TLS = "server gave http response to https client"


class EngineBuilder:
    """The Docker engine as a Builder. Each call has a connection of its own, so threads may share this."""

    def images(self, label: str, values: Iterable[str]) -> dict[str, LocalImage]:
        """The newest image by the value of this label, of those that are there."""
        wanted = set(values)
        with _connected("list images") as client:
            listed = client.api.images(filters={"label": label})
        found: dict[str, LocalImage] = {}
        for image in sorted(listed, key=lambda image: int(image["Created"])):
            labels = image["Labels"] or {}
            if labels.get(label) in wanted:
                references = tuple(image["RepoTags"] or ())
                found[labels[label]] = LocalImage(image["Id"], labels, references)
        return found

    def build(self, order: BuildOrder, say: Callable[[str], None]) -> str:
        """Build an image and give it its references; its id. `say` gets what the build prints, line by line."""
        what = f"build {order.references[0]}"
        last: deque[str] = deque(maxlen=LAST_LINES)
        image = ""
        with _connected(what) as client:
            events = client.api.build(
                fileobj=io.BytesIO(order.context),
                custom_context=True,
                encoding="identity",
                tag=order.references[0],
                buildargs=dict(order.build_args),
                labels=dict(order.labels),
                platform=order.platform,
                nocache=order.fresh,
                # A base image that is here is used as it is: pins decide, not the moment.
                pull=False,
                rm=True,
                forcerm=True,
                decode=True,
            )
            for event in events:
                if "error" in event:
                    raise _build_failure(what, event, last)
                image = event.get("aux", {}).get("ID", image)
                for line in str(event.get("stream", "")).splitlines():
                    if line.strip():
                        last.append(line)
                        say(line)
        if not image:
            raise ImageError(f"cannot {what}: the engine ended without an image")
        self.name(image, order.references[1:])
        return image

    def name(self, image: str, references: Iterable[str]) -> None:
        """Give an image references."""
        with _connected(f"name {image}") as client:
            for reference in references:
                repository, _, tag = reference.rpartition(":")
                client.api.tag(image, repository, tag, force=True)

    def push(self, reference: str, say: Callable[[str], None]) -> str:
        """Push an image; the digest that the registry gave it, as the engine tells it."""
        repository, _, tag = reference.rpartition(":")
        host = repository.partition("/")[0]
        digest = ""
        with _connected(f"push {reference}") as client:
            known = stored_credentials(host)
            login = known.for_engine(host) if known else None
            events = client.api.push(repository, tag, stream=True, decode=True, auth_config=login)
            for event in events:
                if "error" in event:
                    raise _push_failure(reference, host, str(event["error"]))
                digest = event.get("aux", {}).get("Digest", digest)
                if event.get("status") and not event.get("progress"):
                    say(str(event["status"]))
        if not digest:
            raise ImageError(f"cannot push {reference}: the registry told no digest")
        return digest


@contextlib.contextmanager
def _connected(what: str) -> Iterator[DockerClient]:
    with contextlib.closing(connect()) as client, mapped(what):
        yield client


def _build_failure(what: str, event: Mapping[str, Any], last: Iterable[str]) -> ImageError:
    """The error of a build that the engine reported in its stream, after it had answered that all is well."""
    reason = str(event["error"]).strip()
    refusal = engine_refusal(what, reason)
    if refusal.hint:
        return refusal
    lines = "".join(f"\n  | {line}" for line in last)
    hint = ""
    if any(sign in reason.lower() for sign in (*_NO_LOGIN, *_NO_REGISTRY, "manifest unknown")):
        hint = "the base image is not here and could not be pulled: docker pull it, or docker login to its registry"
    return ImageError(f"cannot {what}: {reason}{lines}", hint=hint)


def _push_failure(reference: str, host: str, reason: str) -> ImageError:
    """The error of a push that the engine reported in its stream."""
    small = reason.lower()
    refusal = engine_refusal(f"push {reference}", reason)
    if refusal.hint:
        return refusal
    if _NO_TLS in small:
        hint = f"the engine must be told that {host} speaks plain HTTP: insecure-registries in its daemon.json"
    elif any(sign in small for sign in _NO_LOGIN):
        hint = f"docker login {host}"
    elif any(sign in small for sign in _NO_REGISTRY):
        hint = f"the engine cannot reach {host}; is the registry running?"
    else:
        hint = "run it again"
    return ImageError(f"cannot push {reference}: {reason.strip()}", hint=hint)
