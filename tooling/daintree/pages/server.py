"""Server of the pages on this machine: they are read, from a browser of this machine alone, and nothing is written.

Only requests that name the loopback address are answered: a page of another site whose name leads here (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import chain
from pathlib import PurePosixPath
from threading import Thread
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.responses import StreamingResponse as Stream
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from daintree.errors import DaintreeError, StoreError, UsageError, from_os_error
from daintree.pages.project import Project
from daintree.pages.site import PLOTLY, PLOTLY_POLICY, POLICY, STATIC, Site, plotly_script

ADDRESS = "127.0.0.1"
# The loopback address by all names that a browser here has for it.
HOSTS = [ADDRESS, "localhost"]
HEADERS = {
    "Content-Security-Policy": POLICY + "; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# Files of an output are others' words: a browser may keep them, and show or run none of them.
FILE_HEADERS = {**HEADERS, "Content-Security-Policy": "default-src 'none'; sandbox"}
EVENT_SECONDS = 0.5
# A browser that hears nothing takes the connection for lost.
SILENT_SECONDS = 15.0
IMAGES_SECONDS = 60.0


class HeadDeadline(H11Protocol):
    """One connection, which is closed where no whole head of a request comes for so many seconds: uvicorn waits for the rest of one for ever."""

    seconds = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_head()

    def _await_head(self) -> None:
        self.loop.call_later(self.seconds, self._close_unless_asked, self.cycle)

    def _close_unless_asked(self, answered: object) -> None:
        # Each request has a cycle of its own, made once its head is there.
        if self.cycle is answered:
            self.transport.close()


def application(open_project: Callable[[], Project]) -> Starlette:
    """The pages of a project, which each request opens anew: what it shows is what there is."""
    pages = _Pages(open_project)
    return Starlette(
        routes=[
            Route("/", pages.page),
            Route("/events/{pipeline}", pages.events),
            Route("/static/{name}", pages.static),
            Route("/runs/{run}/files/{number:int}/{name}", pages.file),
            Route("/{path:path}", pages.page),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)],
    )


class _Pages:
    def __init__(self, open_project: Callable[[], Project]) -> None:
        self._open = open_project
        self._images: dict[str, str] | None = None
        self._looked_up = 0.0

    def page(self, request: Request) -> Response:
        path = request.path_params.get("path", "") or "index.html"
        if path.endswith("/"):
            path += "index.html"
        site = self._site()
        after = None
        if path == "index.html":
            site.images = self._images
            after = BackgroundTask(self._look_up_images)
        query = {name: request.query_params.getlist(name) for name in request.query_params}
        try:
            page = _in_site(lambda: site.render(path, query))
            policy = PLOTLY_POLICY if path.endswith("/metrics.html") else POLICY
            headers = {**HEADERS, "Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
            return HTMLResponse(page, headers=headers, background=after)
        except DaintreeError as error:
            return HTMLResponse(site.fault(path, error), _status(error), headers=HEADERS)

    def file(self, request: Request) -> Response:
        site, words = self._site(), request.path_params
        try:
            run = site.run(words["run"])
            entry = site.entry(run, words["number"])
            name = PurePosixPath(entry.path).name
            if name != words["name"]:
                raise UsageError(f"file {words['number']} of run {run.run} has another name")
            pieces = site.project.store.chunks(run, entry)
            # What is wrong with the file is known before its first byte is sent.
            first = _in_site(lambda: next(pieces, b""))
        except DaintreeError as error:
            return PlainTextResponse(error.message, _status(error), headers=HEADERS)
        disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        headers = {
            **FILE_HEADERS,
            "Content-Disposition": disposition,
            "Content-Length": str(entry.size),
        }
        return Stream(
            chain([first], pieces), headers=headers, media_type="application/octet-stream"
        )

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        files = {path.name: path for path in STATIC.iterdir()} | {PLOTLY: plotly_script()}
        if name not in files:
            return PlainTextResponse("there is no such file", 404, headers=HEADERS)
        return FileResponse(files[name], headers={**HEADERS, "Cache-Control": "max-age=3600"})

    async def events(self, request: Request) -> Response:
        events = self._events(request.path_params["pipeline"], request.is_disconnected)
        return Stream(events, headers=HEADERS, media_type="text/event-stream")

    async def _events(
        self, pipeline: str, is_disconnected: Callable[[], Any]
    ) -> AsyncIterator[str]:
        """The state of a pipeline whenever it has changed: what is being computed, and then what the plan has become."""
        project = await run_in_threadpool(self._open)
        shown: dict[str, Any] = {}
        computed: list[tuple[str, str]] | None = None
        quiet_since = time.monotonic()
        while not await is_disconnected():
            try:
                current = await run_in_threadpool(project.running, pipeline)
                state: dict[str, Any] = {"running": current, "statuses": shown.get("statuses")}
                if (stages := [(each.stage, each.since) for each in current]) != computed:
                    # A store that does without its server does so for good.
                    now = await run_in_threadpool(self._open)
                    state["statuses"] = await run_in_threadpool(now.statuses, pipeline)
                    computed = stages
            except DaintreeError as error:
                state = {**shown, "fault": error.message, "running": []}
            if state != shown:
                shown, quiet_since = state, time.monotonic()
                yield f"data: {msgspec.json.encode(state).decode()}\n\n"
            elif time.monotonic() - quiet_since > SILENT_SECONDS:
                quiet_since = time.monotonic()
                yield ": still here\n\n"
            await asyncio.sleep(EVENT_SECONDS)

    def _site(self) -> Site:
        return Site(self._open(), live=True)

    def _look_up_images(self) -> None:
        """Ask registry or engine in the background: a page does not wait for them, nor share its processor with them."""
        if time.monotonic() - self._looked_up < IMAGES_SECONDS and self._looked_up:
            return
        self._looked_up = time.monotonic()

        def look_up() -> None:
            try:
                self._images = self._open().images()
            except DaintreeError as error:
                self._images = {}
                with suppress(OSError):
                    print(f"note: images cannot be looked up: {error.message}", flush=True)

        Thread(target=look_up, daemon=True).start()


def _in_site(render: Callable[[], Any]) -> Any:
    """The page; an error of the system as the message that a command would print."""
    try:
        return render()
    except OSError as error:
        raise from_os_error(error) from error


def _status(error: DaintreeError) -> int:
    if isinstance(error, UsageError):
        return 404
    return 503 if isinstance(error, StoreError) else 500
