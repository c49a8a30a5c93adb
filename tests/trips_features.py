"""What is remembered of drivers and zones, in Feast's objects: for tests with the real stores."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import event_stream, scores_view, windowed_view

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

driver = Entity(name="trip_driver", join_keys=["driver"], value_type=ValueType.STRING,
                description="who drives")
zone = Entity(name="trip_zone", join_keys=["zone"], value_type=ValueType.STRING,
              description="where trips begin")
by_driver = windowed_view(
    "driver_trips", system="trips", entities=[driver], source=event_stream("trips"),
    aggregations=[
        Aggregation(function="count", time_window=DAY, slide_interval=HOUR, name="trips_1d"),
        Aggregation(function="mean", column="km", time_window=7 * DAY, slide_interval=HOUR,
                    name="km_7d"),
    ],
)
in_zone = windowed_view(
    "zone_trips", system="trips", entities=[zone], source=event_stream("trips"),
    aggregations=[Aggregation(function="count", time_window=DAY / 24, slide_interval=HOUR / 12,
                              name="zone_trips_1h")],
)
latest = scores_view("trips", zone, decisions="double")
trip_state = FeatureService(name="trip_state", features=[by_driver, in_zone])
