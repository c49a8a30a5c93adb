"""Words with which a system declares its features in Feast's own objects.

The platform gives every system the streams that it declares, and one of its labels as they become
known. A windowed aggregate of any of them is a native Feast `Aggregation` of a native
`StreamFeatureView`; `windowed_view` writes down the schema that follows from it. This module
imports Feast: it is for `systems/*/features.py` only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

from feast import (
    Entity,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    StreamFeatureView,
    ValueType,
)
from feast.aggregation import Aggregation
from feast.data_format import ParquetFormat
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.types import (
    Array,
    Bool,
    Float64,
    Int64,
    PrimitiveFeastType,
    String,
)

from ml_assets.core.data.columns import Dtype
from ml_assets.core.data.tables import Table
from ml_assets.core.declaration import closest, listed
from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.features.declared_views import PlainFeatureView, WindowedFeatureView
from ml_assets.features.derived.declared import Function
from ml_assets.features.derived.feast_view import KINDS, on_demand_view
from ml_assets.features.engine.windows import Aggregate, parse_view
from ml_assets.features.feast_stores.declared import windowed_view_of
from ml_assets.features.online_store.latest_scores import (
    CREATED,
    DECISIONS,
    TABLE,
    TIMESTAMP,
    columns_of,
    name_of,
)

TYPES = {"Bool": Bool, "Float64": Float64, "Int64": Int64, "String": String}


def event_stream(system: str, stream: str = "events") -> PushSource:
    """The events of `system`: the lake table `<system>/<stream>`, and each as it is accepted.

    stream: the name of a stream that only feeds features; of the one that predictions are made
        for unless it is given

    An event counts from its `event_timestamp` on, as soon as it is in the event log.
    """
    named = f"{system}_{'event' if stream == 'events' else stream}"
    return PushSource(
        name=f"{named}_stream",
        batch_source=FileSource(
            name=f"{system}_{stream}",
            path=f"{system}/{stream}",
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="accepted_at",
            description="Every usable event, by the day on which it was accepted.",
            tags={"system": system, "dagster/asset_key": f"{system}/{stream}"},
        ),
        tags={"system": system},
    )


def label_stream(system: str) -> PushSource:
    """The labels of `system`, each with its event's entity keys: the lake table `labels`.

    A label counts from its `known_at` on. A later word on the same event is a label of its own.
    """
    return PushSource(
        name=f"{system}_label_stream",
        batch_source=FileSource(
            name=f"{system}_labels",
            path=f"{system}/labels",
            file_format=ParquetFormat(),
            timestamp_field="known_at",
            description="Every label, by the day on which it became known.",
            tags={"system": system, "dagster/asset_key": f"{system}/labels"},
        ),
        tags={"system": system},
    )


def windowed_view(
    name: str,
    *,
    system: str,
    entities: Sequence[Entity],
    source: PushSource,
    aggregations: Sequence[Aggregation],
    description: str = "",
    tags: dict[str, str] | None = None,
) -> StreamFeatureView:
    """A `StreamFeatureView` called `<system>_<name>`, its schema derived from `aggregations`.

    Counts are Int64, sequences arrays, everything else Float64. Views of labels are refreshed
    once a slide, because labels reach the online store a day at a time; views of events with
    every event. `tags` may say otherwise, see `engine.windows.parse_view`.
    Raises DeclarationError, naming the view, the aggregation and what is wrong with it.
    """
    owner = source.tags.get("system", system)
    if owner != system:
        raise DeclarationError(
            f"feature view '{system}_{name}' counts a stream of {owner!r}; declare it in the "
            f"features.py of {owner!r}, with system={owner!r}, and import it from there")
    labels = source.name == f"{system}_label_stream"
    batch = source.batch_source
    assert batch is not None, f"push source {source.name} has no batch source"
    said = {"system": system}
    if labels:
        said |= {"refresh": "slide", "event_id": "label_id"}
    said |= tags or {}
    keys = [entity.join_key for entity in entities]
    windowed = parse_view(
        name=f"{system}_{name}", keys=keys, timestamp=batch.timestamp_field,
        created=batch.created_timestamp_column or "", aggregations=aggregations, tags=said,
    )
    with warnings.catch_warnings():
        # Feast calls them alpha; what we use of them is their declaration.
        warnings.simplefilter("ignore", RuntimeWarning)
        return WindowedFeatureView(
            name=windowed.name,
            entities=list(entities),
            source=source,
            timestamp_field=windowed.timestamp,
            # The window is the time to live.
            ttl=timedelta(0),
            schema=[
                *map(_key_field, entities),
                *map(_field, windowed.aggregates),
            ],
            aggregations=list(aggregations),
            description=description,
            tags=said,
        )


def scores_view(
    system: str, entity: Entity, *, decisions: Literal["bool", "string", "double"] = "bool"
) -> FeatureView:
    """The view `<system>_scores`: the latest score of each value of `entity`.

    For a system whose `scores_by` is the entity's join key. Its batches load the view, and each
    prediction refreshes it. A score holds until there is another one.

    decisions: what the system decides: true or false, one of some classes, a number
    Raises DeclarationError for another word.
    """
    if decisions not in DECISIONS:
        raise DeclarationError(f"scores_view({system!r}): decisions is {decisions!r}; expected "
                               f"{listed(DECISIONS)}.{closest(decisions, DECISIONS)}")
    return PlainFeatureView(
        name=name_of(system),
        entities=[entity],
        ttl=timedelta(0),
        schema=[
            _key_field(entity),
            *(Field(name=each.name, dtype=TYPES[each.type])
              for each in columns_of(DECISIONS[decisions])),
        ],
        source=FileSource(
            name=f"{system}_{TABLE}",
            path=f"{system}/{TABLE}",
            file_format=ParquetFormat(),
            timestamp_field=TIMESTAMP,
            created_timestamp_column=CREATED,
            description="The deployed model's score of every event, by the day of the event.",
            tags={"system": system, "dagster/asset_key": f"{system}/{TABLE}"},
        ),
        description=f"The latest score, of a batch or of a prediction: {entity.description}.",
        tags={"system": system},
    )


def table_view(
    system: str, table: Table, *, entities: Sequence[Entity], columns: Sequence[str] = (),
    description: str = "", tags: dict[str, str] | None = None,
) -> FeatureView:
    """The view `<system>_<table>_latest`: for each key of `table` its latest row.

    A row counts from its instant on, for the table's `ttl`, and not before it was known. Feast
    gives values as they are; in a model's vector texts and categories are codes
    (`core/codes.py`) and instants their age at the event, in seconds.

    entities: those that the table's keys name; columns: all but the keys unless some are given
    Raises DeclarationError for keys of other entities and for columns of lists, UnknownName for a
    column that it lacks.
    """
    keys = [entity.join_key for entity in entities]
    if sorted(keys) != sorted(table.keys):
        raise DeclarationError(
            f"table_view of {system}/{table.name}: entities have the join keys {keys}; expected "
            f"the table's keys, {list(table.keys)}")
    known = {column.name: column for column in table.columns if column.name not in table.keys}
    plain = [name for name, column in known.items() if not column.many]
    for name in columns or known:
        if name not in known:
            raise unknown(f"column of {system}/{table.name}", name, known)
        if known[name].many:
            raise DeclarationError(
                f"table_view of {system}/{table.name}: column {name!r} holds lists, which a view "
                f"of a table cannot give; name the columns that it shall have: columns={plain}")
    return PlainFeatureView(
        name=f"{system}_{table.name}_latest",
        entities=list(entities),
        ttl=table.ttl or timedelta(0),
        schema=[
            *map(_key_field, entities),
            *(Field(name=name, dtype=KINDS[known[name].dtype], description=known[name].description)
              for name in columns or known),
        ],
        source=FileSource(
            name=f"{system}_{table.name}",
            path=f"{system}/{table.name}",
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="known_at",
            description=f"{table.description}, by the day on which it became known.",
            tags={"system": system, "dagster/asset_key": f"{system}/{table.name}"},
        ),
        description=description or table.description,
        tags={"system": system, "ml_assets/table": table.name, **(tags or {})},
    )


def derived_view(
    name: str, *, system: str, function: Function, gives: Sequence[str],
    features: Sequence[FeatureView] = (), columns: Mapping[str, Dtype] | None = None,
    description: str = "",
) -> OnDemandFeatureView:
    """The view `<system>_<name>`: what `function` makes of an event and its other features.

    function: gets arrays of n rows by name and returns an array of n numbers for each of `gives`.
        Features, numbers, integers and booleans are float64 (NaN if missing), texts and categories
        str (None if missing), instants datetime64[us] in UTC. It is defined at the top of a module
        that imports no Feast: every process that serves imports it.
    features: views, or parts of them (`view[["spent_1d"]]`), that are in the service too; their
        names are those in a vector. Lists and instants cannot be read.
    columns: the event's columns, each with its type; `event_timestamp` is an instant

    A row's features may depend on the row alone; a training set is refused if they do not.
    Raises DeclarationError, naming the view and what is wrong.
    """
    return on_demand_view(name, system, function, features, columns or {}, gives, description)


def check(declared: Sequence[object]) -> None:
    """Raise DeclarationError or UnknownName where a windowed view among `declared` is wrong.

    For the door of the Feast command line: `feast apply` then fails before it writes, where our
    stores would fail only after Feast has written its registry.
    """
    for view in declared:
        if isinstance(view, StreamFeatureView):
            windowed_view_of(view)


def _key_field(entity: Entity) -> Field:
    return Field(name=entity.join_key,
                 dtype=Int64 if entity.value_type == ValueType.INT64 else String)


def _field(aggregate: Aggregate) -> Field:
    function = aggregate.function
    dtype: PrimitiveFeastType | Array = Int64 if function.whole else Float64
    if function.is_list:
        dtype = Array(dtype)
    return Field(name=aggregate.name, dtype=dtype)
