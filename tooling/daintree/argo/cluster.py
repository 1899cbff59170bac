"""The seam to a cluster: objects of its API as plain mappings, by kind, namespace and name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote, urlencode

import msgspec

Object: TypeAlias = Mapping[str, Any]


class Cluster(Protocol):
    """A Kubernetes cluster. `kind` is such as Workflow, CronWorkflow, ServiceAccount or Secret.

    Every method raises ClusterError when the API cannot be reached or fails, ClusterForbidden when it refuses the
    account, ClusterMissing when it does not know the kind or the namespace.
    """

    @property
    def address(self) -> str:
        """Address of its API, for people."""
        ...

    def create(self, kind: str, namespace: str, manifest: Object) -> Object:
        """Make an object; the object as the cluster has it. Raises ClusterConflict when there is one of that name."""
        ...

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object of that name; None where there is none."""
        ...

    def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Object]:
        """The objects of a kind that have these labels (`a=b,c=d`), sorted by name."""
        ...

    def merge(self, kind: str, namespace: str, name: str, change: Object) -> Object:
        """Change an object by a JSON merge patch. Raises ClusterMissing where there is none."""
        ...

    def watch(self, kind: str, namespace: str, name: str) -> Iterator[Object]:
        """The object as it is now, then each time it has changed, until it is gone.

        A connection that breaks, or a version that is too old, is taken up again.
        """
        ...

    def log(self, namespace: str, pod: str, container: str, *, follow: bool) -> Iterator[str]:
        """The lines a container has said, and, to `follow`, those it says until it ends."""
        ...

    def allows(self, namespace: str, verb: str, group: str, resource: str) -> bool:
        """True when this account may do that."""
        ...


ARGO = "argoproj.io"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind: its name in manifests, its API group ("" for the core's), version, and name in paths."""

    name: str
    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def resource(self) -> str:
        """Its name as rules of roles have it, for people: `workflows.argoproj.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str = "", **query: str) -> str:
        """The path of the kind's objects, or of one, in a namespace ("" for those that are in none); `NAME/log` is what an object has below it."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced:
            parts += ["namespaces", namespace]
        parts += [self.plural, *name.split("/")] if name else [self.plural]
        path = "/" + "/".join(quote(part, safe="") for part in parts)
        given = {key: value for key, value in query.items() if value}
        return f"{path}?{urlencode(given)}" if given else path


def _kinds(group: str, version: str, **plurals: str) -> list[Kind]:
    return [
        Kind(name=name, group=group, version=version, plural=plural)
        for name, plural in plurals.items()
    ]


KINDS = {
    kind.name: kind
    for kind in (
        *_kinds(
            ARGO,
            "v1alpha1",
            Workflow="workflows",
            CronWorkflow="cronworkflows",
            WorkflowTemplate="workflowtemplates",
            WorkflowEventBinding="workfloweventbindings",
            EventSource="eventsources",
            Sensor="sensors",
        ),
        *_kinds(
            "",
            "v1",
            ServiceAccount="serviceaccounts",
            ConfigMap="configmaps",
            Secret="secrets",
            Pod="pods",
        ),
        *_kinds("apps", "v1", Deployment="deployments"),
        *_kinds("rbac.authorization.k8s.io", "v1", Role="roles", RoleBinding="rolebindings"),
        Kind(name="Namespace", group="", version="v1", plural="namespaces", namespaced=False),
        Kind(
            name="CustomResourceDefinition",
            group="apiextensions.k8s.io",
            version="v1",
            plural="customresourcedefinitions",
            namespaced=False,
        ),
        Kind(
            name="SelfSubjectAccessReview",
            group="authorization.k8s.io",
            version="v1",
            plural="selfsubjectaccessreviews",
            namespaced=False,
        ),
    )
}
