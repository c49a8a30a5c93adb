"""What is remembered of customers and terminals, in Feast's objects."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import event_stream, label_stream, windowed_view

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def of(
    function: str, column: str, window: timedelta, name: str, slide: timedelta = HOUR
) -> Aggregation:
    return Aggregation(function=function, column=column, time_window=window, slide_interval=slide,
                       name=name)


customer = Entity(name="cards_customer", join_keys=["customer"], value_type=ValueType.STRING,
                  description="who pays")
terminal = Entity(name="cards_terminal", join_keys=["terminal"], value_type=ValueType.STRING,
                  description="where it is paid")
spending = windowed_view(
    "spending", system="cards", entities=[customer], source=event_stream("cards"),
    aggregations=[
        of("count", "", DAY, "customer_payments_1d"),
        of("count", "", 30 * DAY, "customer_payments_30d"),
        of("mean", "amount", 30 * DAY, "customer_amount_30d"),
        of("std", "amount", 30 * DAY, "customer_amount_std_30d"),
    ],
)
takings = windowed_view(
    "takings", system="cards", entities=[terminal], source=event_stream("cards"),
    aggregations=[
        of("count", "", DAY, "terminal_payments_1d"),
        of("mean", "amount", 7 * DAY, "terminal_amount_7d"),
    ],
)
disputes = windowed_view(
    "disputes", system="cards", entities=[terminal], source=label_stream("cards"),
    aggregations=[
        # Labels of silence are loaded once a day.
        of("count", "label", 30 * DAY, "terminal_labelled_30d", slide=DAY),
        of("mean", "label", 30 * DAY, "terminal_disputed_30d", slide=DAY),
    ],
)
cards_memory = FeatureService(name="cards_memory", features=[spending, takings, disputes])
