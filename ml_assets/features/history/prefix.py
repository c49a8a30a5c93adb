"""What of a stream the online state had counted at a position of the event log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.history.relations.source import Relation
from ml_assets.ingest.log.positions import Load
from ml_assets.ingest.tables import LOG_SEQ

_NEVER = 2**62


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """For each of n questions all that was counted up to a position.

    upto: (n) the positions
    loads: what was loaded into the view, in the order of positions
    """

    upto: Ints
    loads: Sequence[Load]

    def columns(self, relation: Relation, view: WindowedView) -> list[str]:
        """SQL for what `positions` needs: a row's own position, and when it was filed."""
        own = f"coalesce(s.{LOG_SEQ}, {_NEVER})" if LOG_SEQ in relation.kinds else f"{_NEVER}"
        filed = (relation.created(view.created) if view.created
                 else relation.micros(view.timestamp))
        return [f"{own}::bigint as own", f"{filed} as filed"]

    def positions(self, own: Ints, filed: Ints) -> Ints:
        """(m) the position at which each row was counted; if none, one behind every `upto`.

        own: (m) its own position; filed: (m) microseconds, which say what loads brought a row that
        has none. The first of them counts: later ones found it there.
        """
        edges = np.unique([edge for load in self.loads for edge in (load.since, load.until)])
        loaded = np.full(len(edges) + 1, _NEVER, dtype=np.int64)
        for load in reversed(self.loads):
            first, last = np.searchsorted(edges, [load.since, load.until])
            loaded[first + 1 : last + 1] = load.seq
        place = np.searchsorted(edges, filed, side="right")
        behind = int(self.upto.max(initial=0)) + 1
        return np.minimum(np.where(own < _NEVER, own, loaded[place]), behind)


@dataclass(frozen=True, kw_only=True)
class LoadedRows:
    """Which rows a reader of the online store could see: those that loads up to `upto` brought.

    upto: (n) positions of the log; loads: those of the view, in the order of positions
    """

    upto: Ints
    loads: Sequence[Load]
