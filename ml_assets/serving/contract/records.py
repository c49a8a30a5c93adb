"""What is known about a prediction or a slate, as it travels over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ml_assets.core.target import Label
from ml_assets.ingest.log.served import AnsweringRole
from ml_assets.serving.contract.protocol import Instant


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
    texts: Annotated[dict[str, str], Meta(
        description="The text behind each feature that is the code of one, by its name.")]
