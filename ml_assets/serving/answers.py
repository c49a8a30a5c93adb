"""What goes out: answers in JSON, and one place that says which error is which answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil

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
from ml_assets.serving.decoding import RequestRefused
from ml_assets.serving.protocol import PredictAnswer, Problem, ProblemAnswer

log = logging.getLogger(__name__)

MODEL_VERSION = b"x-model-version"
"""The header that says who answered; the log and the metrics read it too."""
EXPECTED = (MlAssetsError, HTTPException, ClientDisconnect)
"""Errors that say what is wrong; any other is a bug, which the server logs with its trace."""
_JSON = (b"content-type", b"application/json")
_ENCODER = msgspec.json.Encoder()


class JsonAnswer(Response):
    """JSON that is encoded already. Its headers are made in a tenth of Starlette's time."""

    def __init__(self, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = [_JSON, (b"content-length", b"%d" % len(body)), *headers]


def answer_of(value: msgspec.Struct, status: int = 200) -> Response:
    """`value` as a client reads it."""
    if isinstance(value, PredictAnswer):
        version = (MODEL_VERSION, b"%d" % value.model_version)
        return JsonAnswer(_ENCODER.encode(value), status, version)
    return JsonAnswer(_ENCODER.encode(value), status)


def answer_to(error: Exception, method: str, path: str) -> Response:
    """What a client gets where its request for `path` ended in `error`.

    The project's own errors say what is wrong in words meant for the client. Of whatever we did
    not foresee the log has the trace and the client an apology.
    """
    if isinstance(error, RequestRefused):
        return _problem(error.status, error.problem, error.headers)
    if isinstance(error, MlAssetsError):
        return _known(error, path)
    if isinstance(error, HTTPException):
        # An address or a method that does not exist.
        message = f"{method} {path}: {error.detail}; GET / lists all calls"
        code = error.detail.lower().replace(" ", "_")
        return _problem(error.status_code, Problem(code=code, message=message), error.headers)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # it went away in the middle: nobody reads this
    message = "this is a fault of the server, not of your request; its log has the details"
    return _problem(500, Problem(code="internal", message=message))


async def on_error(request: Request, error: Exception) -> Response:
    """`answer_to` as Starlette calls it."""
    return answer_to(error, request.method, request.url.path)


def _known(error: MlAssetsError, path: str) -> Response:
    said = str(error)
    if isinstance(error, UnknownName):
        return _problem(404, Problem(code="not_found", message=said))
    if isinstance(error, Quarantined):
        return _problem(422, Problem(code="unusable_event", message=said))
    if isinstance(error, Overloaded | TooOften):
        # Not logged: a line for each would be more work than they all.
        status, code = (503, "overloaded") if isinstance(error, Overloaded) else (429, "too_often")
        seconds = max(1, ceil(error.retry_after.total_seconds()))
        return _problem(status, Problem(code=code, message=said), {"retry-after": str(seconds)})
    log.error("%s: %s", path, error)
    if isinstance(error, LogUnavailable | NotReady):
        code = "log_unavailable" if isinstance(error, LogUnavailable) else "not_ready"
        return _problem(503, Problem(code=code, message=said), {"retry-after": "1"})
    return _problem(500, Problem(code="failed", message=said))


def _problem(status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    more = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return JsonAnswer(_ENCODER.encode(ProblemAnswer(error=problem)), status, *more)
