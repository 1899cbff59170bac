"""The cluster through its HTTP API: the official client says where it is and who asks; objects stay plain mappings."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from daintree.argo.cluster import ARGO, KINDS, Cluster, Kind, Object
from daintree.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterMissing,
    ClusterUnavailable,
    UsageError,
)
from daintree.installation import install_command

CONNECT_SECONDS, READ_SECONDS = 10, 30
# The server ends a watch after this long, and it is taken up again: a connection that died silently is noticed.
WATCH_SECONDS = 240
# How long to wait before each try to take up a watch that broke; after the last, its error is raised.
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_MERGE_PATCH = "application/merge-patch+json"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
# What a pod's log is refused with before its container has begun, and where it will not begin.
_WAITING = (b"is waiting to start", b"does not have a host assigned")
_NEVER = b"failing to pull image"


class KubernetesApi:
    """A `Cluster` that is asked over HTTP, with the client's `configuration`; `wait` waits so many seconds."""

    def __init__(self, configuration: Any, wait: Callable[[float], None] = time.sleep) -> None:
        from kubernetes.client.rest import RESTClientObject

        self._configuration = configuration
        # The client's own methods read a body whole, and differ between its versions; its pool has its TLS and proxies.
        self._pool = RESTClientObject(configuration).pool_manager
        self._wait = wait

    @property
    def address(self) -> str:
        """Address of its API."""
        return str(self._configuration.host)

    def create(self, kind: str, namespace: str, manifest: Object) -> Object:
        asked = self._asked("create", kind, namespace, manifest["metadata"]["name"])
        return self._object("POST", asked, asked.kind.path(namespace), manifest)

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        asked = self._asked("get", kind, namespace, name)
        with self._answer("GET", asked.kind.path(namespace, name), asked) as answer:
            body = answer.read()
            if answer.status == 404 and names_object(body, name):
                return None
            return self._parsed(answer.status, body, asked)

    def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Object]:
        asked = self._asked("list", kind, namespace)
        path = asked.kind.path(namespace, labelSelector=labels)
        items = self._object("GET", asked, path).get("items") or []
        return sorted(items, key=lambda item: str(item["metadata"]["name"]))

    def merge(self, kind: str, namespace: str, name: str, change: Object) -> Object:
        asked = self._asked("patch", kind, namespace, name)
        return self._object("PATCH", asked, asked.kind.path(namespace, name), change)

    def watch(self, kind: str, namespace: str, name: str) -> Iterator[Object]:
        """Watch; raises what broke the watch when that cannot be taken up again within PAUSES."""
        asked = self._asked("watch", kind, namespace, name)
        found = self.find(kind, namespace, name)
        failures = 0
        while found is not None:
            yield found
            version = _version(found)
            while version:
                try:
                    for event, item in self._events(asked, version):
                        version, failures = _version(item), 0
                        if event == "DELETED":
                            return
                        if event != "BOOKMARK":
                            yield item
                    # It has run out. A server that ends each at once must not be asked without a pause.
                    self._wait(PAUSES[1])
                except ClusterUnavailable as error:
                    failures = self._paused(failures, error)
                    version = "" if isinstance(error, TooOld) else version
            found = self.find(kind, namespace, name)

    def log(self, namespace: str, pod: str, container: str, *, follow: bool) -> Iterator[str]:
        """Read a log; a container that has not begun has none, and to `follow` it is to wait for its beginning."""
        asked = self._asked("get", "Pod", namespace, pod)
        options = {"container": container, "follow": "true" if follow else ""}
        path = asked.kind.path(namespace, f"{pod}/log", **options)
        while True:
            with self._answer(
                "GET", path, asked, seconds=None if follow else READ_SECONDS
            ) as answer:
                if answer.status == 200:
                    for line in _lines(answer):
                        yield line.decode("utf-8", "replace")
                    return
                body = answer.read()
            if (
                answer.status != 400
                or not any(words in body for words in _WAITING)
                or _NEVER in body
            ):
                raise refusal(answer.status, body, asked)
            if not follow:
                return
            self._wait(PAUSES[2])

    def allows(self, namespace: str, verb: str, group: str, resource: str) -> bool:
        """Ask for a right; `resource` may name a subresource: pods/log."""
        plural, _, below = resource.partition("/")
        wanted = {"namespace": namespace, "verb": verb, "group": group, "resource": plural}
        if below:
            wanted["subresource"] = below
        asked = self._asked("create", "SelfSubjectAccessReview", namespace)
        review = {
            "apiVersion": f"{asked.kind.group}/{asked.kind.version}",
            "kind": asked.kind.name,
            "spec": {"resourceAttributes": wanted},
        }
        answer = self._object("POST", asked, asked.kind.path(""), review)
        return bool(answer.get("status", {}).get("allowed"))

    def _asked(self, verb: str, kind: str, namespace: str, name: str = "") -> Asked:
        for text in filter(None, (namespace, name)):
            if not _NAME.fullmatch(text):
                raise ClusterMissing(
                    f"nothing in a cluster is called {text!r}",
                    hint="names there are of small letters, digits, `-` and `.`",
                )
        return Asked(
            address=self.address, verb=verb, kind=KINDS[kind], namespace=namespace, name=name
        )

    def _object(
        self, method: str, asked: Asked, path: str, content: Object | None = None
    ) -> dict[str, Any]:
        with self._answer(method, path, asked, content) as answer:
            return self._parsed(answer.status, answer.read(), asked)

    def _parsed(self, status: int, body: bytes, asked: Asked) -> dict[str, Any]:
        if not 200 <= status < 300:
            raise refusal(status, body, asked)
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise no_api(asked)
        return parsed

    @contextlib.contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        asked: Asked,
        content: Object | None = None,
        *,
        seconds: float | None = READ_SECONDS,
    ) -> Iterator[Any]:
        """The answer to one request, its body unread; `seconds` may pass between two parts of it (None: any time).

        Foreign errors that come up while the context lasts are mapped as well.
        """
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        answer = None
        try:
            answer = self._pool.request(
                method,
                self.address + path,
                body=None if content is None else json.dumps(content).encode(),
                headers=self._headers(method, content is not None),
                timeout=Timeout(connect=CONNECT_SECONDS, read=seconds),
                retries=False,
                preload_content=False,
            )
            yield answer
            answer.release_conn()
        except HTTPError as error:
            raise unreachable(error, asked) from None
        finally:
            if answer is not None:
                answer.close()

    def _headers(self, method: str, written: bool) -> dict[str, str]:
        headers = {"Accept": "application/json, */*", "User-Agent": "daintree"}
        if written:
            headers["Content-Type"] = _MERGE_PATCH if method == "PATCH" else "application/json"
        for setting in self._configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        return headers

    def _events(self, asked: Asked, version: str) -> Iterator[tuple[str, Any]]:
        """Changes of an object from that version on, as (type, object), until the server ends it."""
        path = asked.kind.path(
            asked.namespace,
            watch="true",
            fieldSelector=f"metadata.name={asked.name}",
            resourceVersion=version,
            allowWatchBookmarks="true",
            timeoutSeconds=str(WATCH_SECONDS),
        )
        with self._answer("GET", path, asked, seconds=WATCH_SECONDS + READ_SECONDS) as answer:
            if answer.status != 200:
                raise refusal(answer.status, answer.read(), asked)
            for line in _lines(answer):
                event = self._parsed(200, line, asked)
                item = event.get("object") or {}
                if event.get("type") == "ERROR":
                    raise refusal(int(item.get("code", 500)), json.dumps(item).encode(), asked)
                yield event["type"], item

    def _paused(self, failures: int, error: ClusterUnavailable) -> int:
        """Wait before another try, and count it. Raises the error when enough have failed in a row."""
        if failures == len(PAUSES):
            raise error
        self._wait(PAUSES[failures])
        return failures + 1


