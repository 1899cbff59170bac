"""What a cluster of the tests holds, and what goes wrong with it on demand."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from daintree.argo.cluster import KINDS

Object = dict[str, Any]
TOKEN = "token-of-the-tests"
NAMESPACE = "daintree"
LONGEST_SECONDS = 30


@dataclass
class Fault:
    """What goes wrong with requests of this method whose path has this in it, so often.

    A status that is 0 hangs up. `after` events a watch is broken off, or ended with an ERROR event of `status` where that is set.
    """

    method: str
    path: str
    status: int
    message: str = ""
    times: int = 1
    after: int | None = None


@dataclass
class KubernetesServer:
    """A running server: tests put objects in, change them, and read what it was asked ("GET /api/…")."""

    address: str
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    installed: set[str] = field(default_factory=lambda: set(KINDS))
    denied: set[tuple[str, str]] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    changes: list[tuple[str, Object]] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    version: int = 100
    changed: threading.Condition = field(default_factory=threading.Condition)
    closing: bool = False

    def kubeconfig(
        self, file: Path, *, server: str = "", token: str = TOKEN, authority: Path | None = None
    ) -> Path:
        """Write a kubeconfig for this server: with another token, another server's address, a certificate's authority."""
        trusted = {"certificate-authority": str(authority)} if authority else {}
        cluster = {"name": "test", "cluster": {"server": server or self.address, **trusted}}
        user = {"name": "tester", "user": {"token": token}}
        context = {"name": "test", "context": {"cluster": "test", "user": "tester"}}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [user],
            "contexts": [context],
            "current-context": "test",
        }
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return file

    def put(self, kind: str, manifest: Mapping[str, Any], namespace: str = NAMESPACE) -> Object:
        """Make or replace an object, as some controller would; watchers see it."""
        metadata = {"creationTimestamp": "2026-03-01T10:15:09Z", **manifest["metadata"]}
        where = namespace if KINDS[kind].namespaced else ""
        if where:
            metadata["namespace"] = where
        with self.changed:
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
            made = {**manifest, "kind": kind, "metadata": metadata}
            key = (kind, where, metadata["name"])
            self.changes.append(("MODIFIED" if key in self.objects else "ADDED", made))
            self.objects[key] = made
            self.changed.notify_all()
        return made

    def remove(self, kind: str, name: str, namespace: str = NAMESPACE) -> None:
        """Delete an object; watchers see it."""
        with self.changed:
            self.version += 1
            gone = self.objects.pop((kind, namespace if KINDS[kind].namespaced else "", name))
            metadata = {**gone["metadata"], "resourceVersion": str(self.version)}
            self.changes.append(("DELETED", {**gone, "metadata": metadata}))
            self.changed.notify_all()

    def say(self, pod: str, *lines: str, end: bool = True) -> None:
        """Let a pod's container say these lines, and end."""
        with self.changed:
            self.logs.setdefault(pod, []).extend(lines)
            if end:
                self.ended.add(pod)
            self.changed.notify_all()

    def fail(self, method: str, path: str, status: int = 0, message: str = "", **more: Any) -> None:
        """Let the next such requests go wrong."""
        self.faults.append(Fault(method, path, status, message, **more))

    def wait_for_request(self, words: str) -> None:
        """Return when a request with these words in it has come."""
        with self.changed:
            came = self.changed.wait_for(
                lambda: any(words in line for line in self.requests), LONGEST_SECONDS
            )
        assert came, self.requests

    def fault(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request, counted down."""
        for fault in self.faults:
            if fault.times and fault.method == method and fault.path in path:
                fault.times -= 1
                return fault
        return None
