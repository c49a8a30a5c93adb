"""How much a client may send, how slowly, and how many connections may wait at once."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from ml_assets.serving.contract.decoding import MAX_BODY_BYTES

OPEN_FILES = 4096
"""How many a server asks the system for: each connection is one."""
SPARE_FILES = 128
"""Of these, what is not for connections: the log, the stores, the libraries."""


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """Bounds on what one process holds for its clients before it knows who they are.

    url_bytes, head_bytes, headers: of a request's head; the defaults are those of nginx and Apache
        (8 KiB, 32 KiB, 100)
    head_seconds: from a head's first byte to its last
    idle_seconds: a connection that brings nothing, before its first request or after an answer
    body_seconds, body_rate: a body may take so long, and a second more for each `body_rate` bytes
    unread_seconds: an answer of which the client reads nothing
    sent_bytes: of one body, all that is sent for it, what is refused and its chunks' heads too
    frame_bytes: more than the body itself that chunks may cost, and 16 for each of them
    held_bytes: of all bodies that are being read or answered at one moment
    kept_bytes: of one body, what is kept of it at most; the rest is read and let go
    queued: requests sent on one connection behind one that is not answered
    connections: open at one moment; a new one takes the place of one that waits for its client
    """

    url_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    headers: int = 100
    head_seconds: float = 10.0
    idle_seconds: float = 30.0
    body_seconds: float = 60.0
    body_rate: int = 64 * 1024
    unread_seconds: float = 60.0
    sent_bytes: int | None = 10 * MAX_BODY_BYTES
    frame_bytes: int = 64 * 1024
    held_bytes: int | None = 32 * MAX_BODY_BYTES
    kept_bytes: int = MAX_BODY_BYTES
    queued: int = 128
    connections: int = 1000


def connections_for(limits: ConnectionLimits) -> int:
    """How many connections this process can hold: as declared, or as the system lets it.

    Raises the process's own bound on open files, as far as it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < min(OPEN_FILES, hard):
        soft = min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(
            resource.RLIMIT_NOFILE)[1]))
    if soft == resource.RLIM_INFINITY:
        return limits.connections
    return max(1, min(limits.connections, soft - SPARE_FILES))