def _version(item: Object) -> str:
    return str(item["metadata"]["resourceVersion"])


def _lines(answer: Any) -> Iterator[bytes]:
    """The lines of a stream, each as soon as it is whole."""
    begun = b""
    for part in answer.stream(1 << 16, decode_content=True):
        *whole, begun = (begun + part).split(b"\n")
        yield from whole
    if begun:
        yield begun


KUBECONFIG = "KUBECONFIG"
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
DEFAULT = "~/.kube/config"
HINT = "`kubectl config current-context` names the cluster that it uses; KUBECONFIG names its file"


def require_client() -> None:
    """Raise UsageError, with the command that installs it, where the cluster's client is missing."""
    if importlib.util.find_spec("kubernetes") is None:
        raise UsageError(
            "kubernetes, the client of a cluster, is not installed", hint=install_command("argo")
        )


def read_configuration(environ: Mapping[str, str] | None = None) -> Any:
    """The official client's configuration, for the kubeconfig's current context.

    Raises ClusterError where neither there is a kubeconfig nor is this a pod, and for one that cannot be used; UsageError where
    the client is not installed.
    """
    require_client()
    environ = os.environ if environ is None else environ
    named = environ.get(KUBECONFIG, "")
    files = [file for file in (named or DEFAULT).split(os.pathsep) if file]
    found = [file for file in files if Path(file).expanduser().exists()]
    if not found and not environ.get(IN_CLUSTER):
        raise ClusterError(
            f"no Kubernetes cluster is configured: there is no {' and no '.join(files)}, and this is no pod of one",
            hint="get a kubeconfig from whoever runs the cluster, and name it in KUBECONFIG",
        )
    return _load(os.pathsep.join(found))


