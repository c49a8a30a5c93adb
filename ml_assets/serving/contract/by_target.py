"""What travels of labels, decisions and scores: each system's own, as its target has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, cast

import msgspec

from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.serving.contract.protocol import FeedbackRequest, PredictAnswer

REFERENCE = "#/components/schemas/{name}"
NULL = {"type": "null"}


@lru_cache
def answer_struct(target: Target) -> type[PredictAnswer]:
    """`PredictAnswer` with the properties that the target's `answer` adds."""
    names = list(target.answer_schema)
    if not names:
        return PredictAnswer
    return cast(type[PredictAnswer], msgspec.defstruct(
        PredictAnswer.__name__, [(name, Any) for name in names], bases=(PredictAnswer,),
        frozen=True, kw_only=True,
    ))


def own_name(owner: str, name: str) -> str:
    """What the schema `name` is called that belongs to a system, or to a stream of it."""
    return f"{owner.title().replace('_', '')}{name}"


def own_schemas(system: System, shared: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas that hold a label, a decision or a score of this system, by their shared names.

    shared: by name, the schemas of structs, whatever the system
    """
    values = {
        "label": system.target.schema, "decision": system.target.schema,
        "score": system.target.score_schema, "answer": _object(system.target.answer_schema),
        **({} if system.target.slates is None else {"item": item_schema(system)}),
    }
    names = {name for name, schema in shared.items() if values.keys() & _properties(schema)}
    while more := {name for name, schema in shared.items() if names & set(_references(schema))
                   } - names:
        names |= more
    owned = {}
    for name in names:
        schema = _renamed(deepcopy(shared[name]), system.name, names)
        properties = schema["properties"]
        properties |= {each: _typed(properties[each], value) for each, value in values.items()
                       if each in properties}
        owned[name] = {**schema, "title": own_name(system.name, name)}
    if system.target.slates is None:
        owned[FeedbackRequest.__name__]["properties"].pop("item")
    answer = owned[PredictAnswer.__name__]
    answer["properties"] |= system.target.answer_schema
    answer["required"] = [*answer["required"], *system.target.answer_schema]
    return owned


def item_schema(system: System) -> dict[str, Any]:
    """The JSON schema of an item that a slate shows."""
    policy = system.target.slates
    assert policy is not None
    [column] = [each for each in system.columns if each.name == policy.item]
    return {"type": "integer" if column.dtype == "integer" else "string"}


def reachable(names: Iterable[str], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `schemas` with these names, and all that they refer to."""
    found: dict[str, Any] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = schemas[name]
            waiting += _references(schemas[name])
    return found


def _typed(before: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a value in the place of one that could be of any target."""
    said = [text for text in (before.get("description"), value.get("description")) if text]
    described = {"description": " ".join(f"{text[0].upper()}{text[1:].rstrip('.')}."
                                         for text in said)} if said else {}
    if NULL in before.get("anyOf", ()):
        return {"anyOf": [dict(value), NULL], **described}
    return {**value, **described}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties),
            "additionalProperties": False}


def _properties(schema: Mapping[str, Any]) -> set[str]:
    return set(schema.get("properties", ()))


def _references(node: Any) -> Iterator[str]:
    """The names of the schemas that `node` refers to."""
    if isinstance(node, Mapping):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def _renamed(node: Any, owner: str, names: set[str]) -> Any:
    """`node` with references to `names` led to the owner's."""
    if isinstance(node, dict):
        name = node.get("$ref", "").rpartition("/")[2]
        if name in names:
            return {"$ref": REFERENCE.format(name=own_name(owner, name))}
        return {key: _renamed(child, owner, names) for key, child in node.items()}
    if isinstance(node, list):
        return [_renamed(child, owner, names) for child in node]
    return node
