"""References of images, `registry/prefix/component:tag`, with their labels; and a registry over HTTP: https, or plain HTTP for one on this machine and where a setting says so."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from daintree.concurrency import side_by_side
from daintree.digest import short
from daintree.errors import ImageError, RegistryError, RegistryUnavailable
from daintree.http_connection import TIMEOUT_SECONDS, Answer, Connections
from daintree.images.registry_auth import Authorization

LATEST = "latest"
DEV = "dev"

COMPONENT_LABEL = "ml.daintree.component"
# The full version, `sha256:<64 hex>`; a tag has its first digits only.
VERSION_LABEL = "ml.daintree.version"
# The component.yaml as JSON, so that a pipeline in another repository knows the parameters of an image.
SPEC_LABEL = "ml.daintree.component-spec"
# The version of the tooling that built the image.
BUILT_BY_LABEL = "ml.daintree.built-by"
# On containers: the run they compute, and the process that started them, so that they can be removed once it has died.
RUN_LABEL, OWNER_LABEL = "ml.daintree.run", "ml.daintree.owner"
REVISION_LABEL = "org.opencontainers.image.revision"
CREATED_LABEL = "org.opencontainers.image.created"

_SEGMENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*\Z")
_LONGEST_NAME = 255


class Repository(msgspec.Struct, frozen=True):
    """The repository of a component's images: a registry's host ("" for the engine alone) and the name there."""

    host: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}" if self.host else self.name

    def tagged(self, tag: str) -> str:
        """The reference of the image that a tag names."""
        return f"{self}:{tag}"


def parse_reference(image: str) -> tuple[Repository, str, str]:
    """The repository, the tag ("latest" where none is named) and the digest ("" for none) of `host/name[:tag][@digest]`."""
    path, _, digest = image.partition("@")
    name, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        name, tag = path, LATEST
    host, _, name = name.partition("/")
    return Repository(host, name), tag, digest


def repository_of(image: str) -> Repository:
    """The repository of an image by its digest, `host/name@sha256:…`."""
    return parse_reference(image)[0]


def component_repository(registry: str, component: str) -> Repository:
    """The repository of a component's images; `registry` is `host[:port][/prefix]`, or "" for the engine alone.

    Raises ImageError for a name that no image can have.
    """
    host, _, prefix = registry.partition("/")
    for segment in component.split("/"):
        if not _SEGMENT.match(segment):
            raise ImageError(
                f"components/{component}: {segment!r} can be no part of an image's name",
                hint="rename the directory: small letters and digits, with single . _ or - between them",
            )
    name = f"{prefix}/{component}".lstrip("/")
    if len(name) > _LONGEST_NAME:
        raise ImageError(f"components/{component}: the image's name is longer than {_LONGEST_NAME}")
    return Repository(host, name)


def version_tag(version: str) -> str:
    """The tag of a version: its first 20 hex digits."""
    return short(version)


THREADS = 16
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    *INDEX_TYPES,
)
_ACCEPT = ", ".join(MANIFEST_TYPES)
_DIGEST_HEADER = "docker-content-digest"
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}")
_LINK = re.compile(r'<([^>]+)>\s*;\s*rel="?next')
_OTHER_SERVER = "let this machine reach that server, or ask whoever runs the registry"
_SETTING = "registry in [tool.daintree], or DAINTREE_REGISTRY, says which registry it is"


class Manifest(msgspec.Struct, frozen=True):
    """An image's manifest as the registry keeps it; `digest` is that of its bytes, and the image's."""

    media_type: str
    digest: str
    body: bytes


class ImageConfig(msgspec.Struct, frozen=True):
    """An image's labels, its entrypoint, and the command that follows it; empty where it has none."""

    labels: dict[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]


