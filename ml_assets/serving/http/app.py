"""The prediction API as an ASGI app: which address is which call, and what stands around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ml_assets.serving.http.connection.fast_path import FastPath
from ml_assets.serving.http.fault_log import Faults, note_error
from ml_assets.serving.http.handlers import Handlers
from ml_assets.serving.http.lifespan import Lifespan
from ml_assets.serving.http.middleware import EdgeMiddleware
from ml_assets.serving.http.pages import Pages
from ml_assets.serving.http.responses import EXPECTED, on_error

if TYPE_CHECKING:
    # Imported only if traces are switched on: its libraries are an extra.
    from ml_assets.serving.telemetry.traces import Traces


class GuardedApp(Starlette):
    """Routes and handlers behind the edge, which sees every request first and every answer last.

    Whoever serves it sets its `state.stopping` when it begins to drain, and may answer by its
    `fast_path` what needs no ASGI.
    """

    def __init__(
        self, handlers: Handlers, pages: Pages, lifespan: Lifespan, fast_path: FastPath,
        traces: Traces | None,
    ) -> None:
        self.fast_path, self._traces = fast_path, traces
        super().__init__(
            routes=routes_of(handlers, pages), lifespan=lifespan,
            exception_handlers={**dict.fromkeys(EXPECTED, self._tell), Exception: on_error},
        )
        self.state.stopping = False

    def build_middleware_stack(self) -> ASGIApp:
        fast = self.fast_path
        app: ASGIApp = EdgeMiddleware(super().build_middleware_stack(), fast.door, fast.hosts,
                                      fast.requests, fast.lines)
        if self._traces is not None:
            app = self._traces.around(app, self.routes)
        return Faults(app, fast.lines)

    async def _tell(self, request: Request, error: Exception) -> Response:
        note_error(self.fast_path.lines, error, f"{request.method} {request.url.path}")
        return await on_error(request, error)


def routes_of(handlers: Handlers, pages: Pages) -> list[Route]:
    return [
        Route("/", pages.home),
        Route("/docs", pages.docs),
        Route("/openapi.json", pages.describe),
        Route("/healthz", handlers.live),
        Route("/readyz", handlers.ready),
        Route("/readyz/{system}", handlers.ready),
        Route("/metrics", handlers.metrics),
        Route("/v1/{system}/predict", handlers.predict, methods=["POST"]),
        Route("/v1/{system}/predict/batch", handlers.predict_batch, methods=["POST"]),
        *([Route("/v1/{system}/rank", handlers.rank, methods=["POST"])] if handlers.ranks else []),
        Route("/v1/{system}/events/{stream}", handlers.event, methods=["POST"]),
        Route("/v1/{system}/events/{stream}/batch", handlers.event_batch, methods=["POST"]),
        Route("/v1/{system}/feedback", handlers.feedback, methods=["POST"]),
        Route("/v1/{system}/feedback/batch", handlers.feedback_batch, methods=["POST"]),
        Route("/v1/{system}/scores/{key:path}", handlers.score),
        Route("/v1/{system}/predictions/{prediction_id}", handlers.record),
        Route("/v1/{system}/predictions/{prediction_id}/rows", handlers.rows),
        Route("/v1/{system}/version", handlers.version),
        Route("/v1/{system}/guardrails", handlers.guardrails, methods=["POST"]),
    ]
