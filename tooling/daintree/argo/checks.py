"""Checks that a cluster has what `deploy/argo` makes, and lets this account submit. What is looked at is only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from daintree.argo import names
from daintree.argo.cluster import ARGO, Cluster, Object
from daintree.argo.names import EXECUTOR_ACCOUNT, RECORD_ACCOUNT, SUBMITTER_ACCOUNT
from daintree.argo.workflow_status import phase
from daintree.components import discover_components, read_description
from daintree.errors import OK, Check, ClusterForbidden, ClusterMissing, DaintreeError, checked
from daintree.settings import Settings
from daintree.store.s3 import ObjectAddress

# (verb, API group, resource)
Right: TypeAlias = tuple[str, str, str]

# What Argo's executor in a pod reports to its controller, with the rights of the pod's account.
_OF_ITS_POD = frozenset((verb, ARGO, "workflowtaskresults") for verb in ("create", "patch"))
_READ_LOGS = ("get", "", "pods/log")

# What submitting, watching, reading and stopping take, for an account in the cluster as for a person.
SUBMITTING = frozenset(
    (
        _READ_LOGS,
        *((verb, ARGO, "workflows") for verb in ("create", "get", "list", "watch", "patch")),
    )
)
RIGHTS: Mapping[str, frozenset[Right]] = {
    EXECUTOR_ACCOUNT: _OF_ITS_POD,
    RECORD_ACCOUNT: _OF_ITS_POD | {_READ_LOGS, ("get", "", "pods"), ("get", ARGO, "workflows")},
    SUBMITTER_ACCOUNT: _OF_ITS_POD | SUBMITTING,
}


def rights_of(role: Mapping[str, Any]) -> Iterator[Right]:
    """Each right that a Role's rules give for all objects of a kind."""
    for rule in role.get("rules") or ():
        if rule.get("resourceNames"):
            continue
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for verb in rule.get("verbs") or ():
                    yield verb, group, resource


def lacking(role: Mapping[str, Any], wanted: frozenset[Right]) -> list[Right]:
    """The rights that a Role does not give, sorted; `*` stands for all."""
    given = set(rights_of(role))
    return sorted(
        (verb, group, resource)
        for verb, group, resource in wanted
        if given.isdisjoint(
            (v, g, r) for v in (verb, "*") for g in (group, "*") for r in (resource, "*")
        )
    )


APPLY = "kubectl apply -k deploy/argo"
# The kinds that the tooling writes; Argo brings all of them.
KINDS = ("Workflow", "CronWorkflow", "WorkflowTemplate")
_NOBODY = "daintree-doctor"


def check_cluster(
    cluster: Cluster, settings: Settings, store: ObjectAddress | None
) -> Iterator[Check]:
    """Each thing in the cluster that Workflows need; none after a cluster that does not answer.

    `store` is the store's address as pods reach it, None where it is not known.
    """

    def check(name: str, ask: Any, *arguments: Any) -> Check:
        return checked(name, lambda: str(ask(cluster, *arguments)), ClusterForbidden)

    reached = checked("cluster", lambda: _reached(cluster))
    yield reached
    if reached.state != OK:
        return
    yield check("Argo Workflows", _argo)
    yield check("controller", _controller)
    yield check("namespace", _namespace)
    yield check("pod security", _pod_security)
    for account, rights in RIGHTS.items():
        yield check(account, _account, account, rights)
    yield check(names.REPOSITORIES, _repository, store)
    yield check(
        names.STORE_SECRET, _secret, names.STORE_SECRET, (names.ACCESS_KEY, names.SECRET_KEY)
    )
    if settings.argo_pull_secret:
        yield check("pull secret", _secret, settings.argo_pull_secret, (".dockerconfigjson",))
    if settings.argo_env_secret:
        variables = _variables(settings)
        yield check("variables", _secret, settings.argo_env_secret, variables)
    yield check("your rights", _own_rights)


def _reached(cluster: Cluster) -> str:
    cluster.allows("get", ARGO, "workflows")
    return cluster.address


