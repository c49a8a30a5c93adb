"""Calls that need no router: one look-up leads to what answers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ml_assets.serving.answers import EXPECTED, answer_to
from ml_assets.serving.protocol import MAX_BODY_BYTES, RequestRefused

MAX_DRAINED_BYTES = 8 * MAX_BODY_BYTES
"""So much of a body that is too large is still read: a client that writes does not listen."""

Call = Callable[[bytes], Awaitable[Response]]
"""The answer to a body, or its error."""


class Direct:
    """ASGI: posts to the addresses of `calls` are answered here, all else by `app`.

    Errors are answered as by `app`. Starlette's router, its request and its layers of exception
    handlers would cost a prediction 20 us of CPU, as much as the whole HTTP server.
    """

    def __init__(self, app: ASGIApp, calls: Mapping[str, Call]) -> None:
        self._app, self._calls = app, calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._calls.get(scope["path"]) if scope["type"] == "http" else None
        if call is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            answer = await call(await read_body(scope, receive))
        except Exception as error:
            await answer_to(error, scope["method"], scope["path"])(scope, receive, send)
            if not isinstance(error, EXPECTED):
                raise  # for the server's log
        else:
            await answer(scope, receive, send)


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Raises RequestRefused where it is larger than MAX_BODY_BYTES."""
    headers = dict(scope["headers"])
    declared = int(headers.get(b"content-length", 0))
    # Who asks "Expect: 100-continue" has not sent anything yet.
    if declared > MAX_DRAINED_BYTES or (declared > MAX_BODY_BYTES and b"expect" in headers):
        raise _too_large()
    body, size, more = b"", 0, True
    parts: list[bytes] = []
    while more and size <= MAX_DRAINED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body, more = message.get("body", b""), message.get("more_body", False)
        size += len(body)
        if size <= MAX_BODY_BYTES:
            parts.append(body)
    if size > MAX_BODY_BYTES:
        raise _too_large()
    return body if len(parts) == 1 else b"".join(parts)


def _too_large() -> RequestRefused:
    return RequestRefused(
        413, "body_too_large",
        f"the body has more than {MAX_BODY_BYTES:,} bytes; send larger batches in parts",
    )
