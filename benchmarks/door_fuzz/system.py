"""The system under test: a formula as its model, a constant as its feature store.

Tested is the path from bytes to answers. The model's scores do not matter, as long as they are the
same for the same event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import Quarantined
from ml_assets.core.feedback import FeedbackPolicy, TrustClass
from ml_assets.core.model import FullBatch, HashedText, Model, Numbers, Text
from ml_assets.core.policies import Gate, RetrainingPolicy
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.storage.database import Database
from ml_assets.core.storage.places import Place
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.target import Target
from ml_assets.core.truths import Outcomes
from ml_assets.features.online_store.following.counts import Counted
from ml_assets.features.online_store.latest_scores import Score
from ml_assets.ingest.log.event_log import Appended, PackedCounts
from ml_assets.registry.deployments import Deployments
from ml_assets.serving.answer.features import SystemState
from ml_assets.serving.composition import Backends
from ml_assets.serving.models.scoring import Scorer
from ml_assets.targets import Binary

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Purchases:
    """A request is `{"shop": str, "note": str, "amount": number}`. There is no archive."""

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(())

    def parse(self, request: Request) -> Event:
        amount = request.get("amount")
        if isinstance(amount, bool) or not isinstance(amount, int | float):
            raise Quarantined(f"amount is {str(amount)[:80]!r}; expected a number")
        return {"shop": str(request.get("shop", "")), "note": str(request.get("note", "")),
                "amount": float(amount)}


ORDERS = Stream(
    name="orders", asked=True, description="what is ordered",
    source=Purchases(),
    columns=(
        Column(name="shop", dtype="text", description="where it was bought"),
        Column(name="note", dtype="text", description="what the buyer wrote", max_length=500),
        Column(name="amount", dtype="number", description="price in EUR", minimum=0),
    ),
)

RETURNS = System(
    name="returns",
    description="Will a purchase be returned?",
    owners=("team:benchmarks",),
    calendar=Calendar(first_day=date(2024, 1, 1), go_live=date(2024, 1, 8)),
    streams=(ORDERS,),
    entities=(Entity(name="shop", description="a shop"),),
    sticky_by="shop",
    scores_by="shop",
    feature_service="returns_of_shops",
    target=Binary(name="returned"),
    truth=Outcomes(source="buyer", after=timedelta(days=2), silence=False,
                   grace=timedelta(days=1)),
    feedback=FeedbackPolicy(trusted=(TrustClass(name="customer", sources=("buyer",)),)),
    model=Model(inputs=(Text("note"), Numbers("amount")),
                network=HashedText(buckets=2**12), fit=FullBatch(iterations=5)),
    gates=(Gate(metric="roc_auc", at_least=0.6),),
    retraining=RetrainingPolicy(after_labels=1000, max_age=timedelta(days=30),
                                cooldown=timedelta(days=1)),
)


@dataclass(frozen=True, kw_only=True)
class Formula:
    """A probability from the length of the note and the numbers."""

    texts: tuple[str, ...] = ("note",)
    feature_names: tuple[str, ...] = ("amount", "returns_7d")
    target: Target = RETURNS.target

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: Floats
    ) -> npt.NDArray[np.float64]:
        logits = np.clip(dense.astype(np.float64).sum(axis=1) / 100, -30, 30)
        return np.asarray(
            1 / (1 + np.exp(-logits + [len(note) / 100 for note in texts["note"]])))[:, None]


class Constant:
    """A feature store in which every shop has had three returns."""

    names = ("returns_7d",)
    limits: Mapping[str, float] = {}
    told_limits: Mapping[str, Mapping[str, float]] = {}
    problem: str | None = None

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[Floats, list[datetime], int]:
        return np.full((len(keys), 1), 3, np.float32), list(at), 0

    def count(
        self, events: Sequence[Mapping[str, object]]
    ) -> tuple[PackedCounts, Sequence[Counted]]:
        return PackedCounts(b"constant", "[[], []]", [b"constant"] * len(events)), []

    def count_told(
        self, table: str, events: Sequence[Mapping[str, object]]
    ) -> PackedCounts | None:
        return None

    def follow(self, appended: Appended, counted: Sequence[Counted]) -> None:
        """It counts nothing."""

    def latest(self, key: str) -> Score | None:
        return None

    def close(self) -> None:
        """Nothing waits."""


def backends(record: Place) -> Backends:
    """For an installation whose deployment records are at `record`."""

    def model(system: System, version: int) -> Scorer:
        return Formula()

    def state(system: System, connection: Database) -> SystemState:
        return Constant()

    return Backends(deployments=lambda: Deployments(record), model=model, state=state)
