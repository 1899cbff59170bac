"""HEAD and OPTIONS for every route, and the methods that a path has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.routing import Match


class Methods:
    """The ASGI middleware: HEAD answers as GET does, without its body; OPTIONS and 405 say what a path allows."""

    def __init__(self, app: Any, routes: Iterable[Any]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One connection or request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        allowed = self._allowed(scope) if scope["method"] in ("HEAD", "OPTIONS") else set()
        if scope["method"] == "OPTIONS" and allowed:
            allow = [(b"allow", _listed(allowed))]
            await send({"type": "http.response.start", "status": 204, "headers": allow})
            await send({"type": "http.response.body", "body": b""})
            return
        without_body = scope["method"] == "HEAD"
        if without_body and "GET" in allowed:
            scope["method"] = "GET"

        async def sending(message: Any) -> None:
            if without_body:
                # The server expects a body of the length it is told, but not for HEAD.
                scope["method"] = "HEAD"
            if message["type"] == "http.response.start" and message["status"] == 405:
                kept = [(n, v) for n, v in message["headers"] if n.lower() != b"allow"]
                allow = (b"allow", _listed(self._allowed(scope)))
                message = {**message, "headers": [*kept, allow]}
            elif message["type"] == "http.response.body" and without_body:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            if without_body:
                # An error that passes is answered outside.
                scope["method"] = "HEAD"

    def _allowed(self, scope: Any) -> set[str]:
        """The methods of the routes at this path; none where there is no such path."""
        methods: set[str] = set()
        for route in self._routes:
            if route.matches(scope)[0] is not Match.NONE:
                methods |= set(getattr(route, "methods", None) or ())
        if "GET" in methods:
            methods.add("HEAD")
        return methods | {"OPTIONS"} if methods else methods


def _listed(methods: set[str]) -> bytes:
    return ", ".join(sorted(methods)).encode()
