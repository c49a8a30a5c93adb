"""The columns of a view as Dagster shows them, and aggregates in words."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from .nodes import Aggregation, FeatureView

UNITS = (
    ("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)),
    ("second", timedelta(seconds=1)),
)


def duration(span: timedelta) -> str:
    """In the largest unit that divides it: `7 days`, `36 hours`, `0.5 seconds`."""
    for name, unit in UNITS:
        if span and not span % unit:
            count = span // unit
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{span / timedelta(seconds=1):g} seconds"


def aggregate(aggregation: Aggregation) -> str:
    """`sum of amount over 7 days, sliding by 1 day`."""
    what = f"`{aggregation.column}`" if aggregation.column else "rows"
    words = f"{aggregation.function} of {what}"
    window, slide = aggregation.time_window, aggregation.slide_interval
    if window is not None:
        words += f" over {duration(window)}"
        if slide is not None and slide != window:
            words += f", sliding by {duration(slide)}"
    return words


def feature_words(view: FeatureView) -> dict[str, str]:
    """What is known of each feature: its description, and how it is computed."""
    computed = {each.name: aggregate(each) for each in view.aggregations}
    words = {}
    for feature in view.features:
        said = (feature.description, computed.get(feature.name, ""))
        words[feature.name] = "; ".join(each for each in said if each)
    return words


def column_schema(view: FeatureView) -> dg.TableSchema:
    """Keys first, then the features in the order declared."""
    about = {each.join_key: each for each in view.entities}
    words = feature_words(view)
    keys = [
        dg.TableColumn(
            name=key.name,
            type=key.dtype,
            description=key.description
            or (about[key.name].description if key.name in about else "")
            or "join key",
            tags={"feast/join_key": ""},
        )
        for key in view.keys
    ]
    return dg.TableSchema(columns=keys + [
        dg.TableColumn(name=each.name, type=each.dtype, description=words[each.name] or None)
        for each in view.features
    ])


def columns_in_words(view: FeatureView) -> str:
    """A Markdown list with a line for each feature; "" where Feast has yet to infer them."""
    words = feature_words(view)
    return "\n".join(
        f"- `{each.name}` ({each.dtype})" + (f": {words[each.name]}" if words[each.name] else "")
        for each in view.features
    )
