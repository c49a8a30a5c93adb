"""A web server for someone else's pages, by the rules of the API's own edge."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.serving.access.hosts import Hosts
from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.http.connection.connections import Connections
from ml_assets.serving.http.connection.draining import DrainingProtocol
from ml_assets.serving.http.connection.limits import ConnectionLimits
from ml_assets.serving.http.connection.uvicorn_seam import config_for
from ml_assets.serving.http.responses import answer_to

HOST = "127.0.0.1"
LIMITS = ConnectionLimits(url_bytes=32 * 1024, head_bytes=64 * 1024, sent_bytes=None,
                          held_bytes=None)
"""Pages carry their filters in their addresses, and a model's files are large."""
DRAIN_SECONDS = 3
_NO_FRAMES = (b"x-frame-options", b"SAMEORIGIN")

Rule = Callable[[Scope], None]
"""Raises RequestRefused for what the pages' own server would do and must not."""


class Guarded:
    """ASGI middleware that lets in what is meant for this server and comes from its own pages.

    WebSockets too: a page of any site may open one, and browsers say whose it is. The pages are
    shown in no frame of another site.

    rule: what else is refused, of requests that are let in
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, rule: Rule = lambda scope: None) -> None:
        self._app, self._hosts, self._rule = app, hosts, rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        http = scope["type"] == "http"
        method = scope["method"] if http else "GET"
        try:
            self._hosts.require(method, scope["headers"], scope["http_version"])
            if http:
                self._rule(scope)
        except RequestRefused as refused:
            if http:
                await answer_to(refused, method, scope["path"])(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": str(refused)[:100]})
            return

        async def send_out(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if all(name.lower() != _NO_FRAMES[0] for name, _ in headers):
                    headers.append(_NO_FRAMES)
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_out)


def serve_console(app: ASGIApp, port: int) -> None:
    """Serve a guarded `app` on loopback until SIGTERM or SIGINT."""
    config = config_for(
        app, partial(DrainingProtocol, Connections(LIMITS)), host=HOST, port=port,
        log_level="warning", timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # whoever started it stops it
    uvicorn.Server(config).run()
