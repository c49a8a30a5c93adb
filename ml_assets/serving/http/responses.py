"""What goes out: answers in JSON, and one place that says which error is which answer."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ml_assets.core.errors import (
    LogUnavailable,
    MlAssetsError,
    NotReady,
    Overloaded,
    Quarantined,
    TooOften,
    UnknownName,
)
from ml_assets.serving.answer.intake.admission import EventRefused
from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.contract.protocol import PredictAnswer, Problem, ProblemAnswer, RankAnswer
from ml_assets.serving.contract.redaction import redacted

MODEL_VERSION = b"x-model-version"
"""The header that says who answered; the log and the metrics read it too."""
EXPECTED = (MlAssetsError, HTTPException, ClientDisconnect)
"""Errors that say what is wrong; any other is a bug: see `fault_log`."""
_JSON = (b"content-type", b"application/json")
_ENCODER = msgspec.json.Encoder()


class JsonAnswer(Response):
    """JSON that is encoded already. Its headers are made in a tenth of Starlette's time."""

    def __init__(self, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = [_JSON, (b"content-length", b"%d" % len(body)), *headers]


def answer_of(value: msgspec.Struct, status: int = 200) -> Response:
    """`value` as a client reads it."""
    if isinstance(value, PredictAnswer | RankAnswer):
        version = (MODEL_VERSION, b"%d" % value.model_version)
        return JsonAnswer(_ENCODER.encode(value), status, version)
    return JsonAnswer(_ENCODER.encode(value), status)


def answer_to(error: Exception, method: str, path: str) -> Response:
    """What a client gets if its request for `path` ended in `error`."""
    if isinstance(error, HTTPException):
        # An address or a method that does not exist.
        message = f"{method} {path}: {error.detail}; GET / lists all calls"
        code = error.detail.lower().replace(" ", "_")
        return _answer(ErrorAnswer(error.status_code, Problem(code=code, message=message),
                               error.headers))
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # it went away in the middle: nobody reads this
    return _answer(refusal_of(error))


async def on_error(request: Request, error: Exception) -> Response:
    """`answer_to` as Starlette calls it."""
    return answer_to(error, request.method, request.url.path)


class ErrorAnswer(NamedTuple):
    """How an error is told: in an answer of its own, or in its place in a batch."""

    status: int
    problem: Problem
    headers: Mapping[str, str] | None = None


def refusal_of(error: Exception) -> ErrorAnswer:
    """How a client is told of `error`.

    Errors about a request are told in their own words. Those about the server are told without
    its paths, and of whatever we did not foresee the client gets an apology: the log has all.
    """
    refusal = _refusal_of(error)
    message = refusal.problem.message
    if not message.isascii():  # half a character, which a client sent, would be no JSON
        message = message.encode("utf-8", "replace").decode()
        refusal = refusal._replace(problem=msgspec.structs.replace(
            refusal.problem, message=message))
    return refusal


def _refusal_of(error: Exception) -> ErrorAnswer:
    if isinstance(error, RequestRefused):
        return ErrorAnswer(error.status, error.problem, error.headers)
    if isinstance(error, EventRefused):
        problem = Problem(code=error.code, message=error.message, field=error.field)
        return ErrorAnswer(409 if error.code == "event_changed" else 422, problem)
    if not isinstance(error, MlAssetsError):
        return INTERNAL
    said = str(error)
    if isinstance(error, UnknownName):
        return ErrorAnswer(404, Problem(code="not_found", message=said))
    if isinstance(error, Quarantined):
        return ErrorAnswer(422, Problem(code="unusable_event", message=said))
    if isinstance(error, Overloaded | TooOften):
        status, code = (503, "overloaded") if isinstance(error, Overloaded) else (429, "too_often")
        seconds = max(1, ceil(error.retry_after.total_seconds()))
        return ErrorAnswer(status, Problem(code=code, message=said), {"retry-after": str(seconds)})
    said = redacted(said)
    if isinstance(error, LogUnavailable | NotReady):
        code = "log_unavailable" if isinstance(error, LogUnavailable) else "not_ready"
        return ErrorAnswer(503, Problem(code=code, message=said), {"retry-after": "1"})
    return ErrorAnswer(500, Problem(code="failed", message=said))


INTERNAL = ErrorAnswer(500, Problem(
    code="internal",
    message="this is a fault of the server, not of your request; its log has the details",
))


def _answer(refusal: ErrorAnswer) -> Response:
    headers = [(name.lower().encode(), value.encode())
               for name, value in (refusal.headers or {}).items()]
    return JsonAnswer(_ENCODER.encode(ProblemAnswer(error=refusal.problem)), refusal.status,
                      *headers)
