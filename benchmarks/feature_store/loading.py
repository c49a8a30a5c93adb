"""Loading the online store with `materialize`: beside Feast's SQLite store and bare SQLite.

Feast writes a row of SQLite for each feature, which takes so long that it is measured at two
smaller numbers of entities; a straight line through both gives its cost for more. Bare SQLite
inserts the very rows that our store has written, in the order of their keys, by one
`executemany`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.feature_store.data import START_US, feature_names, write_entities
from benchmarks.feature_store.goals import against
from benchmarks.feature_store.jobs import Meter, Outcome, median_of, run
from benchmarks.feature_store.results import digest
from ml_assets.bench import Measurement
from ml_assets.features.online_store.backend import OWN
from ml_assets.features.online_store.lmdb.backend import LmdbBackend

if TYPE_CHECKING:
    from feast import FeatureStore

    from benchmarks.feature_store.stores import Engine

CHECKED = 300
"""How many entities are read back and compared."""

START = datetime.fromtimestamp(START_US / 1e6, tz=UTC)
STRETCH = (START - timedelta(days=1), START + timedelta(days=365))


def measure(*, quick: bool) -> Iterator[Measurement]:
    if quick:
        yield from measure_entities(50_000, (1_000, 5_000), times=10, runs=1)
    else:
        yield from measure_entities(1_000_000, (5_000, 50_000), times=20, runs=3)


def measure_entities(
    entities: int, for_feast: tuple[int, int], *, times: float, runs: int
) -> Iterator[Measurement]:
    """CPU seconds for `entities`; Feast must cost `times` as much."""
    bench = f"loading: {entities:,} entities with 10 features"
    with TemporaryDirectory(prefix="ml-assets-bench-") as name:
        folder = Path(name)
        run(f"{bench}: data", write_entities, path=folder / "view0.parquet", view=0,
            rows=entities)
        ours = median_of(runs, f"{bench}: ours", through_feast, folder=folder, engine="ours")
        bare = median_of(runs, f"{bench}: bare SQLite", by_hand, folder=folder)
        feast = []
        for rows in for_feast:
            run(f"{bench}: data", write_entities, path=folder / "view0.parquet", view=0,
                rows=rows)
            feast.append(median_of(
                runs, f"{bench}: Feast's SQLite store, {rows:,} entities", through_feast,
                folder=folder, engine="feast",
            ))
    (few, many), (cheap, dear) = for_feast, (each.cost.cpu_s for each in feast)
    yield against(
        f"{bench}, beside Feast's SQLite store", ours=ours.cost.cpu_s,
        peer=cheap + (dear - cheap) / (many - few) * (entities - few), unit="CPU s",
        times=times, equal=all(each.digest == ours.digest for each in feast),
    )
    yield against(
        f"{bench}, beside bare SQLite", ours=ours.cost.cpu_s, peer=bare.cost.cpu_s,
        unit="CPU s", times=0.5, equal=bare.digest == digest(np.array([entities + 1])),
    )


def through_feast(*, folder: Path, engine: Engine) -> Outcome:
    """Feast's `materialize` into a new file; the digest is of some entities' features."""
    from benchmarks.feature_store.stores import open_store, plain_view

    path = folder / (f"{engine}.sqlite" if engine == "feast" else "ours.lmdb")
    for each in folder.glob(f"{path.name}*"):
        each.unlink()
    write_entities(folder / "warm.parquet", view=9, rows=100)
    store = open_store(folder, engine, [
        plain_view(9, folder / "warm.parquet"), plain_view(0, folder / "view0.parquet")
    ])
    store.materialize(*STRETCH, feature_views=["view9"])
    with Meter() as meter:
        store.materialize(*STRETCH, feature_views=["view0"])
    return Outcome(cost=meter.cost, digest=_read_back(store))


def by_hand(*, folder: Path) -> Outcome:
    """What `ours.lmdb` keeps inserted into a new SQLite file; the digest is of how many rows."""
    from benchmarks.feature_store.stores import PROJECT

    with closing(LmdbBackend(folder / "ours.lmdb", PROJECT)) as store:
        number = store.views()["view0"].id
        rows = [(OWN, *store.get(number, [OWN]))]
        for entities in store.entities(number):
            rows += zip(entities, store.get(number, entities), strict=True)
    path = folder / "bare.sqlite"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=normal")
    connection.execute("create table online_state (entity blob primary key, state blob)"
                       " without rowid")
    with Meter() as meter:
        connection.execute("begin immediate")
        connection.executemany("insert into online_state values (?, ?)", rows)
        connection.execute("commit")
    count = connection.execute("select count(*) from online_state").fetchone()
    connection.close()
    return Outcome(cost=meter.cost, digest=digest(np.array(count)))


def _read_back(store: FeatureStore) -> str:
    found = store.get_online_features(
        features=[f"view0:{name}" for name in feature_names(0)],
        entity_rows=[{"customer": customer} for customer in range(CHECKED)],
    ).to_dict()
    return digest(*(np.array(found[name], dtype=np.float32) for name in feature_names(0)))
