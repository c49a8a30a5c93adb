"""Feedback from bodies: who may say it, and what each word came to."""

from __future__ import annotations

import msgspec

from ml_assets.core.errors import InvalidRequest, LogUnavailable
from ml_assets.core.runtime.isolation import isolate
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.target import Label
from ml_assets.ingest.log.slates import is_slate_id
from ml_assets.serving.access.token import Token
from ml_assets.serving.answer.feedback import Said
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.contract.decoding import (
    RequestRefused,
    decode,
    require_few,
)
from ml_assets.serving.contract.protocol import (
    FeedbackAnswer,
    FeedbackBatchAnswer,
    FeedbackBatchRequest,
    FeedbackRequest,
    ProblemAnswer,
)
from ml_assets.serving.http.answers import feedback_answer
from ml_assets.serving.http.fault_log import note_error
from ml_assets.serving.http.responses import refusal_of

ONE = msgspec.json.Decoder(FeedbackRequest)
MANY = msgspec.json.Decoder(FeedbackBatchRequest)


def add_feedback(system: ServedSystem, body: bytes, bearer: Token | None = None) -> FeedbackAnswer:
    """Raises RequestRefused, UnknownName, TooOften or LogUnavailable.

    bearer: who says so; only a token that was made for a trusted source speaks as it
    """
    return feedback_answer(system.feedback.add(_said(system, decode(ONE, body), bearer)))


def add_feedback_batch(
    system: ServedSystem, body: bytes, bearer: Token | None, lines: SparseLog
) -> FeedbackBatchAnswer:
    """Raises RequestRefused if it is no batch, and LogUnavailable for all; then some may be stored,
    and repeating the batch is safe.

    lines: where faults of single words are logged
    """
    bodies = decode(MANY, body).feedback
    require_few(len(bodies), "feedback")
    words = isolate(lambda each: _said(system, decode(ONE, each), bearer), bodies)
    results = iter(system.feedback.add_all(
        [each for each in words if not isinstance(each, Exception)]))
    told = [each if isinstance(each, Exception) else next(results) for each in words]

    def problem(error: Exception) -> ProblemAnswer:
        if isinstance(error, LogUnavailable):
            raise error
        note_error(lines, error, f"feedback of a batch for {system.system.name}")
        return ProblemAnswer(error=refusal_of(error).problem)

    return FeedbackBatchAnswer(feedback=[
        problem(each) if isinstance(each, Exception) else feedback_answer(each) for each in told])


def _said(system: ServedSystem, request: FeedbackRequest, bearer: Token | None) -> Said:
    if bearer is not None:
        _require_own(system, bearer, request.source)
    return Said(prediction_id=request.prediction_id, label=_label(system, request.label),
                source=request.source, at=request.said_at, item=_item(request))


def _item(said: FeedbackRequest) -> object:
    """The item of a slate that feedback is about; None if it names the item's own prediction."""
    if is_slate_id(said.prediction_id) == (said.item is not None):
        return said.item
    expected = ("a slate; say which `item` of it the label is of" if said.item is None else
                "no slate, of which one could name an `item`")
    raise RequestRefused(
        422, "invalid_request", f"{said.prediction_id!r} is {expected}", "item")


def _label(system: ServedSystem, value: object) -> Label:
    try:
        return system.system.target.label(value)
    except InvalidRequest as error:
        raise RequestRefused(422, "invalid_request", f"label: {error}", "label") from None


def _require_own(system: ServedSystem, bearer: Token, source: str) -> None:
    trust = system.system.feedback.class_of(source)
    if trust is not None and not bearer.may_speak_as(source):
        raise RequestRefused(
            403, "source_not_yours", f"{source!r} is a trusted source ({trust.name}) and token "
            f"{bearer.name!r} was not made for it: `ml-assets token create NAME --scope "
            f"feedback --source {source}`", "source",
        )
