"""A server that speaks the calls of Kubernetes' API which the tooling makes, with a memory of its own and faults on demand.

What it answers, down to the texts, is what Kubernetes 1.35 answers.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from daintree.argo.cluster import KINDS, Kind
from tests.services.kubernetes_objects import NAMESPACE, TOKEN, Fault, KubernetesServer, Object

USER = "system:serviceaccount:daintree:tester"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: KubernetesServer

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.state.changed:
            self.state.requests.append(f"{self.command} {self.path}")
            self.state.changed.notify_all()
            fault = self.state.fault(self.command, self.path)
        if fault and fault.after is None:
            return self._failed(fault)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse(401, "Unauthorized")
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        existing = _located(url.path.strip("/").split("/"), self.state.installed)
        if existing is None:
            return self._send(404, b"404 page not found\n", "text/plain; charset=utf-8")
        kind, namespace, rest = existing
        self._served(kind, namespace, rest, query, json.loads(body) if body else {}, fault)

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def _served(
        self,
        kind: Kind,
        namespace: str,
        rest: list[str],
        query: Mapping[str, str],
        content: Object,
        fault: Fault | None,
    ) -> None:
        name = rest[0] if rest else ""
        verb = self._verb(query, rest)
        resource = "/".join([kind.plural, *rest[1:]])
        if kind.name == "SelfSubjectAccessReview":
            return self._reviewed(content)
        if (verb, resource) in self.state.denied:
            return self._forbidden(verb, resource, kind, namespace, name)
        if verb == "watch":
            return self._watch(kind, namespace, query, fault)
        if rest[1:] == ["log"]:
            return self._log(name, query)
        if verb == "create":
            return self._create(kind, namespace, content)
        if verb == "list":
            return self._list(kind, namespace, query.get("labelSelector", ""))
        existing = self.state.objects.get((kind.name, namespace, name))
        if existing is None:
            return self._not_found(kind, name)
        if verb == "patch":
            assert self.headers["Content-Type"] == "application/merge-patch+json"
            existing = self.state.put(kind.name, _merged(existing, content), namespace)
        if verb == "delete":
            self.state.remove(kind.name, name, namespace)
        return self._json(200, existing)

    def _verb(self, query: Mapping[str, str], rest: list[str]) -> str:
        if self.command == "GET":
            return "watch" if query.get("watch") == "true" else "get" if rest else "list"
        return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}[self.command]

    def _create(self, kind: Kind, namespace: str, content: Object) -> None:
        name = content["metadata"]["name"]
        if kind.namespaced and ("Namespace", "", namespace) not in self.state.objects:
            return self._not_found(KINDS["Namespace"], namespace)
        if (kind.name, namespace, name) in self.state.objects:
            message = f'{kind.resource} "{name}" already exists'
            return self._refuse(409, message, "AlreadyExists", name=name, kind=kind.plural)
        self._json(201, self.state.put(kind.name, content, namespace))

    def _list(self, kind: Kind, namespace: str, selector: str) -> None:
        wanted = dict(pair.split("=") for pair in selector.split(",") if pair)
        items = [
            item
            for (name, where, _), item in self.state.objects.items()
            if (name, where) == (kind.name, namespace)
            and wanted.items() <= item["metadata"].get("labels", {}).items()
        ]
        self._json(200, {"kind": f"{kind.name}List", "items": items})

    def _watch(
        self, kind: Kind, namespace: str, query: Mapping[str, str], fault: Fault | None
    ) -> None:
        name = query["fieldSelector"].removeprefix("metadata.name=")
        self._begin_chunks("application/json")
        seen, sent = int(query["resourceVersion"]), 0
        while True:
            if fault and fault.after == sent:
                if fault.status:
                    status = _status(fault.status, fault.message)
                    self._event("ERROR", status)
                    return self._chunk(b"")
                return self._hang_up()
            event = self._next_change(kind.name, namespace, name, seen)
            if event is None:
                return self._hang_up()
            seen, sent = int(event[1]["metadata"]["resourceVersion"]), sent + 1
            self._event(*event)

    def _next_change(
        self, kind: str, namespace: str, name: str, seen: int
    ) -> tuple[str, Object] | None:
        """The first change after that version; None when the server ends."""

        def existing() -> tuple[str, Object] | None:
            for event, item in self.state.changes:
                metadata = item["metadata"]
                same = (item["kind"], metadata.get("namespace", ""), metadata["name"])
                if same == (kind, namespace, name) and int(metadata["resourceVersion"]) > seen:
                    return event, item
            return None

        with self.state.changed:
            self.state.changed.wait_for(lambda: existing() or self.state.closing)
            return None if self.state.closing else existing()

    def _log(self, pod: str, query: Mapping[str, str]) -> None:
        if pod not in self.state.logs:
            if ("Pod", NAMESPACE, pod) not in self.state.objects:
                return self._not_found(KINDS["Pod"], pod)
            message = f'container "{query["container"]}" in pod "{pod}" is waiting to start: PodInitializing'
            return self._refuse(400, message, "BadRequest")
        self._begin_chunks("text/plain")
        sent = 0
        while lines := self._next_lines(pod, sent, follow=query.get("follow") == "true"):
            sent += len(lines)
            self._chunk("".join(f"{line}\n" for line in lines).encode())
        self._chunk(b"")

    def _next_lines(self, pod: str, sent: int, *, follow: bool) -> list[str]:
        """What the pod has said after so many lines; none when it has ended, or is not to be followed."""
        logs, state = self.state.logs[pod], self.state
        with state.changed:
            if follow:
                state.changed.wait_for(
                    lambda: sent < len(logs) or pod in state.ended or state.closing
                )
            return logs[sent:]

    def _reviewed(self, content: Object) -> None:
        wanted = content["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, [wanted["resource"], wanted.get("subresource", "")]))
        allowed = (wanted["verb"], resource) not in self.state.denied
        self._json(201, {**content, "status": {"allowed": allowed}})

    def _forbidden(self, verb: str, resource: str, kind: Kind, namespace: str, name: str) -> None:
        named = f'{kind.resource} "{name}"' if name else kind.resource
        message = (
            f'{named} is forbidden: User "{USER}" cannot {verb} resource "{resource}"'
            f' in API group "{kind.api.rpartition("/")[0]}" in the namespace "{namespace}"'
        )
        self._refuse(403, message, "Forbidden", name=name, kind=kind.plural)

    def _not_found(self, kind: Kind, name: str) -> None:
        self._refuse(
            404, f'{kind.resource} "{name}" not found', "NotFound", name=name, kind=kind.plural
        )

    def _failed(self, fault: Fault) -> None:
        if not fault.status:
            return self._hang_up()
        self._refuse(fault.status, fault.message)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _refuse(self, status: int, message: str, reason: str = "", **details: str) -> None:
        self._json(status, _status(status, message, reason, **details))

    def _json(self, status: int, content: object) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: int, body: bytes, type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin_chunks(self, type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _event(self, type: str, item: Object) -> None:
        self._chunk(json.dumps({"type": type, "object": item}).encode() + b"\n")

    def _chunk(self, content: bytes) -> None:
        """A chunk; the empty one ends the answer."""
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def log_message(self, *arguments: object) -> None:
        pass


def _status(status: int, message: str, reason: str = "", **details: str) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": {name: text for name, text in details.items() if text},
        "code": status,
    }


def _located(parts: list[str], installed: set[str]) -> tuple[Kind, str, list[str]] | None:
    """(kind, namespace, what follows) for a path; None for a kind that is not installed."""
    api, rest = (parts[1], parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    for kind in KINDS.values():
        if (kind.api, kind.plural) == (api, rest[0]) and kind.name in installed:
            return kind, namespace, rest[1:]
    return None


def _merged(existing: Any, change: Any) -> Any:
    """What a JSON merge patch makes of a value."""
    if not isinstance(change, dict):
        return change
    merged = dict(existing) if isinstance(existing, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


@contextlib.contextmanager
def serve_kubernetes(tls: ssl.SSLContext | None = None) -> Iterator[KubernetesServer]:
    """A server on a free port for as long as the context lasts, with the namespace NAMESPACE and nothing in it."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https" if tls else "http"
        state = KubernetesServer(f"{scheme}://127.0.0.1:{server.server_port}")
        handler.state = state  # type: ignore[attr-defined]
        state.put("Namespace", {"metadata": {"name": NAMESPACE}})
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            with state.changed:
                state.closing = True
                state.changed.notify_all()
            server.shutdown()
            thread.join()


@pytest.fixture
def kubernetes() -> Iterator[KubernetesServer]:
    """A server of this test alone."""
    with serve_kubernetes() as server:
        yield server
