"""The Docker engine, through its SDK: reached where the `docker` command reaches it, its errors translated.

The SDK is slow to import; it is imported only inside these functions.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from daintree.errors import EngineError, ImageError
from daintree.images import registry_auth
from daintree.images.registry import Repository

if TYPE_CHECKING:
    from docker import APIClient

OnLine = Callable[[str], None]

TIMEOUT_SECONDS = 600
# Signs of a registry that the engine does not get through to, or that refuses, and the hint for each.
# fmt: off
_REGISTRY_HINTS = (
    (r"toomanyrequests|too many requests|rate limit", "{0} takes no more requests for now: docker login {0}, or run it again later"),
    ("server gave http response to https client",
     "the engine must be told that {0} speaks plain HTTP: insecure-registries in its daemon.json"),
    ("x509:|certificate", "the engine does not trust the certificate of {0}: give it the authority's, in its certs.d"),
    (r"unauthorized|no basic auth credentials|(?<!permission )denied|authentication required", "docker login {0}"),
    (r"manifest (unknown|for \S+ not found)|name unknown|(llb definition|resolve \S+).*: not found",
     "{0} has no such image: check its name and its tag or digest"),
    (r"connection refused|no such host|i/o timeout|no route to host|network is unreachable"
     r"|handshake timeout|server misbehaving|deadline exceeded|request canceled", "the engine cannot reach {1}; is it running?"),
)
# fmt: on
_FULL = "no space left on device"


def connect() -> APIClient:
    """A client of the Docker engine that answers: DOCKER_HOST's, else DOCKER_CONTEXT's, else the current context's.

    The caller closes it. Not to be shared by threads. Raises EngineError when no engine answers, its socket is not for this
    user, or there is no such context.
    """
    with engine_errors("reach the engine"):
        options = _address(os.environ)
        if options.get("base_url", "").startswith("ssh://"):
            options = {"base_url": f"unix://{_ssh_socket(options['base_url'])}"}
        # It asks the engine for its version.
        client: APIClient = _client_class()(**options, timeout=TIMEOUT_SECONDS)
        # The SDK knows the logins of config.json alone.
        for host in registry_auth.environment_auths(os.environ):
            known = registry_auth.stored_credentials(host)
            if known:
                client._auth_configs.add_auth(host, known.for_engine(host))
        return client


@functools.cache
def _client_class() -> type[APIClient]:
    import docker

    class Client(docker.APIClient):  # type: ignore[misc]
        """The SDK's client, whose HTTP library would take REQUESTS_CA_BUNDLE before the engine's own certificates."""

        def merge_environment_settings(self, url, proxies, stream, verify, cert):  # type: ignore[no-untyped-def]
            chosen = self.verify if verify is None else verify
            return super().merge_environment_settings(url, proxies, stream, chosen, cert)

    return Client


def _address(environ: Mapping[str, str]) -> dict[str, Any]:
    """The address of the engine, and its certificates, as the SDK's client takes them. Raises EngineError."""
    from docker.utils import kwargs_from_env

    context = environ.get("DOCKER_CONTEXT") or str(
        registry_auth.read_config(environ).get("currentContext", "")
    )
    if environ.get("DOCKER_HOST") or context in ("", "default"):
        return dict(kwargs_from_env(environment=environ))
    return _context(environ, context)


