"""The API described: OpenAPI 3.1 and the index, derived from the structs and the systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ml_assets import __version__
from ml_assets.core.data.streams import Stream
from ml_assets.core.system import System
from ml_assets.serving.contract import protocol
from ml_assets.serving.contract.by_target import REFERENCE, own_name, own_schemas
from ml_assets.serving.contract.decoding import MAX_BATCH, MAX_BODY_BYTES

ANY_EVENT: Mapping[str, object] = {"type": "object", "description": "The system's own fields."}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One address: what goes in, what comes out, what can go wrong.

    stream: whose events go in, if they are not those that predictions are made for
    """

    path: str
    method: str
    name: str
    summary: str
    answer: type[msgspec.Struct]
    request: type[msgspec.Struct] | None = None
    problems: tuple[int, ...] = ()
    description: str = ""
    stream: Stream | None = None


PROBLEMS = {
    401: "Tokens are in use, and the request has none that is in force.",
    403: "The token lacks the scope, or was not made for this trusted source of feedback.",
    404: "There is no such system or prediction, or no score of that entity.",
    409: "The id belongs to an event with another body or instant, which was answered before.",
    413: f"More than {MAX_BODY_BYTES // 2**20} MiB, or a batch of more than {MAX_BATCH} events.",
    415: "The body is compressed or not in UTF-8.",
    422: "The request is not JSON, lacks something, or is no event of this system.",
    429: "The source may say no more for now; nothing was stored. `Retry-After` says how long.",
    500: "A fault of the server. Nothing was logged; asking again is safe.",
    503: "No model, the log cannot be written, or too many wait: nothing was answered; ask again "
         "later.",
}

PARAMETERS = {
    "prediction_id": "The `prediction_id` of an answer.",
    "system": "The system's name.",
    "key": "The entity's key, as it stands in events. `/` may stand as it is.",
}
"""What may stand in a path."""

SYSTEM_CALLS = (
    Call(
        path="predict", method="post", name="predict", summary="Predict one event",
        request=protocol.PredictRequest, answer=protocol.PredictAnswer,
        problems=(409, 413, 415, 422, 500, 503),
        description="The prediction is durably logged, with its features, before it is answered. "
        "Repeating a request with the same `event_id` gives the same answer.",
    ),
    Call(
        path="predict/batch", method="post", name="predict_batch",
        summary=f"Predict up to {MAX_BATCH} events", request=protocol.PredictBatchRequest,
        answer=protocol.PredictBatchAnswer, problems=(413, 415, 422, 500, 503),
        description="Each event is answered, or refused with its own problem, in its place.",
    ),
    Call(
        path="feedback", method="post", name="feedback", summary="Say what was true",
        request=protocol.FeedbackRequest, answer=protocol.FeedbackAnswer,
        problems=(404, 413, 415, 422, 429, 500, 503),
        description="Kept for good. The answer tells whether it counts and what the label is now: "
        "trusted sources outrank all others. Repetitions change nothing.",
    ),
    Call(
        path="feedback/batch", method="post", name="feedback_batch",
        summary=f"Say what was true up to {MAX_BATCH} times",
        request=protocol.FeedbackBatchRequest, answer=protocol.FeedbackBatchAnswer,
        description="Each piece is taken in, or refused with its own problem, in its place.",
        problems=(413, 415, 422, 500, 503),
    ),
    Call(
        path="scores/{key}", method="get", name="score", summary="The latest score of an entity",
        answer=protocol.ScoreAnswer, problems=(404, 500, 503),
        description="Of an entity such as a customer, without an event at hand: kept by batches, "
        "refreshed by every prediction. The latest event's score; of one event the latest score.",
    ),
    Call(
        path="predictions/{prediction_id}", method="get", name="prediction",
        summary="Explain a prediction", answer=protocol.PredictionRecord,
        problems=(404, 500, 503),
        description="What was asked, which features the model saw, what the model was made from, "
        "who put it in traffic and why, the feedback so far, and what was known when.",
    ),
    Call(
        path="predictions/{prediction_id}/rows", method="get", name="prediction_rows",
        summary="The rows behind its features", answer=protocol.ContributingRows,
        problems=(404, 500, 503),
        description="The events and labels of the lake that the feature views had counted. "
        "Reads the lake: takes its time, and does not hold up predictions.",
    ),
    Call(
        path="version", method="get", name="version", summary="Which model answers, and why",
        answer=protocol.VersionAnswer,
    ),
)

def calls_of(system: System) -> list[Call]:
    """The calls of one system."""
    told = [call for stream in system.streams if not stream.asked for call in _told_calls(stream)]
    return [*SYSTEM_CALLS, *told]


def _told_calls(stream: Stream) -> tuple[Call, Call]:
    return (
        Call(
            path=f"events/{stream.name}", method="post", name=f"tell_{stream.name}",
            summary=f"Tell one event of `{stream.name}`", request=protocol.PostedEvent,
            answer=protocol.EventAnswer, problems=(409, 413, 415, 422, 500, 503), stream=stream,
            description=f"{stream.description}. The event is durably logged before it is "
            "acknowledged; features count it from then on, once. Nothing is predicted.",
        ),
        Call(
            path=f"events/{stream.name}/batch", method="post", name=f"tell_{stream.name}_batch",
            summary=f"Tell up to {MAX_BATCH} events of `{stream.name}`",
            request=protocol.PostedBatchRequest, answer=protocol.EventBatchAnswer,
            problems=(413, 415, 422, 500, 503), stream=stream,
            description="Each event is taken in, or refused with its own problem, in its place.",
        ),
    )


OWN = {"PredictRequest": "PredictBatchRequest", "PredictBatchRequest": "",
       "PostedEvent": "PostedBatchRequest", "PostedBatchRequest": ""}
"""Structs of requests with events, of which each stream has its own, with their batches."""

COMMON_CALLS = (
    Call(path="/healthz", method="get", name="healthz", summary="Does the process run?",
         answer=protocol.LiveAnswer),
    Call(path="/readyz", method="get", name="readyz", summary="Can it give full answers now?",
         answer=protocol.ReadyAnswer, description="Tries the log, the feature store, the model of "
         "every system. Ready if one system is, so that what another lacks does not stop it."),
    Call(path="/readyz/{system}", method="get", name="system_readyz",
         summary="Can it give full answers for this system now?", answer=protocol.ReadyAnswer,
         problems=(404,), description="Tries the log, the feature store, the model."),
)


def openapi(systems: Sequence[System]) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    calls = [call for system in systems for call in calls_of(system)]
    structs = {call.answer for call in (*calls, *COMMON_CALLS)} | {protocol.ProblemAnswer}
    structs |= {call.request for call in calls if call.request is not None}
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
        own = own_schemas(system, shared)
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
        "responses": {"200": _content("As asked.", named(call.answer.__name__))},
    }
    if call.description:
        operation["description"] = call.description
    if call.answer is protocol.ReadyAnswer:
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


def _content(description: str, name: str) -> dict[str, Any]:
    return {"description": description, **_body(name)}


def _body(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _reference(name)}}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name=name)}
