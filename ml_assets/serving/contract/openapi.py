"""The API described: OpenAPI 3.1 and the index, derived from the structs and the systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ml_assets import __version__
from ml_assets.core.data.streams import Stream
from ml_assets.core.slates import LARGEST_LIST
from ml_assets.core.system import System
from ml_assets.serving.contract import health, protocol
from ml_assets.serving.contract.by_target import (
    NULL,
    REFERENCE,
    item_schema,
    own_name,
    own_schemas,
    reachable,
)
from ml_assets.serving.contract.calls import (
    COMMON_CALLS,
    PARAMETERS,
    PROBLEMS,
    Call,
    calls_of,
)
from ml_assets.serving.contract.decoding import MAX_BATCH

ANY_EVENT: Mapping[str, object] = {"type": "object", "description": "The system's own fields."}


OWN = {"PredictRequest": "PredictBatchRequest", "PredictBatchRequest": "", "PostedRanking": "",
       "PostedEvent": "PostedBatchRequest", "PostedBatchRequest": ""}
"""Structs of requests with events, of which each stream has its own, with their batches."""


def openapi(systems: Sequence[System]) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    calls = [call for system in systems for call in calls_of(system)]
    structs = {struct for call in (*calls, *COMMON_CALLS) for struct in call.structs}
    structs |= {protocol.ProblemAnswer}
    ordered = sorted(structs, key=lambda struct: struct.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=REFERENCE)
    for batch, field, *kinds in (
        ("PredictBatchAnswer", "predictions", "PredictAnswer", "ProblemAnswer"),
        ("FeedbackBatchRequest", "feedback", "FeedbackRequest"),
        ("FeedbackBatchAnswer", "feedback", "FeedbackAnswer", "ProblemAnswer"),
        ("EventBatchAnswer", "events", "EventAnswer", "ProblemAnswer"),
    ):
        if batch in components:
            components[batch]["properties"][field]["items"] = {"anyOf": [*map(_reference, kinds)]}
    shared, owned = dict(components), set(OWN)
    paths: dict[str, dict[str, Any]] = {}
    for system in systems:
        own = own_schemas(system, reachable(
            {struct.__name__ for call in calls_of(system) for struct in call.structs}, shared))
        owned |= own.keys()
        components |= {own_name(system.name, name): schema for name, schema in own.items()}
        for call in calls_of(system):
            components |= _event_schemas(system, call, shared)
            path = f"/v1/{system.name}/{call.path}"
            paths.setdefault(path, {})[call.method] = _operation(call, system, own)
    for call in COMMON_CALLS:
        paths[call.path] = {call.method: _operation(call, None, {})}
    for name in owned:  # each system has its own
        components.pop(name, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ml-assets",
            "version": __version__,
            "description": "Predictions, each logged before it is answered; feedback on them; "
            "and which model answers. Every error is JSON: `{\"error\": {code, message, field}}`.",
        },
        "tags": [
            *({"name": system.name, "description": system.description} for system in systems),
            {"name": "server", "description": "The process itself."},
        ],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer",
                "description": "Made by `ml-assets token create`. Needed once there is a token, "
                "and wherever the API listens beyond loopback.",
            }},
        },
    }


def index(systems: Sequence[System]) -> dict[str, Any]:
    """What `GET /` says: every call, by system."""
    return {
        "name": "ml-assets",
        "version": __version__,
        "docs": "/docs",
        "openapi": "/openapi.json",
        "metrics": "/metrics",
        **{call.name: call.path for call in COMMON_CALLS},
        "systems": [
            {
                "name": system.name,
                "description": system.description,
                "calls": {
                    call.name: f"{call.method.upper()} /v1/{system.name}/{call.path}"
                    for call in calls_of(system)
                },
            }
            for system in systems
        ],
    }


def _event_schemas(system: System, call: Call, shared: Mapping[str, Any]) -> dict[str, Any]:
    """The event that a call takes, and the requests that hold one; nothing of other calls.

    A source may have an attribute `request_schema`, the JSON Schema of its requests, with
    `examples`.
    """
    one = "" if call.request is None else call.request.__name__
    if call.request is protocol.PostedRanking:
        return _ranking_schemas(system, shared)
    many = OWN.get(one, "")
    if not many:
        return {}
    event, request, batch = (_own(system, name, call.stream) for name in ("Event", one, many))
    source = (call.stream or system.asked).source
    return {
        event: dict(getattr(source, "request_schema", ANY_EVENT)),
        request: {**shared[one], "title": request,
                  "properties": {**shared[one]["properties"], "event": _reference(event)}},
        batch: {**shared[many], "title": batch, "properties": {"events": {
            "type": "array", "items": _reference(request), "maxItems": MAX_BATCH,
        }}},
    }


def _ranking_schemas(system: System, shared: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a request to rank, which lacks the item, and the request."""
    policy = system.target.slates
    assert policy is not None
    about = dict(getattr(system.source, "request_schema", ANY_EVENT))
    if "examples" in about:
        about["examples"] = [{name: each for name, each in example.items() if name != policy.item}
                             for example in about["examples"]]
    if "properties" in about:
        about["properties"] = {name: each for name, each in about["properties"].items()
                               if name != policy.item}
    if "required" in about:
        about["required"] = [name for name in about["required"] if name != policy.item]
    event, request = (own_name(system.name, name) for name in ("RankEvent", "PostedRanking"))
    said = shared["PostedRanking"]
    [described] = [each["description"] for each in said["properties"]["candidates"]["anyOf"]
                   if "description" in each]
    return {event: about, request: {
        **said, "title": request,
        "properties": {
            **said["properties"], "event": _reference(event),
            "candidates": {**said["properties"]["candidates"], "anyOf": [
                {"type": "array", "description": described, "items": item_schema(system),
                 "minItems": 1, "maxItems": LARGEST_LIST}, NULL]},
        },
    }}


