"""What is remembered of meters, in Feast's objects: for tests with the real stores."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import event_stream, label_stream, windowed_view

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def of(function: str, column: str, window: timedelta, name: str) -> Aggregation:
    return Aggregation(function=function, column=column, time_window=window, slide_interval=HOUR,
                       name=name)


site = Entity(name="meter_site", join_keys=["site"], value_type=ValueType.STRING,
              description="a site")
device = Entity(name="meter_device", join_keys=["device"], value_type=ValueType.INT64,
                description="a meter")
readings = windowed_view(
    "readings", system="meter", entities=[site, device], source=event_stream("meter"),
    aggregations=[
        of("std", "celsius", DAY, "celsius_std_1d"), of("max", "reading", 7 * DAY, "most_7d"),
        of("last", "reading", 7 * DAY, "last_7d"), of("time_since_last", "", DAY, "idle_1d"),
        of("count", "celsius", DAY, "warmths_1d"),
        of("approx_count_distinct", "state", DAY, "states_1d"),
    ],
)
at_site = windowed_view(
    "at_site", system="meter", entities=[site], source=event_stream("meter"),
    aggregations=[of("approx_count_distinct", "device", 2 * DAY, "devices_2d"),
                  of("count", "", 2 * DAY, "readings_2d")],
)
breakages = windowed_view(
    "breakages", system="meter", entities=[device], source=label_stream("meter"),
    aggregations=[of("sum", "label", 30 * DAY, "broken_30d")],
)
meter_state = FeatureService(name="meter_state", features=[readings, at_site, breakages])
