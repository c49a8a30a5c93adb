"""What the online store says to Feast: values of a row, and whether a row has expired."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from feast import utils
from feast.feature_view import FeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.Value_pb2 import Value

from ml_assets.features.feast_stores.protos import instant_of, values_of_payload
from ml_assets.features.online_store.versions import PlainView, versions_of

Answer = tuple[datetime | None, dict[str, Value] | None]
"""An instant and the features; without features it has expired, without both it is unknown."""


def plain_answer(
    view: PlainView, blob: bytes | None, now: int, wanted: frozenset[str]
) -> Answer:
    """The wanted features of the latest version at or before `now`."""
    for at, _, payload in versions_of(blob or b""):
        if at <= now:
            if view.ttl and now > at + view.ttl:
                return instant_of(at), None
            return instant_of(at), values_of_payload(view, payload, wanted)
    return None, None


def fill_in(
    response: Any, table: FeatureView, names: list[str], rows: list[Answer],
    places: Iterable[list[int]], size: int, full_feature_names: bool, versions: bool,
) -> None:
    """Add the view's features to Feast's response; a row with an instant only has expired.

    places: for each row those of the request's rows that it answers; size: of the request
    """
    places, first = list(places), len(response.results)
    utils._populate_response_from_feature_data(
        names, rows, places, response, full_feature_names, table, size, versions
    )
    expired = [
        place for (at, values), mine in zip(rows, places, strict=True)
        if at is not None and values is None for place in mine
    ]
    for result in response.results[first:]:
        for place in expired:
            result.statuses[place] = FieldStatus.OUTSIDE_MAX_AGE
