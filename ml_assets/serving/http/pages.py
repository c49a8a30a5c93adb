"""What the API says of itself: the index, the description of its calls, the page to try them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ml_assets.core.system import System
from ml_assets.serving.contract.openapi import index, openapi
from ml_assets.serving.http.responses import JsonAnswer

DOCS = Path(__file__).with_name("docs.html")


class Pages:
    """The same for everyone, made once; the description when it is first asked for, because few
    servers are asked and it takes longer than all else that a server does to start.
    """

    def __init__(self, systems: Sequence[System]) -> None:
        self._systems = systems
        self._listed = msgspec.json.format(msgspec.json.encode(index(systems)))
        self._docs = DOCS.read_text()

    async def home(self, request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return await self.docs(request)
        return JsonAnswer(self._listed)

    async def docs(self, request: Request) -> Response:
        # In a frame of another site its buttons could be pressed unseen.
        return HTMLResponse(self._docs, headers={"x-frame-options": "SAMEORIGIN"})

    async def describe(self, request: Request) -> Response:
        return JsonAnswer(await run_in_threadpool(lambda: self._described))

    @cached_property
    def _described(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(openapi(self._systems)))
