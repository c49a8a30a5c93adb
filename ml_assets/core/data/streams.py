"""What happens: the event streams of a system."""

from __future__ import annotations

from datetime import timedelta

from ml_assets.core.data.columns import Column
from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.source import Source

RESERVED_TABLES = frozenset(
    {"archive", "raw", "events", "quarantine", "labels", "predictions", "shadow_scores",
     "batch_predictions", "candidates", "outcomes", "scores", "feedback", "event_log",
     "training_set", "model", "evaluation", "deployment", "drift", "drift_reference",
     "performance", "parity", "retraining", "rollout"}
)
"""Names of the platform's own tables and assets, which no stream or table may have."""
RESERVED_PREFIXES = ("archive_", "raw_", "quarantine_")


@declaration
class Stream:
    """Events of one kind, in the order of time.

    asked: whether predictions are made for its events. Of a system's streams exactly one is
        asked: its events lie in the table `events` of the lake, its requests go to
        `POST /v1/<system>/predict`. Any other one only feeds features: its events lie in the
        table of its name, and `POST /v1/<system>/events/<name>` takes them.
    source: recorded history, and how a request becomes a row
    fresh_within: how long after its end a day must be ingested; None if nobody waits for it
    """

    name: str
    description: str
    source: Source
    columns: tuple[Column, ...]
    asked: bool = False
    fresh_within: timedelta | None = None

    def __post_init__(self) -> None:
        require(self.name.isidentifier() and self.name.islower(), self, "name", self.name,
                "a lower-case identifier")
        require_free(self, self.name)
        require_fresh(self, self.fresh_within)
        names = [column.name for column in self.columns]
        require(len(set(names)) == len(names), f"Stream {self.name!r}", "columns", names,
                "unique names")

    @property
    def table(self) -> str:
        """Its table in the lake."""
        return "events" if self.asked else self.name

    @property
    def archive(self) -> str:
        """The asset of its recorded history."""
        return "archive" if self.asked else f"archive_{self.name}"

    @property
    def raw(self) -> str:
        """The table of what reached it, as it came."""
        return "raw" if self.asked else f"raw_{self.name}"

    @property
    def quarantine(self) -> str:
        """The table of what could not be used."""
        return "quarantine" if self.asked else f"quarantine_{self.name}"


def require_fresh(owner: object, within: timedelta | None) -> None:
    """Raise DeclarationError unless it is a time in which somebody could wait."""
    require(within is None or within >= timedelta(0), owner, "fresh_within", within,
            "none, or no negative time")


def require_free(owner: object, name: str) -> None:
    """Raise DeclarationError if a stream or a table takes a name of the platform's own."""
    require(name not in RESERVED_TABLES, owner, "name", name,
            f"none of {sorted(RESERVED_TABLES)}: the platform has tables of these names")
    require(not name.startswith(RESERVED_PREFIXES), owner, "name", name,
            f"a name that begins with none of {RESERVED_PREFIXES}: tables of streams do")
