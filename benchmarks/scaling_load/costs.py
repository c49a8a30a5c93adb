"""What an event costs a host that answers it, and every other host, which counts it too."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scaling_load.events import SYSTEM, VIEWS, batches
from ml_assets.core.errors import UnknownName
from ml_assets.core.storage.places import Place
from ml_assets.core.system import System
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.following.lake_stream import Origins
from ml_assets.features.online_store.following.projection import Projection
from ml_assets.features.online_store.following.stretches import EVENTS, Followed
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.ingest.log.event_log import EventLog


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of an event: us of the client's CPU to log it and of another host's to count it, bytes in the
    log. Of an entity: bytes of the online state. append_s: seconds of each batch.
    """

    log_us: float
    count_us: float
    log_bytes: float
    entity_bytes: float
    append_s: Sequence[float]


def costs_of(place: Place, folder: Path, writer: int, count: int, size: int) -> Costs:
    """One writer logs; then another host, which has counted nothing, catches up."""
    ready = batches(writer, count, size)
    appended = []
    with closing(EventLog(place, patience_s=60)) as log:
        before = _bytes(log, place)
        cpu = time.process_time()
        for each in ready:
            started = time.perf_counter()
            log.append_counted(*each)
            appended.append(time.perf_counter() - started)
        log_us = (time.process_time() - cpu) / count / size * 1e6
        log_bytes = (_bytes(log, place) - before) / count / size
        with closing(LmdbBackend(folder / "host.lmdb", first_size=1 << 28)) as store:
            follower = Projection(log.connection, store, [
                Followed(view, store.register(view.name, digest_of(view)), SYSTEM, EVENTS)
                for view in VIEWS], Origins(folder, _no_system))
            cpu = time.process_time()
            follower.catch_up()
            count_us = (time.process_time() - cpu) / count / size * 1e6
            entities = sum(store.count(each.id) for each in follower.views)
            used = sum(len(blob) for each in follower.views
                       for keys in store.entities(each.id)
                       for blob in store.get(each.id, keys) if blob is not None)
    return Costs(log_us=log_us, count_us=count_us, log_bytes=log_bytes,
                 entity_bytes=used / max(entities, 1), append_s=appended)


def _no_system(name: str) -> System:
    raise UnknownName(f"nothing of {name!r} has to be parsed: it is packed")


def _bytes(log: EventLog, place: Place) -> int:
    """What the table of predictions takes, with its indexes."""
    if isinstance(place, Path):
        pages, size = (log.connection.execute(f"pragma {name}").fetchone()[0]
                       for name in ("page_count", "page_size"))
        return int(pages * size)
    return int(log.connection.execute(
        "select pg_total_relation_size('predictions')").fetchone()[0])
