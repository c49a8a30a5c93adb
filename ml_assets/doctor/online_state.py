"""Whether the online store is sound, and how far it has followed the event log."""

from __future__ import annotations

from contextlib import closing
from time import monotonic

from ml_assets.core.errors import LogUnavailable, StoreHeld
from ml_assets.core.settings import Settings
from ml_assets.doctor.findings import Finding
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.lmdb.writer_lock import WriterLock
from ml_assets.ingest.log.positions import identity_of, last_position
from ml_assets.ingest.log.storage.opening import looking

PATIENCE_S = 2.0
"""A transaction takes some milliseconds: who writes for longer than this may hang."""
NAME, HOLDS = "online.lmdb", "online features, made of event log and lake"
REMEDY = ("the next API or load to start makes it anew; `ml-assets store rebuild SYSTEM` does it "
          "now")


def examine_online_store(settings: Settings) -> Finding | None:
    """None if there is none. Nothing is lost with it, so that no damage needs a decision."""
    path = settings.online_store
    if not path.exists():
        return None
    try:
        with closing(WriterLock(path)) as writer, writer.held(monotonic() + PATIENCE_S):
            pass
        note = _progress(settings)
    except StoreHeld as error:
        return Finding(what=NAME, holds=HOLDS, trouble=str(error), remedy="loads wait for it, and "
                       "answers of the API are degraded, until it lets go or ends")
    except LogUnavailable as error:
        return Finding(what=NAME, holds=HOLDS, trouble=f"cannot be used: {error}", remedy=REMEDY)
    return Finding(what=NAME, holds=HOLDS, note=note)


def _progress(settings: Settings) -> str:
    """How far the views are behind the log, in words; empty if they are at its end."""
    with closing(LmdbBackend(settings.online_store)) as store:
        numbers = [found.id for found in store.views().values()]
        if not numbers:
            return "sound; no feature view is applied"
        return _behind(settings, store, numbers)


def _behind(settings: Settings, store: LmdbBackend, numbers: list[int]) -> str:
    end = _end_of_log(settings)
    if end is None:
        return ""
    own, last = end
    if store.sources(numbers) - {own}:
        return "it has counted another event log; the next API or load counts this one"
    behind = last - min(store.watermark(own, [number]) for number in numbers)
    return f"sound; {behind:,} positions behind the log, for the next reader" if behind else ""


def _end_of_log(settings: Settings) -> tuple[bytes, int] | None:
    """Which log it is, and its last position; None if there is none, or none that can be read."""
    try:
        with looking(settings.event_log) as log:
            return None if log is None else (identity_of(log), last_position(log))
    except LogUnavailable:  # which is told of the log itself
        return None
