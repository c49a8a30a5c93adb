"""Where a request comes in and its answer goes out: an id for it, whose it is, and who may ask."""

from __future__ import annotations

import logging
import re
from random import getrandbits
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.serving.access.doorkeeper import Doorkeeper
from ml_assets.serving.access.hosts import Hosts
from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.http.responses import MODEL_VERSION, answer_to
from ml_assets.serving.telemetry.logs import REQUEST_ID
from ml_assets.serving.telemetry.metrics import Requests

log = logging.getLogger(__name__)

BEARER = "ml_assets.bearer"
"""In an ASGI scope: the token that asks, None if none is needed."""
SLOW_SECONDS = 1.0
"""An answer that takes longer is worth a line in the log."""
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class EdgeMiddleware:
    """ASGI middleware around everything else, also around what answers a bug.

    Every answer has an `X-Request-Id`: the caller's if it matches `[A-Za-z0-9._-]{1,64}`, otherwise
    a generated one. Callers without permission and pages of other sites are refused here, before
    the body is read. Answers that failed, were slow or were refused for want of a token get a line
    in the log, one of each kind a minute; nothing that a header or a body says is in it.
    """

    def __init__(
        self, app: ASGIApp, door: Doorkeeper, hosts: Hosts, requests: Requests, lines: SparseLog
    ) -> None:
        self._app, self._door, self._hosts = app, door, hosts
        self._requests, self._lines = requests, lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 500
        version: str | None = None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = id_for(headers.get(b"x-request-id"))
        # Never reset: the server logs a bug in this task after we are done with it.
        REQUEST_ID.set(request_id.decode())

        async def send_out(message: Message) -> None:
            nonlocal status, version
            if message["type"] == "http.response.start":
                status, answered = message["status"], message["headers"]
                if (said := dict(answered).get(MODEL_VERSION)) is not None:
                    version = said.decode()
                answered.append((b"x-request-id", request_id))
            await send(message)

        try:
            self._hosts.require(scope["method"], scope["headers"], scope["http_version"])
            scope[BEARER] = self._door.admit(scope["path"], headers.get(b"authorization"))
        except RequestRefused as refused:
            refusal = answer_to(refused, scope["method"], scope["path"])
            await refusal(scope, receive, send_out)
        else:
            await self._app(scope, receive, send_out)
        finally:
            note(self._requests, self._lines, scope["method"], scope["path"], status,
                 perf_counter() - started, version)


def id_for(given: bytes | None) -> bytes:
    """The id of a request whose header gave this one."""
    if given is not None and _SANE_ID.fullmatch(given):
        return given
    # It need not be a secret: 64 random bits do not meet, and cost no system call.
    return b"%016x" % getrandbits(64)


def note(
    requests: Requests, lines: SparseLog, method: str, path: str, status: int, seconds: float,
    version: str | None,
) -> None:
    """Count an answer; if it failed, was slow or unauthorised, log it too."""
    labels = requests.note(path, status, seconds, version)
    if status < 500 and status not in (401, 403) and seconds < SLOW_SECONDS:
        return
    about = {"method": method, "path": path, "system": _system(path), "status": status,
             "latency_ms": round(seconds * 1000, 1), "model_version": version}
    lines.say(log, logging.ERROR if status >= 500 else logging.WARNING, (*labels, status),
              "%s %s -> %d in %.0f ms", method, path, status, seconds * 1000, about=about)


def _system(path: str) -> str | None:
    """The system that an address names, whether or not there is one."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) == 4 and parts[1] == "v1" else None
