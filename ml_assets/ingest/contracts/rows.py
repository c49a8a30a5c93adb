"""Data contracts: what a row must hold to enter a table.

Rows that break the contract are set aside with the reason; the rest go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import InvalidRequest, Quarantined
from ml_assets.core.system import System
from ml_assets.core.texts import shown, text_fault
from ml_assets.core.time import declared_instant
from ml_assets.ingest.contracts.values import event_of
from ml_assets.ingest.posted import read_json
from ml_assets.ingest.tables import LOG_SEQ

INSTANTS = ("event_timestamp", "accepted_at")


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What the rows of a stream hold beside ids and instants. keys: columns that name entities"""

    columns: tuple[Column, ...]
    keys: frozenset[str]

    @classmethod
    def of(cls, system: System, stream: Stream) -> Contract:
        names = frozenset(column.name for column in stream.columns)
        return cls(columns=stream.columns, keys=names & frozenset(system.keys))

    def event(self, parsed: Mapping[str, object]) -> dict[str, object]:
        """What a parser gave, as rows hold it. Raises Quarantined if it breaks the contract."""
        return event_of(self.columns, self.keys, parsed)

    def row(self, row: Mapping[str, object], seen: set[str]) -> dict[str, object]:
        """The same of a row of `tables.stream_schema`, with its id and instants checked.

        seen: the ids of the rows before it, to which its own is added. Raises Quarantined.
        """
        event_id = row.get("event_id")
        if not isinstance(event_id, str) or not event_id:
            raise Quarantined(f"event_id is {shown(event_id)}; expected a text that is not empty")
        if event_id in seen:
            raise Quarantined(f"event_id {shown(event_id)} was there before; an event counts once, "
                              "the first")
        if (fault := text_fault(event_id)) is not None:
            raise Quarantined(f"event_id: {fault}")
        for name in INSTANTS:
            try:
                declared_instant(row.get(name))
            except InvalidRequest as error:
                raise Quarantined(f"{name}: {error}") from None
        event = self.event(row)
        seen.add(event_id)
        return event

    def breaches(self, rows: Iterable[Mapping[str, object]]) -> dict[int, str]:
        """For each row (by position) that breaks the contract, the reason in words.

        A row is blamed for what it holds itself, whatever the others hold. Of rows with one id
        the first counts. Raises nothing for bad values; a missing or surplus column is every
        row's fault. `log_seq` is the log's, and in no contract.
        """
        expected = {"event_id", *INSTANTS, *(column.name for column in self.columns)}
        broken: dict[int, str] = {}
        seen: set[str] = set()
        for index, row in enumerate(rows):
            columns = set(row) - {LOG_SEQ}
            if columns != expected:
                broken[index] = (f"the columns are {sorted(map(str, columns))}; expected "
                                 f"{sorted(expected)}")
                continue
            try:
                self.row(row, seen)
            except Quarantined as error:
                broken[index] = str(error)
        return broken


def read_event(system: System, posted: str, stream: Stream | None = None) -> dict[str, object]:
    """The columns of the event in `posted`, the JSON that a client sent: parsed, and as rows hold
    them.

    stream: whose event it is, unless predictions are made for it
    Raises Quarantined if it breaks the contract, or as the parser does.
    """
    stream = stream or system.asked
    return Contract.of(system, stream).event(stream.source.parse(read_json(posted)))