def _own(system: System, name: str, stream: Stream | None) -> str:
    return own_name(system.name if stream is None else f"{system.name}_{stream.name}", name)


def _operation(call: Call, system: System | None, own: Mapping[str, Any]) -> dict[str, Any]:
    """own: schemas of which the system has its own, by their shared names"""
    def named(name: str) -> str:
        return own_name(system.name, name) if system is not None and name in own else name

    prefix = "" if system is None else f"{system.name}_"
    operation: dict[str, Any] = {
        "operationId": f"{prefix}{call.name}",
        "tags": ["server" if system is None else system.name],
        "summary": call.summary,
        "responses": {"200": _content("As asked.", *(
            named(each.__name__) for each in call.answers))},
    }
    if call.description:
        operation["description"] = call.description
    if call.answer is health.ReadyAnswer:
        operation["responses"]["503"] = _content("Not now; it says why.", call.answer.__name__)
    if system is not None:
        operation["security"] = [{"token": []}, {}]
    for status in (*((401, 403, 503) if system is not None else ()), *call.problems):
        operation["responses"][str(status)] = _content(PROBLEMS[status], "ProblemAnswer")
    for name, text in PARAMETERS.items():
        if f"{{{name}}}" in call.path:
            operation["parameters"] = [{
                "name": name, "in": "path", "required": True, "schema": {"type": "string"},
                "description": text,
            }]
    if call.request is not None:
        name = named(call.request.__name__)
        if system is not None and name in OWN:
            name = _own(system, name, call.stream)
        operation["requestBody"] = {"required": True, **_body(name)}
    return operation


def _content(description: str, *names: str) -> dict[str, Any]:
    return {"description": description, **_body(*names)}


def _body(*names: str) -> dict[str, Any]:
    schemas = [_reference(name) for name in names]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"content": {"application/json": {"schema": schema}}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name=name)}
