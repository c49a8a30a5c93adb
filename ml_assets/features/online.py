"""What the online store has counted of one system: read for predictions, and fed by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import inf
from time import monotonic

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import NotReady, StateDamaged
from ml_assets.core.settings import Settings
from ml_assets.core.storage.database import Database
from ml_assets.core.system import System
from ml_assets.features.derived.computing import Deriving
from ml_assets.features.derived.declared import HAPPENED
from ml_assets.features.engine.limits import limit_of
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.manifest import load_manifest
from ml_assets.features.online_store.backend import Row, digest_of, number_of
from ml_assets.features.online_store.decoders import Status
from ml_assets.features.online_store.following.counts import Counted, Stream
from ml_assets.features.online_store.following.lake_stream import Origins
from ml_assets.features.online_store.following.stretches import EVENTS, Followed
from ml_assets.features.online_store.latest_scores import (
    Score,
    latest_of,
    score_row,
    scores_view,
)
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from ml_assets.features.online_store.versions import PlainView
from ml_assets.features.rebuild import KeptView, kept_of, projection_of, recover
from ml_assets.features.service import Service
from ml_assets.features.store import open_backend, origins_of
from ml_assets.ingest.log.event_log import Appended, Prediction
from ml_assets.ingest.log.positions import PackedCounts
from ml_assets.ingest.log.served import from_us, to_us


class OnlineState:
    """The features of a system's service, and its latest scores. One call at a time.

    connection: to the event log, which this follows: it catches up before each read
    names: the features, in the order of the columns that `read` returns.
    limits: of event columns that are read as numbers: a value must be smaller in size, so that
    sums are exact; told_limits: the same of the columns of other streams, by their tables
    service: what is read; unless given, what the repository declares for the system. What other
        systems read of its streams is then counted too
    Raises UnknownName where the repository does not declare the service, and NotReady where
    a view of it was never applied. What was lost is made anew first, which may take its time.

    budget: catching up is broken off after this time; what comes late but whole is used
    problem: why the latest scores are not kept; None if they are, or the system has none
    """

    def __init__(
        self, connection: Database, settings: Settings, system: System,
        service: Service | None = None, *, budget: timedelta = timedelta(seconds=30),
    ) -> None:
        views, service = _views_of(system, settings, service)
        self.names: tuple[str, ...] = service.features
        self.problem: str | None = None
        self._budget, self._name = budget, system.name
        self._store = open_backend(settings)
        recover(settings, system, views, connection, self._store)
        self._scores = None if system.scores_by is None else scores_view(system)
        if self._scores is not None and not self._keeps(self._scores):
            views = [each for each in views if each.view != self._scores]
        others = origins_of(settings)
        self._projection = projection_of(
            settings, system, connection, self._store, views,
            Origins(settings.lake,
                    lambda name: system if name == system.name else others.find(name)),
        )
        own = [each for each in self._projection.views if each.system == system.name]
        self.limits = _limits(own, EVENTS)
        self.told_limits = {stream.table: _limits(own, stream.table)
                            for stream in system.streams if not stream.asked}
        self._deriving = Deriving(service.derived, service.read)
        self._reader = FeatureReader(
            self._store, [
                *(Wanted(part.view.windowed, part.columns) for part in service.chosen),
                *(Wanted(part.view.plain, part.columns) for part in service.kept if part.columns),
            ])
        self._fed = [index for index, each in enumerate(self._projection.views)
                     if each.is_fed and each in own]
        self._stream = Stream([self._projection.views[index].view for index in self._fed])
        told = [each for each in own if each.is_told]
        self._told = {table: Stream([each.view for each in told if each.table == table])
                      for table in {each.table for each in told}}

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime], int]:
        """The features (B, F) of B events, for each the instant as of which they are, and the
        position of the log up to which everything is counted in them.

        keys: for each event its columns: entity keys, and what derived features read; more do no
            harm
        at:   the events' instants

        That instant is the event's own, or the earliest that the store still answers exactly
        where the event is older. NaN where the key is missing. Recomputing the features at
        that instant from history up to that position gives the same bits. Raises
        TimeoutError once the budget is over.
        """
        ends = monotonic() + self._budget.total_seconds()
        position = None
        while position is None:
            self._projection.catch_up(ends=ends)
            (values, as_of, status), marks = self._reader.read_beside(
                keys, at, self._projection.marks)
            # Another process may have brought some of the views further in between.
            position = self._projection.position(marks)
        if Status.DAMAGED in status.tobytes():
            raise StateDamaged(
                "the online store holds bytes that are not the state of an entity: run "
                f"`ml-assets store rebuild {self._name}`"
            )
        if self._deriving:
            values = self._derived(values, keys, at)
        instants = as_of.tolist()  # most often one for all
        known = {instant: from_us(instant) for instant in set(instants)}
        return values, [known[instant] for instant in instants], position

    def _derived(
        self, values: npt.NDArray[np.float32], events: Sequence[Mapping[str, object]],
        at: Sequence[datetime],
    ) -> npt.NDArray[np.float32]:
        """What is derived is missing of an event that lacks a column."""
        columns = set(self._deriving.columns) - {HAPPENED}
        whole = [row for row, event in enumerate(events) if columns <= event.keys()]
        derived = self._deriving(values[whole], {
            name: [at[row] if name == HAPPENED else events[row][name] for row in whole]
            for name in self._deriving.columns
        })
        if len(whole) == len(events):
            return derived
        found = np.full((len(events), derived.shape[1]), np.nan, np.float32)
        found[:, : values.shape[1]], found[whole] = values, derived
        return found

    def count(self, events: Sequence[Mapping[str, object]]) -> tuple[PackedCounts, list[Counted]]:
        """What these events count, for the log and for `follow`.

        events: rows of `tables.events_schema`. Raises ContractViolation if one cannot be counted
        """
        counted = [self._stream.counted(event) for event in events]
        said = self._stream.list
        return PackedCounts(said.id, said.text, [said.pack(each) for each in counted]), counted

    def count_told(
        self, table: str, events: Sequence[Mapping[str, object]]
    ) -> PackedCounts | None:
        """The same of events of another stream, by its table; None if they feed no view."""
        stream = self._told.get(table)
        return None if stream is None else PackedCounts(
            stream.list.id, stream.list.text,
            [stream.list.pack(stream.counted(event)) for event in events])

    def follow(self, appended: Appended, counted: Sequence[Counted]) -> None:
        """Count what was just logged, within the budget; what stops it, the next read makes up for.
        """
        new = appended.new
        if not new:
            return
        rows: list[list[Row]] = [[] for _ in self._projection.views]
        for place, (index, packing) in enumerate(
            zip(self._fed, self._stream.packed_as, strict=True)
        ):
            if packing >= 0:
                rows[index] = [row for each in new if (row := counted[each].row(place, packing))]
            else:
                rows[index] = [_score_of(entity, appended.stored[each]) for each in new
                               if (entity := counted[each].entities[place])]
        self._projection.follow(appended.first, appended.first + new[-1], rows,
                                ends=monotonic() + self._budget.total_seconds())

    def latest(self, key: str) -> Score | None:
        """The latest score of `key`; None if there is none.

        Raises NotReady if the store has another view of that name.
        """
        if self._scores is None or self.problem is not None:
            raise NotReady(self.problem or f"system {self._name!r} keeps no scores")
        self._projection.catch_up()
        number = number_of(self._store, self._scores)
        [blob] = self._store.get(number, [key.encode()])
        return None if blob is None else latest_of(self._scores, key, blob)

    def _keeps(self, scores: PlainView) -> bool:
        """Whether the store has this view, which is registered if it has none of that name."""
        try:
            if scores.name not in self._store.views():
                self._store.register(scores.name, digest_of(scores))
            number_of(self._store, scores)
        except NotReady as error:
            self.problem = f"predictions do not refresh {scores.name}: NotReady: {error}"
        return self.problem is None

    def close(self) -> None:
        """Done with the store. The connection stays."""
        self._store.close()


def _score_of(entity: bytes, said: Prediction) -> Row:
    return score_row(
        entity, to_us(said.event_timestamp), to_us(said.accepted_at), said.score,
        said.decision,
        said.model_version, said.event_id)


def _views_of(
    system: System, settings: Settings, service: Service | None
) -> tuple[list[KeptView], Service]:
    """What follows the log for a system, and what it reads."""
    if service is not None:
        return kept_of(system, service), service
    manifest = load_manifest(settings)
    service = manifest.service(system)
    return kept_of(system, service, manifest.lent(system)), service


def _limits(views: Sequence[Followed], table: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in views:
        view = each.view
        if each.table != table or not isinstance(view, WindowedView):
            continue
        for slot in view.slots:
            if slot.form == "number":
                limit = limit_of(view, slot)
                found[slot.column] = min(limit, found.get(slot.column, inf))
    return found
