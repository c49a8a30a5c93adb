"""Bodies are UTF-8 and uncompressed; what any other one looks like, so that its refusal says so."""

from __future__ import annotations

from collections.abc import Iterable

BOM = b"\xef\xbb\xbf"
"""The byte order mark. RFC 8259, 8.1: nobody may add one, and whoever reads it may ignore it."""
CONTENT_CODING = b"content-encoding"
_MARKS = (
    (b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\0\0\0", "UTF-32"),
    (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"),
)


def content_codings(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """What the headers say that the body was compressed with, other than not at all."""
    named = [part.strip().lower() for name, value in headers if name == CONTENT_CODING
             for part in value.decode("latin-1").split(",")]
    return [each for each in named if each not in ("", "identity")]


def foreign(body: bytes) -> str | None:
    """What `body`, which is no JSON in UTF-8, looks like from its first bytes, if they tell.

    JSON begins with two ASCII characters, or is one digit: so a zero byte among the first two
    shows how many bytes a character has. A charset in `Content-Type` says nothing: RFC 8259, 11.
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            return name
    if 0 in body[:2]:
        return "UTF-16" if body[2:4] != b"\0\0" else "UTF-32"
    return None
