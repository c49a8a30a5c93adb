"""Four ways to read 30 features of three views online, from files or Redis.

port: of the Redis; None for files in the folder: ours in LMDB, Feast's own in SQLite
stretch_s: for how long calls are repeated at a time, in CPU seconds
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.feature_store.data import START_US, feature_names, write_entities
from benchmarks.feature_store.loading import STRETCH
from benchmarks.feature_store.results import digest

if TYPE_CHECKING:
    from feast import FeatureStore

    from benchmarks.feature_store.stores import Engine
    from ml_assets.features.online_store.backend import Backend

VIEWS = (0, 1, 2)
NAMES = [name for view in VIEWS for name in feature_names(view)]
WIDTH = len(NAMES) // len(VIEWS)
SERVICE = "all_views"

SIZES = {1: 60, 10: 20, 100: 6}
"""Customers of one call, and how many different calls there are."""

STRETCHES = 5
"""How often the calls are repeated for `stretch_s` seconds each; the median counts."""

ROW = np.dtype([("", f"V{8 + 8 + 4 + (WIDTH + 7) // 8}"), ("values", "<f4", (WIDTH,))])
"""What our stores keep of an entity: at, created, size, a bit for each null, the values."""

Floats32 = npt.NDArray[np.float32]
Read = Callable[[Sequence[int]], Floats32]
"""The features (n, 30) of n customers, in the order of `NAMES`."""


@dataclass(frozen=True, kw_only=True)
class Reads:
    """cpu_ms: of one call, by size; digest: of what all calls returned."""

    cpu_ms: Mapping[int, float]
    digest: str


def load(*, folder: Path, port: int | None, engine: Engine, customers: int) -> None:
    """Fill the store by `materialize`."""
    for view in VIEWS:
        write_entities(folder / f"view{view}.parquet", view=view, rows=customers)
    _store(folder, port, engine).materialize(*STRETCH)


def feast_reads(
    *, folder: Path, port: int | None, engine: Engine, customers: int, stretch_s: float
) -> Reads:
    """Feast's `get_online_features(...).to_dict()`, with the service looked up beforehand."""
    store = _store(folder, port, engine)
    service = store.get_feature_service(SERVICE)

    def read(asked: Sequence[int]) -> Floats32:
        found = store.get_online_features(
            features=service, entity_rows=[{"customer": customer} for customer in asked]
        ).to_dict()
        return np.array([found[name] for name in NAMES], dtype=np.float32).T

    return _measured(read, customers, stretch_s)


def direct_reads(
    *, folder: Path, port: int | None, customers: int, stretch_s: float
) -> Reads:
    """Our `FeatureReader`, with which the prediction API reads."""
    from ml_assets.features.online_store.reader import FeatureReader, Wanted
    from ml_assets.features.online_store.versions import Column, PlainView

    views = [
        PlainView(
            name=f"view{view}", keys=("customer",),
            columns=tuple(Column(name, "Float32") for name in feature_names(view)),
        )
        for view in VIEWS
    ]
    reader = FeatureReader(
        _backend(folder, port),
        [Wanted(view, tuple(feature_names(number))) for number, view in enumerate(views)],
    )
    now = START_US + customers

    def read(asked: Sequence[int]) -> Floats32:
        at = np.full(len(asked), now)
        return reader.read([{"customer": customer} for customer in asked], at)[0]

    return _measured(read, customers, stretch_s)


def bare_reads(
    *, folder: Path, port: int | None, customers: int, stretch_s: float
) -> Reads:
    """The bytes that our store keeps, in one round trip, viewed as numbers without any check."""
    backend = _backend(folder, port)
    numbers = {name: found.id for name, found in backend.views().items()}
    backend.close()
    views = [numbers[f"view{view}"] for view in VIEWS]
    fetch = _redis_fetch(port, views) if port is not None else _lmdb_fetch(folder, views)

    def read(asked: Sequence[int]) -> Floats32:
        packed = np.frombuffer(b"".join(fetch(asked)), ROW)
        values: Floats32 = packed["values"].reshape(len(asked), len(NAMES))
        return values

    return _measured(read, customers, stretch_s)


Fetch = Callable[[Sequence[int]], list[bytes]]
"""For each customer the bytes of each view."""


def _lmdb_fetch(folder: Path, views: Sequence[int]) -> Fetch:
    import lmdb

    file: Any = lmdb.open(str(folder / "ours.lmdb"), subdir=False, readonly=True)
    starts = [view.to_bytes(4, "big") for view in views]

    def fetch(asked: Sequence[int]) -> list[bytes]:
        keys = [start + b"%d" % customer for customer in asked for start in starts]
        with file.begin() as transaction:
            return [*map(transaction.get, keys)]

    return fetch


def _redis_fetch(port: int, views: Sequence[int]) -> Fetch:
    import redis

    client: Any = redis.Redis(port=port)
    starts = [f"ml_assets:bench:{view}:s:" for view in views]

    def fetch(asked: Sequence[int]) -> list[bytes]:
        found: list[bytes] = client.mget(
            [f"{start}{customer}" for customer in asked for start in starts]
        )
        return found

    return fetch


def _backend(folder: Path, port: int | None) -> Backend:
    if port is None:
        from ml_assets.features.online_store.lmdb.backend import LmdbBackend

        return LmdbBackend(folder / "ours.lmdb", "bench")
    from ml_assets.features.online_store.redis.backend import RedisBackend

    return RedisBackend(f"redis://127.0.0.1:{port}/0", "bench")


def _store(folder: Path, port: int | None, engine: Engine) -> FeatureStore:
    from feast import FeatureService

    from benchmarks.feature_store.stores import open_store, plain_view, redis_online

    views = [plain_view(view, folder / f"view{view}.parquet") for view in VIEWS]
    service = FeatureService(name=SERVICE, features=[*views])
    online = None if port is None else redis_online(engine, port)
    return open_store(folder, engine, [*views, service], online=online)


def _measured(read: Read, customers: int, stretch_s: float) -> Reads:
    """The median of several stretches of calls, each size alone."""
    random = np.random.default_rng(5)
    cpu_ms, found = {}, []
    for size, calls in SIZES.items():
        asked = [random.choice(customers, size, replace=False).tolist() for _ in range(calls)]
        found += [read(each) for each in asked]
        stretches = []
        for _ in range(STRETCHES):
            rounds, start = 0, time.process_time()
            while (spent := time.process_time() - start) < stretch_s:
                for each in asked:
                    read(each)
                rounds += 1
            stretches.append(spent / rounds / calls * 1000)
        cpu_ms[size] = median(stretches)
    return Reads(cpu_ms=cpu_ms, digest=digest(*found))
