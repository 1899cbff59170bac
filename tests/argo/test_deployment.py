"""The manifests in deploy/argo: sound, complete, named as the tooling names them, with exactly the rights that are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from daintree.argo import names
from daintree.argo.checks import RIGHTS, rights_of
from daintree.argo.cluster import KINDS
from daintree.settings import read_settings
from tests.services.argo_check import read_documents

DEPLOYMENT = Path(__file__).parents[2] / "deploy/argo"
NAMESPACE = read_settings(Path("/nowhere"), {"HOME": "/"}).argo_namespace


def kustomization() -> dict[str, Any]:
    [document] = read_documents((DEPLOYMENT / "kustomization.yaml").read_text())
    return document


def objects() -> dict[tuple[str, str], dict[str, Any]]:
    """Every object that is applied, by kind and name."""
    documents = [
        document
        for file in kustomization()["resources"]
        for document in read_documents((DEPLOYMENT / file).read_text())
    ]
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    assert len(by_name) == len(documents), "no name stands twice"
    return by_name


def test_each_file_is_applied_or_is_a_template() -> None:
    applied = {*kustomization()["resources"], "kustomization.yaml"}
    others = {"README.md", "store.env.template"}
    assert {file.name for file in DEPLOYMENT.iterdir()} - {"store.env"} == applied | others


def test_every_object_is_of_a_known_version_and_in_the_namespace_of_the_setting() -> None:
    assert kustomization()["namespace"] == NAMESPACE
    for (kind, name), document in objects().items():
        known = KINDS[kind]
        assert document["apiVersion"] == known.api
        if kind == "Namespace":
            assert name == NAMESPACE
        else:
            assert document["metadata"]["namespace"] == NAMESPACE


@pytest.mark.parametrize("account", RIGHTS)
def test_an_account_has_exactly_its_rights(account: str) -> None:
    applied = objects()
    assert ("ServiceAccount", account) in applied
    given = list(rights_of(applied["Role", account]))
    assert set(given) == RIGHTS[account]
    assert len(given) == len(set(given))
    binding = applied["RoleBinding", account]
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": account,
    }
    subject = {"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}
    assert binding["subjects"] == [subject]


def test_nothing_is_there_but_the_accounts_the_namespace_and_the_repository() -> None:
    kinds = ("ServiceAccount", "Role", "RoleBinding")
    assert set(objects()) == {
        *((kind, account) for kind in kinds for account in RIGHTS),
        ("Namespace", NAMESPACE),
        ("ConfigMap", names.REPOSITORIES),
    }


def test_the_repository_takes_its_keys_from_the_secret() -> None:
    [(key, text)] = objects()["ConfigMap", names.REPOSITORIES]["data"].items()
    assert key == names.REPOSITORY
    [(kind, repository)] = yaml.safe_load(text).items()
    assert kind == "s3"
    assert repository["accessKeySecret"] == {"name": names.STORE_SECRET, "key": names.ACCESS_KEY}
    assert repository["secretKeySecret"] == {"name": names.STORE_SECRET, "key": names.SECRET_KEY}
    assert set(repository) == {
        *("endpoint", "insecure", "bucket", "accessKeySecret", "secretKeySecret")
    }


def test_the_secret_is_made_of_a_file_of_which_only_an_empty_template_is_kept() -> None:
    [secret] = kustomization()["secretGenerator"]
    assert (secret["name"], secret["envs"]) == (names.STORE_SECRET, ["store.env"])
    assert secret["options"] == {"disableNameSuffixHash": True}
    lines = (DEPLOYMENT / "store.env.template").read_text().splitlines()
    assert lines == [f"{names.ACCESS_KEY}=", f"{names.SECRET_KEY}="]
    ignored = (DEPLOYMENT.parents[1] / ".gitignore").read_text().splitlines()
    assert "/deploy/argo/store.env" in ignored
