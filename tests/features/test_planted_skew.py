"""Twelve ways in which training and serving come apart, planted one by one: each is caught.

A payment system in small: a real SQLite store that is read and fed while events come, a real
lake that holds what came. The honest server passes; every bug is one method of it, changed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_assets.features.engine.windows import WindowedView, parse_view
from ml_assets.features.history.ask import windowed_at
from ml_assets.features.online_store.backend import digest_of, number_of
from ml_assets.features.online_store.counting import apply_events, put_rows
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from ml_assets.features.online_store.versions import Column, PlainView
from ml_assets.features.parity import ParityReport, compare

START = datetime(2024, 3, 30, 18, tzinfo=UTC)
"""The evening before Europe's clocks change."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Event = dict[str, Any]
Vector = npt.NDArray[np.float32]


def aggregation(function: str, column: str, window: timedelta, name: str) -> SimpleNamespace:
    return SimpleNamespace(function=function, column=column, time_window=window,
                           slide_interval=HOUR, name=name)


SPENDING = parse_view(
    name="card_spending", keys=["card"], timestamp="event_timestamp", created="accepted_at",
    aggregations=[
        aggregation("count", "", DAY, "payments_1d"),
        aggregation("sum", "amount", 3 * DAY, "spent_3d"),
        aggregation("mean", "amount", 3 * DAY, "mean_3d"),
        aggregation("time_since_last", "", 3 * DAY, "idle_s"),
    ], tags={},
)
VISITS = parse_view(
    name="card_at_shop", keys=["card", "shop"], timestamp="event_timestamp",
    created="accepted_at", aggregations=[aggregation("count", "", 3 * DAY, "visits_3d")], tags={},
)
FRAUD = parse_view(
    name="card_fraud", keys=["card"], timestamp="known_at", created="",
    aggregations=[aggregation("sum", "fraud", 9 * DAY, "fraud_9d")],
    tags={"refresh": "slide"},
)
LIMIT = PlainView(name="card_limit", keys=("card",), columns=(Column("limit", "Float32"),),
                  ttl=2 * DAY // timedelta(microseconds=1))
VIEWS = [[*SPENDING.columns], [*VISITS.columns], [*FRAUD.columns], ["limit"]]
NAMES = tuple(name for view in VIEWS for name in view)


def payments() -> list[Event]:
    """Payments in the order in which they are accepted; some happened an hour earlier."""
    draw, at, found = Random(5), START, []
    for number in range(300):
        at += timedelta(seconds=draw.choice([30, 300, 900, 3600]))
        happened = at - HOUR if number % 20 == 7 else at
        found.append({
            "event_id": f"p{number}", "event_timestamp": happened, "accepted_at": at,
            "known_at": happened + DAY, "card": f"{draw.randrange(4)}",
            "shop": f"{draw.randrange(3)}", "fraud": float(draw.random() < 0.2),
            "amount": None if number % 9 == 4 else draw.choice([1.25, 20.0, 16777217.0]),
        })
    return found


PAYMENTS = payments()
LIMITS: list[Event] = [{"card": f"{card}", "limit": 100.0 + card, "since": START + 5 * card * HOUR}
          for card in range(3)]


class Server:
    """Reads what is known of a card, logs it, then counts the payment: the honest way.

    Each hour it learns the labels that became known in the hour before.
    """

    spending: WindowedView = SPENDING
    limit: PlainView = LIMIT

    def __init__(self, folder: Path) -> None:
        self.backend = LmdbBackend(folder / "online.lmdb")
        windows = (self.spending, VISITS, FRAUD)
        for view in (*windows, self.limit):
            self.backend.register(view.name, digest_of(view))
        self.reader = FeatureReader(self.backend, [
            *(Wanted(view, view.columns) for view in windows), Wanted(self.limit, ("limit",))
        ])
        self.taught = 0
        self.limits_set = 0

    def serve(self) -> tuple[Vector, list[int]]:
        """The vectors of all payments, and the instants that the log says they are as of."""
        vectors, logged = [], []
        for event in PAYMENTS:
            self.catch_up(event["accepted_at"])
            vector, *_ = self.reader.read([self.asked(event)], [self.reads_at(event)])
            vectors.append(self.answered(vector[0], event))
            logged.append((event["event_timestamp"] - datetime(1970, 1, 1, tzinfo=UTC))
                          // timedelta(microseconds=1))
            self.remember(event)
        self.backend.close()
        return np.array(vectors), logged

    def catch_up(self, now: datetime) -> None:
        hour = now.replace(minute=0, second=0, microsecond=0)
        labels = sorted(PAYMENTS, key=lambda event: event["known_at"])
        while self.taught < len(labels) and labels[self.taught]["known_at"] < hour:
            self.feed(FRAUD, labels[self.taught])
            self.taught += 1
        while self.limits_set < len(LIMITS) and LIMITS[self.limits_set]["since"] <= now:
            put_rows(self.limit, self.backend, pa.Table.from_pylist([LIMITS[self.limits_set]]),
                     timestamp="since")
            self.limits_set += 1

    def remember(self, event: Event) -> None:
        self.feed(self.spending, event)
        self.feed(VISITS, event)

    def feed(self, view: WindowedView, event: Event) -> None:
        apply_events(view, self.backend, number_of(self.backend, view), [event])

    def asked(self, event: Event) -> Event:
        return event

    def reads_at(self, event: Event) -> datetime:
        at: datetime = event["event_timestamp"]
        return at

    def answered(self, vector: Vector, event: Event) -> Vector:
        return vector


class WrongTimeZone(Server):
    """Instants are taken for local time when they are counted: an hour or two off."""

    def feed(self, view: WindowedView, event: Event) -> None:
        local = event["event_timestamp"].replace(tzinfo=ZoneInfo("Europe/Dublin"))
        super().feed(view, {**event, "event_timestamp": local.astimezone(UTC)})


class InclusiveBoundary(Server):
    """The payment is counted before it is scored, up to and including its own instant."""

    def asked(self, event: Event) -> Event:
        self.remember(event)
        return event

    def reads_at(self, event: Event) -> datetime:
        return super().reads_at(event) + timedelta(microseconds=1)


class TimeToLiveIgnored(Server):
    """A limit counts for ever."""

    limit = replace(LIMIT, ttl=0)


class StaleTile(Server):
    """Every tenth write is lost."""

    def remember(self, event: Event) -> None:
        if not event["event_id"].endswith("5"):
            super().remember(event)


class LabelLeakedBeforeKnownAt(Server):
    """A label is counted when the payment is, though it becomes known a day later."""

    def remember(self, event: Event) -> None:
        super().remember(event)
        self.feed(FRAUD, {**event, "known_at": event["event_timestamp"],
                          "event_id": f"early {event['event_id']}"})


class RetryCountedTwice(Server):
    """A client's retry gets an id of its own."""

    def remember(self, event: Event) -> None:
        super().remember(event)
        if event["event_id"].endswith("3"):
            super().remember({**event, "event_id": f"retry of {event['event_id']}"})


class SwappedCompositeKey(Server):
    """Card and shop change places where visits are counted."""

    def feed(self, view: WindowedView, event: Event) -> None:
        swapped = {**event, "card": event["shop"], "shop": event["card"]}
        super().feed(view, swapped if view is VISITS else event)


class Float32Overflow(Server):
    """Amounts pass through float32, which does not hold 16,777,217; sums of them show it."""

    def feed(self, view: WindowedView, event: Event) -> None:
        amount = event["amount"]
        narrow = None if amount is None else float(np.float32(amount))
        super().feed(view, {**event, "amount": narrow})


class NullAsZero(Server):
    """A missing amount is taken for nothing paid: the mean falls."""

    def feed(self, view: WindowedView, event: Event) -> None:
        super().feed(view, {**event, "amount": event["amount"] or 0.0})


class UnitChange(Server):
    """From the 100th payment on amounts come in cents."""

    def feed(self, view: WindowedView, event: Event) -> None:
        amount, number = event["amount"], int(event["event_id"][1:])
        cents = amount is not None and number >= 100
        super().feed(view, {**event, "amount": amount * 100 if cents else amount})


class LateRowDropped(Server):
    """Payments that arrive an hour late are answered and never counted."""

    def remember(self, event: Event) -> None:
        if event["event_timestamp"] == event["accepted_at"]:
            super().remember(event)


class WrongFeatureVersion(Server):
    """Serving still runs last week's definition: a day means 20 hours."""

    spending = replace(SPENDING, aggregates=(
        replace(SPENDING.aggregates[0], window=20 * HOUR // timedelta(microseconds=1)),
        *SPENDING.aggregates[1:],
    ))


BUGS = Server.__subclasses__()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    for name in ("payments", "labels"):
        (folder / name).mkdir()
        pq.write_table(pa.Table.from_pylist(PAYMENTS), folder / name / "all.parquet")
    return folder


def report_of(server: Server, lake: Path) -> ParityReport:
    vectors, logged = server.serve()
    return compare(
        pd.DataFrame({
            "prediction_id": [event["event_id"] for event in PAYMENTS],
            "features": list(vectors), "feature_names": [NAMES] * len(vectors), "degraded": False,
            "state_seq": 0,
        }),
        recomputed(lake, np.array(logged)), feature_names=NAMES,
    )


def recomputed(lake: Path, at: npt.NDArray[np.int64]) -> Vector:
    keys = pd.DataFrame(PAYMENTS)[["card", "shop"]]
    accepted = pd.to_datetime([event["accepted_at"] for event in PAYMENTS], utc=True)
    known_by = accepted.as_unit("us").astype("int64").to_numpy() - 1
    parts = [
        windowed_at(SPENDING, lake / "payments", keys, at, known_by=known_by),
        windowed_at(VISITS, lake / "payments", keys, at, known_by=known_by),
        windowed_at(FRAUD, lake / "labels", keys, at),
        limits_at(keys["card"], at)[:, None],
    ]
    return np.hstack(parts).astype(np.float32)


def limits_at(cards: pd.Series[str], at: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Counted plainly: a limit holds for two days from `since` on."""
    since = {row["card"]: (int(row["since"].timestamp() * 1e6), row["limit"]) for row in LIMITS}
    found = np.full(len(at), np.nan)
    for place, (card, t) in enumerate(zip(cards, at.tolist(), strict=True)):
        if card in since and since[card][0] <= t <= since[card][0] + LIMIT.ttl:
            found[place] = since[card][1]
    return found


def test_the_honest_server_passes(tmp_path: Path, lake: Path) -> None:
    report = report_of(Server(tmp_path), lake)
    assert report.worst.empty, report.worst.to_string()
    assert report.checked == len(PAYMENTS)


def test_there_are_twelve_bugs() -> None:
    assert len(BUGS) == 12


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_caught(bug: type[Server], tmp_path: Path, lake: Path) -> None:
    report = report_of(bug(tmp_path), lake)
    assert report.unexplained > 0, bug.__doc__
