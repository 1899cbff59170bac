"""What each account of `deploy/argo` may do in the namespace, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from daintree.argo.names import EXECUTOR_ACCOUNT, RECORD_ACCOUNT, SUBMITTER_ACCOUNT
from daintree.cluster.kinds import ARGO

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
    RECORD_ACCOUNT: _OF_ITS_POD | {_READ_LOGS, ("get", ARGO, "workflows")},
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
