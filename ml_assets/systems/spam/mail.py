"""One message as an event: the columns that features and models read."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.message import Message
from email.policy import Compat32, compat32

from ml_assets.core.errors import Quarantined
from ml_assets.core.texts import KEY_LENGTH, as_name
from ml_assets.systems.spam.artefacts import without_artefacts
from ml_assets.systems.spam.body import LIMIT_CHARS, link_host, read_body
from ml_assets.systems.spam.headers import (
    Headers,
    header_text,
    list_name,
    organisation,
    sender_address,
)
from ml_assets.systems.spam.mime import parse_message
from ml_assets.systems.spam.relay import accepting_hop
from ml_assets.systems.spam.stored import as_sent

LIMIT_BYTES = 2 * 1024 * 1024
"""A larger message is quarantined: no spammer pays for that, and parsing it would delay others."""

# The standard parser's time grows with the depth of nesting, with the number of parts and with
# the square of a header's parameters: unbounded, one mail of 2 MiB could block a server for 40 s.
LIMIT_BOUNDARIES = 100
LIMIT_PARTS = 1000
LIMIT_PARAMETERS_BYTES = 8 * 1024

FIELDS = ("message", "message_base64")
"""The fields of a request, which has exactly one of them."""

_WITH_PARAMETERS = re.compile(
    rb"\ncontent-(?:type|disposition)[ \t]*+:(?:[^\n]*+\n[ \t])*+[^\n]*+"
)


def request_bytes(request: Mapping[str, object]) -> bytes:
    """The mail in a request, see `as_sent`. Raises Quarantined saying what is wrong.

    `message` is a text (encoded as UTF-8; bytes smuggled as surrogates come back as they
    were), `message_base64` the exact bytes in base64.
    """
    unknown = sorted(str(name) for name in request if name not in FIELDS)
    if unknown:
        raise Quarantined(f"unknown field {', '.join(map(repr, unknown[:3]))}; "
                          f"known: {', '.join(FIELDS)}")
    given = [name for name in FIELDS if name in request]
    if len(given) != 1:
        raise Quarantined(f"the request has {'both' if given else 'neither'} of "
                          f"{' and '.join(FIELDS)}; expected exactly one")
    value = request[given[0]]
    if not isinstance(value, str):
        raise Quarantined(f"{given[0]} is of type {type(value).__name__}; expected a text")
    content = _from_base64(value) if given[0] == "message_base64" else _from_text(value)
    if not content.strip():
        raise Quarantined("the message is empty")
    if len(content) > LIMIT_BYTES:
        raise Quarantined(f"the message has {len(content):,} bytes; at most {LIMIT_BYTES:,} "
                          "are accepted")
    return as_sent(content)


def parse_mail(content: bytes) -> dict[str, str | float]:
    """The columns of one message. Raises Quarantined, and nothing else, if it is not mail."""
    _refuse_costly(content)
    try:
        return _columns(content)
    except Quarantined:
        raise
    except Exception as error:
        # The standard parser promises to survive anything, but does not: a charset with a
        # null byte or a parameter number of 5,000 digits still raise from its depths.
        raise Quarantined(f"the message cannot be read: {type(error).__name__}: {error}") from error


def _refuse_costly(content: bytes) -> None:
    lower = b"\n" + content.lower()
    if lower.count(b"boundary") > LIMIT_BOUNDARIES:
        raise Quarantined(f"the message names MIME boundaries over {LIMIT_BOUNDARIES} times")
    longest = max((len(match.group()) for match in _WITH_PARAMETERS.finditer(lower)), default=0)
    if longest > LIMIT_PARAMETERS_BYTES:
        raise Quarantined(f"a Content-Type or Content-Disposition header has {longest:,} bytes; "
                          f"at most {LIMIT_PARAMETERS_BYTES:,} are accepted")


class _PartCounter:
    """Makes the parts of one message for the standard parser, up to LIMIT_PARTS."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, policy: Compat32 = compat32) -> Message:
        self.made += 1
        if self.made > LIMIT_PARTS:
            raise Quarantined(f"the message has more than {LIMIT_PARTS} MIME parts")
        return Message(policy=policy)


def _columns(content: bytes) -> dict[str, str | float]:
    make = _PartCounter()
    message = parse_message(content, make)
    headers = Headers.of(message)
    if not {"from", "received"} & headers.values.keys():
        raise Quarantined("the message has neither a From nor a Received header: it is no mail, "
                          "or its headers are cut off")
    hop = accepting_hop(headers.values.get("received", ()))
    relay_ip = hop.relay_ip if hop else ""
    # Keys of entities: a sender may write what no name may hold.
    sender = as_name(sender_address(headers), KEY_LENGTH)
    subject = without_artefacts(headers.decoded("subject"))
    mailing_list = as_name(list_name(headers), KEY_LENGTH)
    body = read_body(message, make)
    body_text = without_artefacts(body.text)[:LIMIT_CHARS]
    letters = [letter for letter in subject if letter.isalpha()]
    hosts = {organisation(host) for host in map(link_host, body.links) if host}
    return {
        "sender": sender,
        "sender_domain": organisation(sender.rpartition("@")[2]),
        "relay_ip": relay_ip,
        "mailing_list": mailing_list,
        "subject": subject,
        "header_text": header_text(headers, subject, relay_ip),
        "body_raw": raw_body(content),
        "body_text": body_text,
        "links": float(len(body.links)),
        "distinct_link_domains": float(len(hosts)),
        "images": float(body.images),
        "is_html": float(body.is_html),
        "attachments": float(body.attachments),
        "body_chars": float(len(body_text)),
        "subject_upper_share": sum(map(str.isupper, letters)) / max(len(letters), 1),
        "exclamations": float(subject.count("!") + body_text.count("!")),
        "is_reply": float(bool({"in-reply-to", "references"} & headers.values.keys())),
        "mime_defects": float(sum(len(part.defects) for part in message.walk())),
    }


def raw_body(content: bytes) -> str:
    """The body as it was sent, undecoded, byte for character, without collection artefacts."""
    body = content.partition(b"\n\n")[2][:LIMIT_CHARS].decode("latin-1").replace("\0", "")
    return without_artefacts(body)[:LIMIT_CHARS].rstrip()


def _from_base64(value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Quarantined(f"message_base64 is not base64: {error}") from error


def _from_text(value: str) -> bytes:
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return value.encode("utf-8", "replace")
