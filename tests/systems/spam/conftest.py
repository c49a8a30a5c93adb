"""The real corpus, fetched once through npm and kept in the checkout's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent, Event
from ml_assets.systems.spam.source import MailArchive


@pytest.fixture(scope="session")
def mail_corpus() -> Path:
    """The verified `.tgz`; 20 MB are downloaded the first time."""
    return MailArchive().fetch(Settings().cache)


@pytest.fixture(scope="session")
def mail_events(mail_corpus: Path) -> list[ArchivedEvent]:
    """Protocol W in its order."""
    return list(MailArchive().archive(mail_corpus))


@pytest.fixture(scope="session")
def mail_columns(mail_events: list[ArchivedEvent]) -> list[Event]:
    """Every mail of protocol W, parsed."""
    archive = MailArchive()
    return [archive.parse(event.request) for event in mail_events]
