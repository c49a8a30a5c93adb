"""A grocer's shop: which groceries will this household buy next?

Every night each household gets a list for tomorrow; when it shops, the page is ranked anew with
what is in the basket by then. The data are receipts of the year 2017: docs/shop.md.
"""

from datetime import date, timedelta

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.data.tables import Table
from ml_assets.core.model import Minibatch, Model, Tabular
from ml_assets.core.policies import RetrainingPolicy, Slice
from ml_assets.core.slates import Nightly, Own, Popular
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.truths import Choices
from ml_assets.ingest.sources import EventRows, Slates
from ml_assets.systems.shop.source import products, promoted, purchases, visits
from ml_assets.targets import Ranking

SHARE = 10
"""Every tenth household: those whose number it divides."""
ASKED_SINCE = date(2017, 8, 28)
"""Of pages of before it is only known what was bought."""

HOUSEHOLD = Column(name="household", dtype="text", max_length=40, description="who shops")
GROCERY = Column(name="grocery", dtype="category", max_length=60,
                 description="a kind of article: BANANAS")
COMMODITY = Column(name="commodity", dtype="category", max_length=60,
                   description="a kind of grocery: TROPICAL FRUIT")


def amount(name: str, description: str, unit: str = "USD", optional: bool = True) -> Column:
    return Column(name=name, dtype="number", minimum=0, unit=unit, description=description,
                  optional=optional)


def visit_rows(share: int) -> Slates:
    """Recorded pages of every `share`-th household: what was bought then, and others."""
    return Slates(
        requests=EventRows(
            rows=visits(share), timestamp="looked_at", key="visit", label="bought",
            known_at="sold_at",
            columns=(HOUSEHOLD, Column(name="taken", dtype="category", many=True, optional=True,
                                       description="what was put into the basket then"))),
        item="grocery", taken="taken", others=20, drawn="evenly", recent=600,
        own=150, user="household", since=ASKED_SINCE)


def purchase_rows(share: int) -> EventRows:
    """What every `share`-th household bought."""
    return EventRows(rows=purchases(share), columns=PURCHASES, timestamp="put_at", key="put")


PURCHASES = (
    HOUSEHOLD, GROCERY, COMMODITY,
    amount("quantity", "pieces, or pounds", unit="", optional=False),
    amount("paid", "what the shop received"), amount("discount", "taken off the shelf price"),
)
PRODUCTS = Table(
    name="products", description="where a grocery stands in the shop", rows=products(),
    keys=("grocery",), timestamp="since",
    columns=(GROCERY, COMMODITY,
             Column(name="department", dtype="category", description="PRODUCE"),
             Column(name="own_brand", dtype="number", minimum=0, maximum=1,
                    description="share of its articles that are of the shop's own brand")),
)
PROMOTIONS = Table(
    name="promotions", description="where a grocery is displayed and advertised this week",
    rows=promoted(), keys=("grocery",), timestamp="week_begins", ttl=timedelta(days=7),
    columns=(GROCERY,
             Column(name="displayed", dtype="number", minimum=0,
                    description="share of the stores that display it apart from its shelf"),
             Column(name="mailed", dtype="number", minimum=0,
                    description="share of the stores whose mailer shows it")),
)

SHOP = System(
    name="shop",
    description="Which groceries will this household buy next?",
    owners=("team:shop",),
    calendar=Calendar(first_day=date(2017, 6, 1), go_live=date(2017, 10, 2),
                      last_day=date(2017, 12, 31), stretch=14),
    streams=(
        Stream(name="visits", asked=True, description="pages that a household looks at",
               source=visit_rows(SHARE), columns=(HOUSEHOLD, GROCERY)),
        Stream(name="purchases", description="each grocery that is put into a basket",
               source=purchase_rows(SHARE), columns=PURCHASES),
    ),
    tables=(PRODUCTS, PROMOTIONS),
    entities=(Entity(name="household", description="who shops"),
              Entity(name="grocery", description="a kind of article")),
    sticky_by="household",
    feature_service="shop_order",
    target=Ranking(
        name="bought", item="grocery", user="household", page=10, explore=0.02,
        candidates=Nightly(top=150, pool=100, active=timedelta(days=28), own=Own(
            stream="purchases", half_life=timedelta(days=60), top=100)),
        newcomers=Popular(stream="purchases", half_life=timedelta(days=7), top=100)),
    truth=Choices(source="till", within=timedelta(hours=2), rest=False),
    # Ids of groceries, learnt of so few rows, made every list of a validation month worse.
    model=Model(
        network=Tabular(hidden=32, blocks=0, pieces=8),
        fit=Minibatch(batch=512, epochs=10, patience=3, rate=2e-3),
        holdout=timedelta(days=3), history=timedelta(days=56),
    ),
    slices=(
        Slice(name="empty_basket", where="coalesce(in_basket, 0) = 0",
              description="before anything is in the basket"),
        Slice(name="bought_before", where="coalesce(theirs_112d, 0) > 0",
              description="what the household has bought within 16 weeks"),
    ),
    retraining=RetrainingPolicy(
        after_labels=4_000, max_age=timedelta(days=14), cooldown=timedelta(days=2)),
)
