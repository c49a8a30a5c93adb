"""The declaration of one machine-learning system, from which everything else is derived."""

from __future__ import annotations

from dataclasses import field
from datetime import date, datetime

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import RESERVED_TABLES, Stream
from ml_assets.core.data.tables import Table
from ml_assets.core.declaration import closest, declaration
from ml_assets.core.errors import DeclarationError, InvalidRequest
from ml_assets.core.feedback import FeedbackPolicy, trusting
from ml_assets.core.model import Model
from ml_assets.core.policies import (
    AlertPolicy,
    DriftPolicy,
    Gate,
    RetrainingPolicy,
    RolloutPolicy,
    Slice,
    require,
)
from ml_assets.core.slates import OF_ROWS
from ml_assets.core.source import Source
from ml_assets.core.target import Target
from ml_assets.core.time import midnight
from ml_assets.core.truths import Truth


@declaration
class Entity:
    """Something whose past informs its next event: a person, a device, an item.

    `name` is also the event column that holds its key. An empty key means "unknown": it has no
    history.
    """

    name: str
    description: str

    def __post_init__(self) -> None:
        require(self.name.isidentifier(), self, "name", self.name, "an identifier")


@declaration
class Calendar:
    """The days of a system. All are UTC.

    first_day: the first day with events.
    go_live: recorded history feeds the days before it, the API's event log the days from it on.
    last_day: the last partition (inclusive); None for an open end.
    stretch: how many live days a replay takes unless told otherwise; None for all there are.
    """

    first_day: date
    go_live: date
    last_day: date | None = None
    stretch: int | None = None

    def __post_init__(self) -> None:
        require(self.first_day < self.go_live, self, "go_live", self.go_live,
                f"a day after first_day, {self.first_day}")
        require(self.last_day is None or self.last_day >= self.go_live, self, "last_day",
                self.last_day, f"none, or a day from go_live on, {self.go_live}")
        require(self.stretch is None or self.stretch >= 1, self, "stretch", self.stretch,
                "none, or at least a day")

    @property
    def live_from(self) -> datetime:
        """The first instant at which the API's event log is the source."""
        return midnight(self.go_live)


