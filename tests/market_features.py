"""What the market remembers of stalls and fruit, in Feast's objects."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import (
    derived_view,
    event_stream,
    label_stream,
    table_view,
    windowed_view,
)
from tests.market import STALLS
from tests.market_functions import haggled

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def of(function: str, column: str, window: timedelta, name: str) -> Aggregation:
    return Aggregation(function=function, column=column, time_window=window, slide_interval=HOUR,
                       name=name)


stall = Entity(name="market_stall", join_keys=["stall"], value_type=ValueType.STRING,
               description="a stall")
fruit = Entity(name="market_fruit", join_keys=["fruit"], value_type=ValueType.INT64,
               description="a fruit")
baskets = windowed_view(
    "stall_baskets", system="market", entities=[stall], source=event_stream("market"),
    aggregations=[
        of("mean", "price", DAY, "price_1d"), of("last_n(3)", "fruit", 2 * DAY, "bought"),
        of("most_frequent", "pays", 2 * DAY, "pays_2d"),
        of("most_frequent", "price", 2 * DAY, "usual_price"),
    ],
)
looks = windowed_view(
    "stall_looks", system="market", entities=[stall], source=event_stream("market", "looks"),
    aggregations=[
        of("count", "", DAY, "looks_1d"), of("last_n(2)", "said", 2 * DAY, "said"),
        of("most_frequent", "mood", 12 * HOUR, "mood_12h"),
        of("most_frequent", "mood", 4 * DAY, "mood_4d"),
    ],
)
tastes = windowed_view(
    "fruit_tastes", system="market", entities=[fruit], source=label_stream("market"),
    aggregations=[of("mean", "label", 4 * DAY, "sweet_4d")],
)
moods = windowed_view(
    "stall_moods", system="market", entities=[stall], source=event_stream("market", "looks"),
    aggregations=[of("approx_count_distinct", "mood", DAY, "moods_1d")],
)
"""For others: the market's own services do without."""
tasted = windowed_view(
    "stall_tastes", system="market", entities=[stall], source=label_stream("market"),
    aggregations=[of("mean", "label", 4 * DAY, "tasted_4d")],
)
stalls = table_view("market", STALLS, entities=[stall])
haggling = derived_view(
    "haggling", system="market", function=haggled, gives=["dearer", "cash_late"],
    features=[baskets[["price_1d"]]],
    columns={"price": "number", "pays": "category", "event_timestamp": "instant"},
)
market_state = FeatureService(
    name="market_state", features=[baskets, looks, tastes, stalls, haggling])
market_numbers = FeatureService(
    name="market_numbers", features=[
        baskets[["price_1d", "usual_price"]], looks[["looks_1d"]], tastes,
        stalls[["roof", "width", "built"]], haggling])
