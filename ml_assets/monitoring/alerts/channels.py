"""How messages leave: a webhook, and e-mail to the owners who have an address."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import Settings
from ml_assets.monitoring.alerts.message import Message

TIMEOUT_S = 10.0
FORM = ("smtp://user:password@host:587?from=alerts@example.com&to=team@example.com, or smtps:// "
        "with port 465")

UNFOLDED = SMTP.clone(max_line_length=998)
"""As long as RFC 5322 lets lines be. At 78 a longer subject begins with an empty line, which
filters distrust, and the text has a `=` wherever it was broken."""


class Channel(Protocol):
    """name: of the channel, for the record"""

    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None:
        """Deliver it, or raise OSError or ValueError, in words."""
        ...


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Posts a message as JSON, with its id as `Idempotency-Key`."""

    url: str
    name: str = "webhook"

    def send(self, message: Message) -> None:
        import httpx

        try:
            answer = httpx.post(self.url, json=message.payload, timeout=TIMEOUT_S, headers={
                "Idempotency-Key": identity(message)})
        except httpx.HTTPError as error:
            raise OSError(f"{type(error).__name__}: {error}") from None
        if not 200 <= answer.status_code < 300:
            raise OSError(f"the webhook answered {answer.status_code}")


@dataclass(frozen=True, kw_only=True)
class Email:
    """By SMTP: encrypted from the start (`smtps`), or as soon as the server offers it."""

    host: str
    port: int
    author: str
    others: tuple[str, ...] = ()
    user: str = ""
    password: str = ""
    encrypted: bool = False
    name: str = "email"

    @classmethod
    def of(cls, url: str) -> Email:
        """Raises DeclarationError, without what may be a password, unless `url` is an address."""
        parts = urlsplit(url)
        told = parse_qs(parts.query)
        try:
            port = parts.port
        except ValueError:
            port = -1
        author = told.get("from", [""])[0]
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port == -1 or (
                "@" not in author):
            raise DeclarationError(f"ML_ASSETS_SMTP is no address; expected {FORM}")
        others = tuple(part for each in told.get("to", []) for part in each.split(",") if part)
        secure = parts.scheme == "smtps"
        return cls(host=parts.hostname, port=port or (465 if secure else 25), author=author,
                   others=others, user=unquote(parts.username or ""),
                   password=unquote(parts.password or ""), encrypted=secure)

    def addressees(self, owners: tuple[str, ...]) -> tuple[str, ...]:
        """The owners with an address, and those whom the settings name."""
        return tuple(dict.fromkeys((*(each for each in owners if "@" in each), *self.others)))

    def send(self, message: Message) -> None:
        to = self.addressees(message.owners)
        if not to:
            return
        letter = EmailMessage(policy=UNFOLDED)
        letter["Subject"], letter["From"] = message.subject, self.author
        letter["To"] = ", ".join(to)
        letter["Date"], letter["Message-ID"] = format_datetime(message.at), make_msgid(
            idstring=identity(message), domain="ml-assets.invalid")
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday answers
        letter.set_content(message.text)
        context = ssl.create_default_context()
        with smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=context) if (
                self.encrypted) else smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S) as smtp:
            if not self.encrypted:
                smtp.ehlo()
                if smtp.has_extn("starttls"):
                    smtp.starttls(context=context)
                elif self.user:
                    raise OSError("the server offers no encryption: the password was not sent")
            if self.user:
                smtp.login(self.user, self.password)
            smtp.send_message(letter)


def identity(message: Message) -> str:
    """The same for each attempt at one message."""
    problem = message.problem
    return (f"{problem.system}-{problem.cause}-{problem.since:%Y%m%dT%H%M%S}-{message.news}-"
            f"{message.at:%Y%m%dT%H%M%S}")


def channels_of(settings: Settings) -> list[Channel]:
    """Those that the settings name."""
    found = list[Channel]()
    if settings.webhook:
        found.append(Webhook(url=settings.webhook))
    if settings.smtp:
        found.append(Email.of(settings.smtp))
    return found
