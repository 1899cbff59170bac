"""The kinds of objects that Workflows take, and where the cluster's API has them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import msgspec

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
