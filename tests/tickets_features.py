"""What a help desk remembers of customers, in Feast's objects: for tests with the real stores."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import event_stream, windowed_view

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

customer = Entity(name="ticket_customer", join_keys=["customer"], value_type=ValueType.STRING,
                  description="a customer")
tickets = windowed_view(
    "customer_tickets", system="tickets", entities=[customer], source=event_stream("tickets"),
    aggregations=[
        Aggregation(function="count", time_window=7 * DAY, slide_interval=HOUR, name="tickets_7d"),
        Aggregation(function="mean", column="waited", time_window=7 * DAY, slide_interval=HOUR,
                    name="waited_7d"),
    ],
)
ticket_desk = FeatureService(name="ticket_desk", features=[tickets])
