"""What a cluster lacks, each thing by itself: against a server that has what deploy/argo makes, less one thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from daintree.argo.checks import check_cluster
from daintree.argo.cluster import open_cluster
from daintree.argo.names import (
    EXECUTOR_ACCOUNT,
    RECORD_ACCOUNT,
    REPOSITORIES,
    STORE_SECRET,
    SUBMITTER_ACCOUNT,
)
from daintree.errors import Check
from daintree.settings import Settings, read_settings
from daintree.store.s3 import object_address
from tests.argo.applied import SECRET_VALUE, apply
from tests.argo.in_cluster import adapter
from tests.services.kubernetes_objects import NAMESPACE, KubernetesServer
from tests.services.registry import free_port

STORE = object_address("s3://ml-artifacts/team", "http://minio.minio:9000", "")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(tmp_path, {"HOME": "/", "DAINTREE_STORE": "s3://ml-artifacts/team"})


@pytest.fixture
def look(
    kubernetes: KubernetesServer, settings: Settings, tmp_path: Path
) -> Callable[..., dict[str, Check]]:
    """Checks the cluster, to which deploy/argo was applied; the checks by name."""
    apply(kubernetes)
    cluster = adapter(kubernetes, tmp_path)

    def checks(**changes: Any) -> dict[str, Check]:
        changed = settings._replace(**changes)
        checks_made = list(check_cluster(cluster, changed, STORE))
        assert SECRET_VALUE not in str(checks_made)
        return {check.name: check for check in checks_made}

    return checks


def changed(kubernetes: KubernetesServer, kind: str, name: str, **changes: Any) -> None:
    """Change an object of the cluster."""
    kubernetes.put(kind, {**kubernetes.objects[kind, NAMESPACE, name], **changes})


def test_the_variables_of_components_are_looked_for(
    look: Callable[..., dict[str, Check]],
    kubernetes: KubernetesServer,
    settings: Settings,
) -> None:
    component = settings.root / "components/shop/load"
    component.mkdir(parents=True)
    (component / "Dockerfile").write_text("FROM scratch\n")
    (component / "component.yaml").write_text("env: [DB_HOST, DB_PASSWORD]\n")
    content = {"DB_HOST": SECRET_VALUE}
    kubernetes.put("Secret", {"metadata": {"name": "shop"}, "data": content})
    check = look(argo_env_secret="shop")["variables"]
    assert check.what == "the Secret shop has no value for DB_PASSWORD"
    content["DB_PASSWORD"] = SECRET_VALUE
    kubernetes.put("Secret", {"metadata": {"name": "shop"}, "data": content})
    assert look(argo_env_secret="shop")["variables"].state == "ok"


def test_nothing_is_missing_after_it_was_applied(look: Callable[..., dict[str, Check]]) -> None:
    checks = look()
    assert {check.state for check in checks.values()} == {"ok"}
    assert list(checks) == [
        "cluster",
        "Argo Workflows",
        "controller",
        "namespace",
        "pod security",
        EXECUTOR_ACCOUNT,
        RECORD_ACCOUNT,
        SUBMITTER_ACCOUNT,
        REPOSITORIES,
        STORE_SECRET,
        "your rights",
    ]


def repository(**changes: object) -> Callable[[KubernetesServer], None]:
    """Have the artifact repository say something else."""

    def change(kubernetes: KubernetesServer) -> None:
        account = yaml.safe_load(
            kubernetes.objects["ConfigMap", NAMESPACE, REPOSITORIES]["data"]["store"]
        )
        text = yaml.safe_dump({"s3": {**account["s3"], **changes}})
        changed(kubernetes, "ConfigMap", REPOSITORIES, data={"store": text})

    return change


@pytest.mark.parametrize(
    ("break_it", "name", "complaint"),
    [
        (
            lambda k: k.installed.discard("CronWorkflow"),
            "Argo Workflows",
            "Argo Workflows is not installed",
        ),
        (lambda k: k.remove("Namespace", NAMESPACE), "namespace", "no Namespace daintree"),
        (
            lambda k: k.remove("ServiceAccount", EXECUTOR_ACCOUNT),
            EXECUTOR_ACCOUNT,
            "there is no ServiceAccount daintree-executor",
        ),
        (
            lambda k: k.remove("Role", RECORD_ACCOUNT),
            RECORD_ACCOUNT,
            "there is no Role daintree-record",
        ),
        (
            lambda k: changed(k, "Role", EXECUTOR_ACCOUNT, rules=[]),
            EXECUTOR_ACCOUNT,
            "lacks: create workflowtaskresults, patch workflowtaskresults",
        ),
        (
            lambda k: k.remove("RoleBinding", SUBMITTER_ACCOUNT),
            SUBMITTER_ACCOUNT,
            "there is no RoleBinding",
        ),
        (
            lambda k: changed(k, "RoleBinding", SUBMITTER_ACCOUNT, subjects=[]),
            SUBMITTER_ACCOUNT,
            "does not give the account its Role",
        ),
        (
            lambda k: k.remove("ConfigMap", REPOSITORIES),
            REPOSITORIES,
            "there is no ConfigMap daintree-artifacts",
        ),
        (
            lambda k: changed(k, "ConfigMap", REPOSITORIES, data={"store": "s3: ["}),
            REPOSITORIES,
            "has no s3 repository under 'store'",
        ),
        (
            repository(bucket="other"),
            REPOSITORIES,
            "says bucket 'other', and the settings come to 'ml-artifacts'",
        ),
        (
            repository(endpoint="127.0.0.1:9000"),
            REPOSITORIES,
            "says endpoint '127.0.0.1:9000', and the settings come to 'minio.minio:9000'",
        ),
        (repository(insecure=False), REPOSITORIES, "says insecure False"),
        (
            repository(secretKeySecret={"name": "other", "key": "secret-key"}),
            REPOSITORIES,
            "says secretKeySecret other/secret-key",
        ),
        (
            lambda k: k.remove("Secret", STORE_SECRET),
            STORE_SECRET,
            "there is no Secret daintree-store",
        ),
        (
            lambda k: changed(k, "Secret", STORE_SECRET, data={"access-key": SECRET_VALUE}),
            STORE_SECRET,
            "has no value for secret-key",
        ),
        (
            lambda k: k.denied.update({("create", "workflows"), ("get", "pods/log")}),
            "your rights",
            "this account may not: create workflows, get pods/log",
        ),
    ],
)
def test_each_thing_that_is_missing_is_said_with_what_to_do(
    look: Callable[..., dict[str, Check]],
    kubernetes: KubernetesServer,
    break_it: Callable[[KubernetesServer], None],
    name: str,
    complaint: str,
) -> None:
    break_it(kubernetes)
    checks = look()
    assert [check.name for check in checks.values() if check.state != "ok"] == [name]
    assert complaint in checks[name].what
    assert checks[name].state == "missing"
    assert checks[name].hint


def test_what_this_account_may_not_look_at_is_not_missing(
    look: Callable[..., dict[str, Check]], kubernetes: KubernetesServer
) -> None:
    kubernetes.denied.update({("get", "secrets"), ("get", "namespaces")})
    checks = look()
    assert {check.name for check in checks.values() if check.state == "unknown"} == {
        "namespace",
        "pod security",
        STORE_SECRET,
    }
    assert "does not let this account get" in checks[STORE_SECRET].what


def test_a_pull_secret_is_looked_for_where_one_is_set(
    look: Callable[..., dict[str, Check]], kubernetes: KubernetesServer
) -> None:
    assert "there is no Secret login" in look(argo_pull_secret="login")["pull secret"].what
    content = {".dockerconfigjson": SECRET_VALUE}
    kubernetes.put("Secret", {"metadata": {"name": "login"}, "data": content})
    assert look(argo_pull_secret="login")["pull secret"].state == "ok"


def test_a_role_for_everything_gives_every_right(
    look: Callable[..., dict[str, Check]], kubernetes: KubernetesServer
) -> None:
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    for account in (EXECUTOR_ACCOUNT, RECORD_ACCOUNT, SUBMITTER_ACCOUNT):
        changed(kubernetes, "Role", account, rules=[everything])
    assert {check.state for check in look().values()} == {"ok"}


def test_rules_for_named_objects_do_not_count(
    look: Callable[..., dict[str, Check]], kubernetes: KubernetesServer
) -> None:
    named = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], "resourceNames": ["a"]}
    changed(kubernetes, "Role", EXECUTOR_ACCOUNT, rules=[named])
    assert look()[EXECUTOR_ACCOUNT].state == "missing"


def test_a_cluster_that_does_not_answer_is_all_there_is_to_say(
    kubernetes: KubernetesServer, settings: Settings, tmp_path: Path
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    file = kubernetes.kubeconfig(tmp_path / "nobody", server=nobody)
    cluster = open_cluster(NAMESPACE, {"KUBECONFIG": str(file)})
    [check] = check_cluster(cluster, settings, STORE)
    assert (check.name, check.state) == ("cluster", "missing")
    assert "cannot be reached" in check.what


def test_a_controller_without_a_pod_is_said(
    look: Callable[..., dict[str, Check]], kubernetes: KubernetesServer
) -> None:
    kubernetes.put("Deployment", {"metadata": {"name": "workflow-controller"}}, "argo")
    check = look()["controller"]
    assert check.state == "missing"
    assert check.what.startswith("no controller runs: the Deployment workflow-controller in")


@pytest.mark.parametrize(
    ("phases", "state", "complaint"),
    [
        ([], "unknown", "there is no Workflow to tell by"),
        ([""], "missing", "no controller has taken the Workflow w0"),
        (["", "Running"], "ok", "has taken the Workflow w1"),
        (["Succeeded", ""], "missing", "no controller has taken the Workflow w1"),
    ],
)
def test_who_may_not_see_the_controller_sees_what_it_does(
    look: Callable[..., dict[str, Check]],
    kubernetes: KubernetesServer,
    phases: list[str],
    state: str,
    complaint: str,
) -> None:
    kubernetes.denied.add(("get", "deployments"))
    for number, phase in enumerate(phases):
        made = f"2026-03-0{number + 1}T00:00:00Z"
        metadata = {"name": f"w{number}", "creationTimestamp": made}
        kubernetes.put("Workflow", {"metadata": metadata, "status": {"phase": phase}})
    check = look()["controller"]
    assert check.state == state
    assert complaint in check.what


SECURITY = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# What Kubernetes' admission demands of them where the pod says the rest.
LEAST = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def executor(security: dict[str, Any]) -> dict[str, str]:
    """The controller's configuration with this security context of its own containers."""
    return {"executor": yaml.safe_dump({"securityContext": security})}


