"""The seam to uvicorn: the one module that imports its private classes.

A release of uvicorn may change them without notice, so `pyproject.toml` bounds its version. If a
new version breaks our connections, `plain_asgi` serves the same app over uvicorn's own ones:
`tests/serving/http/test_plain_asgi.py` shows that everything still works, with only the limits of
`limits.py`, the soft draining and the fast path missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

__all__ = ["STATUS_LINE", "HttpToolsProtocol", "RequestResponseCycle", "config_for"]

ConnectionFactory = Callable[..., asyncio.Protocol]
"""Makes a connection of uvicorn's keyword arguments: config, server state, app state."""


def config_for(
    app: ASGIApp, connections: ConnectionFactory | None, **options: Any
) -> uvicorn.Config:
    """How uvicorn serves `app`.

    connections: makes each connection; None takes uvicorn's own, by their public name
    """
    http: Any = "auto" if connections is None else connections
    return uvicorn.Config(app, http=http, access_log=False, server_header=False,
                          proxy_headers=False, lifespan="on", **options)