def _load(files: str) -> Any:
    """The configuration in these files, of the pod where there are none."""
    import yaml
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

    configuration = Configuration()
    where = f"the kubeconfig {files}" if files else "the pod's service account"
    try:
        if files:
            load_kube_config(files, client_configuration=configuration)
        else:
            load_incluster_config(configuration)
    except (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterError(f"{where} cannot be used: {_said(error)}", hint=HINT) from None
    except yaml.YAMLError:
        # The parser's words would quote the file, which holds secrets.
        raise ClusterError(f"{where} is not YAML", hint=HINT) from None
    if not str(configuration.host).startswith(("http://", "https://")):
        raise ClusterError(f"{where}: the server {configuration.host!r} is no URL", hint=HINT)
    return configuration


def _said(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def open_cluster(environ: Mapping[str, str] | None = None) -> Cluster:
    """The cluster of the kubeconfig's current context; it is not asked yet. Raises ClusterError where none is configured."""

    return KubernetesApi(read_configuration(environ))


CHECK = "`doit doctor --runner argo` shows what is missing"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Name of a request to the cluster at `address`, for people: `verb` is such as create."""

    address: str
    verb: str
    kind: Kind
    namespace: str
    name: str = ""

    @property
    def what(self) -> str:
        """The object or the kind."""
        named = f"the {self.kind.name} {self.name}" if self.name else f"{self.kind.name}s"
        return f"{named} in the namespace {self.namespace}" if self.kind.namespaced else named


class TooOld(ClusterUnavailable):
    """The cluster no longer knows the version of an object that a watch was to begin at."""


def refusal(status: int, body: bytes, asked: Asked) -> ClusterError:
    """The error for an answer that is none of 2xx."""
    answer = _status(body)
    said = str(answer.get("message") or "") or _text(body)
    if status == 401:
        return ClusterForbidden(
            f"the cluster at {asked.address} does not take this login (401)",
            hint="log in to the cluster again: the kubeconfig's token or certificate may have run out",
        )
    if status == 403:
        return ClusterForbidden(
            f"the cluster at {asked.address} does not let this account {asked.verb} {asked.what}: {said}",
            hint=f"ask whoever runs the cluster for the rights in deploy/argo, or is it another namespace? {CHECK}",
        )
    if status == 404:
        return _missing(answer, asked)
    if status == 409:
        return ClusterConflict(
            f"the cluster at {asked.address} has a conflict over {asked.what}: {said}",
            hint="do it again",
        )
    if status == 410:
        return TooOld(f"the cluster at {asked.address} has forgotten that version: {said}")
    if status >= 500 or status == 429:
        return ClusterUnavailable(
            f"the cluster at {asked.address} cannot serve now ({status}): {said}",
            hint="try again; whoever runs the cluster may know what is wrong",
        )
    return ClusterError(
        f"the cluster at {asked.address} refuses to {asked.verb} {asked.what} ({status}): {said}",
        hint=CHECK,
    )


def unreachable(error: Exception, asked: Asked) -> ClusterError:
    """The error for a request that got no answer, or a part of one; `error` is urllib3's."""
    from urllib3.exceptions import (
        NewConnectionError,
        ProtocolError,
        ProxyError,
        SSLError,
        TimeoutError,
    )

    if isinstance(error, SSLError):
        return ClusterUnavailable(
            f"no safe connection to the cluster at {asked.address}: {_cause(error)}",
            hint="the kubeconfig's certificate-authority must be that of the cluster; has the cluster been made anew?",
        )
    if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
        said = "does not answer"
    elif isinstance(error, ProtocolError):
        said = f"has broken off: {_cause(error)}"
    else:
        said = f"cannot be reached: {_cause(error)}"
    through = "through its proxy, " if isinstance(error, ProxyError) else ""
    return ClusterUnavailable(
        f"{through}the cluster at {asked.address} {said}",
        hint="does it run, and is this machine in its network? `kubectl cluster-info` asks the same server",
    )


def names_object(body: bytes, name: str) -> bool:
    """True of a 404 that says that the object of this name is not there, and not that its kind or its namespace is not."""
    return bool(name) and _details(_status(body)).get("name") == name


def _missing(answer: Mapping[str, Any], asked: Asked) -> ClusterError:
    details = _details(answer)
    if details.get("kind") == "namespaces" and asked.kind.namespaced:
        return ClusterMissing(
            f"the cluster at {asked.address} has no namespace {asked.namespace}",
            hint="--namespace or DAINTREE_ARGO_NAMESPACE names another; deploy/argo says how to make it",
        )
    if details.get("name"):
        return ClusterMissing(
            f"the cluster at {asked.address} has no {asked.kind.name} {asked.name or details['name']}"
            + (f" in the namespace {asked.namespace}" if asked.kind.namespaced else "")
        )
    if asked.kind.group == ARGO:
        product = (
            "Argo Events" if asked.kind.name in ("EventSource", "Sensor") else "Argo Workflows"
        )
        return ClusterMissing(
            f"{product} is not installed in the cluster at {asked.address}: it knows no {asked.kind.resource}",
            hint=f"is it the right cluster? deploy/argo/README.md says what it needs; {CHECK}",
        )
    return no_api(asked)


def no_api(asked: Asked) -> ClusterError:
    """The error for a server that does not speak as the API does."""
    return ClusterMissing(
        f"the server at {asked.address} knows no {asked.kind.resource}",
        hint="is it the API of a Kubernetes cluster? `kubectl cluster-info` says where that is",
    )


def _status(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _details(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    details = answer.get("details")
    return details if isinstance(details, dict) else {}


def _text(body: bytes) -> str:
    """The first line of an answer that is no JSON, such as a proxy's."""
    lines = body.decode("utf-8", "replace").strip().splitlines()
    return lines[0][:200] if lines else "it gives no reason"


def _cause(error: Exception) -> str:
    """Reason that the operating system gave, without the words of the layers around it."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return str(getattr(cause, "strerror", None) or getattr(cause, "reason", None) or cause)
