"""What travels over HTTP: requests, answers and problems, as msgspec checks them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ml_assets.core.settings import Ack
from ml_assets.core.slates import LARGEST_LIST, LARGEST_PAGE, REQUEST_LENGTH
from ml_assets.core.target import Label
from ml_assets.core.texts import ID_LENGTH, NAME, SOURCE_LENGTH
from ml_assets.core.time import EARLIEST, FUTURE
from ml_assets.features.online_store.latest_scores import Basis
from ml_assets.ingest.log.served import AnsweringRole
from ml_assets.registry.record import Verb
from ml_assets.registry.rollout import Role

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


class FeedbackEntry(Struct, frozen=True, kw_only=True):
    """One piece of feedback on a prediction."""

    label: Label
    source: str
    received_at: Instant
    trust: Annotated[str, Meta(
        description="The source's trust class as it is declared now, or `anonymous`.")]
    counted: Annotated[bool, Meta(description="Whether its source has a say in the label now.")]


class OutcomeEntry(Struct, frozen=True, kw_only=True):
    """What was known from an instant on."""

    known_at: Instant
    label: Label
    basis: Literal["feedback", "silence"]


class DecisionEntry(Struct, frozen=True, kw_only=True):
    """What put a model version in traffic: since when, who decided, and why."""

    at: Instant
    by: str
    reason: str


class ModelOrigin(Struct, frozen=True, kw_only=True):
    """What a model version was made from."""

    version: int
    training_set: Annotated[str | None, Meta(
        description="The version of its training set: the address of the content.")] = None
    first_day: Annotated[str | None, Meta(
        description="The first day on which an event in it happened.")] = None
    last_day: Annotated[str | None, Meta(description="The last such day, inclusive.")] = None
    as_of: Annotated[str | None, Meta(
        description="Nothing learnt at or after this instant is in it.")] = None
    feature_service: str | None = None
    git_commit: Annotated[str | None, Meta(description="Of the code that trained it.")] = None
    dagster_run: str | None = None
    mlflow_run: str | None = None
    problem: Annotated[str | None, Meta(
        description="Why the rest is not known; null if it is.")] = None


class PredictionRecord(Struct, frozen=True, kw_only=True):
    """Everything that is known about one prediction."""

    prediction_id: str
    system: str
    event_id: str
    event_timestamp: Instant
    accepted_at: Instant
    request: Annotated[msgspec.Raw, Meta(description="The event as it was posted.")]
    features: Annotated[dict[str, float | None], Meta(
        description="What the model saw beside the texts, by name; null is missing.")]
    features_as_of: Instant
    model_version: int
    role: Annotated[AnsweringRole, Meta(description="Of the version, when it answered.")]
    propensity: Annotated[float, Meta(
        description="How probable it was, before the event was known, that it would answer.")]
    label_name: str
    score: float
    decision: Label
    answer: Annotated[dict[str, Any], Meta(
        description="What else was answered, by the kind of target.")]
    degraded: bool
    model: Annotated[ModelOrigin, Meta(description="What `model_version` was made from.")]
    decision_behind: Annotated[DecisionEntry | None, Meta(
        description="What had put this version in traffic; null if nothing had when it "
        "answered.")]
    feedback: list[FeedbackEntry]
    says: Annotated[str, Meta(description="What the feedback comes to, and why.")]
    outcomes: Annotated[list[OutcomeEntry], Meta(
        description="What was known of it over time: the last one counts; empty while nothing "
        "is known.")]


class SlateItem(Struct, frozen=True, kw_only=True):
    """One item of a slate, and everything that is known about its prediction."""

    item: Any
    position: int
    record: PredictionRecord


class SlateRecord(Struct, frozen=True, kw_only=True):
    """Everything that is known about one slate."""

    prediction_id: str
    system: str
    event_id: str
    event_timestamp: Instant
    accepted_at: Instant
    items: Annotated[list[SlateItem], Meta(description="In the order of positions.")]


class ContributingRow(Struct, frozen=True, kw_only=True):
    """A row of the lake that features of a prediction were made from."""

    view: Annotated[str, Meta(description="The feature view that counted it.")]
    table: Annotated[str, Meta(description="Where it lies in the lake.")]
    key: Annotated[dict[str, str], Meta(description="The entity that it shares.")]
    event_id: Annotated[str, Meta(description="Of a table's row, where its source has it.")]
    event_timestamp: Instant
    known_at: Annotated[Instant | None, Meta(
        description="When a label or a table's row became known; null for an event.")]
    label: Label | None


class ContributingRows(Struct, frozen=True, kw_only=True):
    """The rows that made the store features of a prediction, in the order of time."""

    prediction_id: str
    features_as_of: Instant
    rows: list[ContributingRow]


class ChallengerEntry(Struct, frozen=True, kw_only=True):
    """A version that answers a share of the events."""

    version: int
    share: Share


class DeploymentEntry(Struct, frozen=True, kw_only=True):
    """The decision in force: who answers, as a whole."""

    id: Annotated[int, Meta(description="Rises with every decision.")]
    version: Annotated[int, Meta(description="The champion.")]
    previous: Annotated[int | None, Meta(description="The champion before it.")]
    challengers: list[ChallengerEntry]
    shadows: Annotated[list[int], Meta(description="They score, and answer nothing.")]
    action: Annotated[Verb, Meta(description="What the decision changed.")]
    reason: str
    by: str
    at: Instant


class ServingModel(Struct, frozen=True, kw_only=True):
    """A model version that this process has loaded, and what it does."""

    version: int
    role: Role
    share: Share
    loaded_at: Instant


class RefusedModel(Struct, frozen=True, kw_only=True):
    """A version that the decision names and that this process does not use."""

    version: int
    role: Annotated[Role, Meta(description="The one that it should have.")]
    reason: str


class Counts(Struct, frozen=True, kw_only=True):
    """Since the service started, by all of its workers: events answered anew, answered from the
    log, degraded, refused (unusable or invalid), feedback received, scores by shadows, answers
    that no shadow scored for want of time or of the log, and events of other streams that were
    taken in."""

    predicted: int = 0
    repeated: int = 0
    degraded: int = 0
    rejected: int = 0
    feedback: int = 0
    shadowed: int = 0
    shadow_dropped: int = 0
    told: int = 0


class VersionAnswer(Struct, frozen=True, kw_only=True):
    """Which models answer, and what an answer is worth."""

    system: str
    ack: Annotated[Ack, Meta(description="What an answered prediction survives: `process`, the "
                             "death of every process; `disk`, a power cut too.")]
    loaded: Annotated[int | None, Meta(description="The champion of this process.")]
    loaded_at: Instant | None
    serving: Annotated[list[ServingModel], Meta(description="All that this process has loaded.")]
    deployment: Annotated[DeploymentEntry | None, Meta(
        description="The decision in force. Its versions are loaded within a second or refused.")]
    refused: list[RefusedModel]
    counts: Counts


class LiveAnswer(Struct, frozen=True, kw_only=True):
    """The process runs."""

    status: str = "live"


class ReadyAnswer(Struct, frozen=True, kw_only=True):
    """Whether full answers can be given now, tried out at this moment.

    The whole is ready if a system is: what one of them lacks must not take the others out of a load
    balancer's rotation. Ask about a system alone at `/readyz/<system>`.
    """

    ready: Annotated[bool, Meta(description="Whether any of these systems is ready.")]
    systems: Annotated[dict[str, bool], Meta(description="Which systems are ready.")]
    problems: Annotated[list[str], Meta(description="Why it is not ready; what to do.")]
    warnings: Annotated[list[str], Meta(description="What needs a look, though it answers: "
                                  "refused versions, and degraded answers of the last minute.")]
