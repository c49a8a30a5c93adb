"""The body of a message as a reader would see it: decoded, without tags, with link targets."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from email.message import Message
from encodings import normalize_encoding
from encodings.aliases import aliases

from ml_assets.systems.spam.mime import MakeMessage, leaves

LIMIT_CHARS = 32 * 1024
"""How much of a body any column keeps."""

# Decoded text is cut before its tags are taken out: markup is at most this many times as long
# as what it shows, and the work for one mail stays bounded.
_MARKUP_LIMIT = 4 * LIMIT_CHARS

# All patterns are linear in the text: no part can match the character that ends it.
_LOOKS_HTML = re.compile(r"<(?:!doctype html|html|body|table|font|center|div|p|br)\b[^<>]*>", re.I)
_UNSEEN = re.compile(
    r"<!--(?:.*?-->|.*\Z)|<(?:script|style)\b(?:.*?</(?:script|style)>|.*\Z)", re.I | re.S
)
_TAG = re.compile(r"<(/?[a-z!?][a-z0-9]*+)([^<>]*+)>", re.I)
_TARGET = re.compile(r"\b(?:href|src|action|background)\s*=\s*[\"']?([^\"'\s>]+)", re.I)
_URL = re.compile(r"\b(?:https?|ftp)://([^\s<>\"'()]+)|\bmailto:[^\s<>\"'()]+", re.I)
_HOST = re.compile(r"[\w.-]+")
_SPACE = re.compile(r"[ \t\r\f\v\xa0]+")
_BLANK_LINES = re.compile(r"\n\s*\n+")

# These do not end a word: spammers split words with them, and readers do not see it.
_INLINE = frozenset({"a", "b", "i", "u", "em", "strong", "font", "span", "small", "big", "sub",
                     "sup", "tt", "code", "s", "strike", "blink"})

_CODECS = frozenset(aliases.values())


@dataclass(frozen=True, kw_only=True)
class Body:
    """text: at most LIMIT_CHARS of visible text and link targets; the others are counts."""

    text: str
    is_html: bool
    links: tuple[str, ...]
    images: int
    attachments: int


def read_body(message: Message, make: MakeMessage = Message) -> Body:
    """Decode and join the readable parts of a parsed message. Never fails on odd charsets.

    make: as in `mime.leaves`.
    """
    texts: list[str] = []
    links: list[str] = []
    images = attachments = 0
    any_html = False
    room = _MARKUP_LIMIT
    for leaf in leaves(message, make):
        kind = leaf.kind
        images += kind.startswith("image/")
        if leaf.is_attachment or not kind.startswith("text/"):
            attachments += 1
            continue
        if room <= 0:
            continue
        text = decode_text(leaf.content(), leaf.charset)[:room]
        room -= len(text)
        if kind == "text/html" or _LOOKS_HTML.search(text[:LIMIT_CHARS]):
            any_html = True
            images += len(re.findall(r"<img\b", text, re.I))
            text, targets = visible_text(text)
            links += targets
        else:
            links += [match.group() for match in _URL.finditer(text)]
        texts.append(text)
    joined = _BLANK_LINES.sub("\n\n", _SPACE.sub(" ", "\n".join(texts))).strip()
    return Body(text=joined[:LIMIT_CHARS], is_html=any_html, links=tuple(links),
                images=images, attachments=attachments)


def visible_text(markup: str) -> tuple[str, list[str]]:
    """The visible text of `markup` with link targets in place; and the link targets alone."""
    targets: list[str] = []

    def shown(match: re.Match[str]) -> str:
        name = match.group(1).lower()
        found = _TARGET.search(match.group(2)) if match.group(2) else None
        if found is not None:
            target = html.unescape(found.group(1))
            if name in ("a", "area", "form"):
                targets.append(target)
            return f" {target} "
        return "" if name.removeprefix("/") in _INLINE else "\n"

    text = _TAG.sub(shown, _UNSEEN.sub("", markup))
    return html.unescape(text), targets


def link_host(link: str) -> str:
    """The host of a web link, lower case, without user, port and path; '' for other links."""
    scheme, separator, rest = link.partition("://")
    if not separator or scheme.lower() not in ("http", "https", "ftp"):
        return ""
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2]
    host = _HOST.match(authority)
    return host.group().lower().rstrip(".") if host else ""


def decode_text(content: bytes, charset: str) -> str:
    """`content` decoded in its charset if Python knows it, otherwise as UTF-8 or Latin-1.

    Without null characters, and always encodable in UTF-8.
    Only names in Python's own table are looked up: others would be imported by name.
    """
    name = normalize_encoding(charset).lower()
    for codec in (name, "utf_8") if name in aliases or name in _CODECS else ("utf_8",):
        try:
            text = content.decode(codec)
            text.encode()  # UTF-7 can yield a lone surrogate, which no table can store
            return text.replace("\0", "")
        except (UnicodeError, LookupError):  # wrong charset, or a codec that is not for text
            continue
    return content.decode("latin-1").replace("\0", "")
