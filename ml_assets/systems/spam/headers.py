"""The headers of a mail, and what a model may read of them."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message

from ml_assets.systems.spam.artefacts import without_artefacts
from ml_assets.systems.spam.body import decode_text
from ml_assets.systems.spam.mailbox import LIMIT_CHARS, mailbox

_HEADER_LIMIT = 2000
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,40})\?([bq])\?([^?]*)\?=", re.I)
_BETWEEN_WORDS = re.compile(r"\?=\s+=\?")
_ADDRESS = re.compile(r"[^\s<>\"'(),:;\[\]@]{1,128}@[A-Za-z0-9_.\[\]-]{1,255}")
_BOUNDARY = re.compile(r"(boundary\s*=\s*)(\"[^\"]*\"|\S+)", re.I)
_LIST_ID = re.compile(r"<([^<>\s]+)>")
_LIST_HEADERS = ("list-id", "x-beenthere", "mailing-list", "x-mailing-list")

# Second-level labels under which a country's registry sells names, as in `example.co.uk`.
_REGISTRY_LABELS = frozenset({"ac", "co", "com", "edu", "gen", "go", "gov", "ltd", "ne", "net",
                              "nom", "or", "org", "plc"})


@dataclass(frozen=True)
class Headers:
    """Header values by lower-case name, in order, unfolded, as text."""

    values: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, message: Message) -> Headers:
        values: dict[str, list[str]] = {}
        for name, value in message.raw_items():
            text = " ".join(str(value)[:_HEADER_LIMIT].replace("\0", "").split())
            if not text.isascii():
                text = decode_text(text.encode("ascii", "surrogateescape"), "utf-8")
            values.setdefault(name.lower(), []).append(text)
        return cls(values)

    def first(self, *names: str) -> str:
        """The first value of the first of `names` that the mail has; '' for none."""
        return next((self.values[name][0] for name in names if name in self.values), "")

    def decoded(self, name: str) -> str:
        """Like `first`, with RFC 2047 words (`=?utf-8?q?...?=`) decoded."""
        value = self.first(name)
        if "=?" not in value:
            return value
        return " ".join(_ENCODED_WORD.sub(_word, _BETWEEN_WORDS.sub("?==?", value)).split())


def sender_address(headers: Headers) -> str:
    """The mailbox that the message claims to be from, at most 320 characters; '' if none.

    Encoded words are decoded only if there is no mailbox without them: they are display names.
    """
    found = mailbox(headers.first("from")) or mailbox(headers.decoded("from"))
    return without_artefacts(found)[:LIMIT_CHARS]


def organisation(host: str) -> str:
    """The part of a host name that its organisation registered: the last two labels.

    Three if the last is a country and the one before it belongs to a registry (`example.co.uk`).
    An IP address stands for itself. A short rule instead of the public suffix list, which changes
    over time and would change features with it.
    """
    host = host.strip("[].").lower()[:255]
    labels = host.split(".")
    if labels[-1].isdigit():
        return host
    registry = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _REGISTRY_LABELS
    return ".".join(labels[-3:] if registry else labels[-2:])


def list_name(headers: Headers) -> str:
    """The mailing list's id, such as `ilug.linux.ie`, lower case; '' for other mail.

    From List-Id, otherwise from the list's address in the headers of older list software.
    """
    value = headers.first(*_LIST_HEADERS)
    if "list-id" in headers.values and (named := _LIST_ID.search(value)):
        name = named.group(1)
    else:
        address = _ADDRESS.search(value)
        name = address.group().replace("@", ".") if address else ""
    return without_artefacts(name.lower())[:255]


def header_text(headers: Headers, subject: str, relay_ip: str) -> str:
    """The headers that a model may read, one per line; no clock, no recipient, no thread.

    Message-ID and MIME boundaries are reduced to their shape (`0a.0@a.a`): they identify
    the sending software, but in full they also contain the sender's clock.
    """
    content_type = _BOUNDARY.sub(lambda match: match.group(1) + shape(match.group(2)),
                                 headers.first("content-type"))
    lines = {
        "From": headers.decoded("from"),
        "Reply-To": headers.decoded("reply-to"),
        "Subject": subject,
        "List-Id": headers.first("list-id"),
        "Content-Type": content_type,
        "X-Mailer": headers.first("x-mailer", "user-agent"),
        "Message-ID": shape(headers.first("message-id")),
        "Relay": relay_ip,
    }
    return without_artefacts("\n".join(f"{name}: {text}" for name, text in lines.items() if text))


def shape(text: str) -> str:
    """`text` with each run of digits as `0` and each run of letters as `a`."""
    return re.sub(r"[A-Za-z]+", "a", re.sub(r"[0-9]+", "0", text))


def _word(match: re.Match[str]) -> str:
    charset, kind, text = match.groups()
    content = text.encode("latin-1", "replace")
    try:
        content = (binascii.a2b_base64(content + b"==") if kind in "bB"
                   else binascii.a2b_qp(content, header=True))
    except binascii.Error:
        return match.group()
    return decode_text(content, charset.partition("*")[0])
