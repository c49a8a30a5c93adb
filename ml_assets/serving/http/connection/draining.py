"""How open connections end when the server must stop: told beforehand, not cut."""

from __future__ import annotations

from ml_assets.serving.http.connection.guarding import GuardedProtocol
from ml_assets.serving.http.connection.uvicorn_seam import RequestResponseCycle

GRACE_SECONDS = 2.0
"""How long a connection that is told to end may still bring a request. A client that keeps its
connections busy asks again sooner; one that does not is told nothing, and finds it closed."""


class DrainingProtocol(GuardedProtocol):
    """A guarded connection, but for how it ends when the server stops.

    Uvicorn closes every idle connection as soon as it must stop, and a request that is on its
    way at that moment is lost. Here each one gets an answer that says `Connection: close`, to
    the request in progress or to the next; only one that brings nothing for GRACE_SECONDS is
    closed without. No connection is closed on what it has already brought.
    """

    _draining = False
    _told: RequestResponseCycle | None = None

    def shutdown(self) -> None:
        """Called once, when the server begins to stop."""
        self._draining = True
        if self.cycle is None or self.cycle.response_complete:
            self._close_if_idle_for(GRACE_SECONDS)
        else:
            self._tell()

    def _ask_app(self) -> None:
        super()._ask_app()
        if self._draining and self.cycle is not None:  # None: another protocol takes over
            self._tell()

    def timeout_keep_alive_handler(self) -> None:
        if self._unread():
            self._close_if_idle_for(GRACE_SECONDS)  # unless what is there is a request
        else:
            super().timeout_keep_alive_handler()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._draining and not self.transport.is_closing() and not self.pipeline:
            # Its head went out before we knew: only the next answer can tell.
            self._close_if_idle_for(GRACE_SECONDS)

    def _tell(self) -> None:
        """Let the answer to the latest request be the last one, unless it is on its way."""
        if self._told is not None and not self._told.response_started:
            self._told.keep_alive = True  # another was sent behind it
            self._told = None
        if self.cycle.keep_alive and not self.cycle.response_started:
            self.cycle.keep_alive = False
            self._told = self.cycle

    def _close_if_idle_for(self, seconds: float) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )
