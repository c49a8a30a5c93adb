"""What a declaration should say of a file's columns, and why."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from ml_assets.core.data.columns import RESERVED_COLUMNS, Dtype
from ml_assets.core.declaration import closest
from ml_assets.core.errors import DeclarationError
from ml_assets.core.texts import ID_LENGTH, shown
from ml_assets.ingest.sources.cells import EXACT
from ml_assets.projects.instants import Written, written
from ml_assets.projects.leakage import suspicion
from ml_assets.projects.survey import ColumnFacts, Survey, quoted

FREE_TEXT = 3.0
"""From so many words on average a text is prose ..."""
FEW, OFTEN = 20, 20
"""... unless there are at most so many different ones, each there so often on average."""
DECIMAL_COMMA = re.compile(r"-?\d{1,3}(\.?\d{3})*,\d+")


@dataclass(frozen=True, kw_only=True)
class KeptColumn:
    """One column of the declaration. name: an identifier; kept: what the file calls it."""

    name: str
    kept: str
    dtype: Dtype
    why: str
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    prose: bool = False


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One that the declaration does not use."""

    kept: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked for. entities, timestamp, key, label, known_at: columns as the file calls
    them; label and known_at may be those of another file."""

    timestamp: str
    entities: tuple[str, ...]
    key: str | None
    label: str
    known_at: str | None


def require_columns(survey: Survey, file: str, **named: str | None) -> None:
    """Raise DeclarationError for an option that names no column, with the closest."""
    for option, column in named.items():
        if column is not None and column not in survey.columns:
            raise DeclarationError(
                f"--{option.replace('_', '-')} names {column!r}, which is no column of {file}; it "
                f"has {', '.join(survey.columns)}.{closest(column, survey.columns)}")


def key_of(survey: Survey) -> str | None:
    """The column that names each event: one called an id whose values are all there, once."""
    for column in survey.columns:
        if re.search(r"(^|[^a-z])id$|id$", column.lower()):
            facts = survey.facts(column)
            if facts.there == facts.distinct == survey.rows and facts.name_like and (
                    facts.longest <= ID_LENGTH):
                return column
    return None


def choose(
    survey: Survey, question: Question, at: Written, *, label: str | None, quantity: bool
) -> tuple[list[KeptColumn], list[LeftOut]]:
    """Every column that is neither instant, key nor label of the question.

    label: the column of the survey that holds the outcome, if it has one
    """
    chosen: list[KeptColumn] = []
    left: list[LeftOut] = []
    apart = {question.timestamp, question.key, label, question.known_at}
    for column in survey.columns:
        if column in apart:
            continue
        facts = survey.facts(column)
        if column in question.entities:
            chosen.append(_entity(facts))
            continue
        because = _unusable(survey, facts, question, at)
        if because is None and label is not None:
            told = suspicion(survey, column, label, quantity=quantity)
            because = None if told is None or not told.certain else (
                f"it knows the outcome: {told}. If it is known when the event happens, declare it")
        if because is not None:
            left.append(LeftOut(kept=column, why=because))
        else:
            chosen.append(_column(facts))
    return chosen, left


def identifier(name: str) -> str:
    """`name` as Python may spell it: `Amount (EUR)` becomes `amount_eur`."""
    if name.isidentifier() and not keyword.iskeyword(name) and name not in RESERVED_COLUMNS:
        return name
    plain = re.sub(r"\W+", "_", name).strip("_").lower() or "column"
    plain = f"c_{plain}" if plain[0].isdigit() else plain
    return f"{plain}_" if keyword.iskeyword(plain) or plain in RESERVED_COLUMNS else plain


def _entity(facts: ColumnFacts) -> KeptColumn:
    often = facts.there / max(1, facts.distinct)
    return KeptColumn(
        name=identifier(facts.name), kept=facts.name, optional=facts.missing > 0,
        dtype="integer" if facts.plain == 1 else "text",
        why=f"{facts.distinct:,} entities, {often:.1f} events each")


def _unusable(
    survey: Survey, facts: ColumnFacts, question: Question, at: Written
) -> str | None:
    """Why a column is left out; None if it is not."""
    if not facts.there:
        return "it has no value"
    if facts.distinct == 1 and not facts.missing:
        return f"it is always {shown(facts.common[0])}"
    if facts.name in survey.without_text:
        return ("it holds lists, structs or durations: declare lists with many=True, and of the "
                "others what a SqlQuery selects of them")
    if later := _later(survey, facts, question, at):
        return later
    text = facts.numeric < 1
    if facts.common and all(map(DECIMAL_COMMA.fullmatch, facts.common)):
        return ("its numbers have a decimal comma: read them by a SqlQuery, replace("
                f"{quoted(facts.name)}, ',', '.')::double")
    if facts.distinct > 0.9 * facts.there and (text or _is_id(facts)) and facts.words < FREE_TEXT:
        return "it names the row: almost every value is there once"
    return None


def _is_id(facts: ColumnFacts) -> bool:
    return facts.whole == 1 and facts.name.lower().endswith("id")


def _later(
    survey: Survey, facts: ColumnFacts, question: Question, at: Written
) -> str | None:
    """Why an instant is left out: it lies after the event, or is none of our types of number."""
    if facts.numeric > 0.5 or not _holds_instants(facts, at):
        return None
    later, there, where = instants_after(survey, facts.name, question.timestamp, at)
    if later:
        return (f"it knows the future: {later:,} of {there:,} values are later than the event, "
                f"{where} first")
    return "an instant; declare it with dtype=\"instant\" to build features of it"


def _holds_instants(facts: ColumnFacts, at: Written) -> bool:
    def one(value: str) -> bool:
        try:
            at.clock.instant(value)
        except (ValueError, OverflowError):
            return False
        return len(value) >= 8

    return all(map(one, facts.common))


def instants_after(
    survey: Survey, column: str, timestamp: str, at: Written
) -> tuple[int, int, str]:
    """How many values are later than their event, of how many, and where the first is."""
    later = there = 0
    first = ""
    happened = dict(survey.values(timestamp))
    for origin, value in survey.values(column):
        try:
            when, event = at.clock.instant(value), at.clock.instant(happened[origin])
        except (ValueError, OverflowError, KeyError):
            continue
        there += 1
        if when > event:
            later += 1
            first = first or origin
    return later, there, first


def _column(facts: ColumnFacts) -> KeptColumn:
    name, optional = identifier(facts.name), facts.missing > 0
    gone = f", {facts.missing / facts.rows:.1%} missing" if optional else ""
    if facts.plain == 1 and max(abs(facts.least or 0), abs(facts.most or 0)) > EXACT:
        return KeptColumn(name=name, kept=facts.name, dtype="integer", optional=optional,
                          why=f"{', '.join(facts.common[:2])} ...: whole numbers that no float64 "
                          f"holds, so an id that the model does not read as a number{gone}")
    if facts.numeric > 0.99 and facts.least is not None and facts.most is not None:
        # A bound that the file keeps by chance would refuse what is merely new.
        floor = 0.0 if facts.least >= 0 else None
        return KeptColumn(name=name, kept=facts.name, dtype="number", optional=optional,
                      minimum=floor, why=f"{facts.least:g} to {facts.most:g}{gone}")
    if facts.word == 1 and facts.distinct == 2:
        return KeptColumn(name=name, kept=facts.name, dtype="boolean", optional=optional,
                      why=f"{' or '.join(facts.common)}{gone}")
    few = facts.distinct <= FEW and facts.there >= OFTEN * facts.distinct
    if (facts.words >= FREE_TEXT and not few) or not facts.name_like:
        return KeptColumn(name=name, kept=facts.name, dtype="text", optional=optional, prose=True,
                      why=f"prose, {facts.words:.0f} words on average{gone}")
    some = ", ".join(facts.common[:4]) + (" ..." if facts.distinct > 4 else "")
    return KeptColumn(name=name, kept=facts.name, dtype="category", optional=optional,
                  why=f"{facts.distinct:,} values: {some}{gone}")


def clock_of(
    survey: Survey, column: str, zone: str | None, layout: str | None
) -> Written:
    """How the instants of the column are written. Raises DeclarationError."""
    return written(column, survey.values(column), zone, layout)
