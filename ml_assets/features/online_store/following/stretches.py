"""What the event log has behind a position, as rows of the views that follow it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.storage.database import Database
from ml_assets.features.engine.events import entity_key, uid
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import Row, View, digest_of
from ml_assets.features.online_store.counting import event_row, event_rows
from ml_assets.features.online_store.following.counts import (
    LIST_ID,
    Counted,
    ViewList,
    unpack_rows,
)
from ml_assets.features.online_store.following.kept import unpack_versions, versions_in
from ml_assets.features.online_store.following.lake_stream import Origins
from ml_assets.features.online_store.latest_scores import TABLE as SCORED
from ml_assets.features.online_store.latest_scores import score_row
from ml_assets.features.online_store.lmdb.events import Stretch
from ml_assets.features.online_store.versions import PlainView
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.positions import (
    LoadEntry,
    Position,
    ToldPosition,
    counted_ids,
    counts_any,
    first_load,
    last_position,
    positions_of,
    request_at,
    told_of,
    views_of,
)
from ml_assets.ingest.log.served import from_us, prediction_id, restored_label
from ml_assets.ingest.log.told import told_id

log = logging.getLogger(__name__)

EVENTS = "events"
"""The lake table of the stream that predictions feed."""
AT_ONCE = 500
"""Events that are applied in one transaction."""


class Followed(NamedTuple):
    """A view that follows the log: the number of its data, and the stream that it counts: the
    lake table `<system>/<table>`.
    """

    view: View
    id: int
    system: str
    table: str

    @property
    def is_fed(self) -> bool:
        """Whether predictions feed it; otherwise events that are told do, or only loads."""
        return self.table in (EVENTS, SCORED)

    @property
    def is_told(self) -> bool:
        """Whether events of another stream feed it, whose table is called as the stream: or
        labels, as feedback settles them.
        """
        return not self.is_fed and isinstance(self.view, WindowedView)


class LogRows:
    """Reads the log for some views, of one system or of several. For one thread, as its connection.

    bounds: for each view, before which instant (microseconds since 1970 UTC) nothing that was
        filed is in a window any more
    """

    def __init__(
        self, log: Database, views: Sequence[Followed], bounds: Sequence[int],
        origins: Origins,
    ) -> None:
        self._log, self._origins = log, origins
        self.views, self._bounds = tuple(views), bounds
        self._fed_by = dict.fromkeys(each.system for each in views if each.is_fed)
        self._told_by = dict.fromkeys(each.system for each in views if each.is_told)
        self._lists: dict[bytes, tuple[ViewList, list[tuple[int, int] | None]]] = {}

    def read(self, after: int, until: int | None) -> Stretch:
        """What the log has behind a position: some predictions, or one load."""
        upto, rows, noted = self._next(after, until)
        before = first_load(self._log, -1, 0) if after == 0 else None
        if before is None:
            return Stretch(upto, rows, noted)
        return Stretch(upto, [[*first, *more] for first, more in
                              zip(self._loads(before), rows, strict=True)], noted=True)

    def _next(self, after: int, until: int | None) -> Stretch:
        head = last_position(self._log) if until is None else until
        load = first_load(self._log, after, head)
        if load is not None:
            head = load.seq - 1
        some: dict[str, list[Position]] = {}
        told: dict[str, list[ToldPosition]] = {}
        for system in self._fed_by:
            some[system] = positions_of(self._log, system, after, head, AT_ONCE)
            if len(some[system]) == AT_ONCE:
                head = some[system][-1].seq
        for system in self._told_by:
            told[system] = told_of(self._log, system, after, head, AT_ONCE)
            if len(told[system]) == AT_ONCE:
                head = told[system][-1].seq
        rows: list[list[Row]] = [[] for _ in self.views]
        for system, served in some.items():
            self._add_served(system, [each for each in served if each.seq <= head], rows)
        for system, others in told.items():
            self._add_told(system, [each for each in others if each.seq <= head], rows)
        if load is None or any(some.values()) or any(told.values()):
            return Stretch(head, rows)
        return Stretch(load.seq, self._loads(load), noted=True)

    def _loads(self, load: LoadEntry) -> list[list[Row]]:
        return [self._loaded(each, bound, load) for each, bound in
                zip(self.views, self._bounds, strict=True)]

    def _loaded(self, followed: Followed, bound: int, load: LoadEntry) -> list[Row]:
        """The rows of a load, if it is of this view as it is defined."""
        view = followed.view
        if isinstance(view, PlainView):
            return self._kept(followed, view, load)
        if load.until <= bound or (
            load.seq and (load.view, load.definition) != (view.name, digest_of(view))
        ):
            return []
        if load.counts is not None:
            return unpack_rows(view, load.counts)
        found = self._origins.loaded(
            view, followed.system, followed.table, load.since, load.until)
        if found is None:
            return []
        # An event that was served since had been counted by this load, and still counts so.
        return self.unserved(followed, event_rows(view, found),
                             found[view.event_id].to_pylist(), before=load.seq)

    def _kept(self, followed: Followed, view: PlainView, load: LoadEntry) -> list[Row]:
        """What a load of a table's rows brought."""
        if followed.is_fed or (load.view, load.definition) != (view.name, digest_of(view)):
            return []
        if load.counts is not None:
            return unpack_versions(load.counts)
        return [row for rows, _, _ in versions_in(
            Lake(self._origins.lake), view, followed.system, followed.table, load.since, load.until,
        ) for row in rows]

    def unserved(
        self, followed: Followed, rows: list[Row], event_ids: Sequence[object], *,
        before: int | None = None,
    ) -> list[Row]:
        """Those that the log does not count anyway.

        before: at an earlier position than this one
        """
        stream = followed.table if followed.is_told else None
        # Nothing was served yet if history is loaded: then no id has to be looked up.
        if not rows or not counts_any(self._log, followed.system, stream):
            return rows
        ids = [str(each) for each in event_ids]
        if followed.is_told:
            names = {told_id(followed.system, followed.table, each): each for each in ids}
            known = counted_ids(self._log, list(names), "told", before=before)
        else:
            names = {prediction_id(followed.system, each): each for each in ids}
            known = counted_ids(self._log, list(names), before=before)
        served = {uid(names[each]) for each in known}
        return [row for row in rows if row[2] not in served] if served else rows

    def _add_served(
        self, system: str, served: Sequence[Position], rows: list[list[Row]]
    ) -> None:
        """For each view what it counts of some predictions of a system."""
        for each in served:
            packed, places = self._packed(each)
            event: Mapping[str, object] | Fault | None = None
            for index, followed in enumerate(self.views):
                if not followed.is_fed or followed.system != system:
                    continue
                place = places[index]
                row: Row | None = None
                if packed is not None and place is not None:
                    if isinstance(followed.view, WindowedView):
                        row = packed.row(*place)
                    elif (entity := packed.entities[place[0]]) is not None:
                        row = _scored(entity, each)
                else:
                    event = self._event(system, each) if event is None else event
                    row = self._row(followed, event, each)
                if row is not None:
                    rows[index].append(row)

    def _event(self, system: str, logged: Position) -> Mapping[str, object] | Fault:
        """The event parsed again: it was logged when nobody knew the view."""
        return self._parsed(logged, system, EVENTS, request_at(self._log, logged.seq))

    def _parsed(
        self, logged: Position | ToldPosition, system: str, table: str, request: str
    ) -> Mapping[str, object] | Fault:
        event = attempt(self._origins.parser(system, table), request)
        if isinstance(event, Fault):
            _warn(system, logged, event)
            return event
        return {**event, "event_id": logged.event_id,
                "event_timestamp": from_us(logged.event_timestamp),
                "accepted_at": from_us(logged.accepted_at)}

    def _add_told(
        self, system: str, told: Sequence[ToldPosition], rows: list[list[Row]]
    ) -> None:
        """What events of other streams count, parsed again where nobody has packed it."""
        for each in told:
            packed, places = self._packed(each)
            event: Mapping[str, object] | Fault | None = None
            for index, followed in enumerate(self.views):
                if (not followed.is_told or followed.table != each.stream
                        or followed.system != system):
                    continue
                place = places[index]
                if packed is not None and place is not None:
                    row = packed.row(*place)
                else:
                    if event is None:
                        event = self._parsed(each, system, each.stream, each.request)
                    row = self._row(followed, event, each)
                if row is not None:
                    rows[index].append(row)

    def _packed(
        self, logged: Position | ToldPosition
    ) -> tuple[Counted | None, Sequence[tuple[int, int] | None]]:
        """What an event counts, and where in it each of our views is; None if it is not packed."""
        if logged.counts is None:
            return None, [None] * len(self.views)
        of, places = self._list(logged.counts[:LIST_ID])
        return of.unpack(logged.counts), places

    def _row(
        self, followed: Followed, event: Mapping[str, object] | Fault,
        logged: Position | ToldPosition,
    ) -> Row | None:
        if isinstance(event, Fault):
            return None
        row = attempt(_row_of, followed.view, event, logged)
        if isinstance(row, Fault):
            _warn(followed.system, logged, row)
            return None
        return row

    def _list(self, list_id: bytes) -> tuple[ViewList, list[tuple[int, int] | None]]:
        """A list of views, and where ours are in it."""
        found = self._lists.get(list_id)
        if found is None:
            said = ViewList.parse(views_of(self._log, list_id))
            found = said, [said.index(each.view) for each in self.views]
            self._lists[list_id] = found
        return found


def _warn(system: str, logged: Position | ToldPosition, fault: Fault) -> None:
    log.warning("%s: event %r was served and cannot be counted: %s", system, logged.event_id,
                fault.reason)


def _row_of(
    view: View, event: Mapping[str, object], logged: Position | ToldPosition
) -> Row | None:
    if isinstance(view, WindowedView):
        return event_row(view, event)
    assert isinstance(logged, Position)
    entity = entity_key([event[name] for name in view.keys])
    return None if entity is None else _scored(entity, logged)


def _scored(entity: bytes, logged: Position) -> Row:
    return score_row(
        entity, logged.event_timestamp, logged.accepted_at, logged.score,
        restored_label(logged.decision),
        logged.model_version, logged.event_id)
