"""How large the request is that a connection is reading, held to the limits as it comes."""

from __future__ import annotations

from collections.abc import Sequence

from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.http.connection.limits import ConnectionLimits

Headers = Sequence[tuple[bytes, bytes]]


class RequestSize:
    """Counts what has come of one request after the other, and refuses what is too large.

    arrived: bytes of the piece that is being parsed, as the system handed it over
    messages: how many requests have begun
    sent: bytes on the wire of the body that is being read, from the end of its head
    """

    __slots__ = ("_body", "_head", "_limits", "_pieces", "_spread", "arrived", "messages", "sent")

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self.arrived = self.messages = self.sent = 0
        self._spread = 0
        """The request, by its number, whose head came in several pieces."""
        self._head = 0
        self._body = self._pieces = 0
        """Of the body that is being read: its own bytes, and the parts in which they came."""

    def require_url(self, url: bytes) -> None:
        """Raise RequestRefused if the address, as far as it has come, is too long."""
        if len(url) > self._limits.url_bytes:
            raise self._too_long()

    def require_head(self, url: bytes, headers: Headers) -> None:
        """Raise RequestRefused if the head, which is complete, is too large."""
        limit = self._limits.head_bytes
        if self._spread == self.messages or self.arrived > limit:
            size = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
            if size > limit:
                raise self._too_large(url)

    def begin_body(self) -> None:
        self.sent = self._body = self._pieces = 0

    def add_body(self, size: int) -> int:
        """A part of the body has come. Returns how much of it is kept."""
        self._body += size
        self._pieces += 1
        return size if self._body <= self._limits.kept_bytes else 0

    def count_head(self, url: bytes) -> None:
        """A piece has ended in the middle of a head. Raises RequestRefused if it is too large."""
        if self._spread != self.messages:  # what came before it in this piece is not its own
            self._spread, self._head = self.messages, 0
            return
        self._head += self.arrived
        if self._head > self._limits.head_bytes:
            raise self._too_large(url)

    def count_body(self) -> None:
        """A piece has ended in the middle of a body. Raises RequestRefused if too much was sent."""
        limits = self._limits
        self.sent += self.arrived
        if limits.sent_bytes is not None and self.sent > limits.sent_bytes:
            raise RequestRefused(413, "body_too_large", f"more than {limits.sent_bytes:,} bytes "
                                 "were sent for one body")
        # What came with the head counts too, and is one piece of what the system hands over.
        if self.sent - self._body - 16 * self._pieces > limits.frame_bytes + 2**18:
            raise RequestRefused(400, "invalid_http", "the chunks of the body cost more than what "
                                 "is in them")

    def _too_large(self, url: bytes) -> RequestRefused:
        if len(url) > self._limits.url_bytes:
            return self._too_long()
        return RequestRefused(431, "head_too_large", "the head of the request has more than "
                              f"{self._limits.head_bytes:,} bytes")

    def _too_long(self) -> RequestRefused:
        return RequestRefused(414, "url_too_long", "the address has more than "
                              f"{self._limits.url_bytes:,} bytes")
