"""Requests over HTTP from this process, as fast as they are answered or at a steady pace: bounded, and all accounted for."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

_ANSWERED_WITHIN_SECONDS = 60


@dataclass
class Load:
    """What became of the requests.

    `latencies` are the seconds of the right answers, from when a request was due, so that one that
    had to wait for a free connection tells of it. `faults` counts all else by what it was.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return len(self.latencies) / self.seconds

    def milliseconds(self, share: float) -> float:
        """The latency that this share of the right answers kept."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class Client:
    """Sends POST requests to one address, over connections that are kept open."""

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        bodies: Sequence[bytes],
        right: Callable[[bytes], bool],
    ) -> None:
        """The bodies are sent in turn; an answer is right when it is 200 and `right` says so of its body."""
        self._address = host, port
        self._right = right
        self._requests = [
            f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode("ascii")
            + body
            for body in bodies
        ]

    def send(self, count: int, *, connections: int, rate: float | None = None) -> Load:
        """Send `count` requests: with `rate` so many a second, else each as soon as a connection is free."""
        return asyncio.run(self._send(count, connections, rate))

    async def _send(self, count: int, connections: int, rate: float | None) -> Load:
        load, began = Load(), time.perf_counter()
        times = (began + number / rate if rate else 0 for number in range(count))
        queue = zip(times, itertools.cycle(self._requests), strict=False)
        await asyncio.gather(*(self._work(queue, load) for _ in range(connections)))
        load.seconds = time.perf_counter() - began
        return load

    async def _work(self, queue: Iterator[tuple[float, bytes]], load: Load) -> None:
        """Use one connection, which is made anew after a fault, until the queue is empty."""
        reader, writer = await asyncio.open_connection(*self._address)
        for due, request in queue:
            began = due or time.perf_counter()
            await asyncio.sleep(began - time.perf_counter())
            try:
                writer.write(request)
                async with asyncio.timeout(_ANSWERED_WITHIN_SECONDS):
                    status, body = await _answer(reader)
            except (OSError, EOFError, TimeoutError) as error:
                load.faults[type(error).__name__] += 1
                writer.close()
                reader, writer = await asyncio.open_connection(*self._address)
                continue
            if status == 200 and self._right(body):
                load.latencies.append(time.perf_counter() - began)
            else:
                load.faults[f"status {status}"] += 1
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return status, await reader.readexactly(length)
