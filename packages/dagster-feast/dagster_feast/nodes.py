"""What a Feast repository declares, as values: sources, entities, views, services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

ViewKind = Literal["plain", "batch", "stream", "on_demand", "label"]
SourceKind = Literal["batch", "push", "stream", "request"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """A column. dtype is Feast's name of its type, such as `Int64` or `Array(Float64)`."""

    name: str
    dtype: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Aggregation:
    """A feature that summarises rows. column: empty where rows themselves are counted.

    name: the feature that holds it; time_window: None where it has no bound.
    """

    name: str
    function: str
    column: str
    time_window: timedelta | None
    slide_interval: timedelta | None

    def resolved_name(self, time_window: timedelta | None = None) -> str:
        """As Feast's `Aggregation` has it, so that either serves; the window is in the name."""
        return self.name


@dataclass(frozen=True, kw_only=True)
class Entity:
    """What features are about, known by its join key."""

    name: str
    join_key: str
    dtype: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class Node:
    """What may be an asset.

    digest: changes when what determines its values does, and not with a description, tag or
    owner. Paths inside the repository are said from its root, so machines agree on it.
    """

    project: str
    name: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    digest: str = ""

    @property
    def parents(self) -> tuple[Node, ...]:
        """The nodes that it reads directly."""
        return ()


@dataclass(frozen=True, kw_only=True)
class DataSource(Node):
    """A table, a stream, a door by which rows are pushed, or what comes with a request.

    type: `parquet`, `bigquery`, `kafka`, `push` ...; location: its path, table, query or topic
    fields: the columns of a request, else empty
    batch_source: the table of a stream's past; a push source is a door into it
    """

    kind: SourceKind
    type: str
    location: str = ""
    timestamp_field: str = ""
    created_timestamp_column: str = ""
    fields: tuple[Field, ...] = ()
    batch_source: DataSource | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureView(Node):
    """A feature view of any kind.

    keys: the columns of `entities`; features: the other columns, in the order declared, empty
    where Feast infers them when the repository is applied
    ttl: None where values never expire
    sources, views: what it reads; request sources are among the sources
    udf: the code of its function, or ""; mode: how Feast calls it
    online: it is kept in the online store, whose type is `online_store`
    """

    kind: ViewKind
    entities: tuple[Entity, ...] = ()
    keys: tuple[Field, ...] = ()
    features: tuple[Field, ...] = ()
    aggregations: tuple[Aggregation, ...] = ()
    ttl: timedelta | None = None
    sources: tuple[DataSource, ...] = ()
    views: tuple[FeatureView, ...] = ()
    timestamp_field: str = ""
    mode: str = ""
    udf: str = ""
    online: bool = True
    offline: bool = False
    enabled: bool = True
    online_store: str = ""

    @property
    def join_keys(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)

    @property
    def loadable(self) -> bool:
        """Whether Feast can load it (into the online store). Labels come by push alone."""
        return self.enabled and self.kind != "label" and (self.online or self.offline)

    @property
    def parents(self) -> tuple[Node, ...]:
        return (*(each for each in self.sources if each.kind != "request"), *self.views)


@dataclass(frozen=True, kw_only=True)
class Projection:
    """The part of a view that a service serves.

    alias: the name under which it does, or ""; join_key_map: from the view's keys to the reader's
    """

    view: FeatureView
    features: tuple[str, ...]
    alias: str = ""
    join_key_map: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FeatureService(Node):
    """The features that a model reads, in their order."""

    projections: tuple[Projection, ...] = ()

    @property
    def views(self) -> tuple[FeatureView, ...]:
        return tuple({each.view.name: each.view for each in self.projections}.values())

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(name for each in self.projections for name in each.features)

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The columns that a reader must supply, beside those of a request."""
        names: dict[str, None] = {}
        for each in self.projections:
            views = (each.view, *each.view.views)
            names |= {each.join_key_map.get(key, key): None
                      for view in views for key in view.join_keys}
        return tuple(names)

    @property
    def parents(self) -> tuple[Node, ...]:
        return self.views
