"""The weekly sales of each commodity of a grocer, forecast as the week begins.

Demand moves: a leaflet, a harvest, a feast. Each week's books train the next model, and the
interval beside a forecast says how sure it is. Data and protocol: docs/trends.md.
"""

from datetime import date, timedelta

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.model import FullBatch, Model, Numbers, Torch
from ml_assets.core.policies import DriftPolicy, Gate, RetrainingPolicy, Slice
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.truths import Outcomes
from ml_assets.ingest.sources import EventRows
from ml_assets.systems.trends.source import asked, booked
from ml_assets.targets import Number

COMMODITY = Column(name="commodity", dtype="category", max_length=60,
                   description="a kind of grocery: TROPICAL FRUIT")
PROMOTIONS = tuple(
    Column(name=name, dtype="number", minimum=0, unit="articles in stores", description=said)
    for name, said in (("mailed", "what the week's leaflet shows"),
                       ("front", "what it shows on its outside"),
                       ("displayed", "what is displayed apart from its shelf")))
ASKED = (COMMODITY, Column(name="department", dtype="category", max_length=60,
                           description="PRODUCE"), *PROMOTIONS)
BOOKED = (
    COMMODITY,
    Column(name="sold", dtype="number", unit="USD", description="what the shop received"),
    Column(name="price", dtype="number", unit="USD", optional=True,
           description="at the shelf, of a piece or pound"),
    *PROMOTIONS,
)

TRENDS = System(
    name="trends",
    description="How much will this commodity sell this week? Demand moves with the season.",
    owners=("team:shop",),
    # Five weeks are replayed unless a run is told otherwise, and thirteen can be.
    calendar=Calendar(first_day=date(2017, 1, 9), go_live=date(2017, 10, 2),
                      last_day=date(2018, 1, 7), stretch=36),
    streams=(
        Stream(name="forecasts", asked=True, description="each commodity, as each week begins",
               columns=ASKED, source=EventRows(
                   rows=asked(), columns=ASKED, timestamp="asked_at", zone="UTC", key="forecast",
                   label="sold")),
        Stream(name="sales", description="what each commodity sold for, as each week is over",
               columns=BOOKED, source=EventRows(
                   rows=booked(), columns=BOOKED, timestamp="booked_at", zone="UTC",
                   key="booking")),
    ),
    entities=(Entity(name="commodity", description="a kind of grocery"),),
    feature_service="trends_features",
    target=Number(name="sold", unit="USD", minimum=0, maximum=1e6, tolerance=0.25, interval=0.9,
                  errors="relative"),
    # A week's books are closed an hour before the next week's forecasts are asked for.
    truth=Outcomes(source="books", after=timedelta(days=6, hours=23), grace=timedelta(0)),
    model=Model(
        inputs=(Numbers("mailed", "front", "displayed"),),
        network=Torch("ml_assets.systems.trends.network:SalesNetwork"),
        # Demand moves: what was true two months ago counts half. See docs/trends.md.
        fit=FullBatch(iterations=150, half_life=timedelta(weeks=8)), holdout=timedelta(days=7),
    ),
    slices=(
        Slice(name="mailed", where="mailed > 0", description="in this week's mailer"),
        Slice(name="large", where="coalesce(sold_4w, 0) > 500",
              description="sells for more than 500 USD a week"),
    ),
    gates=(
        Gate(metric="r2", at_least=0.5),
        Gate(metric="squared_log_error", better_than_champion_by=0.0),
    ),
    retraining=RetrainingPolicy(
        after_labels=250, max_age=timedelta(days=14), cooldown=timedelta(days=6)),
    drift=DriftPolicy(window=timedelta(days=14)),
)
