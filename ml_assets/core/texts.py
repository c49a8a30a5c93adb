"""Which strings are accepted, and which of them may name something.

An accepted string must be Unicode that UTF-8 can encode. A name (an event id, an entity key, a
feedback source) is compared with others in many places: SQLite, DuckDB, Arrow, Python and pandas.
All of them compare code points, without normalising, folding case or trimming spaces; but pandas
ignores whatever follows a NUL when it hashes strings. So names have an alphabet and a length, the
same at every entrance.
"""

from __future__ import annotations

import re

NAME = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*(?![\s\S])"
"""Text on one line: any characters but control characters and line separators. Python and JSON
Schema read it alike; `$` would let a trailing newline pass."""

ID_LENGTH = 200
SOURCE_LENGTH = 100
KEY_LENGTH = 1000
"""Characters, at most."""

_NAME = re.compile(NAME)
_OUTSIDE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def is_text(value: str) -> bool:
    """Whether UTF-8 can encode it: a lone surrogate is not a character."""
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
    """What keeps `value` from being a name; None if nothing does. An empty one is accepted."""
    if len(value) > longest:
        return f"{shown(value)} has {len(value):,} characters; expected at most {longest:,}"
    if _NAME.match(value) is None:
        return (f"{shown(value)} has a control character or a line separator; expected a text "
                "of one line")
    return text_fault(value)


def key_text(key: object) -> str:
    """The text that names an entity: that of its key, empty if there is none."""
    return "" if key is None else str(key)


def as_name(text: str, longest: int) -> str:
    """`text` without characters that a name may not have, cut to `longest` characters."""
    return _OUTSIDE.sub("", text)[:longest]


def shown(value: object) -> str:
    """The value for a message: short, and in characters that any log or console can show."""
    text = ascii(value[:100] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def storable(text: str, longest: int) -> str:
    """`text` cut to `longest` characters, with escapes for what UTF-8 cannot encode."""
    cut = text if len(text) <= longest else f"{text[:longest]}..."
    return cut.encode("utf-8", "backslashreplace").decode()
