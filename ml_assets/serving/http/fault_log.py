"""What the log says of requests that ended in an error: one line of a kind and minute."""

from __future__ import annotations

import logging
from traceback import extract_tb

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.serving.http.responses import EXPECTED, answer_to, refusal_of

log = logging.getLogger(__name__)


def note_error(lines: SparseLog, error: Exception, what: str) -> None:
    """Log that `what`, such as a request, ended in `error`.

    A fault that nobody foresaw with its traceback; an error of ours if it is about the server,
    not about the request. Refused events are logged by `Predictor`, answers of 401 and 403 and
    of 5xx by `EdgeMiddleware`.
    """
    if not isinstance(error, EXPECTED):
        lines.say(log, logging.ERROR, _kind(error), "%s met a fault of ours", what, error=error)
    elif isinstance(error, MlAssetsError):
        refusal = refusal_of(error)
        if refusal.status >= 500 or refusal.status == 429:
            kind = (type(error), refusal.problem.code)
            lines.say(log, logging.ERROR, kind, "%s: %s", what, error)


def _kind(error: BaseException) -> tuple[type[BaseException], str, int]:
    """What was raised, and by which line of code."""
    frames = extract_tb(error.__traceback__, limit=-1)
    return (type(error), *((frames[0].filename, frames[0].lineno or 0) if frames else ("", 0)))


class Faults:
    """ASGI middleware around everything else: no fault gets to the server that runs the app.

    That would log the traceback of each. A request that has no answer yet gets one here.
    """

    def __init__(self, app: ASGIApp, lines: SparseLog) -> None:
        self._app, self._lines = app, lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_out(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_out)
        except Exception as error:
            note_error(self._lines, error, f"{scope['method']} {scope['path']}")
            if not started:
                await answer_to(error, scope["method"], scope["path"])(scope, receive, send)
