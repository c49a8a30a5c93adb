"""What is remembered of households, groceries and both, as Feast objects."""

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import derived_view, event_stream, table_view, windowed_view
from ml_assets.systems.shop import PRODUCTS, PROMOTIONS
from ml_assets.systems.shop.compared import WINDOWS, compared

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
WHILE_SHOPPING = 60 * MINUTE


def of(
    function: str, days: int, name: str, column: str = "", slide: timedelta = DAY
) -> Aggregation:
    return Aggregation(function=function, column=column, time_window=days * DAY,
                       slide_interval=slide, name=name)


def now(function: str, name: str) -> Aggregation:
    """Of the hour in which a basket fills."""
    return Aggregation(function=function, time_window=WHILE_SHOPPING,
                       slide_interval=5 * MINUTE, name=name)


household = Entity(name="shop_household", join_keys=["household"], value_type=ValueType.STRING,
                   description="who shops")
grocery = Entity(name="shop_grocery", join_keys=["grocery"], value_type=ValueType.STRING,
                 description="a kind of article")
commodity = Entity(name="shop_commodity", join_keys=["commodity"], value_type=ValueType.STRING,
                   description="a kind of grocery")
bought = event_stream("shop", "purchases")

by_household = windowed_view(
    "by_household", system="shop", entities=[household], source=bought,
    aggregations=[now("count", "in_basket"),
                  of("count", 28, "all_theirs_28d"), of("count", 112, "all_theirs_112d")],
    description="How much a household buys, and how much is in its basket.",
)
by_grocery = windowed_view(
    "by_grocery", system="shop", entities=[grocery], source=bought,
    aggregations=[of("count", 7, "sold_7d"), of("count", 28, "sold_28d"),
                  of("count", 112, "sold_112d"),
                  of("mean", 7, "paid_7d", "paid"), of("mean", 112, "paid_112d", "paid"),
                  of("mean", 7, "discount_7d", "discount"),
                  of("mean", 112, "discount_112d", "discount")],
    description="How well it sells, and for how much.",
)
together = windowed_view(
    "together", system="shop", entities=[household, grocery], source=bought,
    aggregations=[now("count", "in_basket_already"),
                  *(of("count", days, f"theirs_{days}d") for days in WINDOWS),
                  of("time_since_last", WINDOWS[-1], "since_theirs"),
                  of("time_since_first", WINDOWS[-1], "since_their_first")],
    description="How often, and how lately, a household bought it.",
)
by_commodity = windowed_view(
    "by_commodity", system="shop", entities=[commodity], source=bought,
    aggregations=[*(of("count", days, f"commodity_sold_{days}d") for days in (7, 28)),
                  *(of("sum", days, f"commodity_paid_{days}d", "paid") for days in (7, 28))],
    description="How well a commodity sells: for systems that ask about commodities.",
)
shelf = table_view("shop", PRODUCTS, entities=[grocery], columns=("own_brand",))
promotions = table_view("shop", PROMOTIONS, entities=[grocery])
comparisons = derived_view(
    "comparisons", system="shop", function=compared,
    gives=["decayed", "their_share_28d", "their_share_112d", "overdue", "price_now", "discount_now",
           "share_of_sales", "weekday", "hour"],
    features=[by_household[["all_theirs_28d", "all_theirs_112d"]],
              by_grocery[["sold_7d", "sold_112d", "paid_7d", "paid_112d", "discount_7d",
                          "discount_112d"]],
              together[[*(f"theirs_{days}d" for days in WINDOWS), "since_theirs",
                         "since_their_first"]]],
    columns={"event_timestamp": "instant"},
)
shop_order = FeatureService(
    name="shop_order",
    features=[by_household, by_grocery, together, shelf, promotions, comparisons])
