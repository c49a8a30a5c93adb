"""All connections of one process: how many there are, what they hold, and which wait too long."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Protocol

from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.http.connection.limits import ConnectionLimits, connections_for

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often connections are looked at. One timer for all: one for each request would cost more
than all else that is done here."""


class Connection(Protocol):
    """What `Connections` needs of a connection."""

    served: bool
    """Whether it has brought a whole request."""

    def look(self, now: float) -> None:
        """End it if it has waited for its client longer than it may."""
        ...

    def give_way(self) -> bool:
        """End it if it waits for its client; whether it does."""
        ...


class Connections:
    """The open connections of a process, oldest first. All calls on the event loop."""

    def __init__(
        self, limits: ConnectionLimits | None = None, lines: SparseLog | None = None, *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """lines: which refusals are logged, the first of a kind and minute"""
        self.limits = ConnectionLimits() if limits is None else limits
        self.held = 0
        """Bytes of bodies that are being read or answered."""
        self._most = connections_for(self.limits)
        self._open: dict[Connection, None] = {}
        self._lines = SparseLog() if lines is None else lines
        self._every = look_seconds
        self._looking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, connection: Connection) -> bool:
        """Whether there is room for it; who waits for its client longest makes room."""
        if len(self._open) >= self._most and not self._make_room():
            return False
        self._open[connection] = None
        if self._looking is None:
            self._look_later()
        return True

    def leave(self, connection: Connection) -> None:
        """It is closed, or another protocol has it."""
        self._open.pop(connection, None)

    def hold(self, size: int) -> None:
        """Bytes of a body have come. Raises RequestRefused if all together are too many."""
        self.held += size
        if self.limits.held_bytes is not None and self.held > self.limits.held_bytes:
            raise RequestRefused(
                503, "overloaded", f"requests hold {self.limits.held_bytes:,} bytes already, which "
                "is as many as may; this one was not read. Send it again later",
                headers={"retry-after": "1"},
            )

    def note(self, refused: RequestRefused) -> None:
        """Log that a connection ends with this refusal."""
        self._lines.say(log, logging.WARNING, ("connection", refused.problem.code),
                        "a connection ends with %d %s: %s", refused.status, refused.problem.code,
                        refused)

    def _make_room(self) -> bool:
        """End the oldest that never brought a request, else the oldest that waits for one."""
        for served in (False, True):
            for connection in self._open:
                if connection.served is served and connection.give_way():
                    self.leave(connection)
                    return True
        return False

    def _look_later(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(self._every, self._look)

    def _look(self) -> None:
        self._looking = None
        now = monotonic()
        for connection in list(self._open):
            connection.look(now)
        if self._open:
            self._look_later()
