"""The HTTP server: its socket, its signals, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import uvicorn
from stageio import StageError

from .connections import LimitedProtocol
from .service import Service

# For answers that are still on their way when the service ends.
_LAST_ANSWERS_SECONDS = 30


def run_server(service: Service) -> None:
    """Answer until TERM or INT; HUP loads the newest model. Returns when all is answered.

    After TERM the service is not ready any more but goes on answering for `drain_seconds`, for
    load balancers to notice; then it takes no new connection, and ends when those requests that
    have come in are answered. A second TERM or INT ends it at once. Raises StageError when the
    address cannot be listened on.
    """
    config = uvicorn.Config(
        service.app,
        loop="uvloop",
        http=partial(LimitedProtocol, service.limits),
        timeout_keep_alive=service.options.idle_seconds,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
    )
    with (
        _listening(service.options.host, service.options.port) as listening,
        asyncio.Runner(loop_factory=config.get_loop_factory()) as runner,
    ):
        runner.run(_Server(config, service).serve(sockets=[listening]))
    service.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._reloading: set[asyncio.Task[Any]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals this service knows, in place of uvicorn's own, which ends at once."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end, self._service.options.drain_seconds)
        loop.add_signal_handler(signal.SIGINT, self._end, 0)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say where."""
        await super().startup(sockets)
        assert sockets is not None
        host, port = sockets[0].getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        what = self._service.run or self._service.options.input
        print(f"serving {what} at http://{address} (process {os.getpid()})", file=sys.stderr)

    def _end(self, drain_seconds: float) -> None:
        if not self._service.ready:
            self.should_exit = self.force_exit = True
            return
        self._service.ready = False
        asyncio.get_running_loop().call_later(drain_seconds, self._stop)

    def _stop(self) -> None:
        self.should_exit = True

    def _reload(self) -> None:
        async def reload() -> None:
            # Told on stderr; there is nobody else to tell.
            with contextlib.suppress(StageError):
                await self._service.reload()

        task = asyncio.get_running_loop().create_task(reload())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)


def _listening(host: str, port: int) -> socket.socket:
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StageError(
            f"cannot listen on {host}, port {port}: {reason}",
            "give another --host or --port; port 0 takes a free one",
        ) from None