@pytest.mark.parametrize(
    ("configuration", "state"),
    [
        (None, "unknown"),
        ({}, "missing"),
        ({"executor": "{"}, "missing"),
        (executor({"runAsNonRoot": True}), "missing"),
        (executor(SECURITY), "ok"),
        (executor(LEAST), "ok"),
        (executor({**LEAST, "runAsNonRoot": False}), "missing"),
        (executor({**LEAST, "runAsUser": 0}), "missing"),
        (executor({**LEAST, "seccompProfile": {"type": "Unconfined"}}), "missing"),
        (executor({**LEAST, "capabilities": {"drop": ["all"]}}), "missing"),
        ({"config": yaml.safe_dump({"executor": {"securityContext": SECURITY}})}, "ok"),
    ],
)
def test_a_restricted_namespace_needs_a_controller_that_is_set_up(
    look: Callable[..., dict[str, Check]],
    kubernetes: KubernetesServer,
    configuration: dict[str, str] | None,
    state: str,
) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubernetes.put("Namespace", {"metadata": {"name": NAMESPACE, "labels": labels}})
    if configuration is not None:
        metadata = {"name": "workflow-controller-configmap"}
        kubernetes.put("ConfigMap", {"metadata": metadata, "data": configuration}, "argo")
    check = look()["pod security"]
    assert check.state == state
    assert ("executor: {securityContext:" in check.hint) == (state != "ok")
