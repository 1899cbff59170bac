"""The cluster through its HTTP API: the official client says where it is and who calls; objects stay plain mappings."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

import msgspec

from daintree.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterMissing,
    ClusterUnavailable,
    UsageError,
)
from daintree.settings import install_command

Object: TypeAlias = Mapping[str, Any]

ARGO = "argoproj.io"
CONNECT_SECONDS, READ_SECONDS = 10, 30
# The server ends a watch after this long, and it is taken up again: a connection that died silently is noticed.
WATCH_SECONDS = 240
# How long to wait before each try to take up a watch that broke; after the last, its error is raised.
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
# The API's words for a log whose container has not begun, and for one that will not begin.
_WAITING = (b"is waiting to start", b"does not have a host assigned")
_NEVER = b"failing to pull image"


class Kind(msgspec.Struct, frozen=True):
    """A kind: its name in manifests, its API group and version (`v1` for the core's), and its name in paths."""

    name: str
    api: str
    plural: str
    namespaced: bool = True

    @property
    def resource(self) -> str:
        """Its name as rules of roles have it, for people: `workflows.argoproj.io`."""
        return f"{self.plural}.{self.api.partition('/')[0]}" if "/" in self.api else self.plural


_ARGO, _ROLES = f"{ARGO}/v1alpha1", "rbac.authorization.k8s.io/v1"
KINDS = {
    kind.name: kind
    for kind in (
        Kind("Workflow", _ARGO, "workflows"),
        Kind("CronWorkflow", _ARGO, "cronworkflows"),
        Kind("WorkflowTemplate", _ARGO, "workflowtemplates"),
        Kind("ServiceAccount", "v1", "serviceaccounts"),
        Kind("ConfigMap", "v1", "configmaps"),
        Kind("Secret", "v1", "secrets"),
        Kind("Pod", "v1", "pods"),
        Kind("Deployment", "apps/v1", "deployments"),
        Kind("Role", _ROLES, "roles"),
        Kind("RoleBinding", _ROLES, "rolebindings"),
        Kind("Namespace", "v1", "namespaces", False),
        Kind(
            "SelfSubjectAccessReview", "authorization.k8s.io/v1", "selfsubjectaccessreviews", False
        ),
    )
}


class Request(msgspec.Struct, frozen=True):
    """A request to the cluster at `address`: `verb` is such as create, `below` the part of the object such as its log."""

    address: str
    verb: str
    kind: Kind
    namespace: str
    name: str
    below: str
    query: Mapping[str, str]

    @property
    def subject(self) -> str:
        """The object or the kind."""
        named = f"the {self.kind.name} {self.name}" if self.name else f"{self.kind.name}s"
        return f"{named} in the namespace {self.namespace}" if self.kind.namespaced else named

    @property
    def method(self) -> str:
        """The method of HTTP."""
        return {"create": "POST", "patch": "PATCH"}.get(self.verb, "GET")

    @property
    def url(self) -> str:
        """The URL of the object to get and patch it; else that of all of its kind."""
        kind = self.kind
        parts = [self.address, "apis" if "/" in kind.api else "api", kind.api]
        parts += ["namespaces", self.namespace] if kind.namespaced else []
        parts += [kind.plural, *((self.name, self.below) if self.verb in ("get", "patch") else ())]
        query = f"?{urlencode(self.query)}" if self.query else ""
        return "/".join(filter(None, parts)) + query


class Cluster:
    """A namespace of a Kubernetes cluster. `kind` is such as Workflow, CronWorkflow, ServiceAccount or Secret.

    Every method raises ClusterError when the API cannot be reached or fails, ClusterForbidden when it refuses the
    account, ClusterMissing when it does not know the kind or the namespace.
    """

    def __init__(
        self, configuration: Any, namespace: str, wait: Callable[[float], None] = time.sleep
    ) -> None:
        """`configuration` is the official client's, with the `address` of the API; `wait` waits so many seconds."""
        from kubernetes.client.rest import RESTClientObject

        self.address, self.namespace = str(configuration.host), namespace
        self._configuration = configuration
        # The client's own methods read a body whole, and differ between its versions; its pool has its TLS and proxies.
        self._pool = RESTClientObject(configuration).pool_manager
        self._wait = wait

    def within(self, namespace: str) -> Cluster:
        """Another namespace of the same cluster."""
        other = copy.copy(self)
        other.namespace = namespace
        return other

    def create(self, kind: str, manifest: Object) -> Object:
        """Make an object; the object as the cluster has it. Raises ClusterConflict when there is one of that name."""
        return self._send(self._request("create", kind, manifest["metadata"]["name"]), manifest)

    def find(self, kind: str, name: str) -> Object | None:
        """The object of that name; None where there is none."""
        request = self._request("get", kind, name)
        with self._response(request) as response:
            body = response.read()
            # Another 404 says that the kind or the namespace is not there.
            if response.status == 404 and _details(_parsed(body)).get("name") == name:
                return None
            return _content(response.status, body, request)

    def list(self, kind: str, *, labels: str = "") -> list[Object]:
        """The objects of a kind that have these labels (`a=b,c=d`), sorted by name."""
        items = self._send(self._request("list", kind, labelSelector=labels)).get("items") or []
        return sorted(items, key=lambda item: str(item["metadata"]["name"]))

    def merge(self, kind: str, name: str, change: Object) -> Object:
        """Change an object by a JSON merge patch. Raises ClusterMissing where there is none."""
        return self._send(self._request("patch", kind, name), change)

    def watch(self, kind: str, name: str) -> Iterator[Object]:
        """The object as it is now, then each time it has changed, until it is gone.

        A connection that breaks, or a version that is too old, is taken up again. Raises the error that broke the watch when
        that cannot be done within PAUSES.
        """
        item = self.find(kind, name)
        failures = 0
        while item is not None:
            yield item
            version = _version(item)
            while version:
                try:
                    for event, changed in self._events(kind, name, version):
                        version, failures = _version(changed), 0
                        if event == "DELETED":
                            return
                        if event != "BOOKMARK":
                            yield changed
                    # It has run out. A server that ends each at once must not be called without a pause.
                    self._wait(PAUSES[1])
                except ClusterUnavailable as error:
                    if failures == len(PAUSES):
                        raise
                    self._wait(PAUSES[failures])
                    failures += 1
                    version = "" if isinstance(error, _TooOld) else version
            item = self.find(kind, name)

    def log(self, pod: str, container: str, *, follow: bool) -> Iterator[str]:
        """The lines of a container's log, and, to `follow`, those it writes until it ends.

        A container that has not begun has none, and to `follow` it is to wait for its beginning. Raises ClusterError for one
        that will not begin.
        """
        following = "true" if follow else "false"
        request = self._request("get", "Pod", pod, "log", container=container, follow=following)
        seconds = None if follow else READ_SECONDS
        while True:
            with self._response(request, seconds=seconds) as response:
                if response.status == 200:
                    for line in _lines(response):
                        yield line.decode("utf-8", "replace")
                    return
                body = response.read()
            waiting = response.status == 400 and any(words in body for words in _WAITING)
            if not waiting or _NEVER in body:
                raise _refusal(response.status, body, request)
            if not follow:
                return
            self._wait(PAUSES[2])

    def allows(self, verb: str, group: str, resource: str) -> bool:
        """True when this account has that right; `resource` may name a subresource: pods/log."""
        plural, _, below = resource.partition("/")
        right = {"namespace": self.namespace, "verb": verb, "group": group, "resource": plural}
        request = self._request("create", "SelfSubjectAccessReview")
        review = {
            "apiVersion": request.kind.api,
            "kind": request.kind.name,
            "spec": {"resourceAttributes": {**right, "subresource": below}},
        }
        return bool(self._send(request, review).get("status", {}).get("allowed"))

    def _request(
        self, verb: str, kind: str, name: str | None = None, below: str = "", **query: str
    ) -> Request:
        for text in (self.namespace, name):
            if text is not None and not _NAME.fullmatch(text):
                raise ClusterMissing(
                    f"nothing in a cluster is called {text!r}",
                    hint="names there are of small letters, digits, `-` and `.`",
                )
        return Request(self.address, verb, KINDS[kind], self.namespace, name or "", below, query)

    def _send(self, request: Request, content: Object | None = None) -> dict[str, Any]:
        with self._response(request, content) as response:
            return _content(response.status, response.read(), request)

    @contextlib.contextmanager
    def _response(
        self,
        request: Request,
        content: Object | None = None,
        *,
        seconds: float | None = READ_SECONDS,
    ) -> Iterator[Any]:
        """The response, its body unread; `seconds` may pass between two parts of it (None: any time).

        Errors of the client that come up while the context lasts are mapped as well.
        """
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        try:
            response = self._pool.request(
                request.method,
                request.url,
                body=None if content is None else json.dumps(content).encode(),
                headers=self._headers(request.method),
                timeout=Timeout(connect=CONNECT_SECONDS, read=seconds),
                retries=False,
                preload_content=False,
            )
            with contextlib.closing(response):
                yield response
                response.release_conn()
        except HTTPError as error:
            raise _unreachable(error, request) from None

    def _headers(self, method: str) -> dict[str, str]:
        patch = "merge-patch+" if method == "PATCH" else ""
        headers = {"Accept": "application/json, */*", "User-Agent": "daintree"}
        if method != "GET":
            headers["Content-Type"] = f"application/{patch}json"
        for setting in self._configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        return headers

    def _events(self, kind: str, name: str, version: str) -> Iterator[tuple[str, Any]]:
        """Changes of an object from that version on, as (type, object), until the server ends it."""
        request = self._request(
            "watch",
            kind,
            name,
            watch="true",
            fieldSelector=f"metadata.name={name}",
            resourceVersion=version,
            allowWatchBookmarks="true",
            timeoutSeconds=str(WATCH_SECONDS),
        )
        with self._response(request, seconds=WATCH_SECONDS + READ_SECONDS) as stream:
            if stream.status != 200:
                raise _refusal(stream.status, stream.read(), request)
            for line in _lines(stream):
                event = _content(200, line, request)
                item = event.get("object") or {}
                if event.get("type") == "ERROR":
                    raise _refusal(int(item.get("code", 500)), json.dumps(item).encode(), request)
                yield event["type"], item


def _version(item: Object) -> str:
    return str(item["metadata"]["resourceVersion"])


def _lines(response: Any) -> Iterator[bytes]:
    """The lines of a stream, each as soon as it is whole."""
    begun = b""
    for part in response.stream(1 << 16, decode_content=True):
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


def open_cluster(
    namespace: str,
    environ: Mapping[str, str] | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Cluster:
    """The namespace of the cluster of the kubeconfig's current context, or of the pod that this is; no request is made yet.

    Raises ClusterError where there is neither, and for a kubeconfig that cannot be used; UsageError where the client is missing.
    """
    require_client()
    environ = os.environ if environ is None else environ
    files = [name for name in (environ.get(KUBECONFIG) or DEFAULT).split(os.pathsep) if name]
    present = [file for file in files if Path(file).expanduser().exists()]
    if not present and not environ.get(IN_CLUSTER):
        raise ClusterError(
            f"no Kubernetes cluster is configured: there is no {' and no '.join(files)}, and this is no pod of one",
            hint="get a kubeconfig from whoever runs the cluster, and name it in KUBECONFIG",
        )
    return Cluster(_configuration(os.pathsep.join(present)), namespace, wait)


def _configuration(files: str) -> Any:
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
        reason = str(error).rstrip(".") or type(error).__name__
        raise ClusterError(f"{where} cannot be used: {reason}", hint=HINT) from None
    except yaml.YAMLError:
        # The parser's words would quote the file, which holds secrets.
        raise ClusterError(f"{where} is not YAML", hint=HINT) from None
    if not str(configuration.host).startswith(("http://", "https://")):
        raise ClusterError(f"{where}: the server {configuration.host!r} is no URL", hint=HINT)
    return configuration


CHECK = "`doit doctor --runner argo` shows what is missing"


class _TooOld(ClusterUnavailable):
    """The cluster no longer knows the version of an object that a watch was to begin at."""


def _content(status: int, body: bytes, request: Request) -> dict[str, Any]:
    if not 200 <= status < 300:
        raise _refusal(status, body, request)
    content = _parsed(body)
    if content is None:
        raise _no_api(request)
    return content


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _details(status: Object | None) -> Object:
    details = (status or {}).get("details")
    return details if isinstance(details, dict) else {}


def _refusal(status: int, body: bytes, request: Request) -> ClusterError:
    """The error for an answer that is none of 2xx."""
    answer = _parsed(body) or {}
    # An answer that is no JSON is such as a proxy's.
    lines = body.decode("utf-8", "replace").strip().splitlines() or ["it gives no reason"]
    reason = str(answer.get("message") or lines[0][:200])
    cluster = f"the cluster at {request.address}"
    if status == 404:
        return _missing(_details(answer), request)
    if status == 410:
        return _TooOld(f"{cluster} has forgotten that version: {reason}")
    if status >= 500 or status == 429:
        return ClusterUnavailable(
            f"{cluster} cannot serve now ({status}): {reason}",
            hint="try again; whoever runs the cluster may know what is wrong",
        )
    error, text, hint = {
        401: (
            ClusterForbidden,
            "does not take this login (401)",
            "log in to the cluster again: the kubeconfig's token or certificate may have run out",
        ),
        403: (
            ClusterForbidden,
            f"does not let this account {request.verb} {request.subject}: {reason}",
            f"ask whoever runs the cluster for the rights in deploy/argo, or is it another namespace? {CHECK}",
        ),
        409: (ClusterConflict, f"has a conflict over {request.subject}: {reason}", "do it again"),
    }.get(
        status,
        (ClusterError, f"refuses to {request.verb} {request.subject} ({status}): {reason}", CHECK),
    )
    return error(f"{cluster} {text}", hint=hint)


def _missing(details: Object, request: Request) -> ClusterError:
    """The error for a 404: of a namespace, an object, a kind or the API as a whole."""
    cluster, kind = f"the cluster at {request.address}", request.kind
    if details.get("kind") == "namespaces" and kind.namespaced:
        return ClusterMissing(
            f"{cluster} has no namespace {request.namespace}",
            hint="--namespace or DAINTREE_ARGO_NAMESPACE names another; deploy/argo says how to make it",
        )
    if details.get("name"):
        return ClusterMissing(
            f"{cluster} has no {kind.name} {request.name or details['name']}"
            + (f" in the namespace {request.namespace}" if kind.namespaced else "")
        )
    if kind.api == _ARGO:
        return ClusterMissing(
            f"Argo Workflows is not installed in {cluster}: it knows no {kind.resource}",
            hint=f"is it the right cluster? deploy/argo/README.md says what it needs; {CHECK}",
        )
    return _no_api(request)


def _no_api(request: Request) -> ClusterError:
    """The error for a server that does not speak as the API does."""
    return ClusterMissing(
        f"the server at {request.address} knows no {request.kind.resource}",
        hint="is it the API of a Kubernetes cluster? `kubectl cluster-info` says where that is",
    )


def _unreachable(error: Exception, request: Request) -> ClusterError:
    """The error for a request that got no answer, or a part of one; `error` is urllib3's."""
    from urllib3 import exceptions

    if isinstance(error, exceptions.SSLError):
        return ClusterUnavailable(
            f"no safe connection to the cluster at {request.address}: {_cause(error)}",
            hint="the kubeconfig's certificate-authority must be that of the cluster; has the cluster been made anew?",
        )
    if isinstance(error, exceptions.TimeoutError) and not isinstance(
        error, exceptions.NewConnectionError
    ):
        fault = "does not answer"
    elif isinstance(error, exceptions.ProtocolError):
        fault = f"has broken off: {_cause(error)}"
    else:
        fault = f"cannot be reached: {_cause(error)}"
    through = "through its proxy, " if isinstance(error, exceptions.ProxyError) else ""
    return ClusterUnavailable(
        f"{through}the cluster at {request.address} {fault}",
        hint="does it run, and is this machine in its network? `kubectl cluster-info` asks the same server",
    )


def _cause(error: Exception) -> str:
    """Reason that the operating system gave, without the words of the layers around it."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return str(getattr(cause, "strerror", None) or getattr(cause, "reason", None) or cause)