@declaration
class System:
    """One use case: what differs from every other one, and nothing else.

    It names its Feast feature service instead of importing it, so loading the definitions never
    imports Feast; the name is checked against the Feast manifest.

    sticky_by: the entity whose events are all answered by the same model version while several
    share the traffic; None if each event is drawn independently. An unknown (empty) key
    identifies no entity: its events are drawn independently too.
    gates: what a candidate must meet; those of the target unless any are given. rollout: how one
    that meets them becomes the champion.
    scores_by: the entity whose latest score is kept for callers without an event: a batch fills
    it and each prediction refreshes it; None if no score is kept.
    truth: how labels become known. feedback: whose word counts; one that trusts nobody by name
    trusts the truth's source.
    """

    name: str
    description: str
    owners: tuple[str, ...]
    calendar: Calendar
    streams: tuple[Stream, ...]
    tables: tuple[Table, ...] = ()
    entities: tuple[Entity, ...]
    sticky_by: str | None = None
    scores_by: str | None = None
    feature_service: str
    target: Target
    truth: Truth
    feedback: FeedbackPolicy = field(default_factory=FeedbackPolicy)
    model: Model
    gates: tuple[Gate, ...] = ()
    slices: tuple[Slice, ...] = ()
    rollout: RolloutPolicy = field(default_factory=RolloutPolicy)
    retraining: RetrainingPolicy
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    alerts: AlertPolicy = field(default_factory=AlertPolicy)

    def __post_init__(self) -> None:
        owner = f"System {self.name!r}"
        require(self.name.isidentifier() and self.name.islower(), "System", "name", self.name,
                "a lower-case identifier")
        require(bool(self.owners), owner, "owners", self.owners, "at least one e-mail or team:name")
        for person in self.owners:
            require("@" in person or person.startswith("team:"), owner, "owners", person,
                    "an e-mail address or 'team:name'")
        names = [each.name for each in self.streams] + [each.name for each in self.tables]
        require(len(set(names)) == len(names), owner, "streams, tables", names, "unique names")
        asked = [stream.name for stream in self.streams if stream.asked]
        require(len(asked) == 1, owner, "streams", asked, "exactly one with asked=True")
        plain = [column for column in self.columns if not column.many]
        keys = {column.name for column in plain
                if column.dtype in ("text", "category", "integer")}
        self._require_known("entities", [entity.name for entity in self.entities], keys,
                            "text, category or integer")
        for name in ("sticky_by", "scores_by"):
            entity: str | None = getattr(self, name)
            self._require_known(name, [] if entity is None else [entity], set(self.keys), "entity")
        self._require_inputs()
        self._require_known("target", self.target.entities, set(self.keys), "entity")
        sure = {column.name for column in self.columns
                if not column.optional and column.minimum is not None and column.minimum >= 0}
        self._require_known("target", self.target.carries, sure & set(self.model.numbers),
                            "number that the model reads, every event has and is never negative")
        require(self.model.loss is None or self.target.margins, owner, "model.loss",
                self.model.loss, f"none: no label of {self.target.name} is a side of a margin")
        self._require_slates()
        slices = {part.name for part in self.slices}
        self._require_known("gates", [gate.slice for gate in self.gates if gate.slice], slices,
                            "slice")
        if not self.gates:
            object.__setattr__(self, "gates", self.target.gates)
        self._require_known("gates", [gate.metric for gate in self.gates],
                            set(self.target.metrics), f"metric of {self.target.name}")
        worth = self.retraining.worth
        if worth is not None and worth.measure is not None:
            self._require_known("retraining.worth.measure", [worth.measure], {
                name for name, metric in self.target.metrics.items()
                if not metric.higher and metric.root_of is None}, "metric of which less is better")
        gates = [gate.name for gate in self.gates]
        require(len(set(gates)) == len(gates), owner, "gates", gates, "each gate once")
        self._require_truth()

    def _require_inputs(self) -> None:
        try:
            self.model.require_columns(self.columns)
        except DeclarationError as error:
            raise DeclarationError(f"System {self.name!r}: model.inputs: {error}") from None

    def _require_slates(self) -> None:
        """Rows have no columns that those of slates have already, and takes are told somewhere."""
        policy = self.target.slates
        if policy is None:
            return
        for column in self.columns:
            require(column.name not in OF_ROWS, f"System {self.name!r}", "columns", column.name,
                    f"none of {OF_ROWS}: the rows of a training set have these already")
        told = {stream.name: {column.name for column in stream.columns if not column.many}
                for stream in self.streams if not stream.asked}
        for stream in filter(None, (kind.stream for kind in policy.taken)):
            self._require_known("target", [stream], set(told), "stream that only feeds features")
            self._require_known("target", self.target.entities, told[stream],
                                f"column of the stream {stream!r}")

    def _require_truth(self) -> None:
        """Its labels are the target's, and what its source says counts."""
        for label in self.truth.declared:
            try:
                self.target.label(label)
            except InvalidRequest as error:
                raise DeclarationError(f"System {self.name!r}: truth: {error}") from None
        require(self.feedback.conflict != "median" or self.target.lake_type == "double",
                f"System {self.name!r}", "feedback.conflict", self.feedback.conflict,
                f"another policy: a median is of numbers, and {self.target.name} is none")
        source = self.truth.source
        object.__setattr__(self, "feedback", trusting(self.feedback, source))
        require(self.feedback.class_of(source) is not None, f"System {self.name!r}",
                "truth.source", source, "a source that `feedback` trusts: whatever it says would "
                f"make no label. Trusted: {', '.join(self.feedback.claimed)}."
                f"{closest(source, self.feedback.claimed)}")

    def _require_known(
        self, field: str, asked: tuple[str, ...] | list[str], known: set[str], kind: str
    ) -> None:
        for name in asked:
            if name not in known:
                raise DeclarationError(
                    f"System {self.name!r}: {field} names {name!r}, which is not a declared "
                    f"{kind}; declared: {', '.join(sorted(known)) or 'none'}.{closest(name, known)}"
                )

    @property
    def keys(self) -> tuple[str, ...]:
        """The event columns that hold entity keys."""
        return tuple(entity.name for entity in self.entities)

    @property
    def asked(self) -> Stream:
        """The stream whose events are predicted."""
        return next(stream for stream in self.streams if stream.asked)

    @property
    def own_assets(self) -> frozenset[str]:
        """The names of its assets that neither a feature view nor a service may have."""
        of_streams = ((each.table, each.archive, each.raw, each.quarantine)
                      for each in self.streams)
        of_tables = ((each.name, each.quarantine) for each in self.tables)
        return RESERVED_TABLES.union(*of_streams, *of_tables)

    @property
    def source(self) -> Source:
        """Of the events that are predicted."""
        return self.asked.source

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the events that are predicted."""
        return self.asked.columns
