"""A plain feature view: the latest row of its source, as it was at an instant."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ml_assets.core.storage.sql import name_of
from ml_assets.features.history.lookup import ANSWERED, Asked, of_entities
from ml_assets.features.history.plan import ViewPlan
from ml_assets.features.history.relations.as_of import Rows, latest
from ml_assets.features.history.relations.duck import array_of
from ml_assets.features.history.relations.source import FILE, PLACE, ROW, ROW_BITS, Relation
from ml_assets.features.history.spine import Spine


class PlainLookup:
    """Point-in-time join by Feast's contract.

    A row counts from its timestamp on, for the view's ttl; of several the latest, then the
    one created last, then the one that stands last in the files.

    known: rows created after the instant that is asked about do not count
    """

    row_bytes = 80
    asked_bytes = 100
    reach: int | None = None
    arrival = ""

    def __init__(
        self, relation: Relation, plan: ViewPlan, spine: Spine, *, known: bool
    ) -> None:
        self.plan, self._relation = plan, relation
        self._known = known and bool(plan.created)
        self.source = relation.source
        self.entities, self.asked = spine.entities(plan.spine_keys), spine.asked(plan.spine_keys)
        select = [f"{relation.micros(plan.timestamp)} as at", f"{PLACE} as place"]
        where = ["false"]
        if spine.low is not None and spine.high is not None:
            where = [relation.compared(plan.timestamp, "<=", spine.high)]
            if plan.ttl:
                where.append(relation.compared(plan.timestamp, ">=", spine.low - plan.ttl))
            if self._known:
                where.append(relation.compared(plan.created, "<=", spine.high))
        if plan.created:
            select.append(f"{relation.created(plan.created)} as created")
        self.rows = of_entities(select, relation, plan.keys, spine, plan.spine_keys, where)

    def answer(self, rows: pa.Table, asked: Asked) -> pa.Table:
        table = Rows(
            entity=array_of(rows, "code"), at=array_of(rows, "at"), place=array_of(rows, "place"),
            created=array_of(rows, "created") if self.plan.created else None,
        )
        row = latest(table, asked.code, asked.at, ttl=self.plan.ttl, known=self._known)
        answered = np.flatnonzero(row >= 0)
        place = table.place[row[answered]]
        return pa.table({
            ANSWERED: asked.i[answered], "file": place >> ROW_BITS,
            "row": place & ((1 << ROW_BITS) - 1),
        })

    def values(self, found: str) -> str:
        features = "".join(
            f", {self._relation.column(each.feature)} as {name_of(each.name)}"
            for each in self.plan.outputs
        )
        # One key is a third quicker to find than two.
        several = f" and s.{FILE} = c.file" if len(self._relation.source.files) > 1 else ""
        return (
            f"select c.{ANSWERED}{features} from {found} as c join {self._relation.sql} as s "
            f"on s.{ROW} = c.row{several}"
        )
