"""Words with which a system declares its history features in Feast's own objects.

Feast knows no windowed aggregate that it computes itself, so each aggregate is declared as
tags of its native `Field`. Whatever computes it reads the tags back from the manifest
(`ml_assets.features.manifest`); nothing is declared twice. This module imports Feast: it is
for `systems/*/features.py` only.
"""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource
from feast.data_format import ParquetFormat
from feast.types import Float32, String

from ml_assets.core.policies import require


def events(name: str, *, days: int) -> Field:
    """How many events the entity had in the last `days` days."""
    return _field(name, f"events in {days} days", days, aggregate="count", over="events")


def labelled(name: str, *, days: int) -> Field:
    """How many of the entity's events got their label in the last `days` days."""
    return _field(name, f"labelled events in {days} days", days, aggregate="count", over="labels")


def positives(name: str, *, days: int) -> Field:
    """How many of these labels are True."""
    return _field(name, f"positive labels in {days} days", days, aggregate="positives",
                  over="labels")


def positive_rate(name: str, *, days: int, prior: float, weight: float) -> Field:
    """The share of these labels that is True, smoothed towards `prior`.

    `(positives + prior * weight) / (labelled + weight)`: an entity starts at `prior`, and
    `weight` labels of its own count as much as it (the mean of a beta posterior).
    """
    require(0 < prior < 1, name, "prior", prior, "a share in (0, 1)")
    require(weight > 0, name, "weight", weight, "a positive number of labels")
    return _field(name, f"share of positive labels in {days} days, smoothed", days,
                  aggregate="rate", over="labels", prior=str(prior), weight=str(weight))


def history_view(
    entity: Entity, *, system: str, features: list[Field], description: str = ""
) -> FeatureView:
    """The feature view over the lake table `<system>/<entity>_history`.

    `entity` is named `<system>_<name>` and joins on the event column `<name>`. The path is
    relative to the lake, which the offline store knows. A time to live of zero means none:
    the table has a row whenever a value changes, also when a window empties.
    """
    key = entity.join_key
    require(entity.name == f"{system}_{key}", f"Entity {entity.name!r}", "name", entity.name,
            f"'{system}_{key}': all systems share Feast's names")
    for field in features:
        require(field.name.startswith(f"{key}_") and not field.name.endswith("_y"),
                f"Field {field.name!r}", "name", field.name,
                f"a name that starts with '{key}_' and, Feast's joins being what they are, "
                "does not end in '_y'")
    table = f"{key}_history"
    tags = {"system": system, "table": table}
    return FeatureView(
        name=f"{system}_{table}",
        entities=[entity],
        ttl=timedelta(0),
        schema=[Field(name=key, dtype=String), *features],
        source=FileSource(
            name=f"{system}_{table}",
            path=f"{system}/{table}",
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            description=f"One row for each {key} whose values changed on a day, at its end.",
            tags=tags,
        ),
        description=description,
        tags=tags,
    )


def _field(name: str, description: str, days: int, **tags: str) -> Field:
    require(days >= 1, name, "days", days, "at least 1")
    return Field(name=name, dtype=Float32, description=description,
                 tags={**tags, "window_days": str(days)})
