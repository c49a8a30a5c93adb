"""Where a request comes in and its answer goes out: an id for it, and who may ask."""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.serving.logs import REQUEST_ID
from ml_assets.serving.metrics import Requests
from ml_assets.serving.protocol import ProblemAnswer, RequestRefused
from ml_assets.serving.security import Doorkeeper

log = logging.getLogger(__name__)

BEARER = "ml_assets.bearer"
"""In an ASGI scope: the token that asks, None where none is needed."""
SLOW_SECONDS = 1.0
"""An answer that takes longer is worth a line in the log."""
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
MODEL_VERSION = "x-model-version"
"""The header that says who answered; the log and the metrics read it too."""
_MODEL_VERSION = MODEL_VERSION.encode()


class Edge:
    """ASGI middleware around everything else, also around what answers a bug.

    Every answer has an `X-Request-Id`, the caller's own where it is sane. Who may not ask is
    answered here, before the body is read. Answers that failed, were slow or were refused for
    want of a token get a line in the log; nothing that a header or a body says is in it.
    """

    def __init__(self, app: ASGIApp, door: Doorkeeper, requests: Requests) -> None:
        self._app, self._door, self._requests = app, door, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, version = perf_counter(), 500, None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8).encode()
        # Never reset: the server logs a bug in this task after we are done with it.
        REQUEST_ID.set(request_id.decode())

        async def send_out(message: Message) -> None:
            nonlocal status, version
            if message["type"] == "http.response.start":
                status = message["status"]
                version = next((value.decode() for name, value in message["headers"]
                                if name == _MODEL_VERSION), None)
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            scope[BEARER] = self._door.admit(scope["path"], headers.get(b"authorization"))
        except RequestRefused as refused:
            await _refuse(refused, send_out)
        else:
            await self._app(scope, receive, send_out)
        finally:
            self._note(scope, status, perf_counter() - started, version)

    def _note(self, scope: Scope, status: int, seconds: float, version: str | None) -> None:
        self._requests.note(scope["path"], status, seconds, version)
        if status < 500 and status not in (401, 403) and seconds < SLOW_SECONDS:
            return
        path: str = scope["path"]
        about = {"method": scope["method"], "path": path, "system": _system(path),
                 "status": status, "latency_ms": round(seconds * 1000, 1),
                 "model_version": version}
        log.log(logging.ERROR if status >= 500 else logging.WARNING,
                "%s %s -> %d in %.0f ms", scope["method"], path, status, seconds * 1000,
                extra={"about": about})


async def _refuse(refused: RequestRefused, send: Send) -> None:
    body = msgspec.json.encode(ProblemAnswer(error=refused.problem))
    more = [(name.encode(), value.encode()) for name, value in (refused.headers or {}).items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()), *more,
    ]})
    await send({"type": "http.response.body", "body": body})


def _system(path: str) -> str | None:
    """The system that an address names, whether or not there is one."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) == 4 and parts[1] == "v1" else None
