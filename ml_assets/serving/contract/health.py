"""How the service is and which models answer, as it travels over HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ml_assets.core.settings import Ack
from ml_assets.registry.record import Verb
from ml_assets.registry.rollout import Role
from ml_assets.serving.contract.protocol import Instant, Share


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
    taken in. Now: answers that wait for other versions to score them too."""

    predicted: int = 0
    repeated: int = 0
    degraded: int = 0
    rejected: int = 0
    feedback: int = 0
    shadowed: int = 0
    shadow_dropped: int = 0
    shadow_waiting: int = 0
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
