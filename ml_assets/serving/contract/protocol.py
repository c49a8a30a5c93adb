"""What travels over HTTP: requests, answers and problems, as msgspec checks them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ml_assets.core.slates import LARGEST_LIST, LARGEST_PAGE, REQUEST_LENGTH
from ml_assets.core.target import Label
from ml_assets.core.texts import ID_LENGTH, NAME, SOURCE_LENGTH
from ml_assets.core.time import EARLIEST, FUTURE
from ml_assets.features.online_store.latest_scores import Basis

EventId = Annotated[str, Meta(
    min_length=1, max_length=ID_LENGTH, pattern=NAME,
    description="Your id of the event, a text of one line. Repeating a request with the same id "
    "is safe: it gets the same answer. A random one if you give none.",
)]
PredictionId = Annotated[str, Meta(
    min_length=1, max_length=ID_LENGTH, pattern=NAME,
    description="The `prediction_id` of an answer.",
)]
Share = Annotated[float, Meta(ge=0, le=1, description="Of all events.")]
HappenedAt = Annotated[datetime, Meta(
    tz=True, description="When it happened, ISO 8601 with a time zone: from "
    f"{EARLIEST.date()} on, and at most {FUTURE.seconds} s ahead of the system's clock. Now "
    "if absent.",
)]
Instant = Annotated[datetime, Meta(tz=True, description="ISO 8601 with a time zone.")]


class PredictRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event to predict."""

    event: Annotated[msgspec.Raw, Meta(description="The event itself: the system's own fields.")]
    event_id: EventId | None = None
    event_timestamp: HappenedAt | None = None


class PredictBatchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several events to predict; each is answered or refused on its own."""

    events: Annotated[list[msgspec.Raw], Meta(description="Requests as for one prediction.")]


class PostedRanking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks for a slate, and in which context."""

    event: Annotated[msgspec.Raw, Meta(
        description="The event itself: the system's own fields, but for the item.")]
    event_id: Annotated[str, Meta(
        min_length=1, max_length=REQUEST_LENGTH, pattern=NAME,
        description="Your id of the request, a text of one line without `#`. Repeating it is safe: "
        "it gets the same slate. A random one if you give none.",
    )] | None = None
    event_timestamp: HappenedAt | None = None
    candidates: Annotated[list[Any], Meta(
        min_length=1, max_length=LARGEST_LIST,
        description="The items to choose from. Without them, those of the latest night's list.",
    )] | None = None
    n: Annotated[int, Meta(
        ge=1, le=LARGEST_PAGE, description="How many items to show; a page if absent.",
    )] | None = None


class PostedEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event of a stream that only feeds features."""

    event: Annotated[msgspec.Raw, Meta(description="The event itself: the stream's own fields.")]
    event_id: Annotated[str, Meta(
        min_length=1, max_length=ID_LENGTH, pattern=NAME,
        description="Your id of the event, a text of one line. It counts once, no matter how often "
        "it is sent. A random one if you give none.",
    )] | None = None
    event_timestamp: HappenedAt | None = None


class PostedBatchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several events of a stream; each is taken in or refused on its own."""

    events: Annotated[list[msgspec.Raw], Meta(description="Requests as for one event.")]


class EventAnswer(Struct, frozen=True, kw_only=True):
    """One event. It was durably logged before this answer was sent; features count it."""

    event_id: str
    stream: str
    event_timestamp: Instant
    accepted_at: Annotated[datetime, Meta(
        tz=True, description="When it was taken in, for the first time.")]


class EventBatchAnswer(Struct, frozen=True, kw_only=True):
    """An answer or a problem for each event, in the order of the request."""

    events: Annotated[list[Any], Meta(description="Answers and problems, in order.")]


class FeedbackRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What someone found out about one prediction."""

    prediction_id: PredictionId
    label: Annotated[Any, Meta(description="The true label.")]
    source: Annotated[str, Meta(
        min_length=1, max_length=SOURCE_LENGTH, pattern=NAME,
        description="Who says so, a text of one line. Each source may correct itself; "
        "repetitions change nothing.")]
    said_at: Annotated[datetime, Meta(
        tz=True, description="When it was said, ISO 8601 with a time zone. It counts in a replay "
        "only, while the system's clock stands still; otherwise it was said now.")] | None = None
    item: Annotated[Any, Meta(
        description="Which item of the slate that `prediction_id` names. Not given if that is the "
        "id of the item's own prediction.")] = None


class FeedbackBatchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several pieces of feedback, in order; each is taken in or refused on its own."""

    feedback: Annotated[list[msgspec.Raw], Meta(description="Requests as for one prediction.")]


