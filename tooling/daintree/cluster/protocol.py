"""The seam to a cluster: objects of its API as plain mappings, by kind, namespace and name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias

Object: TypeAlias = Mapping[str, Any]


class Cluster(Protocol):
    """A Kubernetes cluster. `kind` is such as Workflow, CronWorkflow, ServiceAccount or Secret.

    Every method raises ClusterError when the API cannot be reached or fails, ClusterForbidden when it refuses the
    account, ClusterMissing when it does not know the kind or the namespace.
    """

    @property
    def address(self) -> str:
        """Where its API is, for people."""
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
        """Whether this account may do that."""
        ...
