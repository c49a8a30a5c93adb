"""The head of a request: what is refused in it, and what is read otherwise than it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ml_assets.serving.contract.decoding import RequestRefused

Headers = Sequence[tuple[bytes, bytes]]
"""Names in small letters."""

_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_HOP = frozenset({b"upgrade", b"http2-settings"})


def require_known_framing(version: str, headers: Headers) -> None:
    """Raise RequestRefused if it cannot be told for sure where the request ends."""
    if version not in ("1.0", "1.1"):
        raise RequestRefused(505, "unknown_version", f"this is HTTP/{version}; expected 1.1")
    for name, value in headers:
        if name == b"transfer-encoding" and (
            value.strip().lower() != b"chunked" or version == "1.0"
        ):
            raise RequestRefused(501, "unknown_encoding", "Transfer-Encoding is "
                                 f"{value.decode('latin-1')[:40]!r} in HTTP/{version}; "
                                 "expected chunked in HTTP/1.1, or a Content-Length")


def host_in(url: bytes) -> bytes | None:
    """The host that a whole URL in the first line names, whatever `Host` says: RFC 9112, 3.2.2."""
    absolute = _ABSOLUTE.match(url)
    return None if absolute is None else absolute[1]


def without_offer(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """The head as it would be if its client offered to change to no other protocol."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            value = b", ".join(token for token in (each.strip() for each in value.split(b","))
                               if token.lower() not in _HOP)
        if name not in _HOP and (value or name != b"connection"):
            lines.append(name + b": " + value)
    return b"\r\n".join((*lines, b"", b""))
