"""Traces that the collector left in the messages, and the neutral words that replace them.

He masked his name in several ways over time (`zzzz`, `yyyy`, `qqqq`), and his domains too, and his
mailbox added its own headers. These alone tell spam from ham in 94% of cases, and none of it would
hold for another mailbox. So no model may see them: the masks and what they hide (`jm`,
`jmason.org`) become the same word.
"""

from __future__ import annotations

import re

RECIPIENT = "recipient"
RECIPIENT_DOMAIN = "recipient.example"

# All patterns expect lower-case text: without IGNORECASE they run 5 times as fast.
_NAME = re.compile(
    r"(?:z{3,}|y{4,}|q{4,})(?:ason)?|(?<![a-z0-9])(?:jm[0-9]*|jmason)(?![a-z0-9])"
)
_NAME_HINTS = ("zzz", "yyyy", "qqqq", "jm")
_DOMAIN = re.compile(
    r"(?:netnoteinc\.com|(?:jmason|taint)\.org|recipient\.(?:org|com)|slashnull\.org|webnote\.net)"
)
_DOMAIN_HINTS = ("netnoteinc.", "jmason.", "recipient.", "taint.org", "slashnull.", "webnote.")
_HOST = re.compile(
    r"(?:(?:mandark|phobos|dogma|jalapeno|mail|localhost|labs|spamassassin|listman|corp|mx1|"
    r"int-mx1)\.){1,4}recipient\.example"
)
_HOST_HINTS = (".recipient.example",)
_MAILBOX_LINE = re.compile(
    r"^[> \t|]*x-(?:spam|status|keywords|uid|mozilla-status|pyzor|dcc)\b[^\n]*\n?", re.MULTILINE
)
_MAILBOX_HINTS = ("x-spam", "x-status", "x-keywords", "x-uid", "x-mozilla", "x-pyzor", "x-dcc")
# `lists.` as the collector renamed it in some months and not in others.
_LISTS = re.compile(r"example\.sourceforge\.net")
_LISTS_HINTS = ("example.sourceforge.net",)

_RULES = (
    (_MAILBOX_HINTS, _MAILBOX_LINE, ""),
    (_NAME_HINTS, _NAME, RECIPIENT),
    (_DOMAIN_HINTS, _DOMAIN, RECIPIENT_DOMAIN),
    (_HOST_HINTS, _HOST, RECIPIENT_DOMAIN),
    (_LISTS_HINTS, _LISTS, "lists.sourceforge.net"),
)


def without_artefacts(text: str) -> str:
    """`text` with the recipient's names made neutral and mailbox lines removed.

    A search runs only if a plain substring says that it could find something: most messages have
    none, and this code is on the path of every request.
    """
    lower = _lower(text)
    for hints, pattern, word in _RULES:
        if any(hint in lower for hint in hints):
            text = _replace(pattern, word, text, lower)
            lower = _lower(text)
    return text


def _replace(pattern: re.Pattern[str], word: str, text: str, lower: str) -> str:
    """`text` with `word` wherever `pattern` matches `lower`, its lower-case twin."""
    pieces, end = [], 0
    for match in pattern.finditer(lower):
        pieces += [text[end : match.start()], word]
        end = match.end()
    return "".join([*pieces, text[end:]])


def _lower(text: str) -> str:
    """Lower case, letter for letter: the one letter that becomes two (U+0130) stays."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(
        letter.lower() if len(letter.lower()) == 1 else letter for letter in text
    )
