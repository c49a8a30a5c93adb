"""A message as stored on disk, without what the mail store added around it."""

from __future__ import annotations

import codecs
import re

# Blank lines, byte order marks, the `From ann@a.example Thu ...` of an mbox or a mail spool, also
# escaped, and the mark of an MMDF folder.
_BEFORE = re.compile(
    rb"(?:\xef\xbb\xbf|[ \t]*+\n|>*+From (?![ \t]*:)[^\n]*+(?:\n|\Z)|\x01{4}\n)*+"
)
_EMLX = re.compile(rb"[ \t]*(\d{1,10})[ \t]*\n")
_PROPERTIES = re.compile(rb"\s*<\?xml")
_BEFORE_COLON = re.compile(rb"^([!-9;-~]++)[ \t]++:", re.M)
_WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def as_sent(content: bytes) -> bytes:
    """The mail with line ends as `\\n`, from its first header on.

    Removed are a byte order mark, blank lines, the `From ` line of an mbox, the mark of an MMDF
    folder, and the length before and the properties after an `.emlx`. UTF-16 becomes UTF-8. A
    space before the colon of a header is dropped.
    """
    wide = _WIDE.get(content[:2])
    if wide is not None:
        content = content[2:].decode(wide, "replace").encode("utf-8", "replace")
    length = _EMLX.match(content.removeprefix(codecs.BOM_UTF8))
    if length is not None:
        rest = content[length.end():]
        content = rest[:int(length[1])] if _PROPERTIES.match(rest, int(length[1])) else rest
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    before = _BEFORE.match(content)
    content = content[before.end():] if before else content
    head, blank, body = content.partition(b"\n\n")
    return _BEFORE_COLON.sub(rb"\1:", head) + blank + body
