"""The body of a request, whole, and no larger than it may be."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from ml_assets.serving.contract.decoding import MAX_BODY_BYTES, RequestRefused, not_accepted
from ml_assets.serving.contract.encoding import content_codings

MAX_DRAINED_BYTES = 8 * MAX_BODY_BYTES
"""How much of a body that is too large is still read: a client that writes does not listen."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Raises RequestRefused if it is compressed or exceeds MAX_BODY_BYTES."""
    if codings := content_codings(scope["headers"]):
        raise not_accepted(", ".join(codings))
    headers = dict(scope["headers"])
    declared = int(headers.get(b"content-length", 0))
    # Who asks "Expect: 100-continue" has not sent anything yet.
    if declared > MAX_DRAINED_BYTES or (declared > MAX_BODY_BYTES and b"expect" in headers):
        raise _too_large()
    body, size, more = b"", 0, True
    parts: list[bytes] = []
    while more and size <= MAX_DRAINED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body, more = message.get("body", b""), message.get("more_body", False)
        size += len(body)
        if size <= MAX_BODY_BYTES:
            parts.append(body)
    if size > MAX_BODY_BYTES:
        raise _too_large()
    return body if len(parts) == 1 else b"".join(parts)


def _too_large() -> RequestRefused:
    return RequestRefused(
        413, "body_too_large",
        f"the body has more than {MAX_BODY_BYTES:,} bytes; send larger batches in parts",
    )
