"""Everything a service answers that is no result: one form of body, and what leads to it."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException

from .bodies import Answer

_MOST_NAMED = 5
# What FastAPI says of a body that is nested too deep or is not UTF-8.
_UNPARSED = "There was an error parsing the body"


class Problem(Answer):
    """Why there is no result: `error` for programs, `message` for people, the unknown names if any."""

    error: Annotated[str, Field(examples=["invalid_request"])]
    message: Annotated[str, Field(examples=["k: Input should be greater than or equal to 1"])]
    unknown: Annotated[list[str], Field(default_factory=list)]


class NotKnown(Exception):
    """The model knows nothing of what was asked for: answered with 404, told apart by `kind`.

    `kind` is "item", "items" or "user": the answer's `error` is `unknown_<kind>`.
    """

    def __init__(self, kind: str, names: Sequence[str]) -> None:
        super().__init__(kind)
        self.kind = kind
        self.names = list(names)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What FastAPI is told of the problems that a route may answer with."""
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses
    }


def problem(status: int, error: str, message: str, unknown: Sequence[str] = ()) -> JSONResponse:
    """The response for a problem."""
    return JSONResponse({"error": error, "message": message, "unknown": list(unknown)}, status)


def answer_problems(app: FastAPI) -> None:
    """Let `app` answer every problem in the one form."""
    app.add_exception_handler(NotKnown, _not_known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _failed)


async def _not_known(request: Request, error: Any) -> JSONResponse:
    message = f"the model does not know {'this' if len(error.names) == 1 else 'any of these'}"
    return problem(404, f"unknown_{error.kind}", message, error.names)


async def _invalid(request: Request, error: Any) -> JSONResponse:
    # What was sent is never repeated: it may be long, and need not be text that JSON can hold.
    found = error.errors()
    if any(complaint["type"] == "json_invalid" for complaint in found):
        return _malformed()
    messages = [
        f"{'.'.join(map(str, complaint['loc'][1:])) or complaint['loc'][0]}: {complaint['msg']}"
        for complaint in found[:_MOST_NAMED]
    ]
    return problem(422, "invalid_request", _encodable("; ".join(messages)))


async def _refused(request: Request, error: Any) -> JSONResponse:
    if error.detail == _UNPARSED:
        return _malformed()
    status = HTTPStatus(error.status_code)
    # The phrase of this one differs between Python's versions.
    name = "too_large" if status == 413 else status.name.lower()
    response = problem(status, name, str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _failed(request: Request, error: Exception) -> JSONResponse:
    return problem(500, "internal_error", "the service failed; its log says why")


def _malformed() -> JSONResponse:
    return problem(400, "malformed_json", "the body is not JSON")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
