"""What happens: the event streams of a system."""

from __future__ import annotations

from ml_assets.core.data.columns import Column
from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.source import Source

RESERVED_STREAMS = frozenset(
    {"raw", "events", "quarantine", "labels", "predictions", "shadow_scores", "outcomes",
     "scores", "feedback", "event_log"}
)
"""Names of the platform's own tables and assets."""


@declaration
class Stream:
    """Events of one kind, in the order of time.

    asked: whether predictions are made for its events. Of a system's streams exactly one is
        asked: its events lie in the table `events` of the lake, its requests go to
        `POST /v1/<system>/predict`. Any other one only feeds features: its events lie in the
        table of its name, and `POST /v1/<system>/events/<name>` takes them.
    source: recorded history, and how a request becomes a row
    """

    name: str
    description: str
    source: Source
    columns: tuple[Column, ...]
    asked: bool = False

    def __post_init__(self) -> None:
        require(self.name.isidentifier() and self.name.islower(), self, "name", self.name,
                "a lower-case identifier")
        require(self.name not in RESERVED_STREAMS, self, "name", self.name,
                f"none of {sorted(RESERVED_STREAMS)}: the platform has tables of these names")
        for prefix in ("raw_", "quarantine_"):
            require(not self.name.startswith(prefix), self, "name", self.name,
                    f"a name that does not begin with {prefix!r}: tables of streams do")
        names = [column.name for column in self.columns]
        require(len(set(names)) == len(names), f"Stream {self.name!r}", "columns", names,
                "unique names")

    @property
    def table(self) -> str:
        """Its table in the lake."""
        return "events" if self.asked else self.name

    @property
    def raw(self) -> str:
        """The table of what reached it, as it came."""
        return "raw" if self.asked else f"raw_{self.name}"

    @property
    def quarantine(self) -> str:
        """The table of what could not be used."""
        return "quarantine" if self.asked else f"quarantine_{self.name}"
