"""As-of joins: training sets from plain views, beside Feast's DuckDB store and SQL by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from benchmarks.feature_store.data import HISTORY, feature_names, make_spine, write_history
from benchmarks.feature_store.goals import against, told
from benchmarks.feature_store.jobs import Meter, Outcome, median_of, run
from benchmarks.feature_store.results import table_digest
from ml_assets.bench import Measurement

if TYPE_CHECKING:
    from feast import FeatureStore

    from benchmarks.feature_store.stores import Engine


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One size. rows: of each view's source; goals: it is the size for which they are stated."""

    rows: int
    views: int
    spine_rows: int
    history: int = HISTORY
    goals: bool = False

    @property
    def entities(self) -> int:
        return max(1, self.rows // self.history)

    def __str__(self) -> str:
        long = f" of {self.entities:,} entities" if self.history != HISTORY else ""
        plural = "s" if self.views > 1 else ""
        return (f"as-of: {self.views} view{plural} of {self.rows:,} rows{long}, "
                f"{self.spine_rows:,} spine rows")


CELLS = (
    Cell(rows=1_000_000, views=1, spine_rows=100_000),
    Cell(rows=1_000_000, views=1, spine_rows=1_000_000),
    Cell(rows=1_000_000, views=3, spine_rows=1_000_000, goals=True),
    Cell(rows=10_000_000, views=1, spine_rows=100_000),
    Cell(rows=10_000_000, views=3, spine_rows=1_000_000),
    Cell(rows=10_000_000, views=1, spine_rows=100_000, history=1000),
)
QUICK_CELLS = (Cell(rows=100_000, views=3, spine_rows=30_000),)


def measure(*, quick: bool) -> Iterator[Measurement]:
    for cell in QUICK_CELLS if quick else CELLS:
        yield from measure_cell(cell, runs=1 if quick else 3)


def measure_cell(cell: Cell, *, runs: int) -> Iterator[Measurement]:
    """CPU beside Feast and beside SQL by hand, and peak memory beside Feast."""
    with TemporaryDirectory(prefix="ml-assets-bench-") as name:
        folder = Path(name)
        for view in range(cell.views):
            run(
                f"{cell}: data", write_history, path=folder / f"view{view}.parquet", view=view,
                rows=cell.rows, entities=cell.entities,
            )
        work = partial(median_of, runs, folder=folder, cell=cell)
        ours = work(f"{cell}: ours", through_feast, engine="ours")
        feast = work(f"{cell}: Feast's DuckDB store", through_feast, engine="feast")
        sql = work(f"{cell}: SQL by hand", by_hand)
    equal = ours.digest == feast.digest == sql.digest
    yield against(
        f"{cell}, beside Feast's DuckDB store", ours=ours.cost.cpu_s, peer=feast.cost.cpu_s,
        unit="CPU s", times=30 if cell.goals else 1, equal=equal,
    )
    yield against(
        f"{cell}, peak memory beside Feast's DuckDB store", ours=ours.cost.peak_gb,
        peer=feast.cost.peak_gb, unit="GB", times=5 if cell.goals else 1, equal=equal,
    )
    beside_sql = partial(against, times=1 / 1.5) if cell.goals else told
    yield beside_sql(
        f"{cell}, beside SQL by hand", ours=ours.cost.cpu_s, peer=sql.cost.cpu_s,
        unit="CPU s", equal=equal,
    )


def through_feast(*, folder: Path, engine: Engine, cell: Cell) -> Outcome:
    """Feast's `get_historical_features` with its own offline store or ours."""
    from benchmarks.feature_store.stores import open_store, plain_view

    write_history(folder / "warm.parquet", view=9, rows=100, entities=1)
    store = open_store(folder, engine, [
        plain_view(9, folder / "warm.parquet"),
        *(plain_view(view, folder / f"view{view}.parquet") for view in range(cell.views)),
    ])
    _retrieve(store, make_spine(rows=100, entities=1), [9])
    spine = make_spine(rows=cell.spine_rows, entities=cell.entities)
    with Meter() as meter:
        found = _retrieve(store, spine, range(cell.views))
    return Outcome(cost=meter.cost, digest=table_digest(found, _columns(range(cell.views))))


def by_hand(*, folder: Path, cell: Cell) -> Outcome:
    """What someone who knows DuckDB well would write: keys first, the wide rows late."""
    import duckdb

    write_history(folder / "warm.parquet", view=9, rows=100, entities=1)
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.register("spine", make_spine(rows=100, entities=1))
    connection.sql(_sql(folder, {9: "warm"})).to_arrow_table()
    connection.register("spine", make_spine(rows=cell.spine_rows, entities=cell.entities))
    with Meter() as meter:
        found = connection.sql(
            _sql(folder, {view: f"view{view}" for view in range(cell.views)})
        ).to_arrow_table()
    return Outcome(cost=meter.cost, digest=table_digest(found, _columns(range(cell.views))))


def _retrieve(store: FeatureStore, spine: pd.DataFrame, views: Sequence[int]) -> pa.Table:
    references = [f"view{view}:{name}" for view in views for name in feature_names(view)]
    return store.get_historical_features(entity_df=spine, features=references).to_arrow()


def _columns(views: Sequence[int]) -> list[str]:
    return [name for view in views for name in feature_names(view)]


def _sql(folder: Path, files: dict[int, str]) -> str:
    keys, joins, wide = [], [], []
    for view, name in files.items():
        source = f"read_parquet('{folder / name}.parquet')"
        keys.append(f"""
            keys{view} as (
                select customer, event_timestamp, arg_max(file_row_number, created) as place
                from {source} where customer in (select customer from spine) group by all
            )""")
        joins.append(f"""
            asof left join keys{view} on spine.customer = keys{view}.customer
            and spine.event_timestamp >= keys{view}.event_timestamp""")
        wide.append(f"""
            left join {source} as wide{view} on place{view} = wide{view}.file_row_number""")
    places = ", ".join(f"keys{view}.place as place{view}" for view in files)
    return f"""
        with {", ".join(keys)}, chosen as (select row, {places} from spine {" ".join(joins)})
        select row, {", ".join(_columns(list(files)))} from chosen {" ".join(wide)}"""