class RankedItem(Struct, frozen=True, kw_only=True):
    """One item of a slate. It is a prediction of its own too."""

    item: Annotated[Any, Meta(description="Its key, as events hold it.")]
    score: float
    position: Annotated[int, Meta(ge=1, description="1 is the first.")]
    propensity: Annotated[float, Meta(
        gt=0, le=1, description="How probable it was that this item would stand here.")]
    prediction_id: Annotated[str, Meta(
        description="Of this item: its explanation is there, and feedback may name it.")]


class RankAnswer(Struct, frozen=True, kw_only=True):
    """One slate. Each of its items was durably logged before this answer was sent."""

    prediction_id: Annotated[str, Meta(
        description="Of the slate. Name it, and the item, when you send feedback.")]
    event_id: str
    label_name: Annotated[str, Meta(description="What `score` is the probability of.")]
    items: Annotated[list[RankedItem], Meta(description="In the order of positions.")]
    model_version: int
    features_as_of: Annotated[datetime, Meta(
        tz=True, description="The instant whose state of the feature store was read.")]
    degraded: Annotated[bool, Meta(
        description="The feature store or the model could not answer; the order is that of the "
        "latest night's list.")]


class PredictAnswer(Struct, frozen=True, kw_only=True):
    """One prediction. It was durably logged before this answer was sent.

    What else a kind of target answers, `by_target.answer_struct` adds.
    """

    prediction_id: Annotated[str, Meta(description="Name it when you send feedback.")]
    event_id: str
    label_name: Annotated[str, Meta(description="What `decision` is about.")]
    decision: Label
    score: float
    model_version: int
    features_as_of: Annotated[datetime, Meta(
        tz=True, description="The instant whose state of the feature store was read.")]
    degraded: Annotated[bool, Meta(
        description="The feature store could not answer; its features counted as missing.")]


class ScoreAnswer(Struct, frozen=True, kw_only=True):
    """The latest score that is known of an entity, whether or not anybody asks now."""

    key: Annotated[str, Meta(description="The entity's key.")]
    score: float
    decision: Label
    model_version: int
    event_id: Annotated[str, Meta(description="The entity's latest event that was scored.")]
    event_timestamp: Annotated[datetime, Meta(tz=True, description="When it happened.")]
    scored_at: Annotated[datetime, Meta(
        tz=True, description="When it was scored; of scores of one event the latest is kept.")]
    basis: Annotated[Basis, Meta(
        description="What scored it: a batch over its day, or the prediction that was asked for.")]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was refused."""

    code: Annotated[str, Meta(description="For programs.")]
    message: Annotated[str, Meta(description="For people: what was found and what is expected.")]
    field: Annotated[str | None, Meta(description="The field at fault, if there is one.")] = None


class ProblemAnswer(Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error."""

    error: Problem


class PredictBatchAnswer(Struct, frozen=True, kw_only=True):
    """An answer or a problem for each event, in the order of the request."""

    # msgspec knows no union of structs without tags; `openapi` says what these are.
    predictions: Annotated[list[Any], Meta(description="Answers and problems, in order.")]


class FeedbackAnswer(Struct, frozen=True, kw_only=True):
    """The feedback is durably logged; and what it came to."""

    accepted: bool
    new: Annotated[bool, Meta(
        description="False if this source has just said the same of this prediction.")]
    counted: Annotated[bool, Meta(
        description="Whether this source has a say in the label now; its word is kept anyway.")]
    label: Annotated[Label | None, Meta(
        description="What the prediction's label is now; null while none is known.")]
    basis: Annotated[Literal["feedback", "silence"] | None, Meta(
        description="What made it known: words, or that nobody's word settled it in time.")]
    says: Annotated[str, Meta(description="What all words so far come to, and why.")]


class FeedbackBatchAnswer(Struct, frozen=True, kw_only=True):
    """An answer or a problem for each piece of feedback, in the order of the request."""

    feedback: Annotated[list[Any], Meta(description="Answers and problems, in order.")]
