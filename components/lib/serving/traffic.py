"""What a service was asked and has answered, by the run of the model that answered."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit, urlunsplit

from stageio import StageError
from stageio.object_store import SCHEME

from .places import open_place
from .request_log import FILE
from .telemetry import ITEMS, MODEL, QUESTIONS, UNKNOWN

_HINT = "requests are logged in the directory that a service has as --output; or give its address"
_TIMEOUT_SECONDS = 30
_LARGEST_ANSWER = 16 * 2**20
METRICS_PATH = "/metrics"
# The metrics of `telemetry`, as Prometheus' text names their samples.
_QUESTIONS, _ITEMS, _MODEL = f"{QUESTIONS}_total", f"{ITEMS}_total", MODEL


@dataclass
class Traffic:
    """The requests that one model answered.

    `asked` and `answered` count known items by name or, where `Served.by_tenth`, by their tenth of
    the training data ("known" where the service knows no tenths); `unknown` counts those asked with
    that the model does not know. `first` and `last` are the requests' times ("": not known).
    """

    requests: int = 0
    unknown: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    first: str = ""
    last: str = ""


@dataclass
class Served:
    """All that one place tells: `runs` by run id, `newest` the run that answers now, or answered last.

    `broken` is the number of lines that could not be read.
    """

    place: str
    by_tenth: bool
    runs: dict[str, Traffic] = field(default_factory=dict)
    newest: str = ""
    broken: int = 0


def read_served(place: str, since: str = "") -> Served:
    """What was served: from the counters of a service (`http(s)://…`), else from request logs.

    A log is a file, or all below a directory or `s3://BUCKET/PREFIX`: rotated ones and those of
    several processes too. `since` is a time in UTC as the log writes it: what is older is left out.
    Raises StageError where there is nothing that can be read, or counters would have to be told apart by time.
    """
    if place.startswith(("http://", "https://")):
        if since:
            raise StageError("--hours: a service's counters have no times", "give its request log")
        return _read_counters(place)
    path = Path(place)
    if path.is_file():
        return _read_logs(place, [path], since)
    if not place.startswith(SCHEME) and not path.is_dir():
        raise StageError(f"{place}: no such file or directory", _HINT)
    with open_place(place).fetched() as directory:
        paths = [found for found in directory.rglob(f"{FILE}*") if found.is_file()]
        if not paths:
            raise StageError(f"{place}: no {FILE} in it", _HINT)
        return _read_logs(place, sorted(paths), since)


def _read_logs(place: str, paths: list[Path], since: str) -> Served:
    served, newest = Served(place, by_tenth=False), ""
    with ExitStack() as opened:
        for file in _opened(paths, opened):
            for line in _lines(file):
                request = _request(line)
                if request is None:
                    served.broken += 1
                elif request["time"] >= since:
                    _add(served.runs.setdefault(request["run"], Traffic()), request)
                    if request["time"] >= newest:
                        newest, served.newest = request["time"], request["run"]
    return served


def _opened(paths: list[Path], opened: ExitStack) -> Iterator[BinaryIO]:
    """The files, each once, all open before the first is read.

    The newest comes first in a directory's order: should the log be rotated meanwhile, a file is
    met a second time under its next name, and none is missed.
    """
    files = {}
    for path in paths:
        try:
            file = opened.enter_context(path.open("rb"))
        except FileNotFoundError:
            continue
        status = os.fstat(file.fileno())
        files.setdefault((status.st_dev, status.st_ino), file)
    yield from files.values()


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, but for a last one that is still being written."""
    for line in file:
        if line.endswith(b"\n"):
            yield line


def _request(line: bytes) -> dict[str, Any] | None:
    """A line of the log, None where it is none."""
    try:
        request = json.loads(line)
        texts = [request["time"], request["run"]]
        for name in ("asked", "unknown", "answered"):
            texts += request[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return request if all(isinstance(text, str) for text in texts) else None


def _add(traffic: Traffic, request: dict[str, Any]) -> None:
    unknown = set(request["unknown"])
    known = [item for item in request["asked"] if item not in unknown]
    traffic.requests += 1
    traffic.unknown += len(request["asked"]) - len(known)
    traffic.asked.update(known)
    traffic.answered.update(request["answered"])
    traffic.first = min(traffic.first or request["time"], request["time"])
    traffic.last = max(traffic.last, request["time"])


def _read_counters(url: str) -> Served:
    from prometheus_client.parser import text_string_to_metric_families

    address, text = _fetched(url)
    served = Served(address, by_tenth=True)
    try:
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        for sample in samples:
            _count(served, sample.name, sample.labels, int(sample.value))
    except (ValueError, KeyError, OverflowError):
        raise _no_service(address) from None
    if not any(sample.name == _MODEL for sample in samples):
        raise _no_service(address)
    return served


def _count(served: Served, name: str, labels: dict[str, str], value: int) -> None:
    if name == _MODEL and value:
        served.newest = labels["run"]
    elif name == _QUESTIONS:
        served.runs.setdefault(labels["run"], Traffic()).requests = value
    elif name == _ITEMS:
        traffic = served.runs.setdefault(labels["run"], Traffic())
        if labels["tenth"] == UNKNOWN:
            traffic.unknown = value
        else:
            counts = traffic.asked if labels["items"] == "asked" else traffic.answered
            counts[labels["tenth"]] = value


def _fetched(url: str) -> tuple[str, str]:
    """(the URL without user name, password and query; what it answers)."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        _ = parts.port
    except ValueError:
        raise StageError("--served: the URL's host or port cannot be read") from None
    path = parts.path.rstrip("/")
    path += "" if path.endswith(METRICS_PATH) else METRICS_PATH
    address = urlunsplit((parts.scheme, host, path, "", ""))
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as response:
            return address, response.read(_LARGEST_ANSWER).decode("utf-8")
    except urllib.error.HTTPError as error:
        error.close()
        raise StageError(f"{address}: the answer is {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise StageError(
            f"{address}: the service cannot be reached: {reason}", "is it running, and there?"
        ) from None


def _no_service(address: str) -> StageError:
    return StageError(f"{address}: these are no metrics of a service", "give a service's address")
