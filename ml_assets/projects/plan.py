"""All that a new declaration says, before it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ml_assets.core.errors import DeclarationError
from ml_assets.projects.inference import KeptColumn, LeftOut
from ml_assets.projects.instants import Written
from ml_assets.projects.survey import ColumnFacts
from ml_assets.projects.timing import Timing

Kind = Literal["binary", "classes", "number"]
MOST_CLASSES = 20


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The label. name: an identifier; kept: what the file calls it; classes: of `classes`;
    silence: what holds of an event without outcome, None if nothing does; says: why so
    unit, tolerance: of `number`
    """

    name: str
    kept: str
    kind: Kind
    why: str
    classes: tuple[str, ...] = ()
    silence: bool | None = None
    unit: str = ""
    tolerance: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """rows, outcomes: Python that builds a reader; entities: names of chosen columns, with the
    windows of each; events: how many rows there are
    """

    name: str
    file: str
    rows: str
    outcomes: str | None
    key: str | None
    timestamp: str
    known_at: str | None
    at: Written
    columns: tuple[KeptColumn, ...]
    left: tuple[LeftOut, ...]
    entities: Mapping[str, tuple[timedelta, ...]]
    outcome: Outcome
    timing: Timing
    events: int

    @property
    def numbers(self) -> tuple[KeptColumn, ...]:
        """Columns that the model reads as numbers."""
        return tuple(each for each in self.columns if each.dtype in ("number", "boolean"))

    @property
    def texts(self) -> tuple[KeptColumn, ...]:
        """Columns that the model reads as words."""
        return tuple(each for each in self.columns if each.prose)

    @property
    def categories(self) -> tuple[KeptColumn, ...]:
        """Columns of which the model knows the frequent values."""
        return tuple(each for each in self.columns if each.dtype == "category")


def outcome_of(
    facts: ColumnFacts, name: str, asked: Kind | None, *, unit: str | None, listed: bool,
    unlisted: int,
) -> Outcome:
    """What kind of label a column holds.

    asked: a declared kind; unit: what a number is counted in; listed: whether outcomes are in a
    file of their own; unlisted: how many events it does not list
    Raises DeclarationError for a column that decides nothing, or that is no label, for a number
    without unit, and for a unit of anything else.
    """
    shown = ", ".join(facts.common[:5]) + (" ..." if facts.distinct > 5 else "")
    if not facts.there:
        raise DeclarationError(f"--label names {facts.name!r}, which has no value")
    if facts.distinct == 1 and not (listed and unlisted and facts.word == 1):
        raise DeclarationError(
            f"--label names {facts.name!r}, which is {facts.common[0]!r} in every row that has "
            "one: there is nothing to tell apart")
    kind = asked or _kind(facts)
    if (unit is not None) != (kind == "number"):
        raise DeclarationError(
            f"{facts.name} holds {shown}: a quantity. Say what it is counted in: --unit EUR, "
            "--unit min; or say --target classes" if kind == "number" else
            f"--unit says {unit!r}, but {facts.name} holds {shown}, which is no quantity. Leave it "
            "out, or say --target number")
    if kind == "binary":
        if facts.word < 1 or facts.distinct > 2:
            raise DeclarationError(f"{facts.name} holds {shown}; a binary target needs yes and no, "
                                   "true and false or 1 and 0. Say --target classes or number")
        silence = False if facts.distinct == 1 else None
        why = f"{facts.name} is {' or '.join(facts.common)}"
        return Outcome(name=name, kept=facts.name, kind=kind, why=why, silence=silence)
    if kind == "number":
        if facts.numeric < 1 or facts.least is None or facts.most is None:
            raise DeclarationError(f"{facts.name} holds {shown}; a number target needs numbers. "
                                   "Say --target classes")
        return Outcome(name=name, kept=facts.name, kind=kind,
                       why=f"{facts.name} is {facts.least:g} to {facts.most:g} {unit}",
                       unit=str(unit),
                       tolerance=float(f"{(facts.most - facts.least) / 20:.1g}"))
    if facts.distinct > MOST_CLASSES:
        raise DeclarationError(f"{facts.name} holds {facts.distinct:,} values ({shown}); classes "
                               f"are at most {MOST_CLASSES}. Is it the label?")
    return Outcome(name=name, kept=facts.name, kind=kind, classes=tuple(sorted(facts.common)),
                   why=f"{facts.name} is one of {facts.distinct} values")


def _kind(facts: ColumnFacts) -> Kind:
    if facts.word == 1 and facts.distinct <= 2:
        return "binary"
    if facts.numeric == 1 and (facts.distinct > MOST_CLASSES or facts.whole < 1):
        return "number"
    return "classes"
