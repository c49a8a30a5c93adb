"""From what `describe` prints to typed nodes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from .errors import FeastRepoError
from .nodes import (
    Aggregation,
    DataSource,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    Projection,
    SourceKind,
)

NOT_VALUES = {"description", "tags", "owner", "version", "org"}
"""What does not determine a node's values."""
SCALARS = {"DOUBLE": "Float64", "FLOAT": "Float32", "UNIX_TIMESTAMP": "UnixTimestamp"}
SOURCE_KINDS: dict[str, SourceKind] = {
    "PUSH_SOURCE": "push", "REQUEST_SOURCE": "request",
    "STREAM_KAFKA": "stream", "STREAM_KINESIS": "stream",
}
LOCATIONS = ("uri", "table", "query", "path", "topic", "stream_name", "collection")


def digest(content: object) -> str:
    """16 hexadecimal digits that every machine agrees on."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class Parser:
    """Types one description; every object is made once and referred to by the others."""

    described: Mapping[str, Any]
    sources: dict[str, DataSource] = field(default_factory=dict)
    entities: dict[str, Entity] = field(default_factory=dict)
    views: dict[str, FeatureView] = field(default_factory=dict)
    services: dict[str, FeatureService] = field(default_factory=dict)

    def parse(self) -> None:
        """Fill the tables, parents before children.

        Raises FeastRepoError where an object refers to one that Feast would not register.
        """
        specs = {spec["name"]: spec for spec in self.described["data_sources"]}
        for name in specs:
            self._source(name, specs)
        for spec in self.described["entities"]:
            self.entities[spec["name"]] = _entity(spec)
        specs = {spec["name"]: spec for spec in self.described["views"]}
        for name in specs:
            self._view(name, specs)
        for spec in self.described["feature_services"]:
            self.services[spec["name"]] = self._service(spec)

    def _source(self, name: str, specs: Mapping[str, Any]) -> DataSource:
        if name not in self.sources:
            spec = specs[name]
            batch = spec.get("batch_source")
            options = [value for key, value in spec.items() if key.endswith("_options")]
            schema = [each for option in options if isinstance(option, dict)
                      for each in option.get("schema", [])]
            self.sources[name] = DataSource(
                **self._common(spec),
                digest=_values(spec),
                kind=SOURCE_KINDS.get(spec.get("type", ""), "batch"),
                type=_type(spec),
                location=next((str(option[key]) for option in options for key in LOCATIONS
                               if isinstance(option, dict) and option.get(key)), ""),
                timestamp_field=spec.get("timestamp_field", ""),
                created_timestamp_column=spec.get("created_timestamp_column", ""),
                fields=_fields(schema) if spec.get("type") == "REQUEST_SOURCE" else (),
                batch_source=self._source(batch, specs) if batch else None,
            )
        return self.sources[name]

    def _view(self, name: str, specs: Mapping[str, Any]) -> FeatureView:
        if name in self.views:
            return self.views[name]
        spec = specs[name]
        owner = f"{spec['kind']} view {name!r}"
        entities = [self._registered(owner, "entity", each, self.entities)
                    for each in spec["entities"]]
        sources = [self._registered(owner, "data source", each, self.sources)
                   for each in spec["sources"]]
        for each in spec["views"]:
            self._registered(owner, "feature view", each, specs)
        views = [self._view(each, specs) for each in spec["views"]]
        keys, features = _fields(spec.get("entity_columns", [])), _fields(spec["features"])
        self.views[name] = FeatureView(
            **self._common(spec),
            digest=_values(spec | {
                "features": [(each.name, each.dtype) for each in features],
                "entity_columns": [(each.name, each.dtype) for each in keys],
                "above": [each.digest for each in (*sources, *views)],
                "entities": [(each.name, each.join_key, each.dtype) for each in entities],
            }),
            kind=spec["kind"],
            entities=tuple(entities),
            keys=keys,
            features=features,
            aggregations=tuple(map(_aggregation, spec["aggregations"])),
            ttl=_duration(spec.get("ttl")) or None,
            sources=tuple(sources),
            views=tuple(views),
            timestamp_field=spec.get("timestamp_field", ""),
            mode=spec.get("mode", ""),
            udf=spec["udf"],
            online=spec.get("online", False),
            offline=spec.get("offline", False),
            enabled=not spec.get("disabled", False),
            online_store=self.described["online_store"],
        )
        return self.views[name]

    def _service(self, spec: Mapping[str, Any]) -> FeatureService:
        owner = f"feature service {spec['name']!r}"
        projections = [
            Projection(
                view=self._registered(owner, "view", part["feature_view_name"], self.views),
                features=tuple(each["name"] for each in part.get("feature_columns", [])),
                alias=part.get("feature_view_name_alias", ""),
                join_key_map=part.get("join_key_map", {}),
            )
            for part in spec["features"]
        ]
        chosen = [(each.view.digest, each.features, each.alias, each.join_key_map)
                  for each in projections]
        return FeatureService(
            **self._common(spec), digest=digest([spec["name"], chosen]),
            projections=tuple(projections),
        )

    def _common(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "project": self.described["project"], "name": spec["name"],
            "description": spec.get("description", ""), "tags": spec.get("tags", {}),
            "owner": spec.get("owner", ""),
        }

    def _registered(self, owner: str, kind: str, name: str, known: Mapping[str, Any]) -> Any:
        if name in known:
            return known[name]
        skipped = [each for each in self.described["skipped"] if f"{name!r}" in each]
        why = f" Feast does not look into lists: {skipped[0]}." if skipped else ""
        raise FeastRepoError(
            f"{owner} reads the {kind} {name!r}, which Feast would not register.{why} Give it a "
            "name of its own in a module of the repository, or publish it there with "
            "globals().update(...)."
        )


def _values(spec: Mapping[str, Any]) -> str:
    return digest({name: value for name, value in spec.items() if name not in NOT_VALUES})


def _entity(spec: Mapping[str, Any]) -> Entity:
    return Entity(
        name=spec["name"], join_key=spec["join_key"],
        dtype=dtype(spec.get("value_type", "INVALID")), description=spec.get("description", ""),
        tags=spec.get("tags", {}), owner=spec.get("owner", ""),
    )


def _fields(specs: Iterable[Mapping[str, Any]]) -> tuple[Field, ...]:
    return tuple(
        Field(
            name=spec["name"], dtype=dtype(spec.get("value_type", "INVALID")),
            description=spec.get("description", ""), tags=spec.get("tags", {}),
        )
        for spec in specs
    )


def _aggregation(spec: Mapping[str, Any]) -> Aggregation:
    column = spec.get("column", "")
    return Aggregation(
        name=spec["name"], function=spec["function"], column="" if column == "*" else column,
        time_window=_duration(spec.get("time_window")),
        slide_interval=_duration(spec.get("slide_interval")),
    )


def _duration(said: str | None) -> timedelta | None:
    """From protobuf's JSON, such as `86400s` or `0.500s`."""
    return None if said is None else timedelta(seconds=float(said.removesuffix("s")))


def _type(spec: Mapping[str, Any]) -> str:
    """The technology of a source in one lower-case word."""
    kind, said = spec.get("type", ""), spec.get("data_source_class_type", "")
    if kind == "BATCH_FILE":
        return "delta" if "delta_format" in spec["file_options"].get("file_format", {}) \
            else "parquet"
    if kind in ("CUSTOM_SOURCE", ""):
        return str(said).rpartition(".")[2].removesuffix("Source").lower()
    return str(kind).removeprefix("BATCH_").removeprefix("STREAM_").removesuffix("_SOURCE").lower()


def dtype(value_type: str) -> str:
    """Feast's name of a type from its protobuf enumeration: DOUBLE_LIST is Array(Float64)."""
    for suffix, word in (("_LIST", "Array"), ("_SET", "Set")):
        if value_type.endswith(suffix):
            return f"{word}({dtype(value_type.removesuffix(suffix))})"
    if value_type == "INVALID":
        return "Unknown"
    return SCALARS.get(value_type) or value_type.title().replace("_", "")
