"""The readable pieces of a message, even if its structure breaks the rules of MIME.

Spam is written for forgiving readers: they show the text of a multipart whose boundary is
misspelled, `text / html`, and text after the last boundary. Whatever they show is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message

LIMIT_REPAIRS = 10
"""How many multiparts without their boundary are split; later ones are read as one text."""

_KIND = re.compile(r"\s*[\"']?\s*([\w.+-]+)\s*/\s*([\w.+-]+)")
_ENCODING = re.compile(r"\s*[\"']?\s*([\w-]+)")
# A separate line that begins a part with a header.
_BOUNDARY = re.compile(r"^--([^\s\"\\][^\"\\\n]{0,199}?)[ \t]*\n(?=content-)", re.I | re.M)
_DECLARED = re.compile(rb"\bboundary\s*=\s*[\"']?([^\"'\s;]{1,200})", re.I)
_NOTICE = re.compile(
    r"^.*\b(?:mime|multi-? ?part|mail (?:reader|client|program))\b.*$", re.I | re.M)
_MARKUP = re.compile(r"^content-type: *text/html\b|<a\s[^<>]*\bhref\b", re.I | re.M)

MakeMessage = Callable[..., Message]


@dataclass(frozen=True)
class Leaf:
    """One piece: its media type in lower case, whether it is shown, and its bytes.

    content: decoded from its transfer encoding; called only for pieces that are read.
    """

    kind: str
    charset: str
    is_attachment: bool
    content: Callable[[], bytes]


def parse_message(content: bytes, make: MakeMessage = Message) -> Message:
    """The message as the standard parser reads it, but with text after an early closing line.

    A line that closes a declared boundary before anything has opened it is indented, so it closes
    nothing.
    """
    for declared in dict.fromkeys(_DECLARED.findall(content)):
        line = re.escape(declared)
        opened = re.search(rb"^--" + line + rb"[ \t]*$", content, re.M)
        early = slice(0, len(content) if opened is None else opened.start())
        if b"\n--" + declared + b"--" in content[early]:
            content = re.sub(rb"^--" + line + rb"--", rb" \g<0>", content[early], flags=re.M) + (
                content[early.stop:])
    return message_from_bytes(content, _class=make)


def leaves(message: Message, make: MakeMessage = Message) -> Iterator[Leaf]:
    """The pieces in order, with the text before and after the parts of a multipart.

    make: creates the messages that a repair reparses, for a caller that counts them.
    """
    return _Reading(make).leaves(message)


class _Reading:
    def __init__(self, make: MakeMessage) -> None:
        self._make, self._repairs = make, 0

    def leaves(self, part: Message) -> Iterator[Leaf]:
        if part.is_multipart():
            # Mail programs tell there that the mail is MIME, to readers that know none.
            yield from _around(_NOTICE.sub("", part.preamble or ""))
            for inner in part.get_payload():
                assert isinstance(inner, Message)
                yield from self.leaves(inner)
            yield from _around(part.epilogue)
            return
        kind = kind_of(part)
        if kind.startswith("multipart/"):  # without the boundary that it declares
            text = str(part.get_payload())
            repaired = self._repaired(text)
            if repaired is not None:
                yield from self.leaves(repaired)
                return
            kind = "text/html" if _MARKUP.search(text) else "text/plain"
        yield Leaf(
            kind=kind,
            charset=part.get_content_charset("ascii"),
            is_attachment=part.get_content_disposition() == "attachment",
            content=lambda: _decoded(part),
        )

    def _repaired(self, text: str) -> Message | None:
        """The multipart with its actual boundary, if that can be determined."""
        boundary = _BOUNDARY.search(text)
        if boundary is None or self._repairs >= LIMIT_REPAIRS:
            return None
        self._repairs += 1
        head = f'Content-Type: multipart/mixed; boundary="{boundary[1]}"\n\n'
        found = parse_message((head + text).encode("ascii", "surrogateescape"), self._make)
        return found if found.is_multipart() else None


def kind_of(part: Message) -> str:
    """The media type in lower case, with or without spaces and quotes; text/plain if unreadable."""
    if "content-type" not in part:
        return part.get_content_type()  # within a digest it is another one
    said = _KIND.match(str(part["content-type"]))
    return f"{said[1]}/{said[2]}".lower() if said else "text/plain"


def _around(text: str | None) -> Iterator[Leaf]:
    if text and text.strip():
        content = text.encode("utf-8", "surrogateescape")
        yield Leaf("text/plain", "ascii", is_attachment=False, content=lambda: content)


def _decoded(part: Message) -> bytes:
    encoding = _ENCODING.match(str(part.get("content-transfer-encoding", "")))
    if encoding is not None:  # the standard parser knows the bare word alone
        part.replace_header("content-transfer-encoding", encoding[1])
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes), "only leaves are decoded"
    return content
