"""What the cluster's API answers when it does not do what was asked, as the tooling's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from daintree.argo.cluster import ARGO, Kind
from daintree.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterMissing,
    ClusterUnavailable,
)

CHECK = "`doit doctor --runner argo` shows what is missing"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of the cluster at `address`, for people: `verb` is such as create."""

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
    """Whether a 404 says that the object of this name is not there, and not that its kind or its namespace is not."""
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
    """What the operating system said, without the words of the layers around it."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return str(getattr(cause, "strerror", None) or getattr(cause, "reason", None) or cause)
