"""What the toy remembers of shops, in Feast's objects: for tests with the real stores."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import (
    event_stream,
    label_stream,
    scores_view,
    table_view,
    windowed_view,
)
from tests.toy import SHOPS

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def of(
    function: str, column: str, window: timedelta, name: str, slide: timedelta = HOUR
) -> Aggregation:
    return Aggregation(function=function, column=column, time_window=window, slide_interval=slide,
                       name=name)


shop = Entity(name="toy_shop", join_keys=["shop"], value_type=ValueType.STRING,
              description="a shop")
purchases = windowed_view(
    "shop_purchases", system="toy", entities=[shop], source=event_stream("toy"),
    aggregations=[
        Aggregation(function="count", time_window=DAY, slide_interval=HOUR, name="purchases_1d"),
        of("sum", "amount", 30 * DAY, "spent_30d"),
        of("mean", "amount", DAY, "mean_1d"),
        of("min", "amount", 30 * DAY, "least_30d"),
        of("last_n(3)", "amount", 30 * DAY, "latest"),
        of("approx_count_distinct", "note", 30 * DAY, "notes_30d"),
    ],
)
returns = windowed_view(
    "shop_returns", system="toy", entities=[shop], source=label_stream("toy"),
    aggregations=[
        # Labels of silence are loaded once a day.
        of("count", "", 30 * DAY, "labelled_30d", slide=DAY),
        of("smoothed_mean(0.3, 2)", "label", 30 * DAY, "return_rate_30d", slide=DAY),
    ],
)
visits = windowed_view(
    "shop_visits", system="toy", entities=[shop], source=event_stream("toy", "visits"),
    aggregations=[
        of("count", "", DAY, "visits_1d"), of("sum", "seconds", DAY, "seconds_1d"),
        of("approx_count_distinct", "page", 2 * DAY, "pages_2d"),
    ],
)
shops = table_view("toy", SHOPS, entities=[shop])
scores = scores_view("toy", shop)
toy_returns = FeatureService(name="toy_returns", features=[
    purchases, returns, visits, shops[["size", "staff"]]])
