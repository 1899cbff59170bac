"""The cluster's API over real HTTP: what is asked of it, and what breaks on the way."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daintree.argo.cluster import PAUSES, Cluster, open_cluster
from daintree.errors import ClusterError, ClusterForbidden, ClusterMissing, ClusterUnavailable
from tests.argo.kubernetes_cluster import manifest
from tests.services.kubernetes_objects import NAMESPACE, KubernetesServer


def test_creates_finds_and_changes_an_object(cluster: Cluster) -> None:
    made = cluster.create("Workflow", manifest())
    changed = cluster.merge("Workflow", "words-1", {"spec": {"shutdown": "Stop"}})
    assert made["metadata"]["creationTimestamp"]
    assert changed["spec"] == {"entrypoint": "pipeline", "shutdown": "Stop"}
    assert cluster.find("Workflow", "words-1") == changed
    assert cluster.find("Workflow", "words-2") is None


def test_finds_what_is_in_no_namespace(cluster: Cluster) -> None:
    namespace = cluster.find("Namespace", NAMESPACE)
    assert namespace is not None
    assert namespace["metadata"]["name"] == NAMESPACE
    assert cluster.find("Namespace", "other") is None


def test_lists_by_labels_sorted_by_name(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    for name, stage in (("b", "train"), ("a", "train"), ("c", "clean")):
        kubernetes.put("Workflow", manifest(name, stage=stage, team="shop"))
    listed = cluster.list("Workflow", labels="stage=train,team=shop")
    assert [item["metadata"]["name"] for item in listed] == ["a", "b"]
    assert len(cluster.list("Workflow")) == 3


def test_asks_what_this_account_may_do(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    kubernetes.denied.add(("get", "pods/log"))
    assert cluster.allows("create", "argoproj.io", "workflows")
    assert cluster.allows("get", "", "pods")
    assert not cluster.allows("get", "", "pods/log")


@pytest.mark.parametrize("name", ["..", "a/b", "a?b", "A", "", "x" * 254])
def test_what_is_no_name_never_gets_into_a_path(
    cluster: Cluster, kubernetes: KubernetesServer, name: str
) -> None:
    with pytest.raises(ClusterMissing):
        cluster.within(name).find("Workflow", "words-1")
    with pytest.raises(ClusterMissing):
        cluster.find("Workflow", name)
    assert kubernetes.requests == []


class TestWatch:
    """An object followed over streams that break."""

    def events(self, cluster: Cluster) -> Iterator[str]:
        return (item["spec"]["step"] for item in cluster.watch("Workflow", "words-1"))

    def step(self, kubernetes: KubernetesServer, step: str) -> None:
        kubernetes.put("Workflow", {**manifest(), "spec": {"step": step}})

    def test_as_it_is_and_as_it_changes_until_it_is_gone(
        self, cluster: Cluster, kubernetes: KubernetesServer, pauses: list[float]
    ) -> None:
        self.step(kubernetes, "one")
        events = self.events(cluster)
        assert next(events) == "one"
        self.step(kubernetes, "two")
        assert next(events) == "two"
        kubernetes.remove("Workflow", "words-1")
        assert list(events) == []
        assert pauses == []

    def test_of_an_object_that_is_not_there(self, cluster: Cluster) -> None:
        assert list(self.events(cluster)) == []

    def test_a_change_reaches_a_watch_that_waits(
        self, cluster: Cluster, kubernetes: KubernetesServer
    ) -> None:
        self.step(kubernetes, "one")
        events = self.events(cluster)
        assert next(events) == "one"

        def change() -> None:
            kubernetes.wait_for_request("watch=true")
            self.step(kubernetes, "two")

        changing = threading.Thread(target=change)
        changing.start()
        assert next(events) == "two"
        changing.join()

    def test_a_broken_one_is_taken_up_where_it_was(
        self, cluster: Cluster, kubernetes: KubernetesServer, pauses: list[float]
    ) -> None:
        self.step(kubernetes, "one")
        kubernetes.fail("GET", "watch=true", after=1)
        events = self.events(cluster)
        assert next(events) == "one"
        for step in ("two", "three"):
            self.step(kubernetes, step)
        assert [next(events), next(events)] == ["two", "three"]
        assert pauses == [PAUSES[0]]
        versions = [line.partition("resourceVersion=")[2] for line in kubernetes.requests[1:]]
        assert [version.partition("&")[0] for version in versions] == ["102", "103"]

    @pytest.mark.parametrize("status", [500, 503, 429, 0])
    def test_a_fault_on_the_way_is_waited_out(
        self, cluster: Cluster, kubernetes: KubernetesServer, pauses: list[float], status: int
    ) -> None:
        self.step(kubernetes, "one")
        kubernetes.fail("GET", "watch=true", status, times=3)
        events = self.events(cluster)
        next(events)
        self.step(kubernetes, "two")
        assert next(events) == "two"
        assert pauses == list(PAUSES[:3])

    def test_a_version_that_is_too_old_is_read_anew(
        self, cluster: Cluster, kubernetes: KubernetesServer
    ) -> None:
        self.step(kubernetes, "one")
        kubernetes.fail("GET", "watch=true", 410, "too old resource version", after=0)
        kubernetes.fail("GET", "watch=true", 410, "too old resource version")
        events = self.events(cluster)
        assert [next(events), next(events), next(events)] == ["one", "one", "one"]
        self.step(kubernetes, "two")
        assert next(events) == "two"

    def test_one_that_stays_broken_ends_after_the_last_pause(
        self, cluster: Cluster, kubernetes: KubernetesServer, pauses: list[float]
    ) -> None:
        self.step(kubernetes, "one")
        kubernetes.fail("GET", "watch=true", 500, "no", times=99)
        events = self.events(cluster)
        next(events)
        with pytest.raises(ClusterUnavailable):
            next(events)
        assert pauses == list(PAUSES)

    def test_lost_rights_end_it(
        self, cluster: Cluster, kubernetes: KubernetesServer, pauses: list[float]
    ) -> None:
        self.step(kubernetes, "one")
        kubernetes.fail("GET", "watch=true", 403, "no longer", after=0)
        events = self.events(cluster)
        next(events)
        with pytest.raises(ClusterForbidden):
            next(events)
        assert pauses == []


class TestLog:
    """What a container says."""

    def test_all_it_has_said(self, cluster: Cluster, kubernetes: KubernetesServer) -> None:
        kubernetes.say("words-1-pod", "one", "", "zwölf")
        assert list(cluster.log("words-1-pod", "main", follow=False)) == [
            "one",
            "",
            "zwölf",
        ]

    def test_as_it_says_it(self, cluster: Cluster, kubernetes: KubernetesServer) -> None:
        kubernetes.say("words-1-pod", "one", end=False)
        lines = cluster.log("words-1-pod", "main", follow=True)
        assert next(lines) == "one"
        kubernetes.say("words-1-pod", "two")
        assert list(lines) == ["two"]

    def test_of_a_container_that_has_not_begun(
        self, cluster: Cluster, kubernetes: KubernetesServer
    ) -> None:
        kubernetes.put("Pod", {"metadata": {"name": "words-1-pod"}})
        assert list(cluster.log("words-1-pod", "main", follow=False)) == []

    def test_its_beginning_is_waited_for(
        self, kubernetes: KubernetesServer, tmp_path: Path
    ) -> None:
        kubernetes.put("Pod", {"metadata": {"name": "words-1-pod"}})
        file = kubernetes.kubeconfig(tmp_path / "config")
        waiting = open_cluster(
            NAMESPACE,
            {"KUBECONFIG": str(file)},
            wait=lambda seconds: kubernetes.say("words-1-pod", "one"),
        )
        assert list(waiting.log("words-1-pod", "main", follow=True)) == ["one"]

    def test_an_image_that_cannot_be_pulled_is_not_waited_for(
        self, cluster: Cluster, kubernetes: KubernetesServer
    ) -> None:
        answer = 'container "main" in pod "p" is waiting to start: trying and failing to pull image'
        kubernetes.fail("GET", "/log", 400, answer)
        with pytest.raises(ClusterError) as failure:
            list(cluster.log("p", "main", follow=True))
        assert "failing to pull image" in failure.value.message

    def test_of_a_pod_that_is_gone(self, cluster: Cluster) -> None:
        with pytest.raises(ClusterMissing) as failure:
            list(cluster.log("words-1-pod", "main", follow=False))
        assert failure.value.message.endswith("has no Pod words-1-pod in the namespace daintree")


def test_importing_the_adapter_imports_no_client() -> None:
    code = (
        "import sys, daintree.argo.cluster;"
        "print([m for m in ('kubernetes', 'urllib3', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
