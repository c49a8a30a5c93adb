"""A toy system's API over a real socket: fakes for the model and the feature store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

import httpx
import numpy as np
import numpy.typing as npt
import pandas as pd
import uvicorn

from ml_assets.core.errors import ModelRefused
from ml_assets.core.settings import Settings
from ml_assets.core.storage.database import Database
from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.core.time import EventClock
from ml_assets.features.online_store.latest_scores import Score
from ml_assets.ingest.log.event_log import Appended, PackedCounts
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.rollout import Action
from ml_assets.serving.composition import Backends, create_app
from ml_assets.serving.http.connection.connections import Connections
from ml_assets.serving.http.connection.fast_path import FastPathProtocol
from tests.toy import TOY

NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)
LOADED = datetime(2024, 1, 9, tzinfo=UTC)
"""The instant up to which the fake feature store is loaded."""


@dataclass(frozen=True, kw_only=True)
class FakeScorer:
    """Probabilities by a formula that reads text, number and feature; NaN counts as nothing."""

    bias: float = 0.0
    texts: tuple[str, ...] = ("note",)
    feature_names: tuple[str, ...] = ("amount", "returns_7d")
    target: Target = TOY.target

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        numbers = np.nan_to_num(dense.astype(np.float64))
        logits = self.bias + numbers.sum(axis=1) / 10 + [len(note) / 100 for note in texts["note"]]
        return np.asarray(1 / (1 + np.exp(-logits)))[:, None]


@dataclass(kw_only=True)
class FakeFeatures:
    """One feature by shop; fails with `failure` while one is set."""

    names: tuple[str, ...] = ("returns_7d",)
    by_shop: dict[str, float] = field(default_factory=lambda: {"corner": 3.0})
    failure: Exception | None = None
    threads: list[str] = field(default_factory=list)
    working: bool = False
    remembered: list[Mapping[str, object]] = field(default_factory=list)
    limits: Mapping[str, float] = field(default_factory=dict)
    told_limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    problem: str | None = None

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime], int]:
        assert not self.working, "two calls at once"
        self.working = True
        self.threads.append(threading.current_thread().name)
        time.sleep(0)  # let others have the interpreter
        self.working = False
        if self.failure is not None:
            raise self.failure
        values = [[self.by_shop.get(str(row.get("shop")), np.nan)] for row in keys]
        return np.array(values, np.float32).reshape(len(keys), 1), [LOADED for _ in at], 0

    def open(self, connection: Database) -> None:
        """The log was opened."""

    def count(self, events: Sequence[Mapping[str, object]]) -> tuple[PackedCounts, Any]:
        return PackedCounts(b"fakelist", "[[], []]", [b"fakelist"] * len(events)), events

    def count_told(
        self, table: str, events: Sequence[Mapping[str, object]]
    ) -> PackedCounts | None:
        return None

    def follow(self, appended: Appended, counted: Any) -> None:
        self.remembered.extend(counted[row] for row in appended.new)

    def latest(self, key: str) -> Score | None:
        return None

    def close(self) -> None:
        """Nothing waits."""


@dataclass(kw_only=True)
class FakeHistory:
    """One feature by shop; remembers how many events it was asked about at once."""

    columns = ("shop",)
    sizes: list[int] = field(default_factory=list)

    def read(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], *,
        accepted_at: pd.Series[pd.Timestamp],
    ) -> npt.NDArray[np.float32]:
        assert len(keys) == len(at) == len(accepted_at)
        self.sizes.append(len(keys))
        return np.array([[3.0 if shop == "corner" else np.nan] for shop in keys["shop"]],
                        np.float32).reshape(len(keys), 1)


@dataclass(kw_only=True)
class Toy:
    """The parts of a toy installation, in a test's hands."""

    settings: Settings
    system: System = TOY
    features: FakeFeatures = field(default_factory=FakeFeatures)
    models: dict[int, FakeScorer | Exception] = field(
        default_factory=lambda: {1: FakeScorer(), 2: FakeScorer(bias=-1.0), 4: FakeScorer(bias=1.0)}
    )
    loading: Callable[[int], None] = lambda version: None

    def __post_init__(self) -> None:
        self.clock.set(NOON)

    @property
    def clock(self) -> EventClock:
        return EventClock(self.settings.clock_file(self.system.name))

    @property
    def deployments(self) -> Deployments:
        return Deployments(self.settings.deployments)

    def deploy(self, version: int, reason: str = "it is better") -> None:
        self.deployments.promote(self.system.name, version, reason=reason, by="test", at=NOON)

    def act(self, action: Action, reason: str = "try it") -> Deployment:
        return self.deployments.act(self.system.name, action, reason=reason, by="test", at=NOON)

    def backends(self) -> Backends:
        return Backends(
            deployments=lambda: self.deployments, model=self._load, state=self._state
        )

    def _state(self, system: System, connection: Database) -> FakeFeatures:
        if self.features.failure is not None:
            raise self.features.failure
        self.features.open(connection)
        return self.features

    def _load(self, system: System, version: int) -> FakeScorer:
        self.loading(version)
        model = self.models.get(version, ModelRefused(f"version {version} has no files"))
        if isinstance(model, Exception):
            raise model
        return model


@contextmanager
def serving(
    toy: Toy, *, direct: bool = True, connections: Connections | None = None,
    plain: Literal["h11", "httptools"] | None = None, also: Sequence[System] = (),
    broken: Mapping[str, str] | None = None,
) -> Iterator[httpx.Client]:
    """A client of the toy's API, which runs on a port of its own until the block ends.

    direct: whether connections answer plain predictions themselves; else the ASGI app answers all
    connections: with other limits than the usual
    plain: over connections of uvicorn's own, by the parser of this name
    also: other systems, by the same models and store
    broken: why yet others cannot be served
    """
    app = create_app(toy.settings, [toy.system, *also], toy.backends(), broken=broken)
    how = replace(app.fast_path, queues=app.fast_path.queues if direct else {},
                  connections=app.fast_path.connections if connections is None else connections)
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, lifespan="on", server_header=False,
        http=plain or partial(FastPathProtocol, how),  # type: ignore[arg-type]
        ws="none",
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), 30)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def wait_until(holds: Callable[[], object], seconds: float = 10) -> None:
    """Return once `holds()`; fail after `seconds`."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError(f"it does not hold after {seconds} s")


def event(amount: object = 12.5, shop: str = "corner", note: str = "hello") -> dict[str, object]:
    return {"shop": shop, "note": note, "amount": amount}


def asked(event_id: str | None = None, at: datetime | None = None, **of: Any) -> dict[str, object]:
    """The body of a prediction request."""
    body: dict[str, object] = {"event": event(**of)}
    if event_id is not None:
        body["event_id"] = event_id
    if at is not None:
        body["event_timestamp"] = at.isoformat()
    return body


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    """The problem that an answer names, after checking status, code and shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["error"]
    assert body["error"]["code"] == code, answer.text
    assert "Traceback" not in answer.text
    found: dict[str, str] = body["error"]
    return found


LATER = NOON + timedelta(hours=1)