def _context(environ: Mapping[str, str], name: str) -> dict[str, Any]:
    """The address and the certificates of a docker context. Raises EngineError where there is no such context."""
    from docker.tls import TLSConfig

    contexts = registry_auth.config_directory(environ) / "contexts"
    identifier = hashlib.sha256(name.encode()).hexdigest()
    try:
        meta = msgspec.json.decode((contexts / "meta" / identifier / "meta.json").read_bytes())
        endpoint = meta["Endpoints"]["docker"]
        host = str(endpoint["Host"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        raise EngineError(
            f"there is no docker context {name!r} in {contexts}",
            hint="`docker context ls` lists them; DOCKER_CONTEXT, or `docker context use`, chooses one",
        ) from None
    files = contexts / "tls" / identifier / "docker"
    authority, pair = files / "ca.pem", (str(files / "cert.pem"), str(files / "key.pem"))
    if not files.is_dir():
        return {"base_url": host}
    tls = TLSConfig(
        client_cert=pair if os.path.exists(pair[0]) else None,
        ca_cert=str(authority) if authority.exists() else None,
        verify=not endpoint.get("SkipTLSVerify", False),
    )
    return {"base_url": host, "tls": tls}


@functools.cache
def _ssh_socket(address: str) -> str:
    """The socket of this machine that leads to the engine at an ssh:// address, until this process ends.

    By the command `ssh`, with its configuration and agent: the SDK would need a library for it. Raises EngineError.
    """
    parts = urlsplit(address)
    directory = tempfile.mkdtemp(prefix="daintree-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    socket, control = f"{directory}/docker", f"{directory}/ssh"
    target = ["-p", str(parts.port)] if parts.port else []
    # Behind `--`, no name of a host is an option.
    target += ["--", parts.netloc.rpartition(":")[0] if parts.port else parts.netloc]
    forward = f"{socket}:{parts.path.rstrip('/') or '/var/run/docker.sock'}"
    options = ["-o", "ExitOnForwardFailure=yes", "-o", "ConnectTimeout=30"]
    try:
        with open(f"{directory}/log", "w+b") as log:
            # It goes on in the background once the socket is there, so its output is no pipe.
            code = subprocess.call(
                ["ssh", "-M", "-S", control, "-fNT", *options, "-L", forward, *target],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            log.seek(0)
            reason = log.read().decode("utf-8", "replace")
    except OSError as error:
        code, reason = 1, f"ssh cannot be started: {error.strerror}"
    if code:
        raise EngineError(
            f"cannot reach the engine at {address}: {_first_line(reason)}",
            hint=f"try it by hand: ssh {parts.netloc} docker version",
        )
    leave = ["ssh", "-S", control, "-O", "exit", *target]
    atexit.register(subprocess.call, leave, stderr=subprocess.DEVNULL)
    return socket


@contextmanager
def engine_errors(action: str) -> Iterator[None]:
    """Raise EngineError for every error of the SDK in the block; `action` is what it does, as in "build the image"."""
    import docker.errors
    import requests.exceptions

    try:
        yield
    except docker.errors.APIError as error:
        raise engine_refusal(action, str(error.explanation or error)) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise _unreachable(action, error) from error


def _unreachable(action: str, error: Exception) -> EngineError:
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return EngineError(
            "the Docker engine's socket is not for this user",
            hint="add yourself to the group docker, then log in again: sudo usermod -aG docker $USER",
        )
    if any(isinstance(cause, FileNotFoundError | ConnectionError) for cause in causes):
        named = [v for v in ("DOCKER_HOST", "DOCKER_CONTEXT") if os.environ.get(v)][:1]
        at = "".join(f" at {os.environ[variable]} ({variable})" for variable in named)
        return EngineError(
            f"the Docker engine is not running{at}",
            hint="start it: Docker Desktop, or `sudo systemctl start docker`",
        )
    return EngineError(f"cannot {action}: {_first_line(str(error))}", hint="see `docker info`")


def engine_refusal(action: str, explanation: str) -> EngineError:
    """The error of an engine that refused an action, with a hint where there is one."""
    if _FULL in explanation:
        return EngineError(
            f"cannot {action}: the disk of the Docker engine is full",
            hint="`docker system df` shows what is on it, `docker system prune` frees what is unused",
        )
    return EngineError(f"cannot {action}: {_first_line(explanation)}")


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


def pull_image(client: APIClient, repository: Repository, digest: str, platform: str) -> str:
    """Have the engine pull the image of exactly this digest; its id.

    Raises ImageError when the engine cannot, EngineError when it refuses or is lost.
    """
    reference = f"{repository}@{digest}"
    known = registry_auth.stored_credentials(repository.host)
    with engine_errors(f"pull {reference}"):
        events = client.pull(
            str(repository),
            digest,
            stream=True,
            decode=True,
            platform=platform,
            auth_config=known.for_engine(repository.host) if known else None,
        )
        for event in events:
            if "error" in event:
                refusal = engine_refusal(f"pull {reference}", str(event["error"]))
                hint = registry_hint(repository.host, refusal.message)
                hint = refusal.hint or hint or f"try it by hand: docker pull {reference}"
                raise ImageError(refusal.message, hint=hint)
        return str(client.inspect_image(reference)["Id"])


class LocalImage(msgspec.Struct, frozen=True):
    """An image in the engine: its id, labels and references."""

    id: str
    labels: dict[str, str]
    references: tuple[str, ...]


class Engine:
    """The Docker engine's images: listed, tagged, pushed.

    Each call has a connection of its own, so threads may share this. Methods raise EngineError when the engine does not answer
    or refuses, ImageError when the work fails.
    """

    def images(self, label: str, values: Iterable[str]) -> dict[str, LocalImage]:
        """The newest image by the value of this label, of those that are there."""
        wanted = set(values)
        with connected("list images") as client:
            listed = client.images(filters={"label": label})
        newest: dict[str, LocalImage] = {}
        for image in sorted(listed, key=lambda image: int(image["Created"])):
            labels = image["Labels"] or {}
            if labels.get(label) in wanted:
                references = tuple(image["RepoTags"] or ())
                newest[labels[label]] = LocalImage(image["Id"], labels, references)
        return newest

    def tag(self, image: str, references: Iterable[str]) -> None:
        """Give an image references."""
        with connected(f"tag {image}") as client:
            for reference in references:
                repository, _, tag = reference.rpartition(":")
                client.tag(image, repository, tag, force=True)

    def push(self, reference: str, on_line: OnLine) -> str:
        """Push an image; returns its digest in the registry. Raises ImageError when the push fails."""
        repository, _, tag = reference.rpartition(":")
        host = repository.partition("/")[0]
        digest = ""
        with connected(f"push {reference}") as client:
            known = registry_auth.stored_credentials(host)
            login = known.for_engine(host) if known else None
            events = client.push(repository, tag, stream=True, decode=True, auth_config=login)
            for event in events:
                if "error" in event:
                    raise push_failure(reference, host, str(event["error"]))
                digest = event.get("aux", {}).get("Digest", digest)
                if event.get("status") and not event.get("progress"):
                    on_line(str(event["status"]))
        if not digest:
            raise ImageError(f"cannot push {reference}: the registry told no digest")
        return digest


@contextmanager
def connected(action: str) -> Iterator[APIClient]:
    """A client for one action, closed afterwards. Raises EngineError for every error of the SDK in the block."""
    with contextlib.closing(connect()) as client, engine_errors(action):
        yield client


def push_failure(reference: str, host: str, reason: str) -> ImageError:
    """The error of a push that the engine reported in its stream."""
    refusal = engine_refusal(f"push {reference}", reason)
    if refusal.hint:
        return refusal
    hint = registry_hint(host, reason) or "run it again"
    return ImageError(f"cannot push {reference}: {reason.strip()}", hint=hint)


def registry_hint(registry: str, reason: str) -> str:
    """The hint for an engine's words about a registry that it cannot use; "" for all others."""
    hints = (hint for sign, hint in _REGISTRY_HINTS if re.search(sign, reason, re.IGNORECASE))
    server = re.search(r'\b(?:Get|Head) "?https?://([^/"]+)', reason)
    return next(hints, "").format(registry, server[1] if server else registry)
