"""How long a connection waits for its client's next step."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ml_assets.serving.http.connection.limits import ConnectionLimits

BETWEEN, HEAD, BODY = range(3)
"""What a connection is in the middle of reading."""

Kind = Literal["read", "begin", "head", "body", "nothing"]


class ClientStep(NamedTuple):
    """What a client has to do next.

    kind: read its answers, begin a request, complete a head or a body, or nothing
    mark: changes whenever the client makes headway
    seconds: how long it may take
    """

    kind: Kind
    mark: int
    seconds: float


NOTHING = ClientStep("nothing", 0, float("inf"))


def next_step(
    limits: ConnectionLimits, reading: int, *, unread: int, due: int, messages: int,
    paused: bool, sent: int,
) -> ClientStep:
    """The step for which a connection waits.

    reading: BETWEEN, HEAD or BODY
    unread: bytes of answers that the client has not read
    due: requests that wait for their answers
    messages: requests that have begun; sent: bytes of the present body
    paused: whether the connection itself reads nothing
    """
    if unread:
        return ClientStep("read", unread, limits.unread_seconds)
    if reading == BETWEEN:
        return NOTHING if due else ClientStep("begin", messages, limits.idle_seconds)
    if paused:
        return NOTHING
    if reading == HEAD:
        return ClientStep("head", messages, limits.head_seconds)
    return ClientStep("body", messages, limits.body_seconds + sent / limits.body_rate)


class Waiting:
    """Since when a connection has waited for the same step."""

    __slots__ = ("_begun", "_since")

    def __init__(self) -> None:
        self._begun: tuple[Kind, int] | None = None
        self._since = 0.0

    def is_overdue(self, step: ClientStep, now: float) -> bool:
        """Whether the client has taken longer than it may. Begins anew with each new step."""
        if self._begun != step[:2]:
            self._begun, self._since = step[:2], now
            return False
        return now - self._since > step.seconds
