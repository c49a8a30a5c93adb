"""Which texts may come in, and which of them may name something.

A text that comes in must be Unicode that UTF-8 can hold. A name (the id of an event, the value of
an entity key, the source of feedback) is compared with others in many places: SQLite, DuckDB,
Arrow, Python and pandas. All of them compare code points, without normalising, folding case or
cutting off spaces; but whatever follows a NUL is lost on pandas where it hashes texts. So names
have an alphabet and a length, the same at every door.
"""

from __future__ import annotations

import re

NAME = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*(?![\s\S])"
"""A text of one line: any characters but control characters and separators of lines. As Python
and JSON Schema both read it; `$` would let a last line end pass."""

ID_LENGTH = 200
SOURCE_LENGTH = 100
KEY_LENGTH = 1000
"""Characters, at most."""

_NAME = re.compile(NAME)
_OUTSIDE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def is_text(value: str) -> bool:
    """Whether UTF-8 can hold it: half of a surrogate pair is no character."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_fault(value: str) -> str | None:
    """What keeps `value` from being stored; None if nothing does."""
    return None if is_text(value) else (
        f"{shown(value)} has half of a surrogate pair, which is no character; expected Unicode "
        "text that UTF-8 can hold"
    )


def name_fault(value: str, longest: int) -> str | None:
    """What keeps `value` from being a name; None if nothing does. An empty one is none's."""
    if len(value) > longest:
        return f"{shown(value)} has {len(value):,} characters; expected at most {longest:,}"
    if _NAME.match(value) is None:
        return (f"{shown(value)} has a control character or a line separator; expected a text "
                "of one line")
    return text_fault(value)


def as_name(text: str, longest: int) -> str:
    """`text` without the characters that no name has, at most `longest` of the others."""
    return _OUTSIDE.sub("", text)[:longest]


def shown(value: object) -> str:
    """The value for a message: short, and such that every log and terminal can show it."""
    text = ascii(value[:100] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def storable(text: str, longest: int) -> str:
    """`text` with escapes where it has what UTF-8 cannot hold; cut off after `longest`."""
    cut = text if len(text) <= longest else f"{text[:longest]}..."
    return cut.encode("utf-8", "backslashreplace").decode()
