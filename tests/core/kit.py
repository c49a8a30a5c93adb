"""An installation with a file of each kind, as the rooms make them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from ml_assets.core.installation import claim
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import make_folder
from ml_assets.core.storage.layout import FILES
from ml_assets.core.storage.marker import change_notes
from ml_assets.core.time import EventClock
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.registry.deployments import Deployments
from ml_assets.serving.access.tokens import Tokens

NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)


def made(settings: Settings) -> None:
    """Make an installation; what other libraries make stands for itself by one table."""
    claim(settings)
    EventClock(settings.clock_file("toy")).set(NOON)
    Tokens(settings.tokens).create("ann", ["admin"], [], NOON)
    EventLog(settings.event_log).close()
    Deployments(settings.deployments)
    make_folder(settings.var / "feast")
    (settings.var / "feast" / "applied.json").write_text('{"manifest": "x"}')
    for about in FILES:
        path = settings.var / about.name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path)) as db:
                db.execute(f"create table {about.proof} (id integer)")
                db.commit()
    (settings.var / "lake" / "toy" / "events").mkdir(parents=True, exist_ok=True)
    change_notes(settings.var, add=tuple(about.name for about in FILES))


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that lies in a folder: the content of files, None for folders."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
            for path in sorted(folder.rglob("*"))}
