"""A windowed feature view: aggregates of a source's events, computed by the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from ml_assets.core.errors import unknown
from ml_assets.features.engine.events import Events
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.history import aggregate
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.history.arrivals import aggregate_known, first_arrivals
from ml_assets.features.history.lookup import ANSWERED, Asked, of_entities
from ml_assets.features.history.plan import ViewPlan
from ml_assets.features.history.relations.duck import array_of
from ml_assets.features.history.relations.source import PLACE, Relation
from ml_assets.features.history.slots import slot_column, uid_column
from ml_assets.features.history.spine import Spine
from ml_assets.features.history.typed import typed


class WindowedLookup:
    """The aggregates of a view as of the instants of a spine.

    known: events created after the instant that is asked about do not count
    """

    def __init__(
        self, relation: Relation, plan: ViewPlan, view: WindowedView, spine: Spine, *, known: bool
    ) -> None:
        self.plan, self._view = plan, view
        self._known = known and bool(view.created)
        aggregates = {each.name: each for each in view.aggregates}
        for each in plan.outputs:
            if each.feature not in aggregates:
                raise unknown("aggregation", each.feature, aggregates,
                              f"Feature view {view.name!r} has a field of that name.")
        self.source = relation.source
        self.entities, self.asked = spine.entities(plan.spine_keys), spine.asked(plan.spine_keys)
        self.rows = events_sql(
            relation, view, spine, dict(zip(plan.keys, plan.spine_keys, strict=True)),
            before=spine.high,
            known_by=spine.high if self._known else None,
        )
        self.row_bytes, self.asked_bytes = bytes_of_rows(view)
        self.reach: int | None = view.reach
        self.arrival = order_of_arrival(view)

    def answer(self, rows: pa.Table, asked: Asked) -> pa.Table:
        values = aggregate_rows(
            self._view, rows, asked, known_by=asked.at if self._known else None
        )
        nobody = asked.code < 0
        columns = {ANSWERED: pa.array(asked.i)}
        for each in self.plan.outputs:
            columns[each.name] = typed(self._view, each, values, nobody)
        return pa.table(columns)

    def values(self, found: str) -> None:
        """What `answer` gives has the features already."""


def bytes_of_rows(view: WindowedView) -> tuple[int, int]:
    """What numpy needs at once for each event and for each question."""
    # Sorting, and running sums of four limbs each, take several times what events do.
    return 200 + 80 * len(view.slots), 250 + 16 * len(view.columns)


def order_of_arrival(view: WindowedView) -> str:
    """As `first_arrivals` has it, in the columns of `events_sql`."""
    return f"{'created, ' if view.created else ''}\"at\", place"


def events_sql(
    relation: Relation, view: WindowedView, spine: Spine, keys: Mapping[str, str], *,
    before: int | None, known_by: int | None, extra: Sequence[str] = (),
) -> str:
    """SQL for the events of some entities: code, at, uid, place, created, a column a slot.

    keys: for each key of the view what the spine calls it, in the order in which `spine.asked`
        was given them
    before: microseconds, the last instant that is asked about; None where none is
    known_by: events created later than this, or at no known time, are left out
    extra: further columns, as SQL
    """
    owner = f"feature view {view.name!r}"
    select = [
        f"{relation.micros(view.timestamp)} as at",
        f"{uid_column(relation, view, owner)} as uid", f"{PLACE} as place", *extra,
    ]
    select += [
        f"{slot_column(relation, view, slot, owner)} as slot_{place}"
        for place, slot in enumerate(view.slots)
    ]
    where = [f"{relation.column(view.timestamp)} is not null"]
    if before is None:
        where.append("false")
    elif not view.created:
        # With `created`, a later event may have arrived before an earlier one of the same id.
        where.append(relation.compared(view.timestamp, "<", view.as_of(before)))
    if view.created:
        select.append(f"{relation.created(view.created)} as created")
        if known_by is not None:
            where.append(relation.compared(view.created, "<=", known_by))
    return of_entities(select, relation, list(keys), spine, list(keys.values()), where)


def aggregate_rows(
    view: WindowedView, rows: pa.Table, asked: Asked, *, known_by: Ints | None = None,
    arrived: Ints | None = None,
) -> Floats:
    """(m, features) of what `events_sql` gave; NaN where nothing is known or nobody asked.

    known_by: (m) what arrived later is not seen
    arrived: (n) when the rows did, in the unit of `known_by`; unless given, as `view.created` says
    """
    created = arrived if arrived is not None else (
        array_of(rows, "created") if view.created else None)
    events = Events(
        entity=array_of(rows, "code"), at=array_of(rows, "at"), uid=array_of(rows, "uid"),
        values={
            slot: array_of(rows, f"slot_{place}") for place, slot in enumerate(view.slots)
        },
    )
    counts = first_arrivals(events, created, array_of(rows, "place"))
    if counts is not None:
        events = events.take(counts)
        created = None if created is None else created[counts]
    entity, as_of = asked.code, view.as_of(asked.at)
    if created is None or known_by is None:
        values = aggregate(view, events, entity=entity, as_of=as_of)
    else:
        values = aggregate_known(
            view, events, created, entity=entity, as_of=as_of, known_by=known_by
        )
    values[entity < 0] = np.nan
    return values