def _argo(cluster: Cluster) -> str:
    for kind in KINDS:
        cluster.find(kind, _NOBODY)
    return f"{', '.join(KINDS)} are known"


def _namespace(cluster: Cluster) -> str:
    _object(cluster, "Namespace", cluster.namespace)
    return cluster.namespace


# The namespaces in which a controller is looked for, beside that of the Workflows.
_ARGO_NAMESPACES = ("argo", "argo-workflows")
_CONTROLLER, _CONFIGURATION = "workflow-controller", "workflow-controller-configmap"


def _controller(cluster: Cluster) -> str:
    """The controller's Deployment, else a Workflow that it has taken."""
    deployment = _of_argo(cluster, "Deployment", _CONTROLLER)
    if deployment is not None:
        place = (
            f"the Deployment {_CONTROLLER} in the namespace {deployment['metadata']['namespace']}"
        )
        if (deployment.get("status") or {}).get("availableReplicas"):
            return place
        raise ClusterMissing(
            f"no controller runs: {place} has no pod available",
            hint="Workflows wait until it runs; whoever runs the cluster can start it",
        )
    workflows = cluster.list("Workflow")
    if workflows:
        # One that was taken long ago says nothing of a controller that is gone since.
        newest = max(workflows, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))
        name = newest["metadata"]["name"]
        if phase(newest):
            return f"has taken the Workflow {name}"
        raise ClusterMissing(
            f"no controller has taken the Workflow {name}",
            hint=f"does Argo's {_CONTROLLER} run, and for this namespace?",
        )
    raise ClusterForbidden(
        f"this account sees no Deployment {_CONTROLLER}, and there is no Workflow to tell by",
        hint="doit submit --watch says it where no controller takes a Workflow",
    )


def _of_argo(cluster: Cluster, kind: str, name: str) -> Object | None:
    """An object of Argo's own; None where this account sees none."""
    for namespace in (*_ARGO_NAMESPACES, cluster.namespace):
        try:
            item = cluster.within(namespace).find(kind, name)
        except (ClusterForbidden, ClusterMissing):
            continue
        if item is not None:
            return item
    return None


_RESTRICTED = (
    "executor: {securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, "
    "capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}}"
)


def _pod_security(cluster: Cluster) -> str:
    """The level that the namespace enforces; `restricted` refuses Argo's own containers unless its controller is set up."""
    metadata = (cluster.find("Namespace", cluster.namespace) or {}).get("metadata") or {}
    labels = metadata.get("labels") or {}
    level = str(labels.get("pod-security.kubernetes.io/enforce", "privileged"))
    if level != "restricted":
        return level
    hint = f"the ConfigMap {_CONFIGURATION} beside the controller needs {_RESTRICTED}"
    refused = "the namespace enforces restricted, which refuses Argo's init and wait containers"
    settings = _of_argo(cluster, "ConfigMap", _CONFIGURATION)
    if settings is None:
        raise ClusterForbidden(
            f"{refused} unless its controller is set up; this account does not see that", hint=hint
        )
    security = _executor_security(settings)
    seccomp = (security.get("seccompProfile") or {}).get("type", "RuntimeDefault")
    dropped = (security.get("capabilities") or {}).get("drop") or ()
    # What they leave out, the pods say for all of their containers.
    root = security.get("runAsNonRoot", True) is not True or security.get("runAsUser") == 0
    contained = security.get("allowPrivilegeEscalation") is False and "ALL" in dropped
    if root or not contained or seccomp not in ("RuntimeDefault", "Localhost"):
        raise ClusterMissing(f"{refused}: no pod can start", hint=hint)
    return "restricted, and the controller is set up for it"


def _executor_security(settings: Object) -> Mapping[str, Any]:
    import yaml

    given = settings.get("data") or {}
    try:
        # The controller takes one document under `config`, or a key for each setting.
        whole = yaml.safe_load(given.get("config") or "{}") or {}
        executor = whole.get("executor") or yaml.safe_load(given.get("executor") or "{}") or {}
        return dict(executor.get("securityContext") or {})
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        return {}


