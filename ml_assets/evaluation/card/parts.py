"""What a model card consists of, however it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CardTable:
    """head: of each column; rows: cells as texts"""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of_records(cls, title: str, records: Sequence[Mapping[str, str]]) -> CardTable:
        """From rows with the same columns."""
        return cls(title=title, head=tuple(records[0]) if records else (),
                   rows=tuple(tuple(record.values()) for record in records))


@dataclass(frozen=True, kw_only=True)
class CardFigure:
    """caption: what is seen; image: a PNG, or an SVG element as text"""

    caption: str
    image: bytes | str


@dataclass(frozen=True, kw_only=True)
class Section:
    """said: paragraphs; facts: pairs of a name and what it is; points: a list; commands: to type"""

    title: str
    said: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[CardTable, ...] = ()
    figures: tuple[CardFigure, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """said: the version in a sentence; facts: what one wants to know first"""

    title: str
    said: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    made_at: str
