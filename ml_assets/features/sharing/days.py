"""How far another system's lake must reach before its views can be read from history."""

from __future__ import annotations

from datetime import date

from ml_assets.core.errors import NotReady
from ml_assets.core.system import System
from ml_assets.features.engine.exact import Ints
from ml_assets.features.service import TableView, View
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.served import from_us


def require_days(
    lake: Lake, system: str, owner: System, view: View | TableView, at: Ints
) -> None:
    """Raise NotReady unless the table of another system's view has all that was there by `at`.

    at: (n) the instants of the readers, microseconds since 1970 UTC

    A system closes its own days before it looks back on them; another's may be behind. After the
    last day of its calendar nothing more comes.
    """
    if owner.name == system or not len(at):
        return
    as_of = int(at.max()) if isinstance(view, TableView) else int(view.windowed.as_of(at).max())
    last = min(from_us(as_of - 1).date(), owner.calendar.last_day or date.max)
    there = lake.days(owner.name, view.table)
    if not there or there[-1] < last:
        ends = f"ends on {there[-1]}" if there else "is empty"
        raise NotReady(
            f"{system!r} reads the feature view {view.name!r}, and {owner.name}/{view.table} "
            f"{ends}; it is needed up to {last}. Materialise it first; `ml-assets run "
            f"{owner.name} {system}` replays both, day by day")
