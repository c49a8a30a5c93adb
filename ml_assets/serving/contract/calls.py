"""The calls of the API: each address, what goes in, what comes out, what can go wrong."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ml_assets.core.data.streams import Stream
from ml_assets.core.system import System
from ml_assets.serving.contract import health, protocol, records
from ml_assets.serving.contract.decoding import MAX_BATCH, MAX_BODY_BYTES


@dataclass(frozen=True, kw_only=True)
class Call:
    """One address: what goes in, what comes out, what can go wrong.

    or_answer: what may come out instead
    stream: whose events go in, if they are not those that predictions are made for
    """

    path: str
    method: str
    name: str
    summary: str
    answer: type[msgspec.Struct]
    or_answer: type[msgspec.Struct] | None = None
    request: type[msgspec.Struct] | None = None
    problems: tuple[int, ...] = ()
    description: str = ""
    stream: Stream | None = None

    @property
    def answers(self) -> tuple[type[msgspec.Struct], ...]:
        """What comes out if all is well."""
        return (self.answer,) if self.or_answer is None else (self.answer, self.or_answer)

    @property
    def structs(self) -> tuple[type[msgspec.Struct], ...]:
        """What goes in and comes out."""
        return self.answers if self.request is None else (self.request, *self.answers)


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
        description="Of an entity such as a device, without an event at hand: kept by batches, "
        "refreshed by every prediction. The latest event's score; of one event the latest score.",
    ),
    Call(
        path="predictions/{prediction_id}", method="get", name="prediction",
        summary="Explain a prediction", answer=records.PredictionRecord,
        problems=(404, 500, 503),
        description="What was asked, which features the model saw, what the model was made from, "
        "who put it in traffic and why, the feedback so far, and what was known when.",
    ),
    Call(
        path="predictions/{prediction_id}/rows", method="get", name="prediction_rows",
        summary="The rows behind its features", answer=records.ContributingRows,
        problems=(404, 500, 503),
        description="The events and labels of the lake that the feature views had counted. "
        "Reads the lake: takes its time, and does not hold up predictions.",
    ),
    Call(
        path="version", method="get", name="version", summary="Which model answers, and why",
        answer=health.VersionAnswer,
    ),
    Call(
        path="guardrails", method="post", name="guardrails",
        summary="Judge now whether a version is broken", answer=health.VersionAnswer,
        problems=(500, 503),
        description="The API does so ten times a second by itself. While a replay holds the clock "
        "it does when asked, so that a replay comes out the same twice.",
    ),
)

SLATE_CALLS = (
    Call(
        path="rank", method="post", name="rank", summary="Choose and order items",
        request=protocol.PostedRanking, answer=protocol.RankAnswer,
        problems=(409, 413, 415, 422, 500, 503),
        description="Every item of the slate is durably logged, with its features, before it is "
        "answered. Repeating a request with the same `event_id` gives the same slate.",
    ),
    Call(
        path="predictions/{prediction_id}", method="get", name="prediction",
        summary="Explain a slate or a prediction", answer=records.PredictionRecord,
        or_answer=records.SlateRecord, problems=(404, 500, 503),
        description="What was asked, which features the model saw, what the model was made from, "
        "who put it in traffic and why, the feedback so far, and what was known when; of a slate "
        "all that for each item.",
    ),
)
"""Of a system that answers with slates: more calls, and what takes the place of others."""


def calls_of(system: System) -> list[Call]:
    """The calls of one system."""
    told = [call for stream in system.streams if not stream.asked for call in _told_calls(stream)]
    own = {} if system.target.slates is None else {call.name: call for call in SLATE_CALLS}
    calls = [own.pop(call.name, call) for call in SYSTEM_CALLS]
    return [*own.values(), *calls, *told]


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


COMMON_CALLS = (
    Call(path="/healthz", method="get", name="healthz", summary="Does the process run?",
         answer=health.LiveAnswer),
    Call(path="/readyz", method="get", name="readyz", summary="Can it give full answers now?",
         answer=health.ReadyAnswer, description="Tries the log, the feature store, the model of "
         "every system. Ready if one system is, so that what another lacks does not stop it."),
    Call(path="/readyz/{system}", method="get", name="system_readyz",
         summary="Can it give full answers for this system now?", answer=health.ReadyAnswer,
         problems=(404,), description="Tries the log, the feature store, the model."),
)
