"""Describes a feature repository as JSON: `python -m ml_assets.features.describe_repo`.

Runs in a process of its own, because importing Feast costs seconds; `manifest.py` keeps what
it prints. Timestamps and everything else that two machines would say differently is left out.
"""

from __future__ import annotations

import json
import sys
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

from feast import Entity, FeatureService, FeatureView
from feast.data_source import DataSource
from google.protobuf.json_format import MessageToDict

KINDS: dict[str, Any] = {
    "data_sources": DataSource,
    "entities": Entity,
    "feature_views": FeatureView,
    "feature_services": FeatureService,
}


def objects_of(repo: Path) -> dict[str, list[Any]]:
    """What `<repo>/definitions.py` publishes, by kind and in the order of names."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for value in vars(_definitions(repo)).values():
        for kind, type_ in KINDS.items():
            if isinstance(value, type_):
                found[kind][value.name] = value
    for view in found["feature_views"].values():
        found["data_sources"][view.batch_source.name] = view.batch_source
    return {kind: [by_name[name] for name in sorted(by_name)] for kind, by_name in found.items()}


def describe(repo: Path) -> dict[str, list[dict[str, Any]]]:
    """Feast's own description of each object (protobuf JSON), sources by name."""
    described: dict[str, list[dict[str, Any]]] = {}
    for kind, objects in objects_of(repo).items():
        described[kind] = []
        for item in objects:
            message = MessageToDict(item.to_proto(), preserving_proto_field_name=True)
            spec = message.get("spec", message)
            for holder in (spec, *spec.get("features", [])):
                for source in ("batch_source", "stream_source"):
                    if source in holder:
                        holder[source] = holder[source]["name"]
            spec.pop("meta", None)
            described[kind].append(spec)
    return described


def _definitions(repo: Path) -> ModuleType:
    spec = util.spec_from_file_location("feature_repo_definitions", repo / "definitions.py")
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe(Path(sys.argv[1])), indent=1, sort_keys=True))
