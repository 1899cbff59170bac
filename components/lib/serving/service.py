"""The routes that every service has, and what its own routes are added to."""

from __future__ import annotations

import hmac
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from stageio import StageError

from .bodies import Answer
from .connections import Limits
from .methods import Methods
from .models import Counts, Models
from .problems import Problem, answer_problems, problem, responses
from .request_log import RequestLog
from .telemetry import Measured, Telemetry

Model = TypeVar("Model")

# What a record says of the machine and the person that made a run stays inside.
_INTERNAL = frozenset({"user", "host", "version_files", "location", "output"})

_bearer = HTTPBearer(auto_error=False, description="the token of --reload-token-file")
_Token = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


class State(Answer):
    """Whether the service is what was asked."""

    status: str


class Described(Answer):
    """The model that answers: the record of the run that wrote it, and its metrics, where known."""

    run: str | None
    version: str | None
    commit: str | None
    metrics: dict[str, Any] | None
    provenance: dict[str, Any] | None


class Reloaded(Answer):
    """The runs whose models answered before and answer now."""

    before: str | None
    now: str | None


@dataclass(frozen=True)
class Options:
    """What the command line says of the service itself; lib/serving/component.yaml explains it."""

    input: str
    output: str
    host: str
    port: int
    store: str
    reload_token_file: str
    drain_seconds: float
    idle_seconds: float
    request_seconds: float
    connections: int
    request_log: bool


class Service:
    """A service over one model: `app` gets its own routes, `models` says by what it is loaded."""

    def __init__(self, title: str, options: Options) -> None:
        """Raises StageError where the token or the request log's directory cannot be used."""
        self.options = options
        self.ready = True
        self._telemetry = Telemetry()
        self._token = _read_token(options.reload_token_file)
        self._log = RequestLog(Path(options.output)) if options.request_log else None
        self._models: Models[Any] | None = None
        self.app = FastAPI(title=title, responses=responses(400, 413, 422))
        self.app.add_middleware(Methods, routes=self.app.routes)
        self.app.add_middleware(Measured, telemetry=self._telemetry)
        answer_problems(self.app)
        self._add_routes()

    def models(
        self, load: Callable[[Path], Model], trained: Callable[[Path], Counts] | None = None
    ) -> Models[Model]:
        """The models of this service, each made by `load` from the directory it lies in.

        Loads the first one. `trained` reads there how often each item occurs in the training data,
        for the counters that monitoring reads. Both raise StageError for what is no model. To be
        called once.
        """
        models = Models(load, self.options.input, self.options.store, trained)
        self._models = models
        self._telemetry.model(models.provenance, models.tenths)
        return models

    def served(
        self, asked: Sequence[str] = (), unknown: Sequence[str] = (), answered: Sequence[str] = ()
    ) -> None:
        """Count and log what one request asked with, which of it is unknown, and the answer."""
        self._telemetry.served(self.run, asked, unknown, answered)
        if self._log is not None:
            self._log.add(self.run, asked, unknown, answered)

    @property
    def limits(self) -> Limits:
        """The limits of each connection."""
        options, refused = self.options, self._telemetry.refused
        return Limits(
            options.idle_seconds,
            options.request_seconds,
            options.connections,
            lambda reason: refused.labels(reason).inc(),
        )

    @property
    def run(self) -> str:
        """The id of the run whose model answers, "" where it is not known."""
        return self._loaded.provenance.run_id

    async def reload(self) -> Reloaded:
        """Load the model again; says so on stderr. Raises StageError: the old model stays."""
        before = self.run
        try:
            provenance = await self._loaded.reload()
        except StageError as error:
            self._telemetry.reloads.labels("failed").inc()
            print(f"reload failed, the model stays: {error.message}", file=sys.stderr)
            raise
        self._telemetry.reloads.labels("done").inc()
        self._telemetry.model(provenance, self._loaded.tenths)
        print(f"reloaded: {provenance.place}", file=sys.stderr)
        return Reloaded(before=before or None, now=provenance.run_id or None)

    def close(self) -> None:
        """Close the request log."""
        if self._log is not None:
            self._log.close()

    @property
    def _loaded(self) -> Models[Any]:
        if self._models is None:
            raise StageError("main() has loaded no model", "call service.models(load) in it")
        return self._models

    def _add_routes(self) -> None:
        app = self.app
        app.get("/health/live", tags=["service"])(self._live)
        app.get("/health/ready", tags=["service"], responses=responses(503))(self._is_ready)
        app.get("/metrics", tags=["service"], response_class=PlainTextResponse)(self._metrics)
        app.get("/model", tags=["service"])(self._describe)
        app.post("/reload", tags=["service"], responses=responses(401, 403, 409))(self._reload)

    async def _live(self) -> State:
        """Whether the process answers."""
        return State(status="live")

    async def _is_ready(self) -> State:
        """Whether to send requests here: a model is loaded, and the service is not about to end."""
        if not self.ready:
            raise HTTPException(503, "the service is about to end")
        return State(status="ready")

    async def _metrics(self) -> Response:
        """The metrics for Prometheus."""
        if self._log is not None:
            self._telemetry.lost_lines.set(self._log.lost)
        return Response(generate_latest(self._telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    async def _describe(self) -> Described:
        """Where the model that answers comes from."""
        provenance = self._loaded.provenance
        run = provenance.run or {}
        return Described(
            run=provenance.run_id or None,
            version=run.get("version"),
            commit=run.get("commit") or None,
            metrics=provenance.metrics,
            provenance={k: v for k, v in run.items() if k not in _INTERNAL} or None,
        )

    async def _reload(self, token: _Token) -> Reloaded | Problem:
        """Load the newest model, beside the one that goes on answering until then."""
        if self._token is None:
            raise HTTPException(403, "reloading is turned off: there is no --reload-token-file")
        given = token.credentials if token else ""
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            raise HTTPException(401, "give the token", {"WWW-Authenticate": "Bearer"})
        try:
            return await self.reload()
        except StageError as error:
            refused: Any = problem(409, "not_reloaded", error.message)
            return refused


def _read_token(path: str) -> bytes | None:
    if not path:
        return None
    token = Path(path).read_bytes().strip()
    if not token:
        raise StageError(f"--reload-token-file {path}: empty", "write a secret into it")
    return token
