"""The plots and reports of an installation, beside pages that show them."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.responses import FileResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_NAME = re.compile(r"([a-z0-9_]+/)?[0-9a-f]{32}\.(png|html)")
"""In the folder of its system; those of before are in none."""
TYPES = {"png": "image/png", "html": "text/html; charset=utf-8"}
ALONE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
"""What a report may load and do: nothing but what is in it."""


class WithPlots:
    """ASGI middleware that answers `prefix` + a plot's name with the file in `folder`.

    A name is the hash of its content, so browsers may keep the file for good.
    """

    def __init__(self, app: ASGIApp, folder: Path, prefix: str) -> None:
        self._app, self._folder, self._prefix = app, folder, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        name = scope["path"].removeprefix(self._prefix)
        named = _NAME.fullmatch(name)
        if named and (self._folder / name).is_file():
            answer: ASGIApp = FileResponse(
                self._folder / name, media_type=TYPES[named[2]],
                headers={"content-security-policy": ALONE,
                         "cache-control": "private, max-age=31536000, immutable",
                         "x-content-type-options": "nosniff"},
            )
        else:
            answer = PlainTextResponse("there is no such plot in this installation", 404)
        await answer(scope, receive, send)