class RegistryClient:
    """The registry at one host, shared by threads. Methods raise RegistryError, RegistryUnavailable when it does not answer."""

    def __init__(
        self, host: str, *, plain_http: bool = False, seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Connecting, and each wait for bytes, may take so many `seconds`."""
        self.host = host
        plain = plain_http or is_loopback(host)
        # Docker Hub answers under another name than the one images are called by.
        server = "registry-1.docker.io" if host == "docker.io" else host
        self._top = f"{'http' if plain else 'https'}://{server}/v2/"
        self._connections = Connections(seconds)
        self._authorization = Authorization(host, self._connections, plain_http=plain)

    def digest(self, repository: Repository, tag: str) -> str:
        """The digest of the image that a tag, or a digest, names; "" for none."""
        answer = self._ask("HEAD", repository, f"manifests/{tag}", {"Accept": _ACCEPT})
        if answer.status == 404:
            return ""
        self._check(answer, repository.tagged(tag))
        # Some registries tell the digest only with the manifest.
        return answer.headers.get(_DIGEST_HEADER) or self.manifest(repository, tag).digest

    def digests(self, images: Sequence[tuple[Repository, str]]) -> list[str]:
        """The image digest that each (repository, tag) names, "" for none; asked for in one parallel round."""
        return side_by_side(lambda image: self.digest(*image), images, THREADS)

    def each_digest(self, images: Sequence[tuple[Repository, str]]) -> list[str | RegistryError]:
        """The same, with the error of each image that the registry does not tell of. Raises RegistryUnavailable where it answers for none.

        One that has let a request wait for too long, and has answered none, is not asked again.
        """
        answered = threading.Event()
        silent: list[RegistryError] = []

        def answer(image: tuple[Repository, str]) -> str | RegistryError:
            if silent and not answered.is_set():
                return silent[0]
            try:
                digest = self.digest(*image)
            except RegistryUnavailable as error:
                silent.extend([error] if isinstance(error.__cause__, TimeoutError) else [])
                return error
            except RegistryError as error:
                answered.set()
                return error
            answered.set()
            return digest

        answers = side_by_side(answer, images, THREADS)
        for first in answers[:1]:
            if all(isinstance(answer, RegistryUnavailable) for answer in answers):
                assert isinstance(first, RegistryUnavailable)
                raise first
        return answers

    def manifest(self, repository: Repository, reference: str) -> Manifest:
        """The manifest that a tag or digest names. Raises RegistryError for an answer that is another one."""
        answer = self._ask("GET", repository, f"manifests/{reference}", {"Accept": _ACCEPT})
        self._check(answer, f"{repository} manifests/{reference}")
        digest = _digest_of(answer.body)
        claimed = answer.headers.get(_DIGEST_HEADER, digest)
        if claimed != digest or (":" in reference and reference != digest):
            raise RegistryError(
                f"the registry {self.host} answers with another manifest than {repository} {reference}"
            )
        kind = answer.headers.get("content-type", MANIFEST_TYPES[0]).partition(";")[0].strip()
        return Manifest(kind, digest, answer.body)

    def config(self, repository: Repository, reference: str, platform: str) -> ImageConfig:
        """The configuration of an image, of its variant for `platform` where it has several. Raises RegistryError where there is none."""
        manifest = self.manifest(repository, reference)
        if manifest.media_type in INDEX_TYPES:
            inner = _variant(_json(manifest.body, self.host), platform)
            if not inner:
                raise RegistryError(f"{repository} {reference} has no image for {platform}")
            manifest = self.manifest(repository, inner)
        config = str(_json(manifest.body, self.host).get("config", {}).get("digest", ""))
        answer = self._ask("GET", repository, f"blobs/{config}")
        self._check(answer, f"{repository} blobs/{config}")
        if _digest_of(answer.body) != config:
            raise RegistryError(f"the registry {self.host} answers with another blob than {config}")
        image = _json(answer.body, self.host).get("config") or {}
        return ImageConfig(
            {str(name): str(value) for name, value in (image.get("Labels") or {}).items()},
            tuple(map(str, image.get("Entrypoint") or ())),
            tuple(map(str, image.get("Cmd") or ())),
        )

    def tags(self, repository: Repository) -> list[str]:
        """The tags of a repository; empty when there is no such repository."""
        tags: list[str] = []
        path = "tags/list"
        while path:
            answer = self._ask("GET", repository, path)
            if answer.status == 404:
                break
            self._check(answer, f"the tags of {repository}")
            tags += _json(answer.body, self.host).get("tags") or []
            link = _LINK.search(answer.headers.get("link", ""))
            path = urljoin(path, link[1]) if link else ""
        return tags

    def tag(self, repository: Repository, manifest: Manifest, tag: str) -> None:
        """Make a tag name an image that the repository has. Raises RegistryError unless the registry answers with its digest."""
        headers = {"Content-Type": manifest.media_type}
        answer = self._ask("PUT", repository, f"manifests/{tag}", headers, manifest.body)
        self._check(answer, repository.tagged(tag))
        if answer.headers.get(_DIGEST_HEADER) != manifest.digest:
            raise RegistryError(
                f"the registry {self.host} did not answer with the digest of {repository.tagged(tag)}"
            )

    def delete(self, repository: Repository, digest: str) -> None:
        """Delete an image with all tags that name it; one that is gone does not matter. Raises RegistryError where the registry refuses."""
        answer = self._ask("DELETE", repository, f"manifests/{digest}")
        if answer.status == 405:
            raise RegistryError(
                f"the registry {self.host} allows nobody to delete images",
                hint="its administrator can allow it (docker-registry: storage.delete.enabled: true)",
            )
        if answer.status != 404:
            self._check(answer, f"the deletion of {repository}@{digest}")

    def _ask(
        self,
        method: str,
        repository: Repository,
        path: str,
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
    ) -> Answer:
        """The answer for what is at a path, or a whole URL, below the repository, with the authorization that it asks for."""
        url = urljoin(f"{self._top}{repository.name}/", path)
        actions = {"PUT": "pull,push", "DELETE": "pull,delete"}.get(method, "pull")
        scope = f"repository:{repository.name}:{actions}"
        with self._connection_errors():
            known = self._authorization.header(scope)
            given = {"Authorization": known} if known else {}
            answer = self._connections.ask(method, url, {**headers, **given}, body)
            challenge = answer.headers.get("www-authenticate", "")
            if answer.status == 401 and challenge:
                wanted = self._authorization.challenged(challenge, scope)
                if wanted and wanted != known:
                    given = {"Authorization": wanted}
                    answer = self._connections.ask(method, url, {**headers, **given}, body)
        return answer

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        """Raise RegistryError for whatever a connection raises, and say which server it was of."""
        from http.client import HTTPException

        try:
            yield
        except (OSError, HTTPException) as error:
            server = self._connections.server
            other = "" if server == urlsplit(self._top).netloc else server
            raise _translated(self.host, error, other) from error

    def _check(self, answer: Answer, what: str) -> None:
        """Raise RegistryError for an answer that is an error."""
        if answer.status in (401, 403):
            known = self._authorization.has_credentials
            raise RegistryError(
                f"the registry {self.host} refuses {what}"
                + ("" if known else ": nobody is logged in"),
                hint=f"docker login {self.host}",
            )
        if answer.status == 404:
            raise RegistryError(f"the registry {self.host} has no {what}")
        if answer.status >= 300:
            from http.client import responses

            phrase = responses.get(answer.status, "")
            raise RegistryError(
                f"the registry {self.host} answers {answer.status} {phrase} for {what}",
                hint="try again later" if answer.status >= 429 else "",
            )


def open_registry(registry: str, *, plain_http: bool) -> RegistryClient | None:
    """The registry that a setting (`host[:port][/prefix]`) names; None where it names none."""
    host = registry.partition("/")[0]
    return RegistryClient(host, plain_http=plain_http) if host else None


def is_loopback(host: str) -> bool:
    """True for a registry's host (with its port) that is this machine."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return name in ("localhost", "[::1]") or _LOOPBACK.fullmatch(name) is not None


def _translated(host: str, error: Exception, other: str) -> RegistryError:
    """The error of a connection to a registry, or to the `other` server that it leads to, translated."""
    import ssl

    place = f"{other}, where the registry {host} leads to," if other else f"the registry {host}"
    kind, hint = (RegistryError, _OTHER_SERVER) if other else (RegistryUnavailable, _SETTING)
    if isinstance(error, ssl.SSLCertVerificationError):
        return RegistryError(
            f"the certificate of {place} is not to be trusted: {error.verify_message}",
            hint="SSL_CERT_FILE names a file of the authorities that you trust",
        )
    if isinstance(error, ssl.SSLError):
        return RegistryError(
            f"{place} does not speak TLS: {error.reason or error}",
            hint="if it speaks plain HTTP in a network you trust: registry_plain_http = true",
        )
    if isinstance(error, TimeoutError):
        return kind(f"{place} does not answer", hint=hint)
    if isinstance(error, OSError):
        return kind(f"{place} cannot be reached: {error.strerror or error}", hint=hint)
    return RegistryError(f"{other or host} does not answer as a registry", hint=hint)


def _digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _json(body: bytes, host: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise RegistryError(
            f"the registry {host} does not answer with a JSON object", hint=_SETTING
        ) from None


def _variant(index: Mapping[str, Any], platform: str) -> str:
    """The digest of an index's image for a platform, "" for none."""
    for entry in index.get("manifests", ()):
        described = entry.get("platform", {})
        name = f"{described.get('os')}/{described.get('architecture')}"
        if platform in (name, f"{name}/{described.get('variant')}"):
            return str(entry["digest"])
    return ""
