"""What is read from a queue, and what is written to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

CODE, REASON, SUBJECT, MESSAGE_ID, SYSTEM = (
    "ml-assets-code", "ml-assets-reason", "ml-assets-subject", "ml-assets-message-id",
    "ml-assets-system")
"""Headers of a dead letter: why it is one, for programs and for people, and what it was before."""


class BrokerMessage(Struct, frozen=True, kw_only=True):
    """One message, not acknowledged yet.

    subject: NATS: its subject; RabbitMQ: its routing key; of a dead letter, what it had first
    message_id: what its publisher called it, None if he did not; of a dead letter likewise
    position: another one for each message of the queue, if the broker numbers them; else None
    redelivered: whether it was delivered before, to whomever
    handle: what the client acknowledges it by
    """

    body: bytes
    subject: str
    message_id: str | None
    position: str | None
    redelivered: bool
    headers: Mapping[str, str]
    handle: Any

    @classmethod
    def of(
        cls, body: bytes, subject: str, message_id: str | None, headers: Mapping[str, str],
        *, position: str | None, redelivered: bool, handle: object,
    ) -> BrokerMessage:
        """As it was delivered; if it is a dead letter, as it was when it was not one."""
        if SUBJECT in headers:
            subject = _restored(headers[SUBJECT])
            message_id = _restored(headers[MESSAGE_ID]) if MESSAGE_ID in headers else None
        return cls(body=body, subject=subject, message_id=message_id, position=position,
                   redelivered=redelivered, headers=headers, handle=handle)


class Outgoing(Struct, frozen=True, kw_only=True):
    """One message to be published. message_id: another one for each, the same if it is repeated"""

    body: bytes
    message_id: str
    headers: Mapping[str, str]


class Refusal(Struct, frozen=True):
    """Why a message was not taken in: for programs, and for people."""

    code: str
    reason: str


def dead_letter(message: BrokerMessage, refusal: Refusal, system: str) -> Outgoing:
    """The message as it is kept for somebody to look at: its bytes, and why it is here."""
    headers = {
        **message.headers, CODE: refusal.code, REASON: _line(refusal.reason), SYSTEM: system,
        SUBJECT: _line(message.subject),
    }
    if message.message_id is not None:
        headers[MESSAGE_ID] = _line(message.message_id)
    return Outgoing(body=message.body, headers=headers,
                    message_id=message.position or message.message_id or "")


def _line(text: str) -> str:
    """A header is one line, of ASCII wherever it may travel."""
    return text.encode("unicode_escape").decode()


def _restored(line: str) -> str:
    return line.encode("ascii", "backslashreplace").decode("unicode_escape", "replace")
