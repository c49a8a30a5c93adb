"""What a view answers for the rows of a spine, in two steps that may run in pieces.

SQL first selects what the source has of the spine's entities (`rows`); numpy then finds
each answer (`answer`), and SQL fetches what was found (`values`). The first and the last
step spill where they must, the middle one is given as many entities at a time as fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from ml_assets.features.engine.exact import Floats
from ml_assets.features.history.plan import ViewPlan
from ml_assets.features.history.relations.as_of import Ints
from ml_assets.features.history.relations.duck import array_of
from ml_assets.features.history.relations.keys import equal
from ml_assets.features.history.relations.source import Relation, Source
from ml_assets.features.history.spine import Spine

ANSWERED = "__spine_row"
"""The column that says which row of the spine an answer is for; no feature is called so."""


@dataclass(frozen=True)
class Asked:
    """m questions: the row of the spine (i), whose (code, -1 for nobody's) and as of when.

    known_by: the instant up to which an event had to have arrived, if the spine says so
    """

    i: Ints
    at: Ints
    code: Ints
    known_by: Ints | None = None

    @staticmethod
    def of(table: pa.Table) -> Asked:
        """As `Spine.asked` gives them."""
        known_by = array_of(table, "known_by") if "known_by" in table.schema.names else None
        return Asked(array_of(table, "i"), array_of(table, "at"), array_of(table, "code"), known_by)

    def in_order(self) -> Asked:
        """All questions of a spine, in its order."""
        order = np.empty_like(self.i)
        order[self.i] = np.arange(len(self.i))
        return Asked(self.i[order], self.at[order], self.code[order],
                     None if self.known_by is None else self.known_by[order])


class Lookup(Protocol):
    """One view that is asked. Knows no connection, so other processes can be sent it.

    asked, rows: SQL; both give a `code`, and what belongs together has the same. `rows` ends with
        its condition, and calls the source `s`
    entities: the table of the codes, which both read; source: the files that `rows` reads
    row_bytes, asked_bytes: how much numpy needs at once for each of `rows` and of `asked`
    reach: microseconds; what happened longer before a question has no effect on it. None if it may
    arrival: of a `code`'s rows with one `uid` the first in this order counts, as SQL; "" if all do
    """

    asked: str
    rows: str
    entities: str
    source: Source
    row_bytes: int
    asked_bytes: int
    reach: int | None
    arrival: str

    def answer(self, rows: pa.Table, asked: Asked) -> pa.Table:
        """What was found, with the row that it answers; rows without an answer may be absent."""
        ...

    def values(self, found: str) -> str | None:
        """SQL that makes of a relation of such answers the features; None where they are that."""
        ...


class Planned(Lookup, Protocol):
    """One view of a retrieval. plan: what is asked of it"""

    plan: ViewPlan


def numbers(asked: Asked, columns: Mapping[str, Floats]) -> pa.Table:
    """An answer to all of `asked`: each column as a vector has it, float32, NaN where none."""
    with np.errstate(over="ignore"):
        return pa.table({ANSWERED: pa.array(asked.i), **{
            name: pa.array(values.astype(np.float32)) for name, values in columns.items()}})


def of_entities(
    select: Sequence[str], relation: Relation, keys: Sequence[str], spine: Spine,
    spine_keys: Sequence[str], where: Sequence[str],
) -> str:
    """SQL for the rows of a source whose `keys` are those of some entity, with its code.

    spine_keys: what the spine calls each of `keys`
    Raises InvalidRequest if the types of a key differ.
    """
    entities = spine.entities(spine_keys)
    on = " and ".join(
        equal(spine.key(given), relation.key(key), f"e.k{place}")
        for place, (key, given) in enumerate(zip(keys, spine_keys, strict=True))
    )
    return (
        f"select e.code, {', '.join(select)} from {relation.sql} as s "
        f"join {entities} as e on ({on or 'true'}) where {' and '.join(where) or 'true'}"
    )

