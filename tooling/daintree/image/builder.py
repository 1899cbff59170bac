"""Images built and pushed through the Docker engine."""

from __future__ import annotations

import contextlib
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from daintree.errors import ImageError
from daintree.image.credentials import stored_credentials
from daintree.image.engine import connect, engine_refusal, mapped
from daintree.image.protocol import BuildOrder, LocalImage

if TYPE_CHECKING:
    from docker import DockerClient

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
