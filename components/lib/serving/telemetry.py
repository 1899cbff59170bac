"""Counters of the service, and the limits that hold for every request."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from fastapi import HTTPException
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily

from .provenance import Provenance

LARGEST_BODY = 256 * 1024
# Paths and methods that no route has come from outside: as labels, they would have no end.
_NO_ROUTE = "none"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What `traffic` reads again.
QUESTIONS, ITEMS, MODEL = "serving_questions", "serving_items_by_popularity", "serving_model"
# Stand in the label `tenth` for an item that the model does not know, and for one whose tenth is not known.
UNKNOWN, KNOWN = "unknown", "known"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Telemetry:
    """The metrics of one service, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "serving_requests",
            "Requests answered, by route, method and status.",
            ("route", "method", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "serving_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "serving_refused_connections",
            "Connections ended by a limit, by reason.",
            ("reason",),
            registry=registry,
        )
        self._asked = Counter("serving_items", "Items that were asked with.", registry=registry)
        self._unknown = Counter(
            "serving_unknown_items", "Those that the model does not know.", registry=registry
        )
        self.reloads = Counter(
            "serving_reloads", "Reloads of the model.", ("result",), registry=registry
        )
        self.lost_lines = Gauge(
            "serving_request_log_lost", "Lines that the log could not keep.", registry=registry
        )
        self._model = Gauge(
            MODEL, "1 for the model that answers.", ("run", "version", "commit"), registry=registry
        )
        self._served = _ServedItems()
        registry.register(self._served)

    def model(self, provenance: Provenance, tenths: Mapping[str, int]) -> None:
        """Say which model answers now, and which tenth of its training data each item is in."""
        run = provenance.run or {}
        self._model.clear()
        self._model.labels(
            provenance.run_id, str(run.get("version", "")), str(run.get("commit", ""))
        ).set(1)
        self._served.tenths = {item: str(tenth) for item, tenth in tenths.items()}

    def served(
        self, run: str, asked: Sequence[str], unknown: Sequence[str], answered: Sequence[str]
    ) -> None:
        """Count one request, answered by the model of `run`, with its items."""
        self._asked.inc(len(asked))
        self._unknown.inc(len(unknown))
        self._served.add(run, asked, set(unknown), answered)


class _ServedItems:
    """Counts of each request's items: many for one request, so in plain numbers until they are asked for."""

    def __init__(self) -> None:
        self.tenths: Mapping[str, str] = {}
        self._questions: Counts[str] = Counts()
        self._items: Counts[tuple[str, str, str]] = Counts()

    def add(
        self, run: str, asked: Sequence[str], unknown: Set[str], answered: Sequence[str]
    ) -> None:
        """One request, answered by the model of `run`."""
        self._questions[run] += 1
        for item in asked:
            tenth = UNKNOWN if item in unknown else self.tenths.get(item, KNOWN)
            self._items[run, "asked", tenth] += 1
        for item in answered:
            self._items[run, "answered", self.tenths.get(item, KNOWN)] += 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        """As Prometheus' registry asks a collector for its metrics."""
        questions = CounterMetricFamily(
            QUESTIONS, "Requests for answers of the model, by its run.", labels=("run",)
        )
        for run, count in sorted(self._questions.items()):
            questions.add_metric((run,), count)
        yield questions
        items = CounterMetricFamily(
            ITEMS,
            "Items asked with and answered, by their tenth of the training data, most frequent first.",
            labels=("run", "items", "tenth"),
        )
        for labels, count in sorted(self._items.items()):
            items.add_metric(labels, count)
        yield items


class Measured:
    """The ASGI middleware: counts and times each request, and bounds its body.

    A body of more than LARGEST_BODY bytes is not read further: the answer is 413.
    """

    def __init__(self, app: Any, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One connection or request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Before routing: HEAD is answered by the route of GET.
        method = scope["method"] if scope["method"] in _METHODS else _NO_ROUTE
        status, began = 500, time.perf_counter()

        async def sending(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, _bounded(receive), sending)
        finally:
            route = getattr(scope.get("route"), "path", _NO_ROUTE)
            self._telemetry.requests.labels(route, method, str(status)).inc()
            self._telemetry.seconds.labels(route).observe(time.perf_counter() - began)


def _bounded(receive: Any) -> Any:
    received = 0

    async def receiving() -> Any:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > LARGEST_BODY:
            raise HTTPException(413, f"a body has at most {LARGEST_BODY:,} bytes")
        return message

    return receiving