def _account(cluster: Cluster, account: str, rights: frozenset[Right]) -> str:
    _object(cluster, "ServiceAccount", account)
    missing = lacking(_object(cluster, "Role", account), rights)
    if missing:
        raise ClusterMissing(f"the Role {account} lacks: {_words(missing)}", hint=APPLY)
    binding = _object(cluster, "RoleBinding", account)
    subjects = [
        (one.get("kind"), one.get("name"), one.get("namespace", cluster.namespace))
        for one in binding.get("subjects") or ()
    ]
    role = binding.get("roleRef") or {}
    if (role.get("kind"), role.get("name")) != ("Role", account) or (
        "ServiceAccount",
        account,
        cluster.namespace,
    ) not in subjects:
        raise ClusterMissing(
            f"the RoleBinding {account} does not give the account its Role", hint=APPLY
        )
    return f"has its {len(rights)} rights"


def _repository(cluster: Cluster, store: ObjectAddress | None) -> str:
    s3 = _s3_of(_object(cluster, "ConfigMap", names.REPOSITORIES))
    wanted: dict[str, Any] = {
        **({"bucket": store.bucket} if store else {}),
        "accessKeySecret": {"name": names.STORE_SECRET, "key": names.ACCESS_KEY},
        "secretKeySecret": {"name": names.STORE_SECRET, "key": names.SECRET_KEY},
    }
    if store and store.endpoint:
        wanted |= {"endpoint": store.host, "insecure": store.insecure}
    for name, value in wanted.items():
        present = s3.get(name, False if name == "insecure" else None)
        if present != value:
            raise ClusterMissing(
                f"the ConfigMap {names.REPOSITORIES} says {name} {_shown(present)}, and the settings come to {_shown(value)}",
                hint=f"put it right in deploy/argo/artifacts.yaml, then {APPLY}",
            )
    return str(s3.get("bucket"))


def _s3_of(configuration: Object) -> Mapping[str, Any]:
    import yaml

    text = (configuration.get("data") or {}).get(names.REPOSITORY, "")
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError:
        read = None
    s3 = read.get("s3") if isinstance(read, dict) else None
    if not isinstance(s3, dict):
        raise ClusterMissing(
            f"the ConfigMap {names.REPOSITORIES} has no s3 repository under {names.REPOSITORY!r}",
            hint=APPLY,
        )
    return s3


def _secret(cluster: Cluster, name: str, keys: tuple[str, ...]) -> str:
    given = _object(cluster, "Secret", name).get("data") or {}
    empty = [key for key in keys if not given.get(key)]
    if empty:
        raise ClusterMissing(
            f"the Secret {name} has no value for {' and '.join(empty)}",
            hint=f"fill in deploy/argo/store.env, then {APPLY}"
            if name == names.STORE_SECRET
            else "whoever runs the cluster can put it there",
        )
    return f"has {' and '.join(keys)}" if keys else "is there"


def _variables(settings: Settings) -> tuple[str, ...]:
    """The variables that the project's components name; those whose files cannot be read are said by the plan."""
    named: set[str] = set()
    for name in discover_components(settings.root):
        with suppress(DaintreeError):
            named |= {*read_description(settings.root, name).env}
    return tuple(sorted(named))


def _own_rights(cluster: Cluster) -> str:
    missing = [right for right in sorted(SUBMITTING) if not cluster.allows(*right)]
    if missing:
        raise DaintreeError(
            f"this account may not: {_words(missing)}",
            hint=f"whoever runs the cluster can bind the Role {names.SUBMITTER_ACCOUNT} to it",
        )
    return f"this account may submit to {cluster.namespace}"


def _object(cluster: Cluster, kind: str, name: str) -> Object:
    item = cluster.find(kind, name)
    if item is None:
        raise ClusterMissing(f"there is no {kind} {name}", hint=APPLY)
    return item


def _words(rights: list[Right]) -> str:
    return ", ".join(f"{verb} {resource}" for verb, _, resource in rights)


def _shown(value: Any) -> str:
    return (
        f"{value['name']}/{value['key']}"
        if isinstance(value, dict) and value.keys() >= {"name", "key"}
        else repr(value)
    )
